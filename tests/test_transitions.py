"""Heartbeats, commits and restores: when they take effect, when not, and that repeating them is harmless."""

import attrs
import pytest

from asyncauth._answers import (
    Committed,
    Conflict,
    Grant,
    Kept,
    Lost,
    Same,
    Step,
    Superseded,
)
from asyncauth._record import NOBODY, Entry, Lease, Mode, Record
from asyncauth._transitions import commit, extend, restore
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
    a_grant,
    a_lease,
    a_record,
    an_entry,
    seen_at,
    written,
)

LATER = an_entry("e9", era=8, age=0)
SIBLING = an_entry("e3", "e1", age=0)
LOGGED_OUT = attrs.evolve(a_record(None), era=8)


# extend


def test_a_heartbeat_prolongs_the_lease_and_wakes_nobody() -> None:
    step = extend(seen_at(a_record(lease=a_lease("mine", left=1), intent="mine")), a_grant(), POLICY)
    assert step.answer == Kept()
    assert written(step).lease == a_lease("mine")
    assert (step.wake, step.replicated) == (False, True)


def test_a_lapsed_lease_that_nobody_took_is_prolonged() -> None:
    step = extend(seen_at(a_record(lease=a_lease("mine", left=-30))), a_grant(), POLICY)
    assert step.answer == Kept()


def test_a_heartbeat_keeps_an_earlier_intent_and_the_doubt() -> None:
    grant = Grant(attempt="mine", base=OLD, mode=Mode.REFRESH, doubtful=True)
    record = a_record(lease=a_lease("mine", doubtful=True), intent="somebody")
    after = written(extend(seen_at(record), grant, POLICY))
    assert after.intent == "somebody"
    assert after.lease is not None
    assert after.lease.doubtful


@pytest.mark.parametrize("lease", [None, a_lease("other"), a_lease("other", left=-99)])
def test_a_lease_that_another_has_or_that_was_ended_is_lost(lease: Lease | None) -> None:
    record = attrs.evolve(a_record(), lease=lease)
    assert extend(seen_at(record), a_grant(), POLICY) == Step(answer=Lost())


@pytest.mark.parametrize("record", [a_record(NEW, lease=a_lease("mine")), LOGGED_OUT, None])
def test_a_heartbeat_on_another_entry_is_superseded(record: Record | None) -> None:
    assert extend(seen_at(record), a_grant(), POLICY) == Step(answer=Superseded())


def test_a_heartbeat_of_a_first_login_keeps_its_lease() -> None:
    grant = a_grant(base=None, mode=Mode.LOGIN)
    step = extend(seen_at(a_record(None, lease=a_lease("mine", mode=Mode.LOGIN))), grant, POLICY)
    assert step.answer == Kept()
    assert written(step).intent is None


@pytest.mark.parametrize("lease", [None, a_lease("other")], ids=["none", "rolled back"])
def test_after_lost_writes_a_living_attempt_takes_its_lease_back(lease: Lease | None) -> None:
    record = attrs.evolve(a_record(), lease=lease)
    step = extend(seen_at(record, incarnation="i2"), a_grant(), POLICY)
    after = written(step)
    assert step.answer == Kept()
    assert after.lease == attrs.evolve(a_lease("mine"), incarnation="i2")
    assert (after.quarantine_until, after.intent) == (NOW + 26 * SECOND, NOBODY)


def test_in_quarantine_a_lease_that_was_renewed_since_is_not_taken() -> None:
    lease = attrs.evolve(a_lease("other"), incarnation="i2")
    record = attrs.evolve(a_record(lease=lease), incarnation="i2", quarantine_until=NOW + SECOND)
    assert extend(seen_at(record, incarnation="i2"), a_grant(), POLICY).answer == Lost()


def test_after_the_quarantine_a_lost_lease_stays_lost() -> None:
    record = attrs.evolve(a_record(), quarantine_until=NOW)
    assert extend(seen_at(record), a_grant(), POLICY).answer == Lost()


def test_a_heartbeat_repeated_is_a_heartbeat() -> None:
    view = seen_at(a_record(lease=a_lease("mine", left=1)))
    once = extend(view, a_grant(), POLICY)
    assert extend(seen_at(once.record), a_grant(), POLICY) == once


# commit


def test_a_commit_stores_the_entry_and_clears_everything_in_its_way() -> None:
    record = attrs.evolve(
        a_record(lease=a_lease("other"), intent="mine"), failure=a_failure(), dead=a_dead("x"), checked_at=NOW
    )
    step = commit(seen_at(record), NEW, POLICY)
    after = written(step)
    assert step.answer == Committed()
    assert (after.entry, after.era) == (NEW, 7)
    assert (after.lease, after.intent, after.failure, after.dead) == (None, None, None, None)
    assert (step.wake, step.replicated) == (True, True)


def test_only_one_time_entries_are_committed_replicated() -> None:
    entry = attrs.evolve(NEW, one_time=False)
    assert not commit(seen_at(a_record(PLAIN)), entry, POLICY).replicated


@pytest.mark.parametrize("record", [None, a_record(None), BLANK], ids=["no record", "no entry", "blank"])
def test_a_commit_needs_no_lease_and_no_earlier_entry(record: Record | None) -> None:
    step = commit(seen_at(record), NEW, POLICY)
    assert (step.answer, written(step).entry, written(step).era) == (Committed(), NEW, 7)


def test_a_late_success_beats_a_dead_mark_and_a_takeover() -> None:
    record = attrs.evolve(a_record(lease=a_lease("other"), intent="mine"), dead=a_dead())
    assert commit(seen_at(record), NEW, POLICY).answer == Committed()


def test_a_commit_of_a_later_era_raises_the_records_era() -> None:
    assert written(commit(seen_at(a_record(OLD)), LATER, POLICY)).era == 8


@pytest.mark.parametrize(
    "stored", [LATER, SIBLING, an_entry("e4", "e2", "e1")], ids=["authorization", "sibling", "descendant"]
)
def test_a_commit_overwrites_nothing_that_is_not_older(stored: Entry) -> None:
    record = attrs.evolve(a_record(stored), era=stored.era)
    assert commit(seen_at(record), NEW, POLICY) == Step(answer=Conflict(stored))


def test_a_commit_after_a_logout_is_a_conflict_without_an_entry() -> None:
    assert commit(seen_at(LOGGED_OUT), NEW, POLICY) == Step(answer=Conflict(None))


def test_a_login_after_a_logout_is_stored() -> None:
    assert commit(seen_at(LOGGED_OUT), LATER, POLICY).answer == Committed()


def test_a_commit_repeated_after_an_unknown_outcome_is_the_same() -> None:
    once = commit(seen_at(a_record()), NEW, POLICY)
    assert commit(seen_at(once.record), NEW, POLICY) == Step(answer=Same())


def test_a_commit_repeated_after_the_next_renewal_adopts_that() -> None:
    next_one = an_entry("e4", "e2", "e1")
    assert commit(seen_at(a_record(next_one)), NEW, POLICY).answer == Conflict(next_one)


# restore


def test_a_restored_entry_over_an_older_one_is_a_commit() -> None:
    view = seen_at(a_record())
    assert restore(view, NEW, POLICY) == commit(view, NEW, POLICY)


def test_a_one_time_entry_restored_where_nothing_is_left_begins_a_quarantine() -> None:
    after = written(restore(seen_at(None), NEW, POLICY))
    assert (after.entry, after.intent) == (NEW, NOBODY)
    assert after.quarantine_until == NOW + 26 * SECOND
    assert after.had_one_time


def test_any_other_entry_is_restored_without_a_quarantine() -> None:
    after = written(restore(seen_at(None), PLAIN, POLICY))
    assert (after.intent, after.quarantine_until) == (None, 0)


@pytest.mark.parametrize("record", [a_record(LATER), a_record(SIBLING), LOGGED_OUT])
def test_a_restored_entry_never_replaces_what_is_not_older(record: Record) -> None:
    assert restore(seen_at(record), NEW, POLICY) == Step(answer=Conflict(record.entry))


def test_a_restore_repeated_is_the_same() -> None:
    once = restore(seen_at(None), NEW, POLICY)
    assert restore(seen_at(once.record), NEW, POLICY) == Step(answer=Same())
