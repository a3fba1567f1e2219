"""Asking for the right to renew: rules 1 to 7, when they answer and when they must not."""

import attrs
import pytest

from asyncauth._acquire import acquire
from asyncauth._answers import (
    Absent,
    Alive,
    BackOff,
    Behind,
    Busy,
    Grant,
    LoggedOut,
    Newer,
    Refused,
)
from asyncauth._record import Entry, Mode, Record
from makers import (
    BLANK,
    CAN_LOGIN,
    NEW,
    NOW,
    OLD,
    PLAIN,
    POLICY,
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

# 1: the store is behind


@pytest.mark.parametrize("seen", [OLD, NEW], ids=["first", "renewed"])
def test_a_one_time_entry_is_put_back_where_there_is_no_record(seen: Entry) -> None:
    assert answer(None, an_ask(seen)) == Behind()


def test_a_one_time_entry_is_put_back_over_an_older_one() -> None:
    assert answer(a_record(OLD), an_ask(NEW)) == Behind()


def test_a_one_time_entry_is_put_back_although_a_dead_mark_stands() -> None:
    assert answer(attrs.evolve(a_record(OLD), dead=a_dead()), an_ask(NEW)) == Behind()


def test_a_later_authorization_is_put_back_if_a_login_ends_nothing() -> None:
    later = an_entry("e9", era=8, one_time=False)
    assert answer(a_record(PLAIN), an_ask(later, can_login=True)) == Behind()
    assert answer(a_record(PLAIN), an_ask(later, can_login=True, destructive=True)) == Newer(PLAIN)


def test_an_entry_that_a_login_replaces_is_not_put_back() -> None:
    seen = attrs.evolve(NEW, one_time=False)
    assert answer(a_record(PLAIN), an_ask(seen, can_login=True)) == Newer(PLAIN)


def test_a_one_time_sibling_is_not_put_back() -> None:
    assert answer(a_record(NEW), an_ask(an_entry("e3", "e1"))) == Newer(NEW)


def test_an_authorization_is_put_back_over_an_earlier_logout() -> None:
    rolled_back = attrs.evolve(a_record(None), era=6)
    assert answer(rolled_back, an_ask(NEW)) == Behind()


def test_a_one_time_entry_is_put_back_over_a_record_from_before_the_first_login() -> None:
    first = attrs.evolve(NEW, era=0)
    rolled_back = attrs.evolve(BLANK, era=0, lease=a_lease(mode=Mode.LOGIN))
    assert answer(rolled_back, an_ask(first, can_login=True)) == Behind()


# 2: there is another entry


@pytest.mark.parametrize("seen", [None, OLD], ids=["nothing", "older"])
def test_another_entry_is_to_be_adopted(seen: Entry | None) -> None:
    assert answer(a_record(NEW), an_ask(seen)) == Newer(NEW)


def test_another_entry_is_to_be_adopted_whatever_stands_against_a_renewal() -> None:
    record = attrs.evolve(a_record(NEW, lease=a_lease()), failure=a_failure(), dead=a_dead())
    assert answer(record) == Newer(NEW)


def test_an_expired_entry_is_to_be_adopted_unless_the_record_is_dead() -> None:
    expired = an_entry("e2", "e1")
    assert answer(a_record(expired)) == Newer(expired)
    assert answer(attrs.evolve(a_record(expired), dead=a_dead())) == Refused(TROUBLE, 60)


# 3: logged out


def test_a_copy_from_before_the_logout_is_to_be_dropped() -> None:
    logged_out = attrs.evolve(a_record(None), era=8)
    assert answer(logged_out) == LoggedOut()
    assert answer(logged_out, CAN_LOGIN) == LoggedOut()


def test_who_holds_nothing_has_nothing_to_drop_after_a_logout() -> None:
    logged_out = attrs.evolve(a_record(None), era=8)
    assert answer(logged_out, an_ask(None)) == Absent(logged_out=True)
    assert isinstance(answer(logged_out, an_ask(None, can_login=True)), Grant)


# 4: dead


def test_a_refused_grant_is_everyones_answer_until_the_probe() -> None:
    assert answer(attrs.evolve(a_record(), dead=a_dead(left=12))) == Refused(TROUBLE, 12)


def test_a_refused_grant_does_not_stop_who_can_log_in() -> None:
    grant, _ = granted(attrs.evolve(a_record(), dead=a_dead()), CAN_LOGIN)
    assert grant.mode is Mode.LOGIN


@pytest.mark.parametrize("can_login", [True, False])
def test_a_refused_credential_stops_who_has_it(can_login: bool) -> None:  # noqa: FBT001 - a parameter
    record = attrs.evolve(a_record(), dead=a_dead("another", "my credential"))
    assert answer(record, an_ask(can_login=can_login)) == Refused(TROUBLE, 60)


@pytest.mark.parametrize("can_login", [True, False])
def test_a_refused_credential_does_not_stop_another_one(can_login: bool) -> None:  # noqa: FBT001 - a parameter
    record = attrs.evolve(a_record(), dead=a_dead("another"))
    assert isinstance(answer(record, an_ask(can_login=can_login)), Grant)


def test_at_the_probe_time_one_worker_may_look() -> None:
    grant, record = granted(attrs.evolve(a_record(), dead=a_dead(left=0)))
    assert grant.mode is Mode.REFRESH
    assert record.dead is not None
    second = acquire(seen_at(record, now=NOW + 1), an_ask(attempt="other"), POLICY)
    assert second.answer == Busy("lease", 5.999, "mine")


# 5: absent


@pytest.mark.parametrize("record", [None, attrs.evolve(a_record(None), era=0)], ids=["no record", "no entry"])
def test_without_an_entry_and_a_login_somebody_has_to_authorize(record: Record | None) -> None:
    assert answer(record, an_ask(None)) == Absent()


def test_without_a_refresh_token_and_a_login_somebody_has_to_authorize() -> None:
    assert answer(a_record(PLAIN), an_ask(PLAIN)) == Absent()


@pytest.mark.parametrize("record", [None, a_record(None)], ids=["no record", "no entry"])
def test_without_an_entry_a_login_is_granted(record: Record | None) -> None:
    grant, written = granted(record, an_ask(None, can_login=True))
    assert (grant.base, grant.mode, grant.doubtful) == (None, Mode.LOGIN, False)
    assert written.intent is None


# 6: back-off


def test_a_failure_is_everyones_answer_until_its_retry() -> None:
    assert answer(attrs.evolve(a_record(), failure=a_failure(left=5))) == BackOff(TROUBLE, 5)


def test_after_the_back_off_a_renewal_is_granted_and_the_failures_still_count() -> None:
    _, record = granted(attrs.evolve(a_record(), failure=a_failure(left=0, count=3)))
    assert record.failure == a_failure(left=0, count=3)


def test_a_token_that_is_refused_right_after_its_issue_makes_the_fleet_stand_back() -> None:
    fresh = an_entry("e2", age=9)
    step = asked(a_record(fresh), an_ask(fresh, refused=True, can_login=True))
    assert isinstance(step.answer, BackOff)
    assert step.record is not None
    assert step.record.failure is not None
    assert step.record.failure.count == 1
    assert step.record.lease is None
    again = acquire(seen_at(step.record), an_ask(fresh, refused=True, attempt="other"), POLICY)
    assert (type(again.answer), again.record) == (BackOff, None)


def test_tokens_that_keep_being_refused_make_it_stand_back_for_longer() -> None:
    fresh = an_entry("e2", age=9)
    record = attrs.evolve(a_record(fresh), failure=a_failure(left=0, count=4))
    step = asked(record, an_ask(fresh, refused=True))
    assert isinstance(step.answer, BackOff)
    assert step.answer.retry_in > 12


@pytest.mark.parametrize(
    ("age", "life", "refused"), [(10, 3600, True), (9, 3600, False), (9, 5, True)], ids=["old", "due", "over"]
)
def test_a_token_that_served_is_renewed(age: float, life: float, refused: bool) -> None:  # noqa: FBT001 - a parameter
    entry = an_entry("e2", age=age, life=life)
    assert isinstance(answer(a_record(entry), an_ask(entry, refused=refused)), Grant)


# 7: a suspect answer


SUSPICIOUS = an_ask(suspected_at=NOW - 1)


def test_a_check_after_the_suspicion_settles_it() -> None:
    assert answer(attrs.evolve(a_record(), checked_at=NOW), SUSPICIOUS) == Alive()


@pytest.mark.parametrize("checked_at", [None, NOW - 2, NOW - 1])
def test_a_check_before_the_suspicion_settles_nothing(checked_at: int | None) -> None:
    grant, record = granted(attrs.evolve(a_record(), checked_at=checked_at), SUSPICIOUS)
    assert grant.mode is Mode.CHECK
    assert record.intent is None


def test_an_unusable_token_is_renewed_whenever_it_was_checked() -> None:
    grant, _ = granted(attrs.evolve(a_record(), checked_at=NOW))
    assert grant.mode is Mode.REFRESH
