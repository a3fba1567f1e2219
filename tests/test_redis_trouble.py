"""The Redis store in trouble: no server, no permission, no replica, cancelled callers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
from redis.asyncio import Redis

from asyncauth._errors import (
    ConfigurationError,
    NotReplicatedError,
    StoreUnavailableError,
    WriteConflictError,
)
from asyncauth.abc import TokenStore
from asyncauth.testing._promise import create
from asyncauth_stores.redis import PlainRedisStore
from redis_servers import RedisServer, replicated, require, until

pytestmark = pytest.mark.servers

_NAME = "0a" * 32
_SECRET = b"the refresh token"


async def test_another_type_of_value_is_an_error_that_says_so(redis_server: RedisServer) -> None:
    redis_server.command("RPUSH", f"asyncauth:{{{_NAME}}}", "a list")
    async with PlainRedisStore(redis_server.url) as store:
        with pytest.raises(StoreUnavailableError):
            await store.read(_NAME)


async def test_an_unreachable_server_is_an_unavailable_store_without_the_password() -> None:
    async with PlainRedisStore("redis://user:topsecret@127.0.0.1:1/0") as store:
        for operation in (store.read(_NAME), store.changed(_NAME, "", 30), create(store, _NAME, _SECRET)):
            with pytest.raises(
                StoreUnavailableError,
                match=r"127\.0\.0\.1:1 cannot be reached \(Connection refused\): is it running",
            ) as caught:
                await asyncio.wait_for(operation, 5)
            error: BaseException | None = caught.value
            while error is not None:
                assert "topsecret" not in repr(error)
                error = error.__cause__
        with pytest.raises(StoreUnavailableError):
            [name async for name in store.keys()]  # noqa: SIM118 - a store is no mapping


async def test_an_unreachable_socket_is_an_unavailable_store() -> None:
    async with PlainRedisStore("unix:///nowhere/redis.sock") as store:
        with pytest.raises(StoreUnavailableError, match=r"/nowhere/redis\.sock .*No such file"):
            await store.read(_NAME)


async def test_an_unknown_host_is_told_from_a_server_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with PlainRedisStore("redis://:topsecret@host.invalid") as store:
        with pytest.raises(
            StoreUnavailableError, match=r"host.invalid:6379 .*\(Name or service not known\): is it"
        ):
            await store.read(_NAME)


async def test_a_database_that_does_not_exist_is_named(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url.replace("/0", "/99")) as store:
        with pytest.raises(StoreUnavailableError, match="it has no database of this number"):
            await store.read(_NAME)


async def test_a_tls_peer_that_speaks_none_is_named() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, PlainRedisStore(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}") as store:
        with pytest.raises(StoreUnavailableError, match=r"cannot be reached \(TLS: WRONG_VERSION_NUMBER\)"):
            await store.read(_NAME)


async def test_no_cancellation_is_swallowed(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store:
        await create(store, _NAME, _SECRET)
        for step in range(200):
            task = asyncio.create_task(_forever(store))
            await asyncio.sleep(step % 20 * 0.0001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)
        assert (await store.read(_NAME)).value == _SECRET


async def _forever(store: TokenStore) -> None:
    while True:
        await store.read(_NAME)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
async def test_a_replicated_write_waits_for_the_replica(kind: str) -> None:
    with replicated(require(kind)) as (primary, replica):
        async with PlainRedisStore(primary.url, replicas=1, replica_timeout=2) as store:
            first = await store.write(_NAME, b"first", await store.read(_NAME), replicated=True)
            assert b"first" in replica.command("GET", f"asyncauth:{{{_NAME}}}")
            with pytest.raises(WriteConflictError):
                await store.write(_NAME, b"late", attrs.evolve(first, version=""), replicated=True)
        replica.kill()
        async with PlainRedisStore(primary.url, replicas=1, replica_timeout=0.05) as store:
            with pytest.raises(NotReplicatedError, match="0 of 1 replicas") as caught:
                await store.write(_NAME, b"second", first, replicated=True)
            found = await store.read(_NAME)
            assert caught.value.snapshot == attrs.evolve(found, now=caught.value.snapshot.now)
            assert found.value == b"second"
            await store.write(_NAME, b"third", found)


@asynccontextmanager
async def _sentinel(primary: Callable[[], RedisServer]) -> AsyncIterator[str]:
    """Stand in for a Sentinel that changes its mind at once; gives a URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            for _ in range(2 * int(line[1:])):
                await reader.readline()
            port = b"%d" % primary().port
            writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis+sentinel://127.0.0.1:{server.sockets[0].getsockname()[1]}/main"


@pytest.mark.parametrize("kind", ["redis", "valkey"])
async def test_a_write_whose_primary_is_demoted_while_it_waits_is_not_sent_again(kind: str) -> None:
    with RedisServer(require(kind)) as first, RedisServer(require(kind)) as second:
        primary = first
        async with (
            _sentinel(lambda: primary) as url,
            PlainRedisStore(url, replicas=1, replica_timeout=5) as store,
        ):
            before = await store.read(_NAME)
            write = asyncio.create_task(store.write(_NAME, _SECRET, before, replicated=True))
            await until(lambda: b"blocked_clients:1" in first.command("INFO", "clients"))
            primary = second
            first.command("REPLICAOF", "127.0.0.1", str(second.port))
            with pytest.raises(StoreUnavailableError, match="ceased to be the primary") as caught:
                await write
            assert type(caught.value) is StoreUnavailableError
            assert not {"eval", "evalsha"} & second.calls().keys()


@pytest.mark.parametrize("kind", ["redis", "valkey"])
async def test_a_replica_is_refused_for_writing(kind: str) -> None:
    with replicated(require(kind)) as (_, replica):
        async with PlainRedisStore(replica.url) as store:
            with pytest.raises(StoreUnavailableError, match="read-only replica"):
                await create(store, _NAME, _SECRET)


def test_a_ready_made_client_is_refused_in_a_second_loop(redis_server: RedisServer) -> None:
    client = Redis.from_url(redis_server.url, socket_timeout=None, driver_info=None)
    store = PlainRedisStore(client)

    async def use() -> None:
        await store.read(_NAME)
        await client.aclose()

    first = asyncio.new_event_loop()
    first.run_until_complete(use())
    with pytest.raises(ConfigurationError, match="one event loop only"):
        asyncio.run(use())
    first.run_until_complete(store.aclose())
    first.close()
