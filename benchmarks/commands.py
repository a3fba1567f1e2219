"""How many commands does a renewal send to Redis, by the server's own count?

`PYTHONPATH=tests python -m benchmarks.commands`, in the project's folder: servers and processes are those
of the tests. The token expires for all processes at once, and all of them want it in the same moment: one
renews it, the others wait. Counted is what was sent (`INFO commandstats`), not what a script calls, and no
renewal lasts until a heartbeat. One process alone does what the renewing one does; what more there is with
others is what these cost.

Aim: the renewing process at 3 or less, each waiting one at 2 or less, requests in between at 0.
"""

import asyncio
import statistics
import sys
from collections import Counter
from typing import Any, Final

from benchmarks.report import Report
from redis_costs import Costs, a_counted_fleet, release
from redis_servers import RedisServer, binaries

_PROCESSES: Final = (1, 8, 32)
_REQUESTS: Final = 100


async def _measure(server: RedisServer, expiries: int) -> dict[int, Costs]:
    costs = {}
    for processes in _PROCESSES:
        server.command("FLUSHALL")
        async with a_counted_fleet(server, processes) as fleet:
            costs[processes] = await fleet.costs(expiries, _REQUESTS)
    return costs


def _results(costs: dict[int, Costs]) -> dict[str, Any]:
    alone = _mean(costs[1])
    return {
        f"{processes} processes": {
            "commands_per_expiry": _by_name(cost),
            "of_the_renewing_process": alone,
            "of_each_waiting_process": (
                None if processes == 1 else round((_mean(cost) - alone) / (processes - 1), 2)
            ),
            "for_requests_of_each_process": dict(cost.requests),
        }
        for processes, cost in costs.items()
    }


def _mean(cost: Costs) -> float:
    return statistics.mean(sum(expiry.values()) for expiry in cost.expiries)


def _by_name(cost: Costs) -> dict[str, float]:
    total = sum((Counter(expiry) for expiry in cost.expiries), Counter[str]())
    return {name: round(count / len(cost.expiries), 2) for name, count in total.items()}


def _show(report: Report, kind: str, results: dict[str, Any]) -> None:
    rows = [
        [
            name,
            ", ".join(f"{what} {count:g}" for what, count in found["commands_per_expiry"].items()),
            f"{found['of_the_renewing_process']:g}",
            "-" if found["of_each_waiting_process"] is None else f"{found['of_each_waiting_process']:g}",
            str(sum(found["for_requests_of_each_process"].values())),
        ]
        for name, found in results.items()
    ]
    head = ["", "sent", "renewing", "each waiting", f"{_REQUESTS} requests of each"]
    report.table(f"{kind}; commands per expiry, on the average of all expiries", head, rows)


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=10)
    if not binaries():
        sys.exit("no Redis or Valkey server")
    for kind, binary in binaries().items():
        with RedisServer(binary) as server:
            name = f"{kind} {release(server)}"
            report.results[name] = _results(await _measure(server, report.rounds))
            _show(report, name, report.results[name])
    report.write(requests_of_each=_REQUESTS)


if __name__ == "__main__":
    asyncio.run(_main())
