"""How soon after the vendor's answer can the last waiting process send its request, against bare word of it?

`PYTHONPATH=tests python -m benchmarks.wakeup`, in the project's folder: the servers are those of the tests.
Two and eight processes with sealed stores want the token in the same moment, just after its end; the vendor
takes 50 ms, in which all but one wait. The same processes give each other bare word in each round, which
is the floor:

- Redis: SET and PUBLISH by redis-py, one telling, the others with a subscription;
- file: write, fsync, rename, fsync of the folder; in each other process a thread that waits for inotify.

Two spans are compared: from telling (PUBLISH, rename; with asyncauth: the token is stored) to the last one's
knowing, and from the beginning of storing (with asyncauth: the vendor's answer is there) until the last one
knows and it is stored: the process that renews sends its requests then, too, and is one of them. Eight
processes are woken for as many cores as there are: what each does then adds up.

Aim: after the vendor's answer nobody waits for longer than twice the floor.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import attrs

from asyncauth_stores.sealed import KeyRing
from benchmarks.places import shared_stores
from benchmarks.processes import ask_all, running
from benchmarks.report import Report, shown, spread
from benchmarks.vendor import running_vendor
from fleet_of_processes import WorkerProcess

_PROCESSES: Final = (2, 8)
_LATENCY: Final = 0.05
_LIFE: Final = 1.0
"""Seconds that a token lives, by the real clock."""
_TOGETHER: Final = 0.05
_LISTENING: Final = 0.1
"""Seconds in which all listen."""


@final
@attrs.frozen
class Round:
    """Milliseconds of one round: since the change was told of, and since its storing began.

    Attributes:
        bare: Until the last heard of it by hand.
        bare_stored: The same, with storing.
        woken: Until the last waiting process had the token.
        answered: The same, since the vendor's answer.
    """

    bare: float
    bare_stored: float
    woken: float
    answered: float


async def floor(workers: Sequence[WorkerProcess]) -> tuple[float, float]:
    """Have the first process tell all others by hand: when did the last know, in ms, also with storing."""
    first, *others = workers
    await ask_all(others, "listen")
    waiting = asyncio.gather(*(other.ask("heard") for other in others))
    await asyncio.sleep(_LISTENING)
    told, *heard = await asyncio.gather(first.ask("tell", at=time.time() + _TOGETHER), waiting)
    last = max(one["heard_at"] for one in heard[0])
    return (last - told["told_at"]) * 1000, (max(last, told["done_at"]) - told["began_at"]) * 1000


async def floors(store: str, processes: int, rounds: int) -> list[float]:
    """Return what the floor was in each of some rounds, in ms, with storing."""
    setup = {"store": store, "key": KeyRing.generate().dump(), "token_url": "http://127.0.0.1/unused"}
    async with running("benchmarks.wakeup_worker", processes, setup) as workers:
        await floor(workers)
        return [(await floor(workers))[1] for _ in range(rounds)]


async def _expiry(workers: Sequence[WorkerProcess], ended_at: float) -> tuple[float, float]:
    """Have all want the token once it has ended: when did the last have it, in ms, also with storing."""
    answers = await ask_all(workers, "token", at=max(ended_at, time.time() + _TOGETHER))
    [renewing] = [answer for answer in answers if "TokenRenewed" in answer]
    last = max(answer["had_at"] for answer in answers)
    return (last - renewing["TokenRenewed"]) * 1000, (last - renewing["answered_at"]) * 1000


async def _measure(setup: Mapping[str, str], processes: int, rounds: int) -> list[Round]:
    measured = list[Round]()
    async with (
        running_vendor(lifetime=_LIFE, latency=_LATENCY) as vendor,
        running(
            "benchmarks.wakeup_worker", processes, {**setup, "token_url": f"{vendor.url}/token"}
        ) as workers,
    ):
        await floor(workers)
        await _expiry(workers, 0)
        for _ in range(rounds):
            ended_at = time.time() + _LIFE
            bare = await floor(workers)
            measured.append(Round(*bare, *await _expiry(workers, ended_at)))
        assert (await vendor.counts()).token_calls == 1 + rounds, "more than one renewal for an expiry"
    return measured


def _results(rounds: Sequence[Round]) -> dict[str, Any]:
    def of(values: Sequence[float]) -> dict[str, float]:
        return {**spread(values, 2), "longest": round(max(values), 2)}

    return {
        "bare_ms": of([one.bare for one in rounds]),
        "woken_ms": of([one.woken for one in rounds]),
        "woken_ratio": of([one.woken / one.bare for one in rounds]),
        "bare_with_storing_ms": of([one.bare_stored for one in rounds]),
        "answered_ms": of([one.answered for one in rounds]),
        "answered_ratio": of([one.answered / one.bare_stored for one in rounds]),
    }


def _show(report: Report, store: str, results: dict[str, Any]) -> None:
    spans = {
        "since it was told of": ("bare_ms", "woken_ms", "woken_ratio"),
        "since storing began": ("bare_with_storing_ms", "answered_ms", "answered_ratio"),
    }
    rows = [
        [
            f"{processes}, {span}",
            *(f"{shown(found[each])}, {found[each]['longest']:g}" for each in (bare, ours)),
            shown(found[ratio]),
        ]
        for processes, found in results.items()
        for span, (bare, ours, ratio) in spans.items()
    ]
    report.table(
        f"{store}: until the last process knows; medians, quartiles in brackets, and the longest",
        ["", "by hand, ms", "asyncauth, ms", "ratio"],
        rows,
    )
    for processes, found in results.items():
        what = f"{store}, {processes}: from the vendor's answer to the last request, by the floor"
        report.aim(what, found["answered_ratio"]["median"], 2)


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=20)
    async with shared_stores() as stores:
        for kind, url in stores.items():
            setup = {"store": url, "key": KeyRing.generate().dump()}
            report.results[kind] = {
                f"{processes} processes": _results(await _measure(setup, processes, report.rounds))
                for processes in _PROCESSES
            }
            _show(report, kind, report.results[kind])
    report.write(processes=_PROCESSES, vendor_latency=_LATENCY, token_lifetime=_LIFE)


if __name__ == "__main__":
    asyncio.run(_main())
