"""What does a shared token cost per request, against a header that is set by hand?

`PYTHONPATH=tests python -m benchmarks.overhead`, in the project's folder. Each contestant has a client of its
own; all send to one server in another process, which answers all requests alike, and have their tokens from
a vendor in a third. In each round all contestants take a short turn, in another order each time; a ratio
compares with the bare request of the contestant's own client of the same round, so that what else the
machine does meets both alike. Processor time is this process' own, without the server's. The garbage
collector runs as usual, and is run by hand before each round. Those that take long have fewer rounds.

`again` is the bare request once more: how far its ratio is from 1 is how much to believe of the others.

Aim: `AuthSession` and `AuthMiddleware` at 1.01 of the bare request or less, 64 at once, and at 2 µs more or
less, one at a time.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from shutil import which
from typing import Any, Final, final

import attrs

from benchmarks.contestants import Contestant, Place, User, found, in_turn
from benchmarks.contestants.redis_place import a_redis
from benchmarks.instructions import Cost, cost, processor_instructions
from benchmarks.report import Plot, Report, shown, spread
from benchmarks.responder import running_responder
from benchmarks.vendor import running_vendor

_AGAIN: Final = "again"
_LEAST: Final = "bare_middleware"
_OURS: Final = ("asyncauth_session", "asyncauth_middleware")
_NEAR: Final = ("bare_aiohttp", _LEAST, *_OURS, "by_hand", "oauth2_middleware")
_FAR: Final = (
    "bare_aiohttp",
    "redis_recipe",
    "msal_app",
    "bare_azure",
    "azure_core",
    "bare_httpx",
    "authlib_httpx",
    "httpx_auth_flow",
)
_COUNTED: Final = ("bare_aiohttp", _LEAST, *_OURS, "by_hand")
"""Whose processor's instructions are counted, in full runs, where there is valgrind: that takes minutes."""
_FULL: Final = 100
_FEWER: Final = 20
_REQUESTS: Final = {1: 50, 64: 256}
"""By how many are under way at once: how many requests make a turn."""
_REQUESTS_FAR: Final = {1: 20, 64: 128}


@final
@attrs.frozen
class Way:
    """One way of sending requests."""

    name: str
    base: str
    user: User
    is_base: bool = False


@final
@attrs.frozen
class Turn:
    """What one request took on the average of a turn, in microseconds."""

    wall: float
    cpu: float


Ways = Mapping[str, Way]
Turns = Mapping[str, Sequence[Turn]]


async def _opened(names: Sequence[str], place: Place, stack: AsyncExitStack) -> dict[str, Way]:
    ways = {}
    for name, contestant in found(names):
        ways[name] = await _way(name, contestant, place, stack)
    return ways


async def _way(name: str, contestant: Contestant, place: Place, stack: AsyncExitStack) -> Way:
    user = await stack.enter_async_context(contestant.opened(place))
    assert await user.send() == 200
    return Way(contestant.NAME, contestant.BASE, user, is_base=name == contestant.BASE)


async def _near_and_far(place: Place, stack: AsyncExitStack) -> tuple[Ways, Ways]:
    """Open all; asyncauth's token lies in RAM, and Redis is there for the recipe."""
    server = stack.enter_context(a_redis())
    near, again = await _opened(_NEAR, place, stack), await _opened(_NEAR[:1], place, stack)
    near[_AGAIN] = attrs.evolve(again["bare_aiohttp"], name="aiohttp, headers=, again", is_base=False)
    if server is None:
        return near, await _opened([name for name in _FAR if name != "redis_recipe"], place, stack)
    return near, await _opened(_FAR, attrs.evolve(place, store_url=server.url), stack)


async def _take_turn(user: User, at_once: int, requests: int) -> Turn:
    async def some() -> None:
        for _ in range(requests // at_once):
            await user.send()

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some() for _ in range(at_once)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Turn(wall / requests * 1e6, cpu / requests * 1e6)


async def _compare(ways: Ways, at_once: int, requests: int, rounds: int) -> Turns:
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    for number in range(-1, rounds):  # one round warms up
        gc.collect()
        for name in in_turn(ways, number):
            turn = await _take_turn(ways[name].user, at_once, requests)
            if number >= 0:
                turns[name].append(turn)
    return turns


def _results(ways: Ways, turns: Turns) -> dict[str, dict[str, Any]]:
    return {name: _result(turns[name], turns[way.base], turns.get(_LEAST)) for name, way in ways.items()}


def _result(taken: Sequence[Turn], base: Sequence[Turn], least: Sequence[Turn] | None) -> dict[str, Any]:
    pairs = list(zip(taken, base, strict=True))
    return {
        "us": spread([turn.wall for turn in taken], 1),
        "cpu_us": spread([turn.cpu for turn in taken], 1),
        "more_us": spread([turn.wall - bare.wall for turn, bare in pairs], 1),
        "more_cpu_us": spread([turn.cpu - bare.cpu for turn, bare in pairs], 1),
        "ratio": spread([turn.wall / bare.wall for turn, bare in pairs], 4),
        "cpu_ratio": spread([turn.cpu / bare.cpu for turn, bare in pairs], 4),
        "to_least": None if least is None else _to_least(taken, least),
    }


def _to_least(taken: Sequence[Turn], least: Sequence[Turn]) -> float:
    return round(statistics.median(a.wall / b.wall for a, b in zip(taken, least, strict=True)), 4)


_COLUMNS: Final = {
    "us": "µs a request",
    "cpu_us": "CPU µs",
    "more_us": "µs more",
    "more_cpu_us": "CPU µs more",
    "ratio": "ratio",
    "cpu_ratio": "CPU ratio",
}


def _show(report: Report, title: str, ways: Ways, results: Mapping[str, Mapping[str, Any]]) -> None:
    with_least = any(result["to_least"] is not None for result in results.values())
    rows = [
        [
            ways[name].name,
            *(shown(result[column]) for column in _COLUMNS),
            *([f"{result['to_least']:g}"] if with_least else []),
        ]
        for name, result in results.items()
    ]
    head = ["", *_COLUMNS.values(), *(["to the least middleware"] if with_least else [])]
    report.table(f"{title}; medians, and quartiles in brackets", head, rows)


async def _times(report: Report, near: Ways, far: Ways) -> None:
    for at_once in _REQUESTS:
        how = "one at a time" if at_once == 1 else f"{at_once} at once"
        fewer = max(report.rounds // _FEWER, 2)
        of_near = _results(near, await _compare(near, at_once, _REQUESTS[at_once], report.rounds))
        of_far = _results(far, await _compare(far, at_once, _REQUESTS_FAR[at_once], fewer))
        _show(report, f"{how}, against aiohttp with `headers=`", near, of_near)
        _show(report, f"{how}, others against their own client's bare request", far, of_far)
        report.results[how] = {**of_far, **of_near}


def _aims(report: Report, near: Ways) -> None:
    for name in _OURS:
        many, one = report.results["64 at once"][name], report.results["one at a time"][name]
        who = near[name].name
        report.aim(f"{who}, 64 at once, x of `headers=`", many["ratio"]["median"], 1.01)
        report.aim(f"{who}, one at a time, µs more than `headers=`", one["more_us"]["median"], 2)


def _plot(report: Report, ways: Ways) -> None:
    results = report.results["64 at once"]
    bars = {
        way.name: [(0.0, results[name]["ratio"]["median"])]
        for name, way in ways.items()
        if not way.is_base and name != _AGAIN
    }
    title = "A request, 64 at once, against the bare request of the same client"
    report.plot(Plot("overhead", title, "times as long", "", bars, kind="bars"))


async def _costs(report: Report, ways: Iterable[tuple[str, Way]]) -> None:
    costs = {name: (way, await cost(way.user.send)) for name, way in ways if name not in {_AGAIN, "msal_app"}}
    rows = [[way.name, *_more(of_one, costs[way.base][1])] for way, of_one in costs.values()]
    head = ["", "bytecodes", "Python calls", "most bytes at once", "blocks left to the collector"]
    title = "a request in numbers, and in brackets how much more than its own client's bare request"
    report.table(title, head, rows)
    report.results["costs"] = {name: attrs.asdict(of_one) for name, (_, of_one) in costs.items()}


def _more(of_one: Cost, base: Cost) -> list[str]:
    pairs = zip(attrs.astuple(of_one), attrs.astuple(base), strict=True)
    return [f"{value:.0f} ({value - of_base:+.0f})" for value, of_base in pairs]


async def _processor(report: Report, place: Place, ways: Ways) -> None:
    if report.rounds < _FULL or which("valgrind") is None:
        print("\nthe processor's instructions are counted in full runs only, with valgrind")
        return
    counted = {name: await processor_instructions(name, place) for name in _COUNTED}
    base = counted["bare_aiohttp"]
    rows = [
        [ways[name].name, f"{count:.0f} ({count - base:+.0f})", f"{count / base:.4f}"]
        for name, count in counted.items()
    ]
    report.table("the processor's instructions a request, by valgrind", ["", "instructions", "ratio"], rows)
    report.results["processor_instructions"] = {name: round(count) for name, count in counted.items()}


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=200)
    async with (
        running_responder() as url,
        running_vendor(lifetime=86_400) as vendor,
        AsyncExitStack() as stack,
    ):
        place = attrs.evolve(vendor.place(), api_url=f"{url}/things")
        near, far = await _near_and_far(place, stack)
        # First: what a client's pool costs depends on how many connections it has.
        await _costs(report, {**near, **far}.items())
        await _times(report, near, far)
        await _processor(report, place, near)
        _aims(report, near)
        _plot(report, {**near, **far})
    report.write(requests_per_turn=_REQUESTS)


if __name__ == "__main__":
    asyncio.run(_main())
