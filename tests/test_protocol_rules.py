"""Why each rule is there (PROTOCOL.md, section 10): the exploration finds what breaks without it.

Each case is explored twice: as it is, which must keep every promise, and with the one rule weakened.
Not here, because no transition and no store is part of them: a flight apart from its caller, and waking.
"""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from asyncauth import _acquire, _transitions
from asyncauth._answers import Ask, Grant, Step, View
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry, Mode, Reason, Record
from model_explorer import explore
from model_store import Rules, ViolationError
from model_vendor import N1, N1S, RL, R

pytestmark = pytest.mark.slow

FAR = 10**11
ENOUGH = 5_000  # states; the violation comes long before


def looking_at(change: Callable[[Record], Record]) -> Callable[[View], View]:
    """Return a look at a store in which something is not remembered."""

    def look(view: View) -> View:
        return view if view.record is None else attrs.evolve(view, record=change(view.record))

    return look


def without_grace(record: Record) -> Record:
    lease = record.lease
    return attrs.evolve(record, lease=lease and attrs.evolve(lease, takeover_at=lease.until))


def without_intent(record: Record) -> Record:
    return attrs.evolve(record, intent=None)


def without_probe(record: Record) -> Record:
    return attrs.evolve(record, dead=record.dead and attrs.evolve(record.dead, probe_at=FAR))


def without_quarantine(view: View) -> View:
    record = view.record
    if record is None:
        return view
    return attrs.evolve(view, record=attrs.evolve(record, quarantine_until=0, incarnation=view.incarnation))


def version_number(number: int, base: Entry | None) -> str:
    return f"v{1 if base is None else len(base.lineage()) + 1}"


def one_attempt_id(worker: int, drawn: int) -> str:
    return "attempt"


def abandon_any(
    view: View, attempt: str, policy: RefreshPolicy, *, definite: bool, failed: tuple[Reason, float]
) -> Step:
    record = view.record
    owner = attempt if record is None or record.lease is None else record.lease.attempt
    return _transitions.abandon(view, owner, policy, definite=definite, failed=failed)


def condemn_any(view: View, grant: Grant, reason: Reason, policy: RefreshPolicy) -> Step:
    assert view.record is not None
    return _transitions.condemn(view, attrs.evolve(grant, base=view.record.entry), reason, policy)


def commit_any(view: View, entry: Entry, policy: RefreshPolicy) -> Step:
    record = None if view.record is None else attrs.evolve(view.record, entry=None, era=0)
    return _transitions.commit(attrs.evolve(view, record=record), entry, policy)


def refresh_after_takeover(view: View, ask: Ask, policy: RefreshPolicy) -> Step:
    step = _acquire.acquire(view, ask, policy)
    if not isinstance(step.answer, Grant) or step.answer.base is None or step.record is None:
        return step
    lease = step.record.lease and attrs.evolve(step.record.lease, mode=Mode.REFRESH)
    record = attrs.evolve(step.record, lease=lease)
    return attrs.evolve(step, answer=attrs.evolve(step.answer, mode=Mode.REFRESH), record=record)


def login_after_takeover(view: View, ask: Ask, policy: RefreshPolicy) -> Step:
    return _acquire.acquire(view, attrs.evolve(ask, login_is_destructive=False), policy)


SENT_AGAIN = r"the reuse of refresh-1 revoked .*, which somebody holds"
SPENT = "the spent refresh-1 was sent, though a login was possible"
LYING = Rules(R, ("fail-over", "stall"), budget=2, repeat=False, rounds=1, stall=3, replicated=False)
CASES: dict[str, tuple[Rules, dict[str, Any], str]] = {
    "random ids": (
        attrs.evolve(LYING, kind=RL),
        {"new_id": version_number},
        "a worker rests with another token than the store's",
    ),
    "attempt ids": (Rules(R, rounds=1), {"new_attempt": one_attempt_id}, SENT_AGAIN),
    "only the owner abandons": (
        Rules(R, ("429", "long stall", "late answer"), budget=3, repeat=False, retries=0, rounds=1),
        {"abandon": abandon_any},
        SENT_AGAIN,
    ),
    "takeover grace": (Rules(R, ("stall",), rounds=1), {"look": looking_at(without_grace)}, SENT_AGAIN),
    "quiet": (Rules(R, ("delayed",), rounds=1), {"quiet": False}, SENT_AGAIN),
    "own fence": (Rules(R, ("long stall",), rounds=1), {"fence": False}, SENT_AGAIN),
    "replicated grant": (
        attrs.evolve(LYING, replicated=True, look=without_quarantine),
        {"replicated": False},
        SENT_AGAIN,
    ),
    "quarantine": (LYING, {"look": without_quarantine}, SENT_AGAIN),
    "restore, audit": (
        Rules(R, ("roll-back",), replicated=False),
        {"puts_back": False},
        "the store rests without the living token",
    ),
    "intent": (
        Rules(RL, ("processed 5xx", "5xx"), budget=2, rounds=1),
        {"look": looking_at(without_intent)},
        SPENT,
    ),
    "era": (Rules(R, ("authorize",), rounds=1), {"commit": commit_any}, "overwritten by the earlier"),
    "compare on dead mark": (
        Rules(R, ("mistaken", "authorize"), budget=2, rounds=1, second_try=False),
        {"condemn": condemn_any},
        "a dead mark on the living e2",
    ),
    "probe": (
        Rules(R, ("mistaken",), budget=2, rounds=1),
        {"look": looking_at(without_probe)},
        "somebody waits for ever",
    ),
    "second try": (
        Rules(R, ("mistaken",), rounds=1, look=looking_at(without_probe)),
        {"second_try": False},
        "somebody waits for ever",
    ),
    "refresh before a login that ends a token": (
        Rules(N1S, ("crash",), rounds=1),
        {"acquire": login_after_takeover},
        "a login was sent that ends e1, though a refresh was possible",
    ),
    "login after a takeover": (
        Rules(RL, ("crash",), rounds=1),
        {"acquire": refresh_after_takeover},
        SPENT,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_without_the_rule_a_promise_is_broken(case: str) -> None:
    rules, weakness, broken = CASES[case]
    assert explore(rules).complete
    with pytest.raises(ViolationError, match=broken):
        explore(attrs.evolve(rules, **weakness))


def test_local_renewals_of_a_destructive_login_end_each_others_sessions() -> None:
    rules = Rules(N1, ("outage",), rounds=1)
    assert explore(rules).contacts[("outage",)] == 1
    assert explore(attrs.evolve(rules, renews_locally=True)).contacts[("outage",)] > 2


def test_without_a_look_at_earlier_eras_a_rolled_back_logout_ends_a_new_authorization(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = Rules(
        R, ("log out", "authorize", "fail-over"), budget=3, repeat=False, replicated=False, rounds=1
    )
    explore(rules, limit=ENOUGH)

    def only_older_entries(record: Record | None, ask: Ask) -> bool:
        stored = None if record is None else record.entry
        older = stored is not None and ask.seen is not None and stored.is_older_than(ask.seen)
        return ask.seen is not None and (record is None or older)

    monkeypatch.setattr(_acquire, "_worth_putting_back", only_older_entries)
    with pytest.raises(ViolationError, match="'authorize again' while a worker has a living token"):
        explore(rules, limit=ENOUGH)
