"""Asking for the right to renew: rules 8 to 10, quarantine, leases and grants."""

from typing import Any

import attrs
import pytest

from asyncauth._acquire import acquire
from asyncauth._answers import (
    Answer,
    BackOff,
    Busy,
    Grant,
    Refused,
    View,
)
from asyncauth._record import Mode, Record
from makers import (
    CAN_LOGIN,
    NOW,
    OLD,
    PLAIN,
    POLICY,
    SECOND,
    TROUBLE,
    a_dead,
    a_failure,
    a_lease,
    a_record,
    an_ask,
    an_entry,
    answer,
    asked,
    granted,
    seen_at,
)

# 8: quarantine


def test_a_one_time_token_rests_in_quarantine() -> None:
    record = attrs.evolve(a_record(), quarantine_until=NOW + 7 * SECOND)
    assert answer(record) == Busy("quarantine", 7)
    assert isinstance(answer(attrs.evolve(record, quarantine_until=NOW)), Grant)


def test_the_quarantine_begins_with_whoever_notices_the_lost_writes() -> None:
    step = acquire(seen_at(a_record(), incarnation="i2"), an_ask(), POLICY)
    assert step.answer == Busy("quarantine", 26)
    assert step.record is not None
    assert step.wake
    assert (step.record.quarantine_until, step.record.incarnation) == (NOW + 26 * SECOND, "i2")
    again = acquire(seen_at(step.record, now=NOW + SECOND, incarnation="i2"), an_ask(), POLICY)
    assert (again.answer, again.record) == (Busy("quarantine", 25), None)


def test_even_the_holder_rests_in_quarantine_when_it_asks() -> None:
    record = attrs.evolve(a_record(lease=a_lease("mine")), quarantine_until=NOW + 7 * SECOND)
    assert answer(record) == Busy("quarantine", 7)


def test_in_quarantine_who_can_log_in_does() -> None:
    grant, _ = granted(attrs.evolve(a_record(), quarantine_until=NOW + 7 * SECOND), CAN_LOGIN)
    assert (grant.mode, grant.doubtful) == (Mode.LOGIN, True)


def test_tokens_that_are_not_one_time_know_no_quarantine() -> None:
    plain = an_entry("e1", one_time=False)
    step = acquire(seen_at(a_record(plain), incarnation="i2"), an_ask(plain), POLICY)
    assert isinstance(step.answer, Grant)
    assert step.record is not None
    assert step.record.quarantine_until == 0


# 9: another attempt's lease


def test_another_attempts_lease_is_waited_for() -> None:
    assert answer(a_record(lease=a_lease(left=4))) == Busy("lease", 4, "holder")


def test_a_one_time_refresh_token_is_left_alone_until_the_takeover_time() -> None:
    assert answer(a_record(lease=a_lease(left=0))) == Busy("grace", 20, "holder")
    assert answer(a_record(lease=a_lease(left=-19))) == Busy("grace", 1, "holder")


def test_after_the_takeover_time_the_refresh_token_is_tried_in_doubt() -> None:
    grant, record = granted(a_record(lease=a_lease(left=-20), intent="holder"))
    assert (grant.mode, grant.doubtful) == (Mode.REFRESH, True)
    assert record.lease is not None
    assert (record.lease.attempt, record.intent) == ("mine", "holder")


def test_who_can_log_in_takes_over_at_the_leases_end_with_a_login() -> None:
    grant, _ = granted(a_record(lease=a_lease(left=0)), CAN_LOGIN)
    assert grant.mode is Mode.LOGIN


def test_a_refresh_token_that_is_not_one_time_is_taken_over_at_the_leases_end() -> None:
    plain = an_entry("e1", one_time=False)
    grant, _ = granted(a_record(plain, lease=a_lease(left=0)), an_ask(plain))
    assert grant.mode is Mode.REFRESH


def test_who_has_only_just_reached_the_store_leaves_the_holder_time_to_commit() -> None:
    """After an outage beyond lease and grace, the holder may have the answer and be about to store it."""
    record = a_record(lease=a_lease(left=-POLICY.grace - 60), intent="holder")
    patience = POLICY.heartbeat + POLICY.store_timeout
    just_now = attrs.evolve(an_ask(), reached_at=NOW)
    assert answer(record, just_now) == Busy("grace", patience, "holder")
    assert isinstance(answer(record, attrs.evolve(just_now, reached_at=NOW - 2500)), Grant)
    assert isinstance(answer(record, attrs.evolve(just_now, can_login=True)), Grant)
    assert isinstance(answer(record, attrs.evolve(just_now, dead_holder="holder")), Grant)


def test_a_dead_holder_is_waited_for_no_longer_than_the_vendor_needs() -> None:
    step = asked(a_record(lease=a_lease(left=4)), an_ask(dead_holder="holder"))
    assert step.answer == Busy("grace", 10, "holder")
    assert step.record is not None
    assert step.record.lease is not None
    assert (step.record.lease.until, step.record.lease.takeover_at) == (NOW, NOW + 10 * SECOND)
    later = seen_at(step.record, now=NOW + SECOND)
    again = acquire(later, an_ask(dead_holder="holder"), POLICY)
    assert (again.answer, again.record) == (Busy("grace", 9, "holder"), None)


def test_a_dead_holders_takeover_time_is_never_put_off() -> None:
    step = asked(a_record(lease=a_lease(left=-15)), an_ask(dead_holder="holder"))
    assert (step.answer, step.record) == (Busy("grace", 5, "holder"), None)


def test_a_dead_holder_is_followed_at_once_by_a_login() -> None:
    grant, _ = granted(a_record(lease=a_lease(left=4)), an_ask(can_login=True, dead_holder="holder"))
    assert grant.mode is Mode.LOGIN


def test_the_death_of_a_former_holder_shortens_nothing() -> None:
    assert answer(a_record(lease=a_lease()), an_ask(dead_holder="another")) == Busy("lease", 6, "holder")


# 10: granted


def test_a_granted_refresh_is_written_as_intent_and_counts_once_replicated() -> None:
    step = asked(a_record())
    assert step.answer == Grant(attempt="mine", base=OLD, mode=Mode.REFRESH)
    assert step.record == attrs.evolve(
        a_record(lease=a_lease("mine"), intent="mine"), written_at=NOW, lease=a_lease("mine")
    )
    assert (step.wake, step.replicated) == (False, True)


def test_a_grant_on_a_token_that_is_not_one_time_need_not_be_replicated() -> None:
    assert not asked(a_record(PLAIN), an_ask(PLAIN, can_login=True)).replicated


def test_a_granted_login_is_no_intent() -> None:
    _, record = granted(a_record(PLAIN), an_ask(PLAIN, can_login=True))
    assert record.intent is None


def test_who_can_do_both_refreshes_while_nothing_is_in_doubt() -> None:
    assert granted(a_record(), CAN_LOGIN)[0].mode is Mode.REFRESH


@pytest.mark.parametrize(
    "record",
    [
        a_record(intent="somebody"),
        attrs.evolve(a_record(), dead=a_dead(left=0)),
        a_record(lease=a_lease(left=0)),
        attrs.evolve(a_record(), quarantine_until=NOW + 1),
    ],
    ids=["intent", "dead", "taken over", "quarantine"],
)
def test_who_can_do_both_logs_in_when_in_doubt(record: Record) -> None:
    assert granted(record, CAN_LOGIN)[0].mode is Mode.LOGIN


def test_who_can_do_both_logs_in_when_the_refresh_token_is_over() -> None:
    token = attrs.evolve(OLD.token, refresh_expires_in=3600)
    over = attrs.evolve(OLD, token=token)
    assert granted(a_record(over), an_ask(over, can_login=True))[0].mode is Mode.LOGIN
    lasting = attrs.evolve(OLD, token=attrs.evolve(token, refresh_expires_in=3601))
    assert granted(a_record(lasting), an_ask(lasting, can_login=True))[0].mode is Mode.REFRESH


def test_an_intent_of_somebody_else_makes_the_refresh_doubtful_and_stays() -> None:
    grant, record = granted(a_record(intent="somebody"))
    assert grant.doubtful
    assert record.intent == "somebody"


def test_the_same_attempt_is_granted_again_with_what_its_lease_says() -> None:
    lease = a_lease("mine", mode=Mode.LOGIN, doubtful=True, left=1)
    grant, record = granted(a_record(lease=lease, intent="somebody"), CAN_LOGIN)
    assert (grant.mode, grant.doubtful) == (Mode.LOGIN, True)
    assert record.lease == a_lease("mine", mode=Mode.LOGIN, doubtful=True)


def test_the_same_attempt_does_not_doubt_its_own_intent() -> None:
    first = asked(a_record())
    again = asked(first.record)
    assert (again.answer, again.record) == (first.answer, first.record)


# The store's clock went back


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lease": a_lease()}, Busy("lease", 6, "holder")),
        ({"failure": a_failure(left=5)}, BackOff(TROUBLE, 5)),
        ({"dead": a_dead(left=60)}, Refused(TROUBLE, 60)),
        ({"quarantine_until": NOW + 26 * SECOND}, Busy("quarantine", 26)),
    ],
    ids=["lease", "failure", "dead", "quarantine"],
)
def test_when_the_clock_went_back_waiting_still_ends(changes: dict[str, Any], expected: Answer) -> None:
    record = attrs.evolve(a_record(), written_at=NOW, **changes)
    hour = 3600 * SECOND
    first = acquire(seen_at(record, now=NOW - hour), an_ask(), POLICY)
    assert first.answer == expected
    assert first.record is not None
    assert not first.wake
    later = acquire(seen_at(first.record, now=NOW - hour + 61 * SECOND), an_ask(), POLICY)
    assert later.answer != expected


def test_looking_writes_nothing_while_the_clock_goes_on() -> None:
    for record in (a_record(lease=a_lease()), attrs.evolve(a_record(), failure=a_failure())):
        assert acquire(View(record=record, now=NOW, incarnation="i1"), an_ask(), POLICY).record is None
