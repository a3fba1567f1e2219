"""Breadth-first exploration of the protocol's model, so that what goes wrong is shown by a shortest run."""

from collections import deque

import attrs

from model_moves import Choice
from model_store import Rules, ViolationError
from protocol_model import World


@attrs.define
class Explored:
    """What an exploration saw.

    Attributes:
        states: Distinct states.
        steps: Transitions between them.
        contacts: The most requests that reached the vendor in one expiry, for each set of faults.
        lost: The sets of faults after which a run may end without a token.
        complete: Whether nothing was left unexplored.
    """

    states: int = 0
    steps: int = 0
    contacts: dict[tuple[str, ...], int] = attrs.field(factory=dict)
    lost: set[tuple[str, ...]] = attrs.field(factory=set)
    complete: bool = True

    def count(self, world: World) -> None:
        """Take note of a state."""
        self.states += 1
        faults, contacts = tuple(sorted(world.faults)), world.vendor.contacts
        self.contacts[faults] = max(self.contacts.get(faults, 0), contacts)
        if world.over:
            self.lost.add(faults)


def explore(rules: Rules, *, limit: int = 1_000_000) -> Explored:
    """Visit every state that the rules allow.

    Raises:
        ViolationError: A promise is broken; the message ends with the run that breaks it.
    """
    seen: dict[object, tuple[object, Choice | None]] = {}
    explored, queue = Explored(), deque([World.begin(rules)])
    seen[queue[0].key()] = (None, None)
    while queue:
        world = queue.popleft()
        explored.count(world)
        if explored.states >= limit:
            explored.complete = False
            return explored
        here = world.key()
        for choice in world.choices():
            explored.steps += 1
            try:
                following = world.after(choice)
            except ViolationError as error:
                raise ViolationError(f"{error}\n{_run(seen, here, choice)}") from None
            key = following.key()
            if key not in seen:
                seen[key] = (here, choice)
                queue.append(following)
    return explored


def _run(seen: dict[object, tuple[object, Choice | None]], key: object, last: Choice) -> str:
    steps = [last]
    while (found := seen[key])[1] is not None:
        key, choice = found[0], found[1]
        steps.append(choice)
    return "\n".join(f"  {_line(step)}" for step in reversed(steps))


def _line(choice: Choice) -> str:
    extra = f" [{choice.fault} {choice.detail or ''}]" if choice.fault else ""
    return f"worker {choice.worker}: {choice.verb}{extra}"
