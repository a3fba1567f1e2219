"""One turn of `benchmarks.edges`: traffic of one contestant across some expiries, and what is made of it."""

import asyncio
import math
import os
import time
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

import aiohttp
import attrs

from benchmarks.contestants import Place
from benchmarks.contestants.asking import ask
from benchmarks.processes import ask_all
from benchmarks.vendor import Vendor
from fleet_of_processes import WorkerProcess

LIFE: Final = 2.0
"""Seconds that a token lives. Authlib counts in whole ones."""
LATENCY: Final = 0.05
"""Seconds that the vendor takes."""
LENGTH: Final = 2.2 * LIFE
_TOGETHER: Final = 0.1
_BEFORE: Final = 0.1
_AFTER: Final = 0.5
"""Seconds around a switch that are its edge."""


@final
@attrs.frozen
class Run:
    """A contestant at a place."""

    contestant: str
    place: Place


@final
@attrs.define
class Turn:
    """What one contestant's processes went through together.

    Attributes:
        edge: The times of requests that were begun at an edge, in ms.
        between: The others' times.
        calls: Contacts with the vendor.
        expiries: How often a process went over to another token, on their average.
        refusals: How often the API refused a token.
        failures: Requests that failed for their caller, by why.
        dots: Seconds from the first switch to each request's beginning, and its time.
        round_trip: The longest of the vendor's bare round trips meanwhile, in ms.
        busy: The share of the machine's processor time that was used, by whomever.
    """

    edge: list[float] = attrs.field(factory=list)
    between: list[float] = attrs.field(factory=list)
    calls: int = 0
    expiries: float = 0
    refusals: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)
    dots: list[tuple[float, float]] = attrs.field(factory=list)
    round_trip: float = 0
    busy: float = math.nan


async def turn(
    workers: Sequence[WorkerProcess],
    runs: Sequence[tuple[Run, Vendor]],
    probe: Vendor,
    tasks: int,
    every: float,
) -> list[Turn]:
    """Let contestants have traffic in all these processes; each has a vendor of its own.

    Args:
        workers: The processes.
        runs: What to open in each, and the vendor that it asks.
        probe: A vendor that nobody else asks, to measure round trips with.
        tasks: How many each user has.
        every: Seconds between two requests of a task.
    """
    opening = [attrs.asdict(run) for run, _ in runs]
    await ask_all(workers, "open", runs=opening, at=time.time() + _TOGETHER)
    before = [await vendor.counts() for _, vendor in runs]
    start, busy = time.time() + _TOGETHER, _processor_times()
    probing = asyncio.create_task(_round_trips(probe.place(), start + LENGTH))
    each = await asyncio.gather(
        *(
            worker.ask("traffic", tasks=tasks, every=every, start=start, end=start + LENGTH)
            for worker in workers
        )
    )
    used, trips = _busy(busy, _processor_times()), await probing
    turns = [_turn(answers) for answers in zip(*each, strict=True)]
    for done, (_, vendor), earlier, answers in zip(turns, runs, before, zip(*each, strict=True), strict=True):
        counts, done.busy, done.round_trip = await vendor.counts(), used, max(trips)
        first, last = min(a["watched"][0] for a in answers), max(a["watched"][1] for a in answers)
        done.calls = sum(first < moment <= last for moment in counts.issued_at)
        done.refusals = counts.refusals - earlier.refusals
    await ask_all(workers, "close")
    return turns


async def _round_trips(place: Place, end: float) -> list[float]:
    """Ask the vendor again and again by hand; return what each time took, in ms."""
    taken = list[float]()
    async with aiohttp.ClientSession() as client:
        while time.time() < end:
            start = time.perf_counter()
            await ask(client, place, None)
            taken.append((time.perf_counter() - start) * 1000)
            await asyncio.sleep(LATENCY)
    return taken


def _turn(answers: Sequence[Mapping[str, Any]]) -> Turn:
    made, switches = Turn(), [answer["switches"] for answer in answers]
    made.expiries = sum(map(len, switches)) / len(answers)
    zero = min((new for each in switches for _, new in each), default=0)
    for answer in answers:
        made.failures.update(answer["failures"])
        edges = sorted(_edges(answer["switches"]))
        for begun, latency in zip(answer["begun"], answer["latencies"], strict=True):
            (made.edge if _within(edges, begun) else made.between).append(latency)
            made.dots.append((round(begun - zero, 3), latency))
    return made


def _edges(switches: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    for old, new in switches:
        yield old - _BEFORE, new + _AFTER
        # The end of the token itself, if it was renewed before.
        yield new + LIFE - _BEFORE - LATENCY, new + LIFE + _AFTER


def _within(edges: Sequence[tuple[float, float]], moment: float) -> bool:
    return any(begin <= moment <= end for begin, end in edges[: bisect(edges, (moment, math.inf))])


def _processor_times() -> tuple[float, float]:
    """Return the machine's processor time so far, and what of it was not used; nothing where nobody tells."""
    try:
        times = [int(part) for part in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return math.nan, math.nan
    return sum(times) / os.sysconf("SC_CLK_TCK"), (times[3] + times[4]) / os.sysconf("SC_CLK_TCK")


def _busy(before: tuple[float, float], after: tuple[float, float]) -> float:
    whole, idle = after[0] - before[0], after[1] - before[1]
    return 1 - idle / whole
