"""Renewals of many keys of one application: spread, and held back together when the vendor says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from asyncauth import RefreshPolicy, Token
from asyncauth._errors import AuthError, VendorBusyError
from asyncauth._pace import Pacer
from asyncauth.abc import Pace
from asyncauth.testing import ManualClock, settle
from crew import Crew, Mate, a_crew
from scripted import Scripted, issued

TWO_A_SECOND = Pace("app", 2)


class Turns:
    """Who had a turn, and when."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.pacer = Pacer(self.clock)
        self.had: list[tuple[str, float]] = []

    def take(self, name: str, pace: Pace | None = TWO_A_SECOND) -> "asyncio.Task[None]":
        async def turn() -> None:
            await self.pacer.turn(pace)
            self.had.append((name, self.clock.monotonic()))

        return asyncio.create_task(turn())


@pytest.fixture
async def turns() -> Turns:
    return Turns()


async def test_turns_are_spread_over_time_in_the_order_of_asking(turns: Turns) -> None:
    for name in "abcd":
        _ = turns.take(name)
    await turns.clock.advance(1.6)
    assert turns.had == [("a", 0), ("b", 0.5), ("c", 1), ("d", 1.5)]


async def test_nobody_waits_after_a_quiet_time_or_for_another_application_or_without_a_pace(
    turns: Turns,
) -> None:
    _ = turns.take("a")
    _ = turns.take("other", Pace("other", 1))
    _ = turns.take("none", None)
    _ = turns.take("none again", None)
    await settle()
    await turns.clock.advance(0.5)
    _ = turns.take("b")
    await settle()
    assert turns.had == [("a", 0), ("other", 0), ("none", 0), ("none again", 0), ("b", 0.5)]


async def test_a_waiter_that_gives_up_holds_nobody_up(turns: Turns) -> None:
    _ = turns.take("a")
    waiting = turns.take("b")
    _ = turns.take("c")
    await settle()
    waiting.cancel()
    await turns.clock.advance(1)
    assert turns.had == [("a", 0), ("c", 1)]


async def test_those_who_have_a_turn_already_are_held_too_and_come_one_after_the_other(turns: Turns) -> None:
    for name in "abc":
        _ = turns.take(name)
    await settle()
    turns.pacer.hold(TWO_A_SECOND, 10)
    _ = turns.take("d")
    _ = turns.take("other", Pace("other", 1))
    await turns.clock.advance(9.9)
    assert turns.had == [("a", 0), ("other", 0)]
    await turns.clock.advance(3)
    names, times = zip(*turns.had[2:], strict=True)
    assert set(names) == {"b", "c", "d"}
    assert times[0] >= 10
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(times))


async def test_a_shorter_hold_does_not_end_a_longer_one(turns: Turns) -> None:
    turns.pacer.hold(TWO_A_SECOND, 10)
    turns.pacer.hold(TWO_A_SECOND, 1)
    _ = turns.take("a")
    await turns.clock.advance(20)
    assert turns.had == [("a", 10)]


async def test_a_hold_without_a_pace_holds_nobody(turns: Turns) -> None:
    turns.pacer.hold(None, 10)
    _ = turns.take("a")
    await settle()
    assert turns.had == [("a", 0)]


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with a_crew() as crew:
        yield crew


def accounts(crew: Crew, count: int, **options: Any) -> tuple[Mate, list[Scripted]]:
    schemes = [crew.scheme(account=f"a{n}", limit=TWO_A_SECOND, **options) for n in range(count)]
    return crew.join(schemes[0]), schemes


@pytest.mark.parametrize("away", [False, True])
async def test_logins_of_many_accounts_of_one_application_keep_its_pace(crew: Crew, *, away: bool) -> None:
    times: list[float] = []

    def noted(number: int) -> Token:
        times.append(crew.clock.monotonic())
        return issued(number)

    mate, schemes = accounts(crew, 6, answer=noted)
    mate.store.away = away
    asking = [asyncio.create_task(mate.manager.token(scheme)) for scheme in schemes]
    await crew.clock.advance(3)
    assert all(task.done() for task in asking)
    assert times == [0, 0.5, 1, 1.5, 2, 2.5]
    for scheme in schemes:
        await mate.manager.token(scheme)  # what is at hand needs no turn
    assert len(times) == 6


@pytest.mark.slow
@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize(("asked", "held"), [(60.0, 60), (None, 1), (1e9, RefreshPolicy().retry_after_max)])
async def test_a_vendor_that_is_busy_is_left_alone_by_all_accounts_but_not_for_ever(
    crew: Crew, asked: float | None, held: float, *, away: bool
) -> None:
    times: list[float] = []

    def busy_at_first(number: int) -> Token:
        times.append(crew.clock.monotonic())
        if len(times) == 1:
            raise VendorBusyError("429", retry_after=asked)
        return issued(number)

    mate, schemes = accounts(crew, 4, answer=busy_at_first)
    mate.store.away = away
    asking = [asyncio.create_task(mate.manager.token(scheme)) for scheme in schemes]
    await settle()
    assert times == [0]
    await crew.clock.advance(held - 0.3)
    assert len([time for time in times if 0 < time < held - 0.3]) == 0
    await crew.clock.advance(5)
    assert len(times) >= 4
    for task in asking:
        with suppress(AuthError):
            await task


async def test_closing_ends_those_who_wait_for_their_turn(crew: Crew) -> None:
    mate, schemes = accounts(crew, 3)
    asking = [asyncio.create_task(mate.manager.token(scheme)) for scheme in schemes]
    await settle()
    await mate.store.aclose()
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(result, AuthError) for result in done] == [False, True, True]
    assert [scheme.calls for scheme in schemes] == [1, 0, 0]


async def test_whoever_waited_for_a_turn_takes_over_what_another_worker_stored_meanwhile(crew: Crew) -> None:
    mate, (first, second) = accounts(crew, 2)
    other = crew.join(second)
    asking = [asyncio.create_task(mate.manager.token(scheme)) for scheme in (first, second)]
    await settle()
    stored = await other.manager.token(second)
    await crew.clock.advance(1)
    assert await asking[1] == stored
    assert second.calls == 1
