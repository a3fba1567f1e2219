"""What `touch`, `settle`, `announce` and asking for a renewal keep, whatever the record is."""

from collections.abc import Callable

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asyncauth._acquire import acquire
from asyncauth._answers import BackOff, Behind, Grant, Newer, Refused, Step
from asyncauth._record import NOBODY, Dead, Entry, Failure, Lease, Record
from asyncauth._transitions import announce, settle, touch
from makers import (
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
    a_session,
    an_ask,
    seen_at,
    written,
)

LIMIT = 600
SESSIONS = [a_session(ago) for ago in (0, 300, 590, 700)]

seconds = st.integers(min_value=-2 * LIMIT, max_value=2 * LIMIT)
times = seconds.map(lambda left: NOW + left * SECOND)


@st.composite
def records(draw: st.DrawFn) -> Record:
    entry = draw(
        st.sampled_from([None, a_session(0), a_session(300), a_session(590), a_session(700), OLD, NEW, PLAIN])
    )
    if entry is not None and entry.last_use is not None:
        entry = attrs.evolve(entry, last_use=draw(times))
    lease: Lease | None = draw(st.sampled_from([None, a_lease("mine"), a_lease("other"), a_lease(left=-99)]))
    failure: Failure | None = draw(st.sampled_from([None, a_failure(), a_failure(left=-5)]))
    dead: Dead | None = draw(st.sampled_from([None, a_dead(), a_dead("my credential"), a_dead(left=-1)]))
    return attrs.evolve(
        a_record(entry, lease=lease, intent=draw(st.sampled_from([None, "mine", "other", NOBODY]))),
        failure=failure,
        dead=dead,
        told=draw(st.sampled_from([None, "s", "e1"])),
        checked_at=draw(st.none() | times),
        quarantine_until=draw(times),
        written_at=draw(st.sampled_from([NOW - SECOND, NOW, NOW + 3600 * SECOND])),
    )


def small_steps(last_use: int) -> dict[str, Callable[[Record], Step]]:
    return {
        "touch": lambda record: touch(seen_at(record), "s", last_use, POLICY),
        "settle": lambda record: settle(seen_at(record), "mine", last_use, POLICY),
        "announce": lambda record: announce(seen_at(record), "s", POLICY),
    }


@pytest.mark.slow
@given(record=records(), last_use=times, name=st.sampled_from(sorted(small_steps(0))))
def test_they_change_neither_the_token_nor_who_may_renew_nor_what_failed(
    record: Record, last_use: int, name: str
) -> None:
    step = small_steps(last_use)[name](record)
    assume(step.record is not None)
    before, after = record.rebased(NOW), written(step)
    kept = ("era", "intent", "failure", "dead", "quarantine_until", *(() if name == "settle" else ("lease",)))
    assert [getattr(after, field) for field in kept] == [getattr(before, field) for field in kept]
    assert (before.entry is None) == (after.entry is None)
    if before.entry is not None and after.entry is not None:
        assert attrs.evolve(after.entry, last_use=None) == attrs.evolve(before.entry, last_use=None)


@pytest.mark.slow
@given(record=records(), last_use=times, name=st.sampled_from(sorted(small_steps(0))))
def test_a_use_is_never_taken_back_and_never_in_the_future(record: Record, last_use: int, name: str) -> None:
    after = small_steps(last_use)[name](record).record
    entry = record.rebased(NOW).entry
    assume(after is not None and entry is not None and entry.last_use is not None)
    assert after is not None
    assert entry is not None
    assert entry.last_use is not None
    assert after.entry is not None
    assert after.entry.last_use is not None
    assert entry.last_use <= after.entry.last_use <= max(NOW, entry.last_use)


@pytest.mark.slow
@given(record=records(), last_use=times, name=st.sampled_from(sorted(small_steps(0))))
def test_done_twice_is_done_once(record: Record, last_use: int, name: str) -> None:
    step = small_steps(last_use)[name]
    once = step(record).record
    assume(once is not None)
    assert once is not None
    assert step(once).record is None


@pytest.mark.slow
@given(
    record=records(),
    seen=st.sampled_from([None, *SESSIONS, OLD, PLAIN]),
    can_login=st.booleans(),
    destructive=st.booleans(),
    refused=st.booleans(),
    suspected_at=st.none() | times,
)
def test_asking_again_with_what_was_answered_comes_to_an_end(
    record: Record,
    seen: Entry | None,
    *,
    can_login: bool,
    destructive: bool,
    refused: bool,
    suspected_at: int | None,
) -> None:
    """A worker that finds the answer unusable too asks again with it: never twice for one entry and use."""
    ask = an_ask(
        seen, can_login=can_login, destructive=destructive, refused=refused, suspected_at=suspected_at
    )
    first = acquire(seen_at(record), ask, POLICY).answer
    assume(isinstance(first, Newer))
    assert isinstance(first, Newer)
    again = acquire(seen_at(record), attrs.evolve(ask, seen=first.entry), POLICY).answer
    assert not isinstance(again, Newer | Behind)


@given(record=records(), seen=st.sampled_from([a_session(590), a_session(700)]))
def test_an_idle_session_is_handed_out_only_while_its_last_known_use_carries_it(
    record: Record, seen: Entry
) -> None:
    found = acquire(seen_at(record), an_ask(seen, can_login=True), POLICY).answer
    if isinstance(found, Newer) and found.entry.id == seen.id:
        assert found.entry.last_use is not None
        assert found.entry.last_use + LIMIT * SECOND > NOW
    assert isinstance(found, Newer | Grant | BackOff | Refused) or record.lease is not None
