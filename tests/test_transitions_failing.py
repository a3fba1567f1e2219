"""Giving up, refusals for good, and the rule about lost writes that every transition applies last."""

from collections.abc import Callable

import attrs
import pytest

from asyncauth._acquire import acquire
from asyncauth._answers import Done, Lost, Step, Superseded, View
from asyncauth._record import NOBODY, Reason, Record
from asyncauth._transitions import (
    abandon,
    announce,
    commit,
    condemn,
    extend,
    forget,
    put,
    restore,
    settle,
    touch,
)
from makers import (
    NEW,
    NOW,
    OLD,
    POLICY,
    SECOND,
    TROUBLE,
    a_dead,
    a_failure,
    a_grant,
    a_lease,
    a_record,
    an_ask,
    an_entry,
    seen_at,
    written,
)

OTHER = Reason("GrantRefusedError", "invalid_grant")
MINE = a_record(lease=a_lease("mine"), intent="mine")


def given_up(record: Record | None, *, definite: bool, failed: tuple[Reason, float] | None = None) -> Step:
    return abandon(seen_at(record), "mine", POLICY, definite=definite, failed=failed)


# abandon


def test_giving_up_unsent_leaves_no_trace() -> None:
    step = given_up(MINE, definite=True)
    assert (step.answer, step.wake) == (Done(), True)
    assert written(step) == attrs.evolve(a_record(), written_at=NOW)


def test_giving_up_in_doubt_leaves_the_intent() -> None:
    assert written(given_up(MINE, definite=False, failed=(TROUBLE, 1))).intent == "mine"


@pytest.mark.parametrize("intent", ["somebody", NOBODY])
def test_giving_up_does_not_clear_anothers_intent(intent: str) -> None:
    assert written(given_up(attrs.evolve(MINE, intent=intent), definite=True)).intent == intent


def test_a_failure_is_shared_and_counted() -> None:
    record = attrs.evolve(MINE, failure=a_failure(left=-1, count=2))
    after = written(given_up(record, definite=True, failed=(OTHER, 4)))
    assert after.failure == attrs.evolve(a_failure(left=4, count=3), reason=OTHER)


def test_giving_up_without_a_failure_keeps_the_count_of_the_last() -> None:
    record = attrs.evolve(MINE, failure=a_failure(left=-1, count=2))
    assert written(given_up(record, definite=True)).failure == record.failure


def retry_in(step: Step) -> float:
    failure = written(step).failure
    assert failure is not None
    return (failure.retry_at - NOW) / SECOND


def test_a_one_time_token_in_doubt_is_left_alone_at_least_as_long_as_the_vendor_needs() -> None:
    assert retry_in(given_up(MINE, definite=False, failed=(TROUBLE, 1))) == POLICY.quiet
    assert retry_in(given_up(MINE, definite=False, failed=(TROUBLE, 30))) == 30


def test_without_doubt_or_without_one_time_the_pause_is_as_asked() -> None:
    plain = a_record(an_entry(one_time=False), lease=a_lease("mine"))
    assert retry_in(given_up(MINE, definite=True, failed=(TROUBLE, 1))) == 1
    assert retry_in(given_up(plain, definite=False, failed=(TROUBLE, 1))) == 1


@pytest.mark.parametrize("record", [None, a_record(), a_record(lease=a_lease("other"), intent="mine")])
def test_only_the_leases_owner_gives_up(record: Record | None) -> None:
    assert given_up(record, definite=True, failed=(TROUBLE, 1)) == Step(answer=Lost())


def test_giving_up_twice_counts_once() -> None:
    once = given_up(MINE, definite=False, failed=(TROUBLE, 1))
    assert given_up(once.record, definite=False, failed=(TROUBLE, 1)) == Step(answer=Lost())


# condemn


def refused(record: Record | None, *, attempt: str = "mine", credential: str | None = None) -> Step:
    return condemn(seen_at(record), a_grant(attempt), OTHER, POLICY, refused=credential)


def test_a_refused_grant_is_marked_dead_until_the_first_probe() -> None:
    record = attrs.evolve(MINE, failure=a_failure())
    step = refused(record)
    after = written(step)
    assert (step.answer, step.wake) == (Done(), True)
    assert after.dead == attrs.evolve(a_dead(left=60, attempt="mine"), reason=OTHER)
    assert (after.lease, after.failure, after.intent) == (None, None, "mine")


def test_refusals_in_a_row_are_probed_ever_more_rarely() -> None:
    after = written(refused(attrs.evolve(MINE, dead=a_dead(left=0, count=2))))
    assert after.dead is not None
    assert (after.dead.count, after.dead.probe_at) == (3, NOW + 960 * SECOND)


def test_refused_credentials_are_collected_once_each() -> None:
    after = written(refused(attrs.evolve(MINE, dead=a_dead("a", "b")), credential="c"))
    assert after.dead is not None
    assert after.dead.refused == ("a", "b", "c")
    again = written(refused(attrs.evolve(MINE, dead=a_dead("a", "b")), credential="a"))
    assert again.dead is not None
    assert again.dead.refused == ("b", "a")


def test_a_refused_grant_says_nothing_about_credentials() -> None:
    after = written(refused(attrs.evolve(MINE, dead=a_dead("a"))))
    assert after.dead is not None
    assert after.dead.refused == ()


@pytest.mark.parametrize("record", [None, a_record(NEW), attrs.evolve(a_record(None), era=8)])
def test_the_refusal_of_an_old_token_says_nothing_about_another(record: Record | None) -> None:
    assert refused(record) == Step(answer=Superseded())


def test_a_refused_first_login_is_marked_where_there_is_no_entry() -> None:
    grant = a_grant(base=None)
    step = condemn(seen_at(None), grant, OTHER, POLICY, refused="mine")
    assert step.answer == Done()
    assert written(step).dead is not None


def test_the_same_attempt_condemns_once() -> None:
    once = refused(MINE)
    assert refused(once.record) == Step(answer=Done())
    assert written(refused(once.record, attempt="other")).dead != written(once).dead


# The incarnation rule


def idling(view: View) -> View:
    """Return the view with an entry that idles out."""
    assert view.record is not None
    return attrs.evolve(view, record=attrs.evolve(view.record, entry=an_entry("e1", idle=600)))


WRITERS: dict[str, Callable[[View], Step]] = {
    "acquire": lambda view: acquire(view, an_ask(can_login=True, attempt="mine"), POLICY),
    "acquire (waiting)": lambda view: acquire(view, an_ask(), POLICY),
    "extend": lambda view: extend(view, a_grant(), POLICY),
    "commit": lambda view: commit(view, NEW, POLICY),
    "restore": lambda view: restore(view, NEW, POLICY),
    "put": lambda view: put(view, an_entry("e9"), POLICY),
    "forget": lambda view: forget(view, 7, POLICY),
    "touch": lambda view: touch(idling(view), "e1", NOW + 1, POLICY),
    "abandon": lambda view: abandon(view, "mine", POLICY, definite=True),
    "condemn": lambda view: condemn(view, a_grant(), OTHER, POLICY),
    "settle": lambda view: settle(view, "mine", NOW, POLICY),
    "announce": lambda view: announce(view, "e1", POLICY),
}


@pytest.mark.parametrize("name", WRITERS)
def test_whoever_writes_after_lost_writes_begins_the_quarantine(name: str) -> None:
    step = WRITERS[name](seen_at(MINE, incarnation="i2"))
    after = written(step)
    assert (after.incarnation, after.intent) == ("i2", NOBODY)
    assert after.quarantine_until == NOW + 26 * SECOND
    assert step.wake
    assert after.had_one_time


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "acquire (waiting)"])
def test_without_lost_writes_there_is_no_quarantine(name: str) -> None:
    after = written(WRITERS[name](seen_at(MINE)))
    assert (after.incarnation, after.quarantine_until) == ("i1", 0)
    assert after.intent != NOBODY


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("commit", "restore", "put")])
def test_tokens_that_are_not_one_time_need_no_quarantine(name: str) -> None:
    record = attrs.evolve(MINE, entry=attrs.evolve(OLD, one_time=False), had_one_time=False)
    after = WRITERS[name](seen_at(record, incarnation="i2")).record
    assert after is None or (after.incarnation, after.quarantine_until) == ("i2", 0)


def test_a_record_that_once_had_a_one_time_entry_is_guarded_without_it() -> None:
    logged_out = attrs.evolve(a_record(None), had_one_time=True)
    after = written(put(seen_at(logged_out, incarnation="i2"), an_entry("e9", one_time=False), POLICY))
    assert (after.quarantine_until, after.intent, after.had_one_time) == (NOW + 26 * SECOND, NOBODY, True)


def test_an_intent_of_nobody_is_cleared_by_the_next_success_only() -> None:
    shaken = written(acquire(seen_at(MINE, incarnation="i2"), an_ask(), POLICY))
    view = seen_at(shaken, incarnation="i2")
    assert written(abandon(view, "mine", POLICY, definite=True)).intent == NOBODY
    assert written(commit(view, NEW, POLICY)).intent is None


def test_every_write_notes_its_time() -> None:
    for transition in WRITERS.values():
        step = transition(seen_at(MINE))
        assert step.record is None or step.record.written_at == NOW
