"""How soon after an expiry do all processes have the new token, and what does it cost the store?

`PYTHONPATH=tests python -m benchmarks.renewal`, in the project's folder: the processes are those of
the tests. One vendor on loopback, eight workers with sealed stores. An expiry is an hour by which
their clocks and the vendor's are moved on. Each round has two of them:

- all ask: every worker wants the token in the same moment, and waits for it. Counted from that moment.
- one asks: the others rest. Counted from when the one has stored the token to when the last has it.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, final

import attrs

from asyncauth import RefreshPolicy
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from benchmarks.places import shared_stores
from benchmarks.report import Report, shown, spread
from fleet_of_processes import HOUR, ProcessFleet, a_fleet_of_processes

_WORKERS: Final = 8
_POLICY: Final = RefreshPolicy(store_timeout=2)
_SETTLED: Final = 0.3
"""Seconds in which resting workers have looked at what woke them."""
_IN_WAITING: Final = ("read", "write", "changed", "hold", "is_held")


@final
@attrs.frozen
class Expiry:
    """What one expiry took: milliseconds, and store operations by name.

    Attributes:
        all_have_it: From the expiry to the last worker's having the token.
        woken: From when it was stored to the last worker's having it.
        renewing: Operations of the worker that renewed.
        others: Operations of the others, on their average.
    """

    all_have_it: float
    woken: float
    renewing: dict[str, float]
    others: dict[str, float]


async def _expiry(fleet: ProcessFleet, asking: int) -> Expiry:
    """Let a token expire, have so many workers ask for it at once, and look at what happened."""
    await fleet.expire()
    before = await fleet.all("facts")
    start = time.time() + 0.05
    await asyncio.gather(*(worker.ask("token", at=start) for worker in fleet.workers[:asking]))
    await asyncio.sleep(_SETTLED)
    after = await fleet.all("facts")
    events = [dict(event for event in facts["events"] if event[1] >= start) for facts in after]
    [renewer] = [number for number, happened in enumerate(events) if "TokenRenewed" in happened]
    had_at = [max(happened.values()) for happened in events]
    calls = [Counter(now["calls"]) - Counter(then["calls"]) for now, then in zip(after, before, strict=True)]
    return Expiry(
        all_have_it=(max(had_at) - start) * 1000,
        woken=(max(had_at) - events[renewer]["TokenRenewed"]) * 1000,
        renewing=_mean([calls[renewer]]),
        others=_mean([*calls[:renewer], *calls[renewer + 1 :]]),
    )


def _mean(calls: Sequence[Counter[str]]) -> dict[str, float]:
    return {name: round(statistics.mean(each[name] for each in calls), 1) for name in _IN_WAITING}


def _results(expiries: Sequence[Expiry]) -> dict[str, Any]:
    def operations(of: str) -> dict[str, float]:
        each = [getattr(expiry, of) for expiry in expiries]
        return {name: round(statistics.mean(one[name] for one in each), 1) for name in _IN_WAITING}

    return {
        "all_have_it_ms": spread([expiry.all_have_it for expiry in expiries], 1),
        "woken_ms": spread([expiry.woken for expiry in expiries], 1),
        "latest_woken_ms": round(max(expiry.woken for expiry in expiries), 1),
        "store_operations_of_the_renewing_worker": operations("renewing"),
        "store_operations_of_each_other_worker": operations("others"),
    }


async def _measure(store: str, rounds: int) -> dict[str, Any]:
    all_ask, one_asks = list[Expiry](), list[Expiry]()
    async with (
        OAuth2Emulator(access_lifetime=HOUR, record=False) as vendor,
        a_fleet_of_processes(vendor, store, KeyRing.generate().dump(), _POLICY) as fleet,
    ):
        await fleet.start(_WORKERS)
        await fleet.all_at_once("token")
        await asyncio.sleep(_SETTLED)
        for _ in range(rounds):
            all_ask.append(await _expiry(fleet, _WORKERS))
            one_asks.append(await _expiry(fleet, 1))
        assert vendor.stats.token_calls == 1 + 2 * rounds, "more than one renewal for an expiry"
    return {"all ask": _results(all_ask), "one asks": _results(one_asks)}


def _show(report: Report, store: str, results: dict[str, Any]) -> None:
    columns = ("store_operations_of_the_renewing_worker", "store_operations_of_each_other_worker")
    rows = [
        [
            name,
            shown(result["all_have_it_ms"]) if name == "all ask" else "-",
            shown(result["woken_ms"]),
            *(
                ", ".join(f"{what} {calls:g}" for what, calls in result[of].items() if calls)
                for of in columns
            ),
        ]
        for name, result in results.items()
    ]
    report.table(
        f"{store}; ms are medians, with quartiles in brackets; store operations are means",
        ["", "all have it, ms", "woken, ms", "renewing worker", "each other worker"],
        rows,
    )


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=20)
    async with shared_stores() as stores:
        for kind, url in stores.items():
            report.results[kind] = await _measure(url, report.rounds)
            _show(report, kind, report.results[kind])
    report.write(workers=_WORKERS)


if __name__ == "__main__":
    asyncio.run(_main())
