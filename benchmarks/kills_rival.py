"""The rival of `benchmarks.kills`: the recipe with redis-py's lock, killed in the same way."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, final

import attrs
import redis.asyncio

from benchmarks import contestants
from benchmarks.contestants import Place
from benchmarks.processes import ask_all, running
from benchmarks.report import spread
from benchmarks.vendor import Vendor, running_vendor
from fleet_of_processes import WorkerProcess
from kill_rounds import draw_moments
from redis_servers import RedisServer

NAME: Final = "redis_recipe"
MOST: Final = 8
"""Kills of each kind of credential: each has a database, of which a server has sixteen."""
_LIFE: Final = 1.0
_LATENCY: Final = 0.02
_RENEWAL: Final = 0.025
"""Seconds that a renewal takes, with the vendor's."""
_OTHERS: Final = 2
_APART: Final = 0.25
"""Seconds from one kill to the next, so that they do not disturb each other."""
_SOON: Final = 0.3


@final
@attrs.frozen
class Kill:
    """What came of one kill.

    Attributes:
        stage: What Redis held just after it: no lock yet; the lock, and no token; the token.
        waited: Seconds until both others had a token; none if there was none to have.
    """

    stage: str
    waited: float | None


async def kills(binary: Path, seed: int, count: int) -> dict[str, dict[str, Any]]:
    """Kill renewing processes, of each kind of credential; return what came of it.

    Args:
        binary: A server's program; it has a server of its own.
        seed: Draws the moments.
        count: How many kills of each kind.
    """
    async with running_vendor(lifetime=_LIFE, latency=_LATENCY) as vendor:
        with RedisServer(binary) as server:
            places = {
                kind: [await _place(vendor, server, kind, number) for number in range(count)]
                for kind in ("N", "R")
            }
            done = await _killed([place for each in places.values() for place in each], seed)
        revoked = (await vendor.counts()).families_revoked
    return {
        kind: _results(done[at : at + count], revoked if kind == "R" else 0)
        for kind, at in (("N", 0), ("R", count))
    }


async def _place(vendor: Vendor, server: RedisServer, kind: str, number: int) -> Place:
    url = f"{server.url.removesuffix('/0')}/{number + (MOST if kind == 'R' else 0)}"
    return vendor.place(store_url=url, refresh_token=await vendor.grant() if kind == "R" else None)


async def _killed(places: Sequence[Place], seed: int) -> list[Kill]:
    async with AsyncExitStack() as stack:
        worker = "benchmarks.edges_worker"
        others = await stack.enter_async_context(running(worker, _OTHERS, {}))
        victims = await stack.enter_async_context(running(worker, len(places), {}))
        await _open(others[:1], places)
        begun = [attrs.evolve(place, begun=True) for place in places]
        await _open(others[1:], begun)
        await asyncio.gather(*(_open([one], [place]) for one, place in zip(victims, begun, strict=True)))
        start = time.time() + _LIFE + _SOON
        wanted = [start + number * _APART for number in range(len(places))]
        ends = [
            at + after * _RENEWAL for at, after in zip(wanted, draw_moments(seed, len(places)), strict=True)
        ]
        # The others want the token at the moment of the kill.
        answers = asyncio.gather(*(_obtained(other, ends) for other in others))
        stages = await asyncio.gather(*map(_kill, victims, places, wanted, ends))
        each = zip(*await answers, strict=True)
        return [Kill(stage, _waited(had, end)) for stage, had, end in zip(stages, each, ends, strict=True)]


async def _open(workers: Sequence[WorkerProcess], places: Sequence[Place]) -> None:
    runs = [{"contestant": NAME, "place": attrs.asdict(place)} for place in places]
    await ask_all(workers, "open", runs=runs, at=time.time())


async def _obtained(other: WorkerProcess, at: Sequence[float]) -> list[dict[str, Any]]:
    other.send("obtain", at=at)
    answer: Any = await other.answer()
    return list(answer)


async def _kill(victim: WorkerProcess, place: Place, wanted: float, end: float) -> str:
    victim.send("obtain", at=[wanted])
    async with redis.asyncio.Redis.from_url(place.store_url) as client:
        await client.ping()
        await asyncio.sleep(end - time.time())
        await victim.kill()
        if await client.exists("token"):
            return "stored"
        return "begun" if await client.exists("token-lock") else "not begun"


def _waited(had: Sequence[dict[str, Any]], end: float) -> float | None:
    if any("error" in one for one in had):
        return None
    return max(*(float(one["had_at"]) - end for one in had), 0.0)


def _results(done: Sequence[Kill], revoked: int) -> dict[str, Any]:
    interrupted = [kill.waited * 1000 for kill in done if kill.stage == "begun" and kill.waited is not None]
    return {
        "kills": len(done),
        "stages": dict(Counter(kill.stage for kill in done)),
        "tokens_lost": sum(kill.waited is None for kill in done),
        "families_revoked": revoked,
        "waited_ms": (
            {**spread(interrupted, 1), "longest": round(max(interrupted), 1)}
            if len(interrupted) > 1
            else None
        ),
    }


def name() -> str:
    """Return the rival's name, as tables have it."""
    return contestants.of(NAME).NAME
