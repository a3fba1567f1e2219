"""What do 10,000 keys cost: in RAM, in each store, and for who lists, reads or renews?

`PYTHONPATH=tests python -m benchmarks.growth`, in the project's folder: servers, and the store in SQLite,
are those of the tests. Each key is a user's token of its own, with a refresh token; stores are sealed, but
for the one in memory.

- stored: bytes that a key takes: of RAM (in memory), of whole blocks on disk, of the server's `used_memory`.
- RAM: bytes that a key takes in a process that uses 2,000 of them, traced by `tracemalloc`, the store's own
  RAM for it aside. `known` is what stays when nothing is followed any more; the rest is one task per key
  that waits for other workers' changes. The token's own strings are in it, and are told apart.
- read, renew: a read of one key; the three store operations of a renewal (read, grant, commit). With one
  key in the store, and with all.

Aim: 2 KiB of RAM per key.
"""

import asyncio
import gc
import random
import re
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import attrs

from asyncauth import RefreshPolicy, Token, TokenManager, open_store
from asyncauth import _transitions as transitions
from asyncauth._acquire import acquire
from asyncauth._answers import Ask
from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._issue import first_entry, new_id
from asyncauth._ledger import Ledger
from asyncauth.abc import AuthScheme, TokenStore
from asyncauth.schemes import RefreshToken
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing
from benchmarks.report import Report, shown, spread
from redis_costs import release
from redis_servers import RedisServer, binaries
from sqlite_store import SQLiteStore

_KEYS: Final = 10_000
_USED: Final = 2_000
"""Of so many is the RAM measured: tracing makes it slow, and it is the same for each."""
_AT_ONCE: Final = 32
# Nothing is given up because tracing makes it slow.
_POLICY: Final = RefreshPolicy(store_timeout=60, lease=70, quarantine=100, wait=120)
_CALM: Final = 1.0
"""Seconds in which tasks that were started have come to rest."""
_LINES: Final = 12


@final
@attrs.frozen
class Place:
    """Where the keys are.

    Attributes:
        open: Opens a handle.
        size: Returns how many bytes are taken.
    """

    open: Callable[[], TokenStore]
    size: Callable[[], int]


def _schemes() -> list[AuthScheme]:
    url = "https://api.example.com/token"
    schemes = [RefreshToken(url, client_id="app", client_secret="s", subject=f"{i}") for i in range(_KEYS)]
    for scheme in schemes:
        _ = scheme.key, scheme.fingerprint  # the application's, as the scheme is
    return list(schemes)


def _token() -> Token:
    access, refresh = (f"{random.getrandbits(256):064x}" for _ in range(2))
    return Token(access_token=access, refresh_token=refresh, expires_in=86_400)


async def _all_of(schemes: Sequence[AuthScheme], work: Callable[[AuthScheme], Any]) -> None:
    left = iter(schemes)

    async def some() -> None:
        for scheme in left:
            await work(scheme)

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


async def _fill(place: Place, schemes: Sequence[AuthScheme]) -> None:
    async with place.open() as store:
        ledger = Ledger(store, SYSTEM_CLOCK, _POLICY)

        async def put(scheme: AuthScheme) -> None:
            issued_at = int(SYSTEM_CLOCK.wall() * 1000)
            entry = first_entry(new_id(), _token(), scheme, issued_at=issued_at)
            await ledger.run(store.name(scheme.key), partial(transitions.put, entry=entry, policy=_POLICY))

        await _all_of(schemes, put)


async def _times(place: Place, schemes: Sequence[AuthScheme], rounds: int) -> dict[str, Any]:
    """Return what one operation takes, in milliseconds."""
    reads, renewals = list[float](), list[float]()
    async with place.open() as store:
        ledger = Ledger(store, SYSTEM_CLOCK, _POLICY)
        for _ in range(rounds):
            name = store.name(random.choice(schemes).key)  # noqa: S311 - no secret
            reads.append(await _timed(store.read(name)))
            renewals.append(await _timed(_renew(ledger, name)))
    return {"read_ms": spread(reads, 3), "renew_ms": spread(renewals, 3)}


async def _renew(ledger: Ledger, name: str) -> None:
    record = (await ledger.look(name)).record
    assert record is not None
    assert record.entry is not None
    ask = Ask(
        attempt=new_id(),
        fingerprint="",
        seen=record.entry,
        refused=False,
        suspected_at=None,
        can_login=True,
        login_is_destructive=False,
        dead_holder=None,
    )
    await ledger.run(name, partial(acquire, ask=ask, policy=_POLICY))
    entry = attrs.evolve(record.entry, id=new_id(), ancestors=record.entry.lineage())
    await ledger.run(name, partial(transitions.commit, entry=entry, policy=_POLICY))


async def _timed(operation: Any) -> float:
    start = time.perf_counter()
    await operation
    return (time.perf_counter() - start) * 1000


async def _list(place: Place) -> float:
    async with place.open() as store:

        async def listed() -> None:
            assert len([name async for name in store.keys()]) == _KEYS  # noqa: SIM118 - no mapping

        return round(statistics.median([await _timed(listed()) for _ in range(3)]), 1)


async def _ram(place: Place, schemes: Sequence[AuthScheme]) -> dict[str, Any]:
    """Return how many bytes of RAM a key takes in a process that uses all of them."""
    async with place.open() as store:
        tracemalloc.start()
        manager = TokenManager(store, policy=_POLICY)
        async with manager:
            worker = manager.worker
            await _all_of(schemes, manager.token)
            token = await manager.token(schemes[0])
            await asyncio.sleep(_CALM)
            resting, lines, of_the_server = _traced(), _lines(), place.size()
        for scheme in schemes:
            worker.slot(scheme).watch = None  # an ended task keeps its frames
        known = _traced()
        tracemalloc.stop()
    return {
        "ram": round(resting / len(schemes)),
        "ram_known": round(known / len(schemes)),
        "ram_strings": sum(map(sys.getsizeof, _strings(token))),
        "stored_while_used": of_the_server,
        "ram_by_line": lines,
    }


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _lines() -> dict[str, int]:
    """Return which lines took the most, in bytes per key."""
    found = tracemalloc.take_snapshot().statistics("lineno")[:_LINES]
    return {
        "/".join(Path(line.traceback[0].filename).parts[-2:]) + f":{line.traceback[0].lineno}": round(
            line.size / _USED
        )
        for line in found
    }


def _strings(token: Token) -> list[str]:
    return [secret.reveal() for secret in (token.access_token, token.refresh_token) if secret is not None]


async def _measure(kind: str, place: Place, rounds: int) -> dict[str, Any]:
    schemes = _schemes()
    await _fill(place, schemes[:1])
    alone = await _times(place, schemes[:1], rounds)
    stored = await _stored(kind, place, schemes)
    ram = await _ram(place, schemes[:_USED])
    while_used = ram.pop("stored_while_used") - stored
    return {
        "stored": round(stored / _KEYS),
        # In memory this is the process' own RAM, which is told below.
        "more_stored_while_a_process_uses_it": None if kind == "memory" else round(while_used / _USED),
        **ram,
        "list_ms": await _list(place),
        "with one key": alone,
        f"with {_KEYS} keys": await _times(place, schemes, rounds),
    }


async def _stored(kind: str, place: Place, schemes: Sequence[AuthScheme]) -> int:
    if kind == "memory":
        tracemalloc.start()
    empty = place.size()
    await _fill(place, schemes)
    full = place.size()
    tracemalloc.stop()
    return full - empty


def _on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def _of_server(server: RedisServer) -> int:
    [used] = re.findall(rb"used_memory:(\d+)", server.command("INFO", "memory"))
    return int(used)


@asynccontextmanager
async def _places() -> AsyncIterator[dict[str, Place]]:
    """Yield the places that this machine can have, by kind."""
    key, memory = KeyRing.generate().dump(), MemoryTokenStore()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files, database = Path(folder, "files"), Path(folder, "sqlite")
        places = {
            "memory": Place(lambda: memory, _traced),
            "file": Place(partial(open_store, f"file://{files}", key=key), partial(_on_disk, files)),
            "sqlite": Place(
                partial(SQLiteStore.from_url, f"sqlite://{database}/tokens.db", key=key),
                partial(_on_disk, database),
            ),
        }
        for kind, binary in list(binaries().items())[:1]:
            server = stack.enter_context(RedisServer(binary))
            place = Place(partial(open_store, server.url, key=key), partial(_of_server, server))
            places[f"{kind} {release(server)}"] = place
        yield places


def _row(kind: str, found: dict[str, Any]) -> list[str]:
    alone, among_all = found["with one key"], found[f"with {_KEYS} keys"]
    return [
        kind,
        *(str(found[name]) for name in ("stored", "ram", "ram_known", "ram_strings", "list_ms")),
        *(shown(times[name]) for name in ("read_ms", "renew_ms") for times in (alone, among_all)),
    ]


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=100)
    async with _places() as places:
        for kind, place in places.items():
            print(f"{kind} ...", file=sys.stderr)
            report.results[kind] = await _measure(kind, place, report.rounds)
    head = ["", "stored", "RAM", "known", "strings", "list ms"]
    timed = ["read ms, one key", "all", "renew ms, one key", "all"]
    rows = [_row(kind, found) for kind, found in report.results.items()]
    report.table(f"{_KEYS} keys; bytes of each, and milliseconds", head + timed, rows)
    report.write(keys=_KEYS, keys_used=_USED)


if __name__ == "__main__":
    asyncio.run(_main())
