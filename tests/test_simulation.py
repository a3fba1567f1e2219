"""Thousands of runs of a simulated fleet keep PROTOCOL.md's promises; one seed is one run, to the last step.

`ASYNCAUTH_SIM_SEED=123 pytest tests/test_simulation.py -k seed` replays a seed with every kind of
credential and prints what happened; `ASYNCAUTH_SIM_RUNS=10000` has more seeds than usual, and
`ASYNCAUTH_SIM_FROM=50000` others.
"""

import os
import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest

import sim_plan
import sim_world
from asyncauth import _acquire, _flight, _transitions, _watch, _writing
from asyncauth._answers import Ask, Committed, Step, View
from asyncauth._lease import HeldLease
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry, Mode, Record
from asyncauth._writing import current, write
from asyncauth.abc import Snapshot
from asyncauth_stores.memory import MemoryTokenStore
from model_store import ViolationError
from model_vendor import N1, R0, RG, RL, Kind, N, R
from sim_plan import OF_GRANTS, OF_THE_FLEET, OF_THE_VENDOR
from simulation import Plan, Simulation

KINDS = (N, N1, R, R0, RG, RL)
SEED = os.environ.get("ASYNCAUTH_SIM_SEED")
RUNS = int(os.environ.get("ASYNCAUTH_SIM_RUNS", "40"))
FROM = int(os.environ.get("ASYNCAUTH_SIM_FROM", "0"))


def name_of(kind: Kind) -> str:
    return kind.name


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_a_few_seeds_keep_every_promise(kind: Kind) -> None:
    for seed in range(2):
        Simulation(Plan(seed, kind, rounds=1)).run()


@pytest.mark.slow
@pytest.mark.timeout(24 * 3600 if RUNS > 1000 else 120)
@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_many_seeds_keep_every_promise(kind: Kind) -> None:
    for seed in range(FROM + 2, FROM + 2 + RUNS):
        Simulation(Plan(seed, kind)).run()


@pytest.mark.skipif(SEED is None, reason="ASYNCAUTH_SIM_SEED names the seed to replay")
@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_a_seed_is_replayed(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    run = Simulation(Plan(int(SEED or 0), kind)).run()
    with capsys.disabled():
        print(f"\n{run.shown()}")  # noqa: T201 - that is what a replay is for


@pytest.mark.parametrize("kind", [N, R], ids=name_of)
def test_without_faults_every_expiry_is_one_contact(kind: Kind) -> None:
    for seed in range(3):
        run = Simulation(Plan(seed, kind, faults=0)).run()
        sent = [text for _, _, text in run.trace if text.startswith("sends")]
        assert len(sent) == (
            3 if kind.can_login else 2
        )  # a login at the start, and one for each of two rounds


@pytest.mark.parametrize("kind", [N1, RG], ids=name_of)
def test_one_seed_is_one_run_to_the_last_step(kind: Kind) -> None:
    one, other = (Simulation(Plan(11, kind)).run() for _ in range(2))

    assert one.trace == other.trace
    assert Simulation(Plan(12, kind)).run().trace != one.trace


@pytest.mark.slow
def test_every_fault_is_drawn() -> None:
    drawn = {
        fault for seed in range(90) for fault in Simulation(Plan(seed, R, rounds=1, least=2)).run().history
    }

    assert drawn == {*OF_THE_VENDOR, *OF_THE_FLEET, *OF_GRANTS}


# What is promised holds because of rules (PROTOCOL.md, section 10): without each, some seed finds out.


def _found(kind: Kind, *faults: str, seeds: int = 150) -> str:
    """Return what the first seed says that finds something."""
    for seed in range(seeds):
        try:
            Simulation(Plan(seed, kind, rounds=1, least=2, only=faults)).run()
        except ViolationError as violation:
            return str(violation).partition("\n")[0]
    return f"nothing in {seeds} seeds"


def _seen(record: Record | None, **less: Any) -> Record | None:
    return None if record is None else attrs.evolve(record, **less)


def _blind_to(monkeypatch: pytest.MonkeyPatch, **less: Any) -> None:
    """Have workers ask for the right to renew without a look at some part of the record."""

    def acquire(view: View, ask: Ask, policy: RefreshPolicy) -> Step:
        return _acquire.acquire(attrs.evolve(view, record=_seen(view.record, **less)), ask, policy)

    monkeypatch.setattr(_flight, "acquire", acquire)


def no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    _blind_to(monkeypatch, lease=None)


def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    _blind_to(monkeypatch, failure=None)


def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_acquire, "_takeover_at", lambda lease, ask, policy: lease.until)


def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldLease, "fence", lambda lease: setattr(lease, "sent", True))


def no_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = attrs.evolve(sim_plan.POLICY, quiet=0.5)
    monkeypatch.setattr(sim_world, "POLICY", hasty)


def no_compare_and_set(monkeypatch: pytest.MonkeyPatch) -> None:
    write = MemoryTokenStore.write

    async def blind(
        store: MemoryTokenStore, name: str, value: bytes | None, _: Snapshot, **how: Any
    ) -> Snapshot:
        return await write(store, name, value, await store.read(name), **how)

    monkeypatch.setattr(MemoryTokenStore, "write", blind)


def no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(view: View, entry: Entry, policy: RefreshPolicy) -> Step:
        record = current(view)
        changed = attrs.evolve(record, entry=entry, lease=None, intent=None, failure=None, dead=None)
        return write(view, changed, Committed(), policy, replicated=entry.one_time)

    monkeypatch.setattr(_transitions, "commit", commit)


def no_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_writing, "lost_writes", lambda view: False)


def no_restoring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_acquire, "_worth_putting_back", lambda record, ask: False)
    monkeypatch.setattr(_watch, "_was_lost", lambda own, stored, slot: False)


def no_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    def mode(entry: Entry | None, ask: Ask, *, unsure: bool, now: int) -> Mode:
        del unsure
        return as_it_is(entry, ask, unsure=False, now=now)

    as_it_is = _acquire._mode
    monkeypatch.setattr(_acquire, "_mode", mode)


WEAKENED = (
    (no_lease, R, ("late",), "revoked|contacts"),
    (no_lease, N, ("late",), "contacts with the vendor, and not 1"),
    (no_back_off, N, ("5xx",), "before the fleet's back-off ends"),
    (no_grace, R, ("stall", "late"), "revoked"),
    (no_fence, R, ("stall", "5xx"), "revoked"),
    (no_quiet, R, ("delayed",), "revoked"),
    (no_compare_and_set, R, ("late",), "contacts|overwritten|revoked"),
    (no_order, R, ("authorize", "late"), "overwritten"),
    (no_quarantine, R, ("fail-over", "late"), "revoked"),
    (no_restoring, R, ("fail-over",), "revoked|rests|living token"),
    (no_intent, RL, ("crash",), "the spent refresh"),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weaken", "kind", "faults", "says"), WEAKENED, ids=lambda part: getattr(part, "__name__", None)
)
def test_without_a_rule_a_seed_finds_what_breaks(
    weaken: Callable[[pytest.MonkeyPatch], None],
    kind: Kind,
    faults: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weaken(monkeypatch)

    assert re.search(says, _found(kind, *faults))
