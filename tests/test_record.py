"""The order of entries, their ends, and records whose store's clock went back."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._record import MAX_ANCESTORS, Entry, Record
from makers import NEW, NOW, OLD, SECOND, a_dead, a_failure, a_lease, a_record, an_entry


def test_an_entry_is_older_than_what_was_renewed_from_it() -> None:
    assert OLD.is_older_than(NEW)
    assert not NEW.is_older_than(OLD)


def test_an_entry_of_an_earlier_era_is_older_whatever_the_ancestors() -> None:
    later = an_entry("e9", era=8)
    assert NEW.is_older_than(later)
    assert not later.is_older_than(attrs.evolve(NEW, ancestors=("e9",)))


def test_of_two_siblings_neither_is_older() -> None:
    sibling = an_entry("e3", "e1")
    assert not NEW.is_older_than(sibling)
    assert not sibling.is_older_than(NEW)


def test_an_entry_is_not_older_than_itself() -> None:
    assert not OLD.is_older_than(OLD)


def test_an_equal_id_in_another_era_is_no_kinship() -> None:
    assert not an_entry("e9", era=8).is_older_than(NEW)
    assert an_entry("e1", era=6).is_older_than(NEW)


def renewed(entry: Entry, times: int) -> Entry:
    for n in range(times):
        entry = attrs.evolve(entry, id=f"{entry.id}.{n}", ancestors=entry.lineage())
    return entry


def test_the_lineage_begins_with_the_nearest_ancestor() -> None:
    assert renewed(OLD, 2).lineage() == ("e1.0.1", "e1.0", "e1")


def test_a_roll_back_is_recognised_over_32_renewals_and_no_more() -> None:
    assert OLD.is_older_than(renewed(OLD, MAX_ANCESTORS))
    assert not OLD.is_older_than(renewed(OLD, MAX_ANCESTORS + 1))


@given(st.integers(min_value=0, max_value=100))
def test_an_entry_keeps_at_most_32_ancestors(times: int) -> None:
    assert len(renewed(OLD, times).ancestors) == min(times, MAX_ANCESTORS)


def test_a_token_expires_at_its_hard_end() -> None:
    entry = an_entry(life=60, age=0)
    assert not entry.has_expired(NOW + 60 * SECOND - 1)
    assert entry.has_expired(NOW + 60 * SECOND)


def test_a_token_without_a_known_end_does_not_expire() -> None:
    assert not an_entry(life=None).has_expired(NOW + 10**12)


def test_an_idle_token_expires_after_its_last_use() -> None:
    entry = attrs.evolve(an_entry(life=None, idle=60), last_use=NOW)
    assert not entry.has_expired(NOW + 60 * SECOND - 1)
    assert entry.has_expired(NOW + 60 * SECOND)


def test_an_idle_limit_without_a_known_use_ends_nothing() -> None:
    assert not an_entry(life=None, idle=60).has_expired(NOW + 10**9)


def test_a_used_token_still_ends_at_its_hard_end() -> None:
    entry = attrs.evolve(an_entry(life=60, age=0, idle=600), last_use=NOW + 59 * SECOND)
    assert entry.has_expired(NOW + 60 * SECOND)


def full_record() -> Record:
    return attrs.evolve(
        a_record(attrs.evolve(NEW, last_use=NOW), lease=a_lease()),
        failure=a_failure(left=5),
        dead=a_dead(left=60),
        checked_at=NOW - SECOND,
        quarantine_until=NOW + 26 * SECOND,
        written_at=NOW,
    )


def test_a_record_of_the_past_stays_as_it_is() -> None:
    record = full_record()
    assert record.rebased(NOW) is record
    assert record.rebased(NOW + 5) is record


@pytest.mark.parametrize("hours", [1, 24 * 365])
def test_when_the_clock_went_back_every_time_is_as_far_away_as_it_was(hours: int) -> None:
    back = hours * 3600 * SECOND
    now, record = NOW - back, full_record()
    moved = record.rebased(now)
    assert moved.entry is not None
    assert record.entry is not None
    assert moved.entry.expires_at == (record.entry.expires_at or 0) - back
    assert moved.entry.issued_at == record.entry.issued_at - back
    assert moved.entry.last_use == now
    assert moved.lease == attrs.evolve(
        a_lease(), until=now + 6 * SECOND, takeover_at=a_lease().takeover_at - back
    )
    assert moved.failure is not None
    assert moved.failure.retry_at == now + 5 * SECOND
    assert moved.dead is not None
    assert moved.dead.probe_at == now + 60 * SECOND
    assert moved.checked_at == now - SECOND
    assert moved.quarantine_until == now + 26 * SECOND
    assert moved.written_at == now


def test_eras_order_authorizations_and_do_not_move_with_the_clock() -> None:
    record = full_record()
    moved = record.rebased(NOW - 3600 * SECOND)
    assert (moved.era, moved.entry and moved.entry.era) == (record.era, 7)


def test_a_record_without_anything_in_it_moves_too() -> None:
    assert Record(written_at=NOW).rebased(NOW - 9) == Record(written_at=NOW - 9)


@given(st.integers(min_value=-(10**9), max_value=10**9))
def test_moving_twice_moves_once(shift: int) -> None:
    once = full_record().rebased(NOW - shift)
    assert once.rebased(NOW - shift) == once
