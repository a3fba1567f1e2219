"""Three workers, any faults in any order: longer runs than an exploration can visit, drawn by hypothesis."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from model_moves import Choice
from model_store import Rules
from model_vendor import R0, RG, RL, Kind, N, R
from protocol_model import World

FAULTS = (
    "crash",
    "stall",
    "answer lost",
    "late answer",
    "processed 5xx",
    "5xx",
    "429",
    "delayed",
    "revoked",
    "store answer lost",
    "fail-over",
    "outage",
)
LONGEST = 400


class Fleet(RuleBasedStateMachine):
    """Ordinary steps and faults as two rules; every state is checked by the model itself."""

    kind: Kind
    faults: tuple[str, ...]

    @initialize()
    def begin(self) -> None:
        rules = Rules(self.kind, self.faults, workers=3, budget=2, rounds=3, stall=3)
        self.world = World.begin(rules)

    def _take(self, data: st.DataObject, *, faulty: bool) -> None:
        choices = [choice for choice in self.world.choices() if bool(choice.fault) == faulty]
        if choices:
            self.world = self.world.after(data.draw(st.sampled_from(choices)))

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        self._take(data, faulty=False)

    @rule(data=st.data())
    def step_again(self, data: st.DataObject) -> None:
        self._take(data, faulty=False)

    @precondition(lambda self: len(self.world.faults) < 2)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self._take(data, faulty=True)

    def teardown(self) -> None:
        """Without further faults the run comes to its end, whatever happened before."""
        if not hasattr(self, "world"):
            return
        for _ in range(LONGEST):
            choices = [choice for choice in self.world.choices() if not choice.fault]
            if not choices:
                return
            self.world = self.world.after(_first(choices))
        raise AssertionError("the run does not end")


def _first(choices: list[Choice]) -> Choice:
    """Return a step of a worker if there is one; requests and stalled workers come last."""
    lazy = ("arrive", "thaw", "pass", "expire")
    return min(choices, key=lambda choice: lazy.index(choice.verb) + 1 if choice.verb in lazy else 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [N, R, R0, RG, RL], ids=lambda kind: kind.name)
def test_three_workers_keep_every_promise_in_random_runs(kind: Kind) -> None:
    grants = () if kind.can_login else ("mistaken", "authorize", "log out")
    machine = type("Fleet", (Fleet,), {"kind": kind, "faults": FAULTS + grants})
    options = settings(
        max_examples=25,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=options)
