"""What does an expiry cost requests: how many renewals, how many failures, and how much of their time?

`PYTHONPATH=tests python -m benchmarks.edges`, in the project's folder: the servers are those of the tests.
Eight processes with a hundred tasks each, which send a request every two seconds: 400 a second in all, spread
evenly, so that processors are not what limits (`busy` tells). Tokens live two seconds by the real clock, and
the vendor takes 50 ms for one. Contestants take turns of 4.4 seconds: in five rounds each sees ten expiries
or more.

- asyncauth, early: renews when a token has 0.5 to 1 s left (the policy's early renewal takes half of the life
  at most, with a jitter that is drawn from the token's id; an hour's token would be renewed 6 to 12 minutes
  before its end). asyncauth, not early: a token is used until its margin, which is 0.1 s of two seconds.
- The recipe with redis-py's lock, and Authlib's client in each process: told to renew 0.2 s before the end.
  Authlib keeps the end in whole seconds, so a token lasts it between 0.8 and 1.8 s.

An edge is the time from 0.1 s before a process goes over to another token until 0.5 s after it, and the same
around the end of the token that was replaced; seen in each process, every 25 ms. An expiry is what makes a
process go over to another token.

Aims: one renewal for an expiry where processes share; early: the p99 at the edges within 1.2 of the p99
between them; not early: who waits longest takes no more than the p99 between edges plus one round trip of the
vendor plus twice the store's floor. The round trip is the longest of the bare ones that were made all the
time of the same turn, from another process; the floor is the bare word of `benchmarks.wakeup` from one
process to all others, with storing; of each turn's longest waits the median counts.
"""

import asyncio
import statistics
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, final

import attrs

from asyncauth_stores.sealed import KeyRing
from benchmarks import contestants, wakeup
from benchmarks.edges_turn import LATENCY, LIFE, Run, Turn, turn
from benchmarks.places import shared_stores
from benchmarks.processes import running
from benchmarks.report import Plot, Report, shown, spread
from benchmarks.vendor import Vendor, running_vendor
from fleet_of_processes import WorkerProcess

_PROCESSES: Final = 8
_TASKS: Final = 100
_EVERY: Final = 2.0
_FLOORS: Final = 5
_FEWER: Final = (1, 2, 4, 8)
_FEW_TASKS: Final = 20
_OURS: Final = "asyncauth_session"
_RECIPE: Final = "redis_recipe"
_RIVAL: Final = "authlib_httpx"
_ALONE: Final = "memory of each process"
_MARGIN: Final = 0.2
_EARLY: Final = 1.0
_NUMBERS: Final = count()


@final
@attrs.frozen
class Case:
    """A contestant at a kind of store, told to renew so early.

    Attributes:
        store: Its kind; of files and servers also which one.
        url: Where it is; none for what each process has for itself.
    """

    store: str
    contestant: str
    early: float
    url: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is asyncauth."""
        return self.contestant == _OURS

    @property
    def who(self) -> str:
        """The contestant, as tables have it."""
        if self.ours:
            return "asyncauth, early" if self.early else "asyncauth, not early"
        return contestants.of(self.contestant).NAME

    @property
    def name(self) -> str:
        """Place and contestant."""
        return f"{self.store}: {self.who}"

    def run(self, vendor: Vendor, key: Path) -> Run:
        """Return it at a place that nobody has used before."""
        url, number = self.url or "memory://", next(_NUMBERS)
        own = f"{url}?key_file={key}&namespace=turn{number}" if self.url else url
        if self.contestant == _RECIPE:
            own = f"{url.removesuffix('/0')}/{number % 16}"
        return Run(self.contestant, vendor.place(store_url=own, early=self.early))


def _cases(stores: dict[str, str]) -> list[Case]:
    cases = [
        Case(store, _OURS, early, url)
        for store, url in {_ALONE: "", **stores}.items()
        for early in (_EARLY, 0)
    ]
    rivals = dict(contestants.found([_RECIPE, _RIVAL]))
    if _RECIPE in rivals:
        cases += [Case(store, _RECIPE, _MARGIN, url) for store, url in stores.items() if "redis:" in url]
    return cases + ([Case(_ALONE, _RIVAL, _MARGIN)] if _RIVAL in rivals else [])


def _row(turns: Sequence[Turn]) -> dict[str, Any]:
    edge = [time for turn in turns for time in turn.edge]
    between = [time for turn in turns for time in turn.between]
    return {
        "renewals_per_expiry": round(_renewals(turns), 3),
        "failures": dict(sum((turn.failures for turn in turns), Counter[str]())),
        "refusals": sum(turn.refusals for turn in turns),
        "edge_ms": _percentiles(edge),
        "between_ms": _percentiles(between),
        "p99_ratio": spread([_p99(turn.edge) / _p99(turn.between) for turn in turns], 2),
        "longest_round_trip_ms": [round(turn.round_trip, 1) for turn in turns],
        "requests": len(edge) + len(between),
        "busy": round(statistics.median(turn.busy for turn in turns), 2),
    }


def _renewals(turns: Sequence[Turn]) -> float:
    return sum(turn.calls for turn in turns) / sum(turn.expiries for turn in turns)


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def _percentiles(times: Sequence[float]) -> dict[str, float]:
    return {
        "p50": round(statistics.median(times), 2),
        "p99": round(_p99(times), 2),
        "longest": round(max(times), 2),
    }


def _show(report: Report, results: dict[str, dict[str, Any]]) -> None:
    rows = [
        [
            name,
            f"{found['renewals_per_expiry']:.2f}",
            f"{sum(found['failures'].values())} of {found['requests']}",
            str(found["refusals"]),
            *(" ".join(f"{ms:g}" for ms in found[when].values()) for when in ("between_ms", "edge_ms")),
            shown(found["p99_ratio"]),
            f"{found['busy']:.0%}",
        ]
        for name, found in results.items()
    ]
    head = ["", "renewals per expiry", "failed", "401", "between", "at the edges", "edge / between", "busy"]
    title = (
        f"{_PROCESSES} processes x {_TASKS} tasks; ms are p50, p99 and the longest; "
        "p99 at the edges / between them in each round, with quartiles; busy: of the processors"
    )
    report.table(title, head, rows)


def _aims(report: Report, turns: dict[Case, list[Turn]], floors: dict[str, float]) -> None:
    for case, each in turns.items():
        if not case.ours:
            continue
        if case.url:
            report.aim(f"{case.name}: renewals per expiry", round(_renewals(each), 3), 1)
        if case.early:
            ratios = [_p99(turn.edge) / _p99(turn.between) for turn in each]
            report.aim(f"{case.name}: p99 at the edges / between", round(statistics.median(ratios), 2), 1.2)
        else:
            waits = [
                (max(turn.edge) - _p99(turn.between)) / (turn.round_trip + 2 * floors[case.store])
                for turn in each
            ]
            what = f"{case.name}: longest wait / (vendor's round trip + 2 floors)"
            report.aim(what, round(statistics.median(waits), 2), 1)


def _plot_edges(report: Report, turns: dict[Case, list[Turn]]) -> None:
    series = {
        case.name: [dot for dot in each[-1].dots if abs(dot[0]) < LIFE / 2]
        for case, each in turns.items()
        if "file" not in case.store and (case.url or not case.ours)
    }
    report.plot(
        Plot(
            name="latency_at_an_expiry",
            title="Each request across one expiry",
            x="seconds from the first process' having the next token",
            y="ms",
            series=series,
            kind="dots",
            log="y",
        )
    )


async def _by_processes(
    cases: Sequence[Case], workers: Sequence[WorkerProcess], key: Path
) -> dict[str, list[tuple[float, float]]]:
    """Have fewer and more processes, all contestants at the same time: renewals per expiry of each."""
    found: dict[str, list[tuple[float, float]]] = {case.who: [] for case in cases}
    async with _vendors(len(cases) + 1) as (probe, *vendors):
        for processes in _FEWER:
            runs = [(case.run(vendor, key), vendor) for case, vendor in zip(cases, vendors, strict=True)]
            turns = await turn(workers[:processes], runs, probe, _FEW_TASKS, _EVERY)
            for case, done in zip(cases, turns, strict=True):
                found[case.who].append((processes, round(_renewals([done]), 2)))
    return found


def _show_by_processes(report: Report, found: dict[str, list[tuple[float, float]]]) -> None:
    rows = [[name, *(f"{renewals:.2f}" for _, renewals in points)] for name, points in found.items()]
    report.table("renewals per expiry, by the number of processes", ["", *map(str, _FEWER)], rows)
    report.results["by processes"] = found
    report.plot(
        Plot(
            name="renewals_by_processes",
            title="Renewals per expiry",
            x="processes",
            y="renewals for one expiry",
            series=found,
        )
    )


async def _turns(
    cases: Sequence[Case], workers: Sequence[WorkerProcess], key: Path, rounds: int
) -> dict[Case, list[Turn]]:
    turns: dict[Case, list[Turn]] = {case: [] for case in cases}
    async with _vendors(2) as (vendor, probe):
        for number in range(rounds):
            start = number % len(cases)  # each round begins with another one
            for case in (*cases[start:], *cases[:start]):
                turns[case] += await turn(workers, [(case.run(vendor, key), vendor)], probe, _TASKS, _EVERY)
    return turns


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=5)
    async with (
        shared_stores() as stores,
        running("benchmarks.edges_worker", _PROCESSES, {}) as workers,
    ):
        floors = {store: await _floor(url) for store, url in {_ALONE: "", **stores}.items()}
        cases = _cases(stores)
        with a_key() as key:
            turns = await _turns(cases, workers, key, report.rounds)
            chosen = [case for case in cases if case.url.startswith("redis") or not case.ours]
            by_processes = await _by_processes(chosen, workers, key)
    report.results |= {case.name: _row(each) for case, each in turns.items()}
    _show(report, report.results)
    _show_by_processes(report, by_processes)
    _aims(report, turns, floors)
    _plot_edges(report, turns)
    durations = {"every": _EVERY, "token_lifetime": LIFE, "vendor_latency": LATENCY}
    report.write(processes=_PROCESSES, tasks=_TASKS, floors_ms=floors, **durations)


@asynccontextmanager
async def _vendors(number: int) -> AsyncIterator[list[Vendor]]:
    async with AsyncExitStack() as stack:
        started = (running_vendor(lifetime=LIFE, latency=LATENCY) for _ in range(number))
        yield [await stack.enter_async_context(vendor) for vendor in started]


async def _floor(url: str) -> float:
    """Return what bare word of a change takes, in ms; nothing within a process."""
    return statistics.median(await wakeup.floors(url, _PROCESSES, _FLOORS)) if url else 0.0


@contextmanager
def a_key() -> Iterator[Path]:
    """Make a key ring's file, for all processes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        path.touch(mode=0o600)
        path.write_text(KeyRing.generate().dump())
        yield path


if __name__ == "__main__":
    asyncio.run(_main())
