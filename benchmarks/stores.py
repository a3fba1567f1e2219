"""What do a store's operations cost, against the same by hand, and what a whole renewal?

`PYTHONPATH=tests python -m benchmarks.stores`, in the project's folder: the servers are those of the tests.
All take turns in each round, one operation after the other, with records of one KiB. By hand, which is the
floor of each round:

- memory: look into a dictionary, and put something into it, each in a coroutine;
- file: in a thread, open and read; write to another file, fsync, rename, and fsync the folder, as it takes
  for a record to survive a loss of power. Our records lie on the same file system;
- Redis: GET and SET by redis-py on a connection of its own, without a script.

What ours do besides: they compare versions in the same step, under a lock or in a script, and give the
place's own time; they wake who waits, and check who may read the folder.

A renewal is all that `TokenManager` does for a new token, with a vendor that answers in no time: a lease is
written, then the token; its floor is to write twice by hand.
"""

import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, final

import attrs
import redis.asyncio
from yarl import URL

from asyncauth import AuthScheme, RefreshPolicy, Token, TokenKey, TokenManager
from asyncauth.abc import AuthFlow, Placement, TokenStore
from asyncauth_stores.file import FileTokenStore, PlainFileStore
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.redis import PlainRedisStore, RedisTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore
from benchmarks.report import Report, shown, spread
from redis_costs import release
from redis_servers import RedisServer, binaries

_VALUE: Final = os.urandom(1024)
_NAME: Final = "0" * 64
_TIMES: Final = {"memory": 1000, "file": 40}
_TIMES_ELSEWHERE: Final = 150
_BY_HAND: Final = "by hand"
# A token is never too fresh to be renewed, so that asking for more life than any has renews it.
_POLICY: Final = RefreshPolicy(store_timeout=2, margin_share=1e-9)
_MORE_LIFE: Final = 1e6


Work = Callable[[], Awaitable[object]]


@final
@attrs.frozen
class AtOnce(AuthScheme):
    """A vendor that answers in no time: its logins send nothing."""

    @property
    def key(self) -> TokenKey:
        """One token for all."""
        return TokenKey(scheme="at_once", issuer="https://api.example.com", client="app")

    @property
    def fingerprint(self) -> str:
        """There is no credential."""
        return "app"

    @property
    def base_url(self) -> URL:
        """Nobody sends anything there."""
        return URL("https://api.example.com")

    def login(self) -> AuthFlow[Token]:
        """Return a token of an hour."""
        yield from ()
        return Token(access_token=os.urandom(400).hex(), expires_in=3600)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Do the same."""
        del token
        return self.login()

    def apply(self, token: Token) -> Placement:
        """Put nothing on requests: there are none."""
        del token
        return Placement()


@final
@attrs.frozen
class Way:
    """How a place is used: by hand, or by one of our stores."""

    read: Work
    write: Work
    renewal: Work


async def _way_of(store: TokenStore, stack: AsyncExitStack) -> Way:
    manager = TokenManager(await stack.enter_async_context(store), policy=_POLICY)
    stored = await store.read(_NAME)

    async def write() -> None:
        nonlocal stored
        stored = await store.write(_NAME, _VALUE, stored)

    return Way(
        read=lambda: store.read(_NAME),
        write=write,
        renewal=lambda: manager.token(AtOnce(), min_ttl=_MORE_LIFE),
    )


def _by_hand(read: Work, write: Work) -> Way:
    async def twice() -> None:
        await write()
        await write()

    return Way(read, write, twice)


async def _in_memory(stack: AsyncExitStack) -> dict[str, Way]:
    records = dict[str, bytes]()

    async def write() -> None:
        records[_NAME] = _VALUE

    async def read() -> bytes:
        return records[_NAME]

    sealed = SealedTokenStore(MemoryTokenStore(), KeyRing.generate())
    return {
        _BY_HAND: _by_hand(read, write),
        "plain": await _way_of(MemoryTokenStore(), stack),
        "sealed": await _way_of(sealed, stack),
    }


async def _in_files(folder: Path, stack: AsyncExitStack) -> dict[str, Way]:
    records, draft = folder / "records", folder / "draft"
    records.mkdir()
    place = records / "record"

    def write() -> None:
        with draft.open("wb", buffering=0) as file:
            file.write(_VALUE)
            os.fsync(file.fileno())
        draft.replace(place)
        names = os.open(records, os.O_RDONLY)
        os.fsync(names)
        os.close(names)

    def in_thread(work: Callable[[], object]) -> Work:
        return lambda: asyncio.get_running_loop().run_in_executor(None, work)

    return {
        _BY_HAND: _by_hand(in_thread(place.read_bytes), in_thread(write)),
        "plain": await _way_of(PlainFileStore(folder / "plain"), stack),
        "sealed": await _way_of(FileTokenStore(folder / "sealed", key=KeyRing.generate()), stack),
    }


async def _in_redis(url: str, stack: AsyncExitStack) -> dict[str, Way]:
    client = redis.asyncio.Redis.from_url(url, single_connection_client=True)
    stack.push_async_callback(client.aclose)
    return {
        _BY_HAND: _by_hand(lambda: client.get(_NAME), lambda: client.set(_NAME, _VALUE)),
        "plain": await _way_of(PlainRedisStore(url, namespace="plain"), stack),
        "sealed": await _way_of(RedisTokenStore(url, namespace="sealed", key=KeyRing.generate()), stack),
    }


@asynccontextmanager
async def _places() -> AsyncIterator[dict[str, dict[str, Way]]]:
    """Open all that this machine can have: what kinds there are, and the ways to use each."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {"memory": await _in_memory(stack), "file": await _in_files(folder, stack)}
        if binaries():
            kind, binary = next(iter(binaries().items()))
            server = stack.enter_context(RedisServer(binary))
            places[f"{kind} {release(server)}"] = await _in_redis(server.url, stack)
        else:
            print("no Redis or Valkey server", file=sys.stderr)
        yield places


async def _turn(work: Work, times: int) -> float:
    gc.collect()
    start = time.perf_counter()
    for _ in range(times):
        await work()
    return (time.perf_counter() - start) / times * 1e6


async def _measure(ways: Mapping[str, Way], rounds: int, times: int) -> dict[str, Any]:
    names = [field.name for field in attrs.fields(Way)]
    turns: dict[str, dict[str, list[float]]] = {way: {name: [] for name in names} for way in ways}
    for number in range(-1, rounds):  # one round warms up
        for operation in ("write", "read", "renewal"):
            for way, works in ways.items():
                taken = await _turn(getattr(works, operation), times if number >= 0 else 3)
                if number >= 0:
                    turns[way][operation].append(taken)
    return {way: {name: _result(turns[way][name], turns[_BY_HAND][name]) for name in names} for way in ways}


def _result(turns: list[float], floor: list[float]) -> dict[str, Any]:
    ratios = [ours / bare for ours, bare in zip(turns, floor, strict=True)]
    return {"us": round(statistics.median(turns), 2), "ratio": spread(ratios, 2)}


def _show(report: Report, place: str, results: dict[str, Any]) -> None:
    rows = [[way, *(_cell(result) for result in operations.values())] for way, operations in results.items()]
    head = ["", "read", "write", "a whole renewal"]
    report.table(f"{place}; µs, and times what it takes by hand, with quartiles in brackets", head, rows)


def _cell(result: dict[str, Any]) -> str:
    return f"{result['us']:g} µs, {shown(result['ratio'])}"


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=20)
    async with _places() as places:
        for place, ways in places.items():
            times = _TIMES.get(place, _TIMES_ELSEWHERE)
            report.results[place] = await _measure(ways, report.rounds, times)
            _show(report, place, report.results[place])
    report.write(times_per_turn={**_TIMES, "elsewhere": _TIMES_ELSEWHERE}, bytes=len(_VALUE))


if __name__ == "__main__":
    asyncio.run(_main())
