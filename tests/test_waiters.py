"""Who comes back to a name, and whether it has to compare what is stored with what it knows."""

import asyncio
from collections import deque

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth_stores import _waiters
from asyncauth_stores._waiters import Standing, Waiters

_NAME = "0a"


@attrs.define(eq=False)
class _Place:
    """A store of one record, which one who hears of every change looks at a little later."""

    waiters: Waiters = attrs.field(factory=Waiters)
    version: str = "v0"
    told: str = "v0"
    compared: int = 0
    rings: list[str] = attrs.field(factory=list)
    _unheard: deque[None] = attrs.field(factory=deque)
    _drawn: int = 0

    async def compare(self) -> Standing:
        self.compared += 1
        return self._standing()

    def _standing(self) -> Standing:
        return Standing(self.version, self.told)

    async def follow(self, since: str) -> None:
        await self.waiters.follow(_NAME, since, lambda: self.rings.append(since), self.compare)

    def change(self) -> None:
        self.lease()
        self.told = self.version

    def lease(self) -> None:
        """Write what nobody is to be told of."""
        self._drawn += 1
        self.version = f"v{self._drawn}"
        self._unheard.append(None)

    def hear(self) -> None:
        """Have one change noticed: what is read then may be a later one's."""
        if self._unheard:
            self._unheard.popleft()
            self.waiters.hear(_NAME, self._standing())

    def miss(self) -> None:
        """Lose the word of all changes so far, and know that."""
        self._unheard.clear()
        self.waiters.miss()
        for name in self.waiters.names():
            self.waiters.hear(name, self._standing())


async def _rung() -> _Place:
    """Return a place whose first change was heard of, and rang for who followed."""
    place = _Place()
    await place.follow("v0")
    place.change()
    place.hear()
    await asyncio.sleep(0)
    return place


async def test_who_comes_back_after_a_change_that_was_heard_of_does_not_compare() -> None:
    place = await _rung()
    assert place.rings == ["v0"]
    await place.follow("v1")
    assert place.compared == 1
    place.change()
    place.hear()
    await asyncio.sleep(0)
    assert place.rings == ["v0", "v1"]


async def test_a_second_one_compares_and_so_does_who_knows_something_else() -> None:
    place = _Place()
    await place.follow("v0")
    place.change()
    place.hear()
    await place.follow("v0")  # read before the change
    await asyncio.sleep(0)
    assert place.compared == 2
    assert place.rings == ["v0", "v0"]
    await place.follow("v1")
    assert place.compared == 3


async def test_after_changes_that_nobody_heard_of_everybody_compares() -> None:
    place = await _rung()
    place.change()
    place.miss()
    await place.follow("v1")
    await asyncio.sleep(0)
    assert place.rings == ["v0", "v1"]


async def test_what_nobody_is_told_of_rings_for_nobody_whatever_they_know() -> None:
    place = _Place()
    await place.follow("v0")
    place.lease()
    place.hear()
    await place.follow("v1")
    place.lease()
    place.hear()
    await asyncio.sleep(0)
    assert place.rings == []
    place.change()
    place.lease()  # before anybody looked
    place.hear()
    place.hear()
    await asyncio.sleep(0)
    assert place.rings == ["v0", "v1"]


def test_of_names_that_nobody_follows_nothing_is_kept() -> None:
    waiters = Waiters()
    for number in range(100):
        waiters.hear(f"{number:02x}", Standing("v1", "v1"))
    assert not waiters._heard


async def test_what_was_heard_is_not_kept_for_ever_for_those_who_do_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_waiters, "_KEPT", 3)
    waiters, compared = Waiters(), list[int]()

    async def compare() -> Standing:
        compared.append(len(compared))
        return Standing("v1", "v1")

    for number in range(10):
        waiters.add(str(number), "v0", lambda: None)
        waiters.hear(str(number), Standing("v1", "v1"))
    await asyncio.sleep(0)
    assert list(waiters._heard) == ["7", "8", "9"]
    for number in range(10):
        await waiters.follow(str(number), "v1", lambda: None, compare)
    assert len(compared) == 7
    assert not waiters._heard


@pytest.mark.slow
@given(steps=st.lists(st.sampled_from(["change", "lease", "hear", "miss", "back", "turn"]), max_size=40))
def test_whoever_follows_an_old_version_is_rung_in_the_end(steps: list[str]) -> None:
    async def play() -> None:
        place = _Place()
        await place.follow("v0")
        for step in steps:
            if step == "back" and place.rings:
                place.rings.clear()
                await place.follow(place.version)
            elif step == "turn":
                await asyncio.sleep(0)
            elif step in {"change", "lease", "hear", "miss"}:
                getattr(place, step)()
        while place._unheard:
            place.hear()
        await asyncio.sleep(0)
        assert {waiter.told for waiter in place.waiters._of(_NAME)} <= {place.told}

    asyncio.run(play())
