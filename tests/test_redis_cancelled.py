"""The Redis store when somebody is cancelled halfway: no place in a pool, no caller and no waiter is lost."""

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError

from asyncauth._errors import ClosedError, StoreUnavailableError
from asyncauth.testing._promise import create
from asyncauth_stores._redis_channel import Subscriber
from asyncauth_stores._redis_connection import _was_reset, taken_from
from asyncauth_stores._redis_errors import Place
from asyncauth_stores._redis_search import Search
from asyncauth_stores.redis import PlainRedisStore
from redis_servers import RedisServer, free_port, until

_NAME = "0a" * 32
_SECRET = b"the refresh token"


class _Peers:
    """A server that only accepts, on the same port each time, and can reset what it accepted."""

    def __init__(self) -> None:
        self.port = free_port()
        self.accepted: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.accepted.append(writer)

        server = await asyncio.start_server(accept, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()
            self.reset()

    def reset(self) -> None:
        for writer in self.accepted:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        self.accepted.clear()


async def test_a_reset_connection_that_cannot_be_made_again_gives_its_place_back() -> None:
    peers = _Peers()
    pool = ConnectionPool(
        host="127.0.0.1",
        port=peers.port,
        max_connections=1,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        driver_info=None,
    )
    for _ in range(2):
        async with peers.listening(), taken_from(pool, 5) as connection:
            await until(lambda: bool(peers.accepted))
        await until(lambda: _was_reset(connection))
        with pytest.raises(RedisConnectionError, match="Connect call failed"):
            async with taken_from(pool, 5):
                pass
    await pool.aclose()


class _Slow(CredentialProvider):
    """Looks credentials up, which takes its time."""

    def __init__(self) -> None:
        self.found = asyncio.Event()

    async def get_credentials_async(self) -> tuple[str, str]:
        await self.found.wait()
        return "app", "password"


@pytest.mark.servers
async def test_a_connection_that_was_cut_off_before_it_was_let_in_is_not_used(own_redis: RedisServer) -> None:
    own_redis.command("ACL", "SETUSER", "app", "on", ">password", "~*", "&*", "+@all")
    slow = _Slow()
    client = Redis(
        port=own_redis.port,
        db=3,
        credential_provider=slow,
        protocol=2,
        socket_timeout=None,
        driver_info=None,
    )
    async with client, PlainRedisStore(client) as store:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.read(_NAME)
        slow.found.set()
        await create(store, _NAME, _SECRET)
        # The default user may do everything here, and its database is 0.
        assert own_redis.command("KEYS", "*") == b"*0\r\n"
        assert (
            b"user=default" not in own_redis.command("CLIENT", "LIST", "TYPE", "normal").rpartition(b"id=")[0]
        )


@asynccontextmanager
async def _silence() -> AsyncIterator[int]:
    """A server that accepts and says nothing."""
    peers = _Peers()
    async with peers.listening():
        yield peers.port


@pytest.mark.parametrize("form", ["redis+sentinel://127.0.0.1:{}/main", "redis+cluster://127.0.0.1:{}"])
async def test_closing_cancels_nobody_who_searches_for_a_server(form: str) -> None:
    async with _silence() as port:
        store = PlainRedisStore(form.format(port))
        readers = [asyncio.create_task(store.read(_NAME)) for _ in range(3)]
        await asyncio.sleep(0.05)
        await store.aclose()
        for end in await asyncio.gather(*readers, return_exceptions=True):
            assert isinstance(end, ClosedError)


async def test_a_search_that_fails_after_everybody_left_is_not_complained_about() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    failing = asyncio.Event()

    async def ask(_: tuple[str, int]) -> None:
        await failing.wait()
        raise StoreUnavailableError("nobody knows")

    search = Search(ask, "nothing was found")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await search([("host", 1)])
    failing.set()
    await asyncio.sleep(0.05)
    del search
    gc.collect()
    assert complaints == []


class _Connection:
    """A connection to a server that confirms nothing, until it breaks."""

    _reader = None

    def __init__(self) -> None:
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.said: list[tuple[bytes | str, ...]] = []

    def pack_commands(self, commands: list[list[bytes | str]]) -> None:
        self.said.extend(tuple(command) for command in commands)

    async def send_packed_command(self, *_: Any, **__: Any) -> None:
        pass

    async def read_response(self, **_: Any) -> None:
        await self.broken

    async def disconnect(self, **_: Any) -> None:
        pass


class _Pool:
    """Gives such connections."""

    def __init__(self) -> None:
        self._available_connections: list[_Connection] = []
        self.made: list[_Connection] = []

    async def get_connection(self) -> _Connection:
        self.made.append(_Connection())
        return self.made[-1]

    async def release(self, _: _Connection) -> None:
        pass


def _subscriber() -> tuple[Subscriber, _Pool]:
    pool: Any = _Pool()
    return Subscriber(pool, Place("here", "app"), lambda: None), pool


async def _wait_at(subscriber: Subscriber, channel: str) -> None:
    rung = asyncio.Event()
    subscriber.follow(channel.encode()).arm(rung.set)
    await rung.wait()


async def test_closing_ends_a_listener_whose_connection_breaks_in_the_same_moment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    subscriber, pool = _subscriber()
    waiter = asyncio.create_task(_wait_at(subscriber, "channel"))
    await until(lambda: bool(pool.made and pool.made[0].said))
    pool.made[0].broken.set_exception(RedisConnectionError("gone"))
    await asyncio.wait_for(subscriber.aclose(), 0.5)
    await asyncio.wait_for(waiter, 0.5)
    assert len(pool.made) == 1
    assert caplog.records == []


class _Counting(dict[bytes, Any]):
    """Counts how often somebody goes through all of it."""

    walks = 0

    def items(self) -> Any:
        self.walks += 1
        return super().items()

    def keys(self) -> Any:
        self.walks += 1
        return super().keys()

    def __iter__(self) -> Any:
        self.walks += 1
        return super().__iter__()


async def test_a_new_channel_costs_the_same_however_many_there_are() -> None:
    subscriber, pool = _subscriber()
    counting = _Counting()
    subscriber._channels = counting
    waiters = []
    for number in range(20):
        waiters.append(asyncio.create_task(_wait_at(subscriber, f"{number}")))
        await until(lambda: bool(pool.made) and len(pool.made[0].said) == len(waiters))
    assert pool.made[0].said == [("SUBSCRIBE", b"%d" % number) for number in range(20)]
    assert counting.walks <= 2
    await subscriber.aclose()
    await asyncio.gather(*waiters)
