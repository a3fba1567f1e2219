"""A thousand tasks find that their token has expired: how often is it renewed, and when do all have it?

`PYTHONPATH=tests python -m benchmarks.herd`, in the project's folder. All tasks are of one process, and want
the token in the same moment. The vendor, in a process of its own, takes 50 ms to answer. In each round every
contestant gets a token that lives for a second, all of them expire, and they take turns. Times are compared
with one call of the vendor that is made in the same round. With several processes: `benchmarks.edges`.

The recipe with redis-py's lock has the pool of connections that waits for a free one: with the default pool,
which holds a hundred, nine hundred of the tasks fail at once. It takes seconds, and part in few rounds only.

Aim: one renewal per expiry.
"""

import asyncio
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, final

import aiohttp
import attrs

from benchmarks.contestants import ALL, Contestant, User, found, in_turn
from benchmarks.contestants.asking import ask
from benchmarks.contestants.redis_place import a_redis
from benchmarks.report import Plot, Report, shown, spread
from benchmarks.vendor import Vendor, running_vendor
from redis_servers import RedisServer

_TASKS: Final = 1000
_LATENCY: Final = 0.05
_FIRST_LIFE: Final = 1
_LONGEST: Final = 60.0
_WITH_REDIS: Final = {"asyncauth_session": math.inf, "redis_recipe": 3}
"""In how many rounds."""


@final
@attrs.frozen
class Entrant:
    """A contestant, where it keeps its token, and in how many rounds it takes part."""

    contestant: Contestant
    store_url: str
    rounds: float = math.inf


@final
@attrs.frozen
class Herd:
    """What one expiry did.

    Attributes:
        renewals: Calls of the vendor's token endpoint.
        failed: Tasks that got no token.
        trips: Time until all had it, in vendor's round trips.
        ms: The same in milliseconds.
    """

    renewals: int
    failed: int
    trips: float
    ms: float


def _entrants(server: RedisServer | None) -> dict[str, Entrant]:
    """Find who takes part; asyncauth does so with Redis too, where the recipe needs one."""
    entrants = dict[str, Entrant]()
    for name, contestant in found(ALL):
        if name != "redis_recipe":
            entrants[contestant.NAME] = Entrant(contestant, "memory://")
        if server is not None and (rounds := _WITH_REDIS.get(name)):
            entrants[f"{contestant.NAME}, Redis"] = Entrant(contestant, f"{server.url}?sealed=0", rounds)
    return entrants


async def _round(vendor: Vendor, entrants: Mapping[str, Entrant], order: Sequence[str]) -> dict[str, Herd]:
    await vendor.turn(lifetime=_FIRST_LIFE, latency=0)
    async with AsyncExitStack() as stack:
        users = {name: await _begun(vendor, entrant, stack) for name, entrant in entrants.items()}
        await asyncio.sleep(_FIRST_LIFE + 0.1)
        await vendor.turn(lifetime=3600, latency=_LATENCY)
        trip = await _round_trip(vendor)
        return {name: await _herd(vendor, users[name], trip) for name in order}


async def _begun(vendor: Vendor, entrant: Entrant, stack: AsyncExitStack) -> User:
    place = vendor.place(store_url=entrant.store_url)
    user = await stack.enter_async_context(entrant.contestant.opened(place))
    await user.token()
    return user


async def _round_trip(vendor: Vendor) -> float:
    async with aiohttp.ClientSession() as client:
        start = time.perf_counter()
        await ask(client, vendor.place(), None)
        return time.perf_counter() - start


async def _herd(vendor: Vendor, user: User, trip: float) -> Herd:
    before = await vendor.counts()
    start = time.perf_counter()
    tasks = [asyncio.ensure_future(user.token()) for _ in range(_TASKS)]
    done, late = await asyncio.wait(tasks, timeout=_LONGEST)
    took = time.perf_counter() - start
    for task in late:
        task.cancel()
    assert await user.send() == 200
    return Herd(
        renewals=(await vendor.counts()).token_calls - before.token_calls,
        failed=len(late) + sum(task.exception() is not None for task in done),
        trips=took / trip,
        ms=took * 1000,
    )


def _result(herds: Sequence[Herd]) -> dict[str, Any]:
    return {
        "renewals": round(statistics.mean(herd.renewals for herd in herds), 2),
        "failed": sum(herd.failed for herd in herds),
        "trips": spread([herd.trips for herd in herds], 2),
        "ms": spread([herd.ms for herd in herds], 1),
    }


def _show(report: Report) -> None:
    rows = [
        [name, f"{one['renewals']:.2f}", str(one["failed"]), shown(one["trips"]), shown(one["ms"])]
        for name, one in report.results.items()
    ]
    head = ["", "renewals per expiry", "failed", "vendor's round trips until all have it", "ms"]
    report.table(f"{_TASKS} tasks on an expired token; medians, and quartiles in brackets", head, rows)
    bars = {name: [(0.0, one["trips"]["median"])] for name, one in report.results.items()}
    title = f"{_TASKS} tasks on an expired token: until all have the new one"
    report.plot(Plot("herd", title, "round trips of the vendor", "", bars, kind="bars", log="x"))
    for name in ("AuthSession", "AuthMiddleware", "AuthSession, Redis"):
        if name in report.results:
            report.aim(f"{name}: renewals per expiry", report.results[name]["renewals"], 1)


async def _compare(
    entrants: Mapping[str, Entrant], rounds: int, server: RedisServer | None
) -> dict[str, list[Herd]]:
    herds: dict[str, list[Herd]] = {name: [] for name in entrants}
    async with running_vendor() as vendor:
        for number in range(rounds):
            if server is not None:
                server.command("FLUSHALL")
            taking = {name: entrant for name, entrant in entrants.items() if number < entrant.rounds}
            for name, herd in (await _round(vendor, taking, in_turn(taking, number))).items():
                herds[name].append(herd)
    return herds


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=10)
    with a_redis() as server:
        herds = await _compare(_entrants(server), report.rounds, server)
    report.results |= {name: _result(of_one) for name, of_one in herds.items()}
    _show(report)
    report.write(tasks=_TASKS, vendor_latency=_LATENCY)


if __name__ == "__main__":
    asyncio.run(_main())
