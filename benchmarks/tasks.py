"""What does each task cost when 1 to 100,000 of them want one token, at hand or being renewed?

`python -m benchmarks.tasks`, in the project's folder. The vendor is a process of its own, which takes 50 ms;
the store is the one in memory. The floor has as many tasks that ask an empty coroutine, or wait for one
future that is resolved after as long as a renewal takes that one task waits for. All take turns in each
round; before each renewal the token is forgotten. A round stands for 20,000 tasks at most.

- µs each: the time until the last task has its token, over the number of tasks; of a renewal, what there is
  more than for one task.
- RAM each: what a task takes while it waits, traced by `tracemalloc`, its floor's included.

Aim: one renewal, however many wait for it.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final, final

import attrs

from asyncauth import TokenManager
from asyncauth.schemes import ClientCredentials
from asyncauth_stores.memory import MemoryTokenStore
from benchmarks.ram import traced, traced_bytes
from benchmarks.report import Plot, Report, shown, spread
from benchmarks.vendor import Vendor, running_vendor

_SIZES: Final = (1, 100, 10_000, 100_000)
_LEAST: Final = 1_000
"""Of fewer tasks, as many turns as it takes to time them."""
_OF_A_ROUND: Final = 20_000
_TRACED: Final = 10_000
_LATENCY: Final = 0.05
_LONGEST: Final = 2.0
"""Seconds of one turn, beyond which ten times as many tasks are left out."""
_NO_LESS: Final = 0.1
"""Microseconds: a difference of two turns may be nothing, which has no logarithm."""
_WAYS: Final = ("at hand", "at hand, floor", "renewed", "renewed, floor")

Ask = Callable[[], Awaitable[object]]


@final
@attrs.define
class Crowd:
    """What many tasks can ask at once.

    Attributes:
        manager: Has the token.
        scheme: Whose token.
        alone: Seconds of the last renewal that one task waited for.
    """

    manager: TokenManager
    scheme: ClientCredentials
    alone: float = _LATENCY

    async def turn(self, way: str, size: int) -> float:
        """Return the seconds until the last of so many tasks has what it asks for."""
        ask = await self._prepared(way)
        gc.collect()
        await asyncio.sleep(0)  # what earlier tasks have left is over
        times = 1 if way.startswith("renewed") else max(_LEAST // size, 1)
        start = time.perf_counter()
        for _ in range(times):
            await asyncio.gather(*(ask() for _ in range(size)))
        taken = (time.perf_counter() - start) / times
        if way == "renewed" and size == 1:
            self.alone = taken
        return taken

    async def ram(self, way: str, size: int) -> float:
        """Return the bytes of each task while it waits."""
        ask = await self._prepared(way)
        with traced():
            tasks = [asyncio.ensure_future(ask()) for _ in range(size)]
            await asyncio.sleep(0)  # all have come to where they wait
            taken = traced_bytes()
        await asyncio.gather(*tasks)
        return taken / size

    async def _prepared(self, way: str) -> Ask:
        if way == "at hand, floor":
            return _nothing
        if way == "renewed, floor":
            return self._one_future()
        if way == "renewed":
            await self.manager.forget(self.scheme)
        return lambda: self.manager.token(self.scheme)

    def _one_future(self) -> Ask:
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        async def wait() -> None:
            if not waiting:
                waiting.append(loop.call_later(self.alone, future.set_result, None))
            await asyncio.shield(future)

        waiting = list[asyncio.TimerHandle]()
        return wait


async def _nothing() -> None:
    pass


async def _measure(crowd: Crowd, vendor: Vendor, rounds: int) -> dict[int, dict[str, Any]]:
    sizes = await _bearable(crowd, rounds)
    turns = {size: {way: list[float]() for way in _WAYS} for size in sizes}
    before = (await vendor.counts()).renewals
    for _ in range(rounds):
        for size in sizes:
            for way in _WAYS:
                turns[size][way].append(await crowd.turn(way, size))
    renewals = (await vendor.counts()).renewals - before
    found = {size: _found(size, turns[size], turns[1]) for size in sizes}
    found[sizes[-1]]["renewals"] = renewals / (rounds * len(sizes))
    for way in ("renewed", "renewed, floor"):
        found[_TRACED][f"{way}, RAM"] = round(await crowd.ram(way, _TRACED))
    return found


async def _bearable(crowd: Crowd, rounds: int) -> list[int]:
    """Warm up, and leave out numbers of tasks that would take minutes."""
    sizes, taken = list[int](), 0.0
    for size in _SIZES:
        if size > rounds * _OF_A_ROUND:
            break
        if taken > _LONGEST:
            print(f"left out: {size} tasks, for {sizes[-1]} took {taken:.1f} s", file=sys.stderr)
            break
        taken = await crowd.turn("renewed", size)
        sizes.append(size)
    return sizes


def _found(size: int, turns: dict[str, list[float]], alone: dict[str, list[float]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for way, taken in turns.items():
        found[way] = {"ms": spread([turn * 1000 for turn in taken], 2)}
        waits = way.startswith("renewed")
        if size > 1 or not waits:  # alone it is the vendor's time
            less = alone[way] if waits else [0.0] * len(taken)
            each = [(turn - one) / size * 1e6 for turn, one in zip(taken, less, strict=True)]
            found[way]["us_each"] = spread(each, 2)
    return found


def _show(report: Report, found: dict[int, dict[str, Any]]) -> None:
    rows = [
        [f"{size:,}", *(_cell(each[way], what) for way in _WAYS for what in _columns(way)), *_ram(each)]
        for size, each in found.items()
    ]
    head = [
        "tasks",
        "at hand, µs each",
        "floor",
        "renewed, ms in all",
        "µs each",
        "floor ms",
        "floor µs each",
    ]
    report.table("medians, and quartiles in brackets", [*head, "RAM each, bytes", "floor"], rows)
    report.aim("renewals, however many tasks wait", list(found.values())[-1]["renewals"], 1.0)
    series = {
        way: [
            (float(size), max(each[way]["us_each"]["median"], _NO_LESS))
            for size, each in found.items()
            if "us_each" in each[way]
        ]
        for way in _WAYS
    }
    report.plot(
        Plot("tasks", "A task that wants one token with others", "tasks", "µs each", series, log="xy")
    )


def _columns(way: str) -> tuple[str, ...]:
    return ("ms", "us_each") if way.startswith("renewed") else ("us_each",)


def _cell(found: dict[str, Any], what: str) -> str:
    return shown(found[what]) if what in found else "-"


def _ram(each: dict[str, Any]) -> list[str]:
    return [str(each.get(f"{way}, RAM", "-")) for way in ("renewed", "renewed, floor")]


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=5)
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(running_vendor(latency=_LATENCY))
        store = await stack.enter_async_context(MemoryTokenStore())
        manager = await stack.enter_async_context(TokenManager(store))
        place = vendor.place()
        scheme = ClientCredentials(place.token_url, client_id="app", client_secret="app-secret")
        found = await _measure(Crowd(manager, scheme), vendor, max(report.rounds, 2))
    report.results = {str(size): each for size, each in found.items()}
    _show(report, found)
    report.write(latency=_LATENCY)


if __name__ == "__main__":
    asyncio.run(_main())
