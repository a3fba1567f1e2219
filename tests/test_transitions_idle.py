"""`touch`, `settle`, `announce`, and what `acquire` makes of uses of a session."""

import attrs
import pytest

from asyncauth._answers import (
    Absent,
    Ask,
    Done,
    Lost,
    Newer,
    Same,
    Step,
    Superseded,
)
from asyncauth._record import NOBODY, Entry, Mode, Record
from asyncauth._transitions import announce, keep_for, settle, touch
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
    answer,
    granted,
    seen_at,
    written,
)

LIMIT = 600


# touch


@pytest.mark.parametrize(("grown", "told"), [(59.9, False), (60, False), (60.001, True), (500, True)])
def test_a_use_is_written_if_it_is_later_by_more_than_a_tenth_and_wakes_nobody(
    grown: float, *, told: bool
) -> None:
    record = a_record(a_session(550))
    step = touch(seen_at(record), "s", NOW - round((550 - grown) * SECOND), POLICY)
    assert step.answer == Done()
    assert (step.record is not None) is told
    if told:
        assert not step.wake
        assert written(step).entry == a_session(550 - grown)


@pytest.mark.parametrize("stored", [None, NEW, PLAIN])
def test_a_use_of_an_entry_that_is_not_stored_any_more_is_not_written(stored: Entry | None) -> None:
    assert touch(seen_at(a_record(stored)), "s", NOW, POLICY) == Step(answer=Superseded())


def test_an_entry_that_does_not_idle_out_needs_no_uses() -> None:
    assert touch(seen_at(a_record(PLAIN)), PLAIN.id, NOW, POLICY) == Step(answer=Done())


def test_a_use_of_an_entry_that_has_none_counts_from_its_issue() -> None:
    entry = attrs.evolve(a_session(0), last_use=None)
    assert written(touch(seen_at(a_record(entry)), "s", NOW, POLICY)).entry == a_session(0)


def test_a_record_that_is_touched_is_kept_for_longer() -> None:
    record = attrs.evolve(a_record(a_session(500)), era=0)
    after = written(touch(seen_at(record), "s", NOW, POLICY))
    assert keep_for(record, NOW, POLICY) == 100 + POLICY.wait
    assert keep_for(after, NOW, POLICY) == LIMIT + POLICY.wait


# settle


def test_a_probe_is_a_use_and_the_others_look() -> None:
    record = a_record(a_session(500), lease=a_lease("mine", mode=Mode.CHECK))
    step = settle(seen_at(record), "mine", NOW - 3 * SECOND, POLICY)
    after = written(step)
    assert (after.entry, after.checked_at, after.lease) == (a_session(3), NOW, None)
    assert step.wake


def test_a_probe_does_not_take_back_a_later_use() -> None:
    record = a_record(a_session(1), lease=a_lease("mine", mode=Mode.CHECK))
    assert written(settle(seen_at(record), "mine", NOW - 3 * SECOND, POLICY)).entry == a_session(1)


def test_a_probe_by_who_has_lost_its_lease_is_no_use_for_the_others() -> None:
    record = a_record(a_session(500), lease=a_lease("other", mode=Mode.CHECK))
    assert settle(seen_at(record), "mine", NOW, POLICY) == Step(answer=Lost())


# announce


def test_one_worker_is_told_to_tell_and_the_next_ones_that_it_is_done() -> None:
    first = announce(seen_at(a_record(PLAIN)), PLAIN.id, POLICY)
    assert (first.answer, first.wake) == (Done(), False)
    assert announce(seen_at(written(first)), PLAIN.id, POLICY) == Step(answer=Same())


@pytest.mark.parametrize("stored", [None, NEW])
def test_nothing_is_told_of_an_entry_that_was_replaced(stored: Entry | None) -> None:
    assert announce(seen_at(a_record(stored)), PLAIN.id, POLICY) == Step(answer=Superseded())


def test_the_next_entry_is_told_of_anew() -> None:
    record = attrs.evolve(a_record(NEW), told=OLD.id)
    assert announce(seen_at(record), NEW.id, POLICY).answer == Done()


# acquire


def test_a_session_that_others_have_used_since_is_the_answer() -> None:
    assert answer(a_record(a_session(100)), an_ask(a_session(590), can_login=True)) == Newer(a_session(100))


@pytest.mark.parametrize(
    "record",
    [
        a_record(a_session(100), lease=a_lease()),
        attrs.evolve(a_record(a_session(100)), failure=a_failure()),
        attrs.evolve(a_record(a_session(100)), dead=a_dead("my credential")),
    ],
    ids=["lease", "failure", "dead"],
)
def test_neither_a_renewal_nor_its_failure_is_in_the_way_of_a_session_that_serves(record: Record) -> None:
    assert answer(record, an_ask(a_session(590), can_login=True)) == Newer(a_session(100))


@pytest.mark.parametrize(
    ("stored", "ask"),
    [
        (a_session(590), an_ask(a_session(590), can_login=True)),
        (a_session(600), an_ask(a_session(700), can_login=True)),
        (a_session(100), an_ask(a_session(590), can_login=True, refused=True)),
        (a_session(100), an_ask(a_session(590), can_login=True, suspected_at=NOW)),
        (a_session(100, life=3600), an_ask(a_session(590, life=3600), can_login=True)),
    ],
    ids=["not used since", "idle all the same", "refused", "suspect", "at its hard end"],
)
def test_otherwise_it_is_renewed_or_checked(stored: Entry, ask: Ask) -> None:
    assert granted(a_record(stored), ask)[0].base == stored


def test_a_session_that_only_a_person_can_renew_may_be_checked_but_not_renewed() -> None:
    record = a_record(a_session(100))
    assert granted(record, an_ask(a_session(100), suspected_at=NOW))[0].mode is Mode.CHECK
    assert answer(record, an_ask(a_session(100))) == Absent()


@pytest.mark.parametrize(
    ("destructive", "one_time", "mode"),
    [
        (True, False, Mode.REFRESH),
        (False, False, Mode.LOGIN),
        (True, True, Mode.LOGIN),
        (False, True, Mode.LOGIN),
    ],
)
@pytest.mark.parametrize("trouble", ["taken over", "intent", "dead", "rolled back"])
def test_a_login_that_ends_another_token_comes_after_a_refresh_that_harms_nobody(
    *, destructive: bool, one_time: bool, mode: Mode, trouble: str
) -> None:
    entry = attrs.evolve(OLD, one_time=one_time)
    record = {
        "taken over": a_record(entry, lease=a_lease(left=-99)),
        "intent": a_record(entry, intent="somebody"),
        "dead": attrs.evolve(a_record(entry), dead=a_dead("another credential")),
        "rolled back": attrs.evolve(a_record(entry, intent=NOBODY), quarantine_until=NOW + SECOND),
    }[trouble]
    grant, _ = granted(record, an_ask(entry, can_login=True, destructive=destructive))
    assert grant.mode is mode


def test_a_refresh_token_that_has_ended_is_not_tried_before_such_a_login() -> None:
    entry = attrs.evolve(PLAIN, token=attrs.evolve(OLD.token, refresh_expires_in=60))
    assert granted(a_record(entry), an_ask(entry, can_login=True, destructive=True))[0].mode is Mode.LOGIN
