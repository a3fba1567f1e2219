"""What do 10,000 workers with 100,000 keys ask of a Redis Cluster and of the vendor, and what breaks first?

`PYTHONPATH=tests python -m benchmarks.at_scale`, in the project's folder, after `commands` and `growth`,
whose results it takes. A simulation, on paper and in code: `scale_model` says how, `scale_costs` measures
what a local server spends on each look, write and message. The policy's durations, and the code that draws
when an entry is renewed, are asyncauth's own.

A cluster of 16 shards; tokens of an hour; a vendor that answers in 0.3 s; each worker sends a request every
ten seconds with each of its keys. A table for tokens that are audited, because their refresh tokens are for
one use, and one for others. The vendor's calls are drawn for a deployment that had all its first tokens
within a minute.

- breaks first: with so many workers, for the same keys and keys of each, a shard's thread has more than 70 %
  to do, or 8 GiB of memory or 10,000 connections (Redis' default) are used up; or one key's workers keep it
  busy for longer than `store_timeout` at a renewal. Before: with so many keys a worker has used up 1 GiB.
- checked: from what 1 and 8 processes sent to a server, what 32 should send; and what they did.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import attrs

from asyncauth import RefreshPolicy
from benchmarks.page import RESULTS
from benchmarks.report import Plot, Report
from benchmarks.scale_costs import measured
from benchmarks.scale_model import (
    Costs,
    Fleet,
    Load,
    breaking_point,
    expiry_commands,
    load,
    mean_period,
    vendor_calls,
)
from redis_costs import release
from redis_servers import RedisServer, binaries

_POLICY: Final = RefreshPolicy()
# As patient as it takes on a machine that does other things.
_PATIENT: Final = RefreshPolicy(store_timeout=10, lease=31, quarantine=51, wait=70)
_FLEETS: Final = (
    Fleet(workers=1_000, keys=10_000, keys_each=100),
    Fleet(workers=10_000, keys=100_000, keys_each=10),
    Fleet(workers=10_000, keys=100_000, keys_each=100),
    Fleet(workers=10_000, keys=100_000, keys_each=1_000),
    Fleet(workers=10_000, keys=100_000, keys_each=100_000),
    Fleet(workers=10_000, keys=1, keys_each=1),
)
_LIMITS: Final[Mapping[str, Callable[[Load], float]]] = {
    "a shard's thread": lambda found: found.busy / 0.7,
    "one key's burst": lambda found: found.burst / _POLICY.store_timeout,
    "connections": lambda found: found.connections / 10_000,
    "a shard's memory": lambda found: found.memory / 8192,
}
"""How much of what there is a load takes."""
_SERVERS: Final = ("redis", "valkey")
_WORKER_MEMORY: Final = 1024
_START: Final = 60.0
_HOURS: Final = 12.0
_LAST_HOUR: Final = (_HOURS - 1) * 3600
_MINUTE: Final = 60


def _taken(name: str) -> dict[str, Any]:
    """Return another benchmark's results: for the kind of server that this one measures, if it had that."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        sys.exit(f"first: python -m benchmarks.{name} --json {path.name}, as python -m benchmarks does")
    results = json.loads(path.read_text())["results"]
    of_servers = [kind for kind in results if kind.startswith(_SERVERS)]
    own = [kind for kind in of_servers if kind.startswith(next(iter(binaries())))]
    found: dict[str, Any] = results[(own or of_servers)[0]]
    return found


def _largest(growth: Mapping[str, Any], what: str) -> float:
    return float([found[what] for _, found in sorted(growth.items(), key=_count) if what in found][-1])


def _count(item: tuple[str, object]) -> int:
    return int(item[0])


def _sent(commands: Mapping[str, Any], processes: int) -> float:
    """Return the commands of an expiry; a connection's probes come with time, whatever happens."""
    sent = commands[f"{processes} processes"]["commands_per_expiry"]
    return float(sum(count for name, count in sent.items() if name != "ping"))


def _costs(server_side: Mapping[str, float]) -> Costs:
    commands, growth = _taken("commands"), _taken("growth")
    return Costs(
        renewing=_sent(commands, 1),
        waiting=(_sent(commands, 8) - _sent(commands, 1)) / 7,
        stored=_largest(growth, "stored"),
        ram=_largest(growth, "ram"),
        **server_side,
    )


def _breaks(fleet: Fleet, costs: Costs) -> str:
    """Say what breaks first and next when there are more workers, and with how many of them."""

    def fits(limit: Callable[[Load], float], workers: int) -> bool:
        return limit(load(attrs.evolve(fleet, workers=workers), costs, _POLICY)) <= 1

    points = {name: breaking_point(partial(fits, limit)) for name, limit in _LIMITS.items()}
    found = {name: workers for name, workers in points.items() if workers is not None}
    first = sorted(found, key=found.__getitem__)[:2]
    return ", then ".join(f"{name} ({_number(found[name])})" for name in first)


def _row(fleet: Fleet, costs: Costs) -> list[str]:
    found = load(fleet, costs, _POLICY)
    too_many = "" if found.worker_memory <= _WORKER_MEMORY else "a worker's memory; "
    return [
        f"{fleet.workers:,} x {fleet.keys:,}, {fleet.keys_each:,} each",
        *(_number(value) for value in (found.commands, found.messages, found.connections, found.memory)),
        f"{found.busy:.1%}",
        _number(found.burst * 1000),
        _number(found.worker_memory),
        _number(found.renewals),
        too_many + _breaks(fleet, costs),
    ]


def _number(value: float) -> str:
    """Return three digits, which is more than a model knows."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _show_fleets(report: Report, costs: Costs) -> None:
    head = ["workers x keys", "commands/s", "messages/s", "connections", "MiB", "thread", "burst ms"]
    head += ["MiB of a worker", "vendor calls/s", "breaks first (with so many workers)"]
    for one_time in (True, False):
        what = "audited" if one_time else "not audited"
        rows = [_row(attrs.evolve(fleet, one_time=one_time), costs) for fleet in _FLEETS]
        report.table(f"{what}; for each shard that has keys, of {_FLEETS[0].shards}", head, rows)


def _show_vendor(report: Report, keys: int) -> None:
    drawn = {
        name: vendor_calls(keys, _POLICY, life=_FLEETS[0].life, start=_START, hours=_HOURS, jitter=jitter)
        for name, jitter in (("with jitter", True), ("without", False))
    }
    period = mean_period(_POLICY, _FLEETS[0].life)
    rows = [
        [
            name,
            f"{keys / period:.1f}",
            str(max(calls.values())),
            str(max((count for at, count in calls.items() if at >= _LAST_HOUR), default=0)),
        ]
        for name, calls in drawn.items()
    ]
    head = ["", "mean", "peak", f"peak in hour {_HOURS:g}"]
    report.table(f"the vendor's calls per second, {keys:,} keys, first tokens in {_START:g} s", head, rows)
    report.results["vendor"] = {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}
    series = {name: _by_minute(calls) for name, calls in drawn.items()}
    title = f"Renewals of {keys:,} keys after a deployment"
    report.plot(
        Plot("at_scale_vendor", title, "minutes", "calls per second, mean of a minute", series, "dots")
    )


def _by_minute(calls: Counter[int]) -> list[tuple[float, float]]:
    minutes = Counter[int]()
    for at, count in calls.items():
        minutes[at // _MINUTE] += count
    return [(minute, minutes[minute] / _MINUTE) for minute in range(int(_HOURS * 60))]


def _show_growth(report: Report, costs: Costs) -> None:
    each = (1, 10, 100, 1_000, 10_000, 100_000)
    series = {
        name: [
            (
                float(k),
                load(Fleet(workers=10_000, keys=100_000, keys_each=k, one_time=o), costs, _POLICY).commands,
            )
            for k in each
        ]
        for name, o in (("audited", True), ("not audited", False))
    }
    title = "10,000 workers x 100,000 keys, 16 shards"
    report.plot(Plot("at_scale_shards", title, "keys of each worker", "commands/s/shard", series, log="xy"))


def _check(report: Report, costs: Costs) -> None:
    commands = _taken("commands")
    rows = []
    for processes in (1, 8, 32):
        model, seen = expiry_commands(costs, processes), _sent(commands, processes)
        rows.append([str(processes), f"{model:.1f}", f"{seen:.1f}", f"{model / seen - 1:+.1%}"])
    head = ["processes", "model", "measured", "difference"]
    report.table("commands per expiry; the model has its numbers from 1 and 8 processes", head, rows)
    report.results["check"] = rows


def _show_costs(report: Report, costs: Costs, server: str) -> None:
    report.results["costs"] = attrs.asdict(costs)
    rows = [[name.replace("_us", ", µs"), f"{value:.4g}"] for name, value in attrs.asdict(costs).items()]
    rows += [
        [f"{what}/s at most, if nothing else", _number(1e6 / us)]
        for what, us in (("looks", costs.read_us), ("writes", costs.write_us), ("messages", costs.message_us))
    ]
    report.table(
        f"what was measured, with {server}; bytes, commands, µs of a server's thread", ["", ""], rows
    )


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=20)
    if not binaries():
        sys.exit("no Redis or Valkey server")
    kind, binary = next(iter(binaries().items()))
    with RedisServer(binary) as server:
        name = f"{kind} {release(server)}"
        costs = _costs(await measured(server, report.rounds * 100, _PATIENT))
    _show_fleets(report, costs)
    _show_vendor(report, min(100_000, report.rounds * 5_000))
    _check(report, costs)
    _show_costs(report, costs, name)
    _show_growth(report, costs)
    report.write(fleets=[attrs.asdict(fleet) for fleet in _FLEETS], policy=attrs.asdict(_POLICY))


if __name__ == "__main__":
    asyncio.run(_main())
