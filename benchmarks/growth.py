"""What do 1 to 100,000 keys cost: in RAM, in each store, and for who lists, reads or renews?

`PYTHONPATH=tests python -m benchmarks.growth`, in the project's folder: servers are those of the tests. Each
key is a user's token of its own, with a refresh token for one use; stores are sealed, but for the one in
memory. A round stands for 1,000 keys at most, so few rounds are quick.

- stored: bytes that a key takes: of RAM (in memory), of whole blocks on disk, of the server's `used_memory`.
- RAM: bytes that a key takes in a process that uses all of them, beside the token's own strings, traced by
  `tracemalloc`: the manager's part, the store object's, and what follows other workers' changes. What the
  store in memory keeps itself is `stored`. Which lines take the most is in the results.
- read, renew: a read of one key; the three store operations of a renewal (read, grant, commit). Each number
  of keys has a place of its own, and all take turns in each round.

How many tasks one key can have is in `tasks`, how many processes in `commands` and `edges`.
"""

import asyncio
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import attrs

from asyncauth import RefreshPolicy, Token, open_store
from asyncauth import _transitions as transitions
from asyncauth._answers import View
from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._codec import encode
from asyncauth._issue import first_entry, new_id
from asyncauth._ledger import Ledger
from asyncauth.abc import AuthScheme, TokenStore
from asyncauth.schemes import RefreshToken
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing
from benchmarks.operations import renew
from benchmarks.ram import all_of, ram_in_use, traced, traced_bytes
from benchmarks.report import Plot, Report, shown, spread
from redis_costs import release
from redis_servers import RedisServer, binaries

_SIZES: Final = (1, 100, 1_000, 10_000, 100_000)
_MOST_FILES: Final = 10_000
"""A key is a file, of one block at least: more of them would fill a disk, not answer another question."""
_USED: Final = 10_000
"""Of so many, at most, is the RAM measured: tracing makes it slow, and it is the same for each."""
# Nothing is given up because tracing makes it slow.
_POLICY: Final = RefreshPolicy(store_timeout=60, lease=70, quarantine=100, wait=120)
_AIM: Final = 2048


@final
@attrs.frozen
class Place:
    """Where some keys are.

    Attributes:
        open: Opens a handle.
        size: Returns how many bytes are taken.
    """

    open: Callable[[], TokenStore]
    size: Callable[[], int]


Maker = Callable[[int], Place]
"""Returns a place for so many keys, of its own."""


def _schemes(count: int) -> list[AuthScheme]:
    url = "https://api.example.com/token"
    schemes = [RefreshToken(url, client_id="app", client_secret="s", subject=f"{i}") for i in range(count)]
    for scheme in schemes:
        _ = scheme.key, scheme.fingerprint  # the application's, as the scheme is
    return list(schemes)


def _token() -> Token:
    access, refresh = (f"{random.getrandbits(256):064x}" for _ in range(2))
    return Token(access_token=access, refresh_token=refresh, expires_in=86_400)


async def _fill(store: TokenStore, schemes: Sequence[AuthScheme]) -> None:
    nothing = await store.read(store.name(schemes[0].key))

    async def put(scheme: AuthScheme) -> None:
        entry = first_entry(new_id(), _token(), scheme, issued_at=nothing.now)
        view = View(record=None, now=nothing.now, incarnation=nothing.incarnation)
        record = transitions.put(view, entry, _POLICY).record
        assert record is not None
        await store.write(store.name(scheme.key), encode(record), nothing, wake=False)

    await all_of(schemes, put)


async def _timed(operation: Awaitable[object]) -> float:
    start = time.perf_counter()
    await operation
    return (time.perf_counter() - start) * 1000


async def _listed(store: TokenStore) -> int:
    return len([name async for name in store.keys()])  # noqa: SIM118 - no mapping


async def _stored(
    kind: str, place: Place, store: TokenStore, schemes: Sequence[AuthScheme]
) -> dict[str, Any]:
    """Fill a place, and return how many bytes a key takes there."""
    await _fill(store, schemes[:1])  # what is made once is no key's
    if len(schemes) == 1:
        return {}
    with traced() if kind == "memory" else nullcontext():
        one = place.size()
        await _fill(store, schemes[1:])
        return {"stored": round((place.size() - one) / (len(schemes) - 1))}


async def _turns(
    stores: Mapping[int, TokenStore], schemes: Sequence[AuthScheme], rounds: int
) -> dict[str, dict[int, list[float]]]:
    """Return what one operation took in milliseconds, for each number of keys, in turns."""
    ledgers = {size: Ledger(store, SYSTEM_CLOCK, _POLICY) for size, store in stores.items()}
    taken = {what: {size: list[float]() for size in stores} for what in ("read_ms", "renew_ms")}
    for _ in range(rounds):
        for size, store in stores.items():
            name = store.name(random.choice(schemes[:size]).key)  # noqa: S311 - no secret
            taken["read_ms"][size].append(await _timed(store.read(name)))
            taken["renew_ms"][size].append(await _timed(renew(ledgers[size], name, _POLICY)))
    return taken


async def _measure(kind: str, make: Maker, schemes: Sequence[AuthScheme], rounds: int) -> dict[int, Any]:
    """Return what is found for each number of keys."""
    sizes = [size for size in _SIZES if size <= min(len(schemes), _MOST_FILES if kind == "file" else size)]
    found, stores = dict[int, dict[str, Any]](), dict[int, TokenStore]()
    async with AsyncExitStack() as stack:
        for size in sizes:
            place = make(size)
            store = stores[size] = await stack.enter_async_context(place.open())
            found[size] = await _stored(kind, place, store, schemes[:size])
            found[size]["list_ms"] = round(await _timed(_listed(store)), 1)
            if 1 < size <= _USED:
                async with place.open() as used:
                    found[size] |= await ram_in_use(used, schemes[:size], _POLICY)
        turns = await _turns(stores, schemes, max(rounds, 2))
    for what, taken in turns.items():
        for size in sizes:
            ratios = [many / one for many, one in zip(taken[size], taken[1], strict=True)]
            found[size] |= {what: spread(taken[size], 3), f"{what}_over_one_key": spread(ratios, 2)}
    return found


def _on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def _of_server(server: RedisServer) -> int:
    [used] = re.findall(rb"used_memory:(\d+)", server.command("INFO", "memory"))
    return int(used)


@asynccontextmanager
async def _makers() -> AsyncIterator[dict[str, Maker]]:
    """Yield what makes the places that this machine can have, by kind."""
    key = KeyRing.generate().dump()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:

        def in_memory(size: int) -> Place:
            del size
            memory = MemoryTokenStore()
            return Place(lambda: memory, traced_bytes)

        def in_files(size: int) -> Place:
            own = Path(folder, str(size))
            return Place(partial(open_store, f"file://{own}", key=key), partial(_on_disk, own))

        def on_server(binary: Path, size: int) -> Place:
            del size
            server = stack.enter_context(RedisServer(binary))
            return Place(partial(open_store, server.url, key=key), partial(_of_server, server))

        makers: dict[str, Maker] = {"memory": in_memory, "file": in_files}
        for kind, binary in list(binaries().items())[:1]:
            with RedisServer(binary) as server:
                name = f"{kind} {release(server)}"
            makers[name] = partial(on_server, binary)
        yield makers


def _row(kind: str, size: int, found: Mapping[str, Any]) -> list[str]:
    counted = [str(found.get(name, "-")) for name in ("stored", "ram", "list_ms")]
    timed = [f"{found[what]['median']:g}" for what in ("read_ms", "renew_ms")]
    ratios = [shown(found[f"{what}_over_one_key"]) for what in ("read_ms", "renew_ms")]
    return [kind, f"{size:,}", *counted, timed[0], ratios[0], timed[1], ratios[1]]


def _show(report: Report) -> None:
    head = ["", "keys", "stored", "RAM", "list ms", "read ms", "over one key's", "renew ms", "over one key's"]
    rows = [_row(kind, size, each) for kind, sizes in report.results.items() for size, each in sizes.items()]
    report.table("bytes of each key, and milliseconds; ratios within a round, quartiles", head, rows)
    for kind, sizes in report.results.items():
        [*_, largest] = (each["ram"] for each in sizes.values() if "ram" in each)
        report.aim(f"RAM per key beside the token's own strings, {kind}, bytes", largest, _AIM)


def _plot(report: Report, name: str, title: str, y: str, what: str) -> None:
    def height(found: Mapping[str, Any]) -> float:
        value = found[what]
        return float(value["median"] if isinstance(value, dict) else value)

    series = {
        kind: [(float(size), height(each)) for size, each in sizes.items() if what in each]
        for kind, sizes in report.results.items()
    }
    report.plot(Plot(name, title, "keys", y, series, log="x" if what == "ram" else "xy"))


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=100)
    schemes = _schemes(max(size for size in _SIZES if size <= report.rounds * 1000))
    async with _makers() as makers:
        for kind, make in makers.items():
            print(f"{kind} ...", file=sys.stderr)
            report.results[kind] = await _measure(kind, make, schemes, report.rounds)
    _show(report)
    _plot(report, "growth_ram", "RAM per key that is in use", "bytes", "ram")
    _plot(report, "growth_read", "A read, over the number of keys", "ms", "read_ms")
    _plot(report, "growth_renew", "A renewal's store operations, over the number of keys", "ms", "renew_ms")
    report.write(keys_used=_USED)


if __name__ == "__main__":
    asyncio.run(_main())
