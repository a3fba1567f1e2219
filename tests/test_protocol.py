"""Two and three workers over the real transitions, explored whole: what PROTOCOL.md, section 9, promises.

`ASYNCAUTH_EXPLORE=2` explores two faults in one run instead of one; `ASYNCAUTH_STATES` bounds it.
"""

import os

import pytest

from model_explorer import Explored, explore
from model_store import Rules, ViolationError
from model_vendor import KINDS, N1, N1S, RG, RL, Kind, N, R

pytestmark = pytest.mark.slow

BUDGET = int(os.environ.get("ASYNCAUTH_EXPLORE", "1"))
STATES = int(os.environ.get("ASYNCAUTH_STATES", "200000"))

AT_THE_VENDOR = ("answer lost", "late answer", "processed 5xx", "5xx", "429", "delayed", "revoked")
AT_THE_STORE = ("store answer lost", "fail-over", "outage")
FAULTS = ("crash", "stall", *AT_THE_VENDOR, *AT_THE_STORE)
OF_GRANTS = ("mistaken", "authorize", "log out")

# Section 9: contacts per expiry, for each kind; a fault that is not named allows one.
BOUNDS = {
    "crash": {"N": 2, "N1": 3, "other": 2},
    "stall": {"N": 2, "N1": 3, "N1s": 2, "RL": 2, "other": 1},
    "answer lost": {"other": 2},
    "processed 5xx": {"other": 2},
    "5xx": {"other": 2},
    "429": {"other": 2},
    "mistaken": {"other": 2},
    "delayed": {"N1": 3, "other": 2},
    "fail-over": {"N": 2, "N1": 3, "N1s": 2, "other": 1},
    "revoked": {"N1s": 2, "other": 1},  # the refresh that is refused, and the login
    "outage": {"N": 3, "other": 1},
}
LOSES_ONE_TIME = {"crash", "answer lost", "processed 5xx", "delayed"}


def faults_of(kind: Kind) -> tuple[str, ...]:
    return FAULTS if kind.can_login else FAULTS + OF_GRANTS


def assert_contacts(explored: Explored, kind: Kind) -> None:
    for faults, contacts in explored.contacts.items():
        if len(faults) > 1:
            continue
        bounds = BOUNDS.get(faults[0], {}) if faults else {}
        assert contacts <= bounds.get(kind.name, bounds.get("other", 1)), (kind.name, faults, contacts)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_two_workers_keep_every_promise_under_any_fault(kind: Kind) -> None:
    stall = 4 if BUDGET == 1 else 3
    rounds = 2 if kind.one_time else 1  # a login needs nothing from the expiry before
    rules = Rules(kind, faults_of(kind), budget=BUDGET, rounds=rounds, stall=stall)
    explored = explore(rules, limit=STATES)
    assert_contacts(explored, kind)
    assert explored.complete
    assert explored.states > 1000


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_three_workers_renew_once_without_faults(kind: Kind) -> None:
    explored = explore(Rules(kind, workers=3, rounds=1))
    assert explored.contacts == {(): 1}


@pytest.mark.parametrize("kind", [R, RL], ids=lambda kind: kind.name)
@pytest.mark.parametrize("fault", ["crash", "fail-over", "delayed"])
def test_three_workers_keep_every_promise(kind: Kind, fault: str) -> None:
    explored = explore(Rules(kind, (fault,), workers=3, rounds=1))
    assert_contacts(explored, kind)
    assert explored.complete


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_killed_holder_whose_death_is_seen_is_followed_safely(kind: Kind) -> None:
    rules = Rules(kind, ("crash", "delayed"), budget=2, rounds=1, repeat=False, liveness=True)
    explored = explore(rules)
    assert_contacts(explored, kind)
    assert explored.complete


@pytest.mark.parametrize("kind", [N, N1, N1S, RL], ids=lambda kind: kind.name)
def test_a_cold_start_logs_in_once(kind: Kind) -> None:
    assert explore(Rules(kind, workers=3, rounds=1, cold=True)).contacts == {(): 1}


@pytest.mark.parametrize("other", ["delayed", "stall", "store answer lost"])
def test_fail_overs_of_a_store_that_lies_about_its_replicas_revoke_nothing(other: str) -> None:
    rules = Rules(R, ("fail-over", other), budget=2, rounds=1, stall=3, replicated=False)
    assert explore(rules, limit=STATES).complete


def test_a_token_of_a_rolled_back_store_is_put_back() -> None:
    explored = explore(Rules(R, ("roll-back",), replicated=False))
    assert explored.contacts[("roll-back",)] == 1
    assert not explored.lost


def test_one_time_tokens_are_lost_only_with_the_only_answer() -> None:
    explored = explore(Rules(R, (*FAULTS, "mistaken")))
    assert {fault for faults in explored.lost for fault in faults} == LOSES_ONE_TIME


def test_a_reuse_window_saves_the_token_after_any_one_fault() -> None:
    assert not explore(Rules(RG, (*FAULTS, "mistaken"))).lost


def test_the_fleet_outlives_an_outage_longer_than_a_lease() -> None:
    for kind in KINDS:
        explored = explore(Rules(kind, ("long outage",)))
        assert explored.complete
        assert not explored.lost


def test_without_a_wait_after_an_outage_the_first_to_ask_spends_what_the_holder_has_spent() -> None:
    """The holder has the answer and cannot store it; when the store is back, another may be first to ask."""
    with pytest.raises(ViolationError, match="the reuse of refresh-1 revoked"):
        explore(Rules(R, ("outage beyond grace",), rounds=1, waits_after_outage=False))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nobody_minds_how_long_an_outage_is(kind: Kind) -> None:
    explored = explore(Rules(kind, ("outage beyond grace",), rounds=1))
    assert explored.complete
    assert not explored.lost
