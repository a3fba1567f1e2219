"""Authorizations, logouts, uses and checks: explicit changes of a record, and how long it is kept."""

import attrs
import pytest

from asyncauth._answers import (
    Committed,
    Conflict,
    Done,
    Lost,
    Same,
    Step,
    Superseded,
)
from asyncauth._record import Mode, Record
from asyncauth._transitions import commit, forget, keep_for, put, settle, touch
from makers import (
    BLANK,
    NEW,
    NOW,
    OLD,
    PLAIN,
    POLICY,
    SECOND,
    a_dead,
    a_failure,
    a_lease,
    a_record,
    an_entry,
    seen_at,
    written,
)

LATER = an_entry("e9", era=8, age=0)
SIBLING = an_entry("e3", "e1", age=0)
LOGGED_OUT = attrs.evolve(a_record(None), era=8)


# put


def test_a_new_authorization_begins_an_era_and_clears_everything_else() -> None:
    record = attrs.evolve(
        a_record(lease=a_lease(), intent="x"),
        failure=a_failure(),
        dead=a_dead(),
        checked_at=NOW,
        quarantine_until=NOW + 9,
    )
    step = put(seen_at(record), an_entry("e9", "e8", era=0), POLICY)
    assert step.answer == Committed()
    expected = attrs.evolve(BLANK, era=NOW, entry=an_entry("e9", era=NOW), had_one_time=True, written_at=NOW)
    assert step.record == expected
    assert (step.wake, step.replicated) == (True, True)


def test_eras_grow_also_when_the_clock_went_back() -> None:
    record = attrs.evolve(a_record(None), era=NOW + 5)
    assert written(put(seen_at(record), OLD, POLICY)).era == NOW + 6
    assert written(forget(seen_at(record), NOW + 5, POLICY)).era == NOW + 6


def test_a_first_authorization_needs_no_record() -> None:
    after = written(put(seen_at(None), OLD, POLICY))
    assert after.entry is not None
    assert after.era == after.entry.era == NOW


def test_a_put_repeated_after_an_unknown_outcome_is_the_same() -> None:
    once = put(seen_at(a_record()), LATER, POLICY)
    assert put(seen_at(once.record), LATER, POLICY) == Step(answer=Same())


def test_a_put_repeated_after_a_renewal_does_not_bring_the_spent_token_back() -> None:
    put_once = written(put(seen_at(a_record()), LATER, POLICY))
    assert put_once.entry is not None
    renewed = an_entry("e10", *put_once.entry.lineage(), era=put_once.era)
    record = written(commit(seen_at(put_once), renewed, POLICY))
    assert put(seen_at(record), LATER, POLICY) == Step(answer=Same())


# forget


def test_a_logout_leaves_an_era_and_nothing_else() -> None:
    record = attrs.evolve(a_record(lease=a_lease(), intent="x"), failure=a_failure(), dead=a_dead())
    step = forget(seen_at(record), 7, POLICY)
    assert step.answer == Done()
    assert step.record == attrs.evolve(BLANK, era=NOW, had_one_time=True, written_at=NOW)
    assert step.wake


def test_a_logout_does_not_end_an_authorization_that_came_after_it() -> None:
    assert forget(seen_at(attrs.evolve(a_record(LATER), era=8)), 7, POLICY) == Step(answer=Superseded())


def test_a_logout_repeated_changes_nothing() -> None:
    once = forget(seen_at(a_record()), 7, POLICY)
    assert forget(seen_at(once.record), 7, POLICY) == Step(answer=Superseded())


def test_a_refresh_that_comes_back_after_the_logout_does_not_log_in_again() -> None:
    after = written(forget(seen_at(a_record(lease=a_lease())), 7, POLICY))
    assert commit(seen_at(after), NEW, POLICY).answer == Conflict(None)


# touch


IDLING = attrs.evolve(an_entry("e1", idle=100, one_time=False), last_use=NOW - 50 * SECOND)


def test_a_use_is_noted_once_it_is_a_tenth_of_the_idle_limit_later() -> None:
    step = touch(seen_at(a_record(IDLING)), "e1", NOW - 39 * SECOND, POLICY)
    assert (step.answer, step.wake) == (Done(), False)
    assert written(step).entry == attrs.evolve(IDLING, last_use=NOW - 39 * SECOND)


@pytest.mark.parametrize("seconds", [40, 50, 90])
def test_a_use_that_moves_the_end_by_little_or_back_is_not_noted(seconds: int) -> None:
    assert touch(seen_at(a_record(IDLING)), "e1", NOW - seconds * SECOND, POLICY) == Step(answer=Done())


def test_a_first_use_counts_from_the_issue() -> None:
    fresh = an_entry("e1", idle=100, age=20, one_time=False)
    assert written(touch(seen_at(a_record(fresh)), "e1", NOW, POLICY)).entry == attrs.evolve(
        fresh, last_use=NOW
    )


@pytest.mark.parametrize("record", [None, LOGGED_OUT, a_record(NEW)])
def test_a_use_of_another_entry_is_not_noted(record: Record | None) -> None:
    assert touch(seen_at(record), "e1", NOW, POLICY) == Step(answer=Superseded())


def test_a_use_of_what_does_not_idle_out_is_not_noted() -> None:
    record = a_record(an_entry("e1", one_time=False))
    assert touch(seen_at(record), "e1", NOW + 3600 * SECOND, POLICY) == Step(answer=Done())


def test_a_logout_is_written_where_a_fail_over_does_not_undo_it() -> None:
    assert forget(seen_at(a_record()), 7, POLICY).replicated


# settle


def test_a_living_session_is_noted_for_all_and_the_lease_ends() -> None:
    step = settle(seen_at(a_record(lease=a_lease("mine", mode=Mode.CHECK))), "mine", NOW, POLICY)
    assert (step.answer, step.wake) == (Done(), True)
    assert (written(step).checked_at, written(step).lease) == (NOW, None)


@pytest.mark.parametrize("record", [None, a_record(), a_record(lease=a_lease("other"))])
def test_only_the_leases_owner_settles(record: Record | None) -> None:
    assert settle(seen_at(record), "mine", NOW, POLICY) == Step(answer=Lost())


# How long a record is kept


@pytest.mark.parametrize(
    "record",
    [
        a_record(NEW),
        attrs.evolve(a_record(None), had_one_time=True, era=0),
        attrs.evolve(a_record(PLAIN), era=0, dead=a_dead("x")),
        a_record(None),
        attrs.evolve(a_record(an_entry("e1", one_time=False)), era=0),
        attrs.evolve(a_record(an_entry("e1", one_time=False, refresh=False, life=None)), era=0),
    ],
    ids=["one-time", "had one-time", "dead", "forgotten", "refreshable", "endless"],
)
def test_what_guards_tokens_is_kept_longer_than_any_copy_lives(record: Record) -> None:
    assert keep_for(record, NOW, POLICY) == POLICY.keep


@pytest.mark.parametrize(("age", "seconds"), [(0, 3640), (3590, 50), (9999, 40)])
def test_an_entry_that_a_login_replaces_is_kept_to_its_end(age: float, seconds: float) -> None:
    entry = an_entry("e1", age=age, one_time=False, refresh=False, era=0)
    assert keep_for(Record(entry=entry), NOW, POLICY) == seconds
