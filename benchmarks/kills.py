"""How soon do others have a token when the process that renews it is killed, and is any token lost?

`PYTHONPATH=tests python -m benchmarks.kills`, in the project's folder: the processes are those of the
tests. kill -9 of the renewing worker at random moments (seeded) between its asking for the token and what
a renewal takes at least, with the default durations and sealed stores. Two other workers ask as soon as
the first one has begun. The vendor answers at once, on loopback. Kinds of credentials as in the protocol:
N can log in again; R has one-time refresh tokens, whose reuse ends the authorization; Rg has them with a
reuse window.

Each kill has a stage, seen afterwards: the worker had not told that it has the lease (it may have had it);
it had, and the vendor had no request; the vendor had acted, and its answer was not stored; all was
stored. All but the last are interrupted. A token of kind R that was spent and whose answer is gone cannot
be saved by anybody: there the next worker finds out, says so, and a person has to authorize again.

The rival is the recipe with redis-py's lock, whose lock lasts 30 s: 8 kills at most, all after each other, of
each of the kinds N and R, within the 25 ms that a renewal takes with a vendor that takes 20 ms; the others
ask at the moment of the kill. Its stages are what Redis holds just after it; of its tokens of kind R those
are lost that were spent, which nobody can save.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from asyncauth import RefreshPolicy
from asyncauth_stores.sealed import KeyRing
from benchmarks import kills_rival
from benchmarks.report import Report, shown, spread
from kill_fleet import KINDS, ONE_TIME, Kind, Nursery, Place, a_nursery
from kill_rounds import Kill, draw_moments, kills_at_random
from redis_servers import RedisServer, binaries

# Renewed at the end only, so that calls can be counted; the store's time-out is for busy machines.
_POLICY: Final = RefreshPolicy(store_timeout=2, early_share=0.001, early_min=0.001)
_SEED: Final = 5
_AT_ONCE: Final = 10
"""Kills that wait out a lease at the same time; where nothing is waited out, there is one at a time."""
_STAGES: Final = ("not begun", "begun", "spent", "stored")


async def _measure(kind: Kind, place: Place, nursery: Nursery, kills: int) -> list[Kill]:
    waits = kind.person or not place.url.startswith("file:")
    lanes = min(_AT_ONCE, kills) if waits else 1
    moments = draw_moments(_SEED, kills)
    each = [
        kills_at_random(kind, place, nursery, _POLICY, moments=moments[lane::lanes]) for lane in range(lanes)
    ]
    return [kill for done in await asyncio.gather(*each) for kill in done]


def _promised(kind: Kind, kill: Kill) -> bool:
    return kind is not ONE_TIME or kill.stage != "spent"


def _results(kind: Kind, kills: Sequence[Kill]) -> dict[str, Any]:
    promised = [kill for kill in kills if _promised(kind, kill)]
    return {
        "kills": len(kills),
        "stages": dict(Counter(kill.stage for kill in kills)),
        "tokens_lost_where_promised": sum(kill.waited is None for kill in promised),
        "families_revoked_where_promised": sum(kill.revoked for kill in promised),
        "tokens_lost_that_nobody_can_save": sum(
            kill.waited is None for kill in kills if not _promised(kind, kill)
        ),
        "most_vendor_calls": max(kill.calls for kill in kills),
        "waited_ms": {
            "interrupted": _waited([kill for kill in kills if kill.stage != "stored"]),
            **{stage: _waited([kill for kill in kills if kill.stage == stage]) for stage in _STAGES},
        },
    }


def _waited(kills: Sequence[Kill]) -> dict[str, float] | None:
    times = [kill.waited * 1000 for kill in kills if kill.waited is not None]
    return {**spread(times, 1), "longest": round(max(times), 1)} if len(times) > 1 else None


def _show(report: Report, place: str, results: dict[str, Any]) -> None:
    rows = [
        [
            kind,
            f"{found['kills']} {dict(found['stages'])}",
            f"{found['tokens_lost_where_promised']} and {found['families_revoked_where_promised']}",
            str(found["tokens_lost_that_nobody_can_save"]),
            *(shown(waited) if waited else "-" for waited in found["waited_ms"].values()),
        ]
        for kind, found in results.items()
    ]
    head = ["", "kills", "lost and revoked where promised", "not to be saved"]
    stages = [f"{stage}, ms" for stage in ("interrupted", *_STAGES)]
    title = f"{place}; ms from the kill until both others have a token: median, and quartiles in brackets"
    report.table(title, [*head, *stages], rows)


async def _show_rival(report: Report, binary: Path) -> None:
    found = await kills_rival.kills(binary, _SEED, min(report.rounds, kills_rival.MOST))
    name = kills_rival.name()
    report.results[name] = found
    rows = [
        [
            kind,
            f"{of['kills']} {of['stages']}",
            f"{of['tokens_lost']} and {of['families_revoked']}",
            shown(of["waited_ms"]) if of["waited_ms"] else "-",
        ]
        for kind, of in found.items()
    ]
    title = f"{name}; ms from the kill until both others have a token, of kills that left the lock"
    report.table(title, ["", "kills", "lost and revoked", "begun, ms"], rows)


@asynccontextmanager
async def _places() -> AsyncIterator[dict[str, Place]]:
    """Yield the stores that this machine can have, by kind."""
    key = KeyRing.generate().dump()
    with tempfile.TemporaryDirectory() as folder:
        files = {"file": Place(f"file://{folder}/tokens", key)}
        if not binaries():
            print("no Redis or Valkey server: files only", file=sys.stderr)
            yield files
            return
        name, binary = next(iter(binaries().items()))
        with RedisServer(binary) as server:
            yield {**files, name: Place(server.url, key)}


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=50)
    results = report.results
    async with _places() as places:
        for name, place in places.items():
            results[name] = {}
            for kind in KINDS:
                async with a_nursery() as nursery:
                    kills = await _measure(kind, place, nursery, report.rounds)
                results[name][kind.name] = _results(kind, kills)
            _show(report, name, results[name])
    if binaries():
        await _show_rival(report, next(iter(binaries().values())))
    durations = {name: getattr(_POLICY, name) for name in ("lease", "heartbeat", "grace", "quiet")}
    report.write(seed=_SEED, durations=durations)


if __name__ == "__main__":
    asyncio.run(_main())
