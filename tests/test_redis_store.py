"""The Redis store against real servers: promises, what is sent, what lies there, wrong arguments."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis

from asyncauth._errors import (
    ConfigurationError,
    PlaintextRecordError,
    StoreUnavailableError,
)
from asyncauth.abc import TokenStore
from asyncauth.testing._conformance import STORE_CHECKS
from asyncauth.testing._promise import StoreCheck, create
from asyncauth_stores.redis import PlainRedisStore, RedisTokenStore
from asyncauth_stores.sealed import KeyRing
from redis_places import RedisPlace
from redis_servers import RedisServer, require, until
from store_places import forget

pytestmark = pytest.mark.servers

_RING = KeyRing.generate()
_NAME = "0a" * 32
_SECRET = b"the refresh token"


class ClientPlace:
    """Hands out stores over ready-made clients, which speak the newer protocol by default."""

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def __call__(self, namespace: str = "asyncauth") -> AsyncIterator[TokenStore]:
        async with Redis.from_url(self._url, socket_timeout=None, driver_info=None) as client:
            async with PlainRedisStore(client, namespace=namespace) as store:
                yield store
            assert await client.get("a client that still works") is None


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_plain_redis_keeps_the_promises(check: StoreCheck, redis_server: RedisServer) -> None:
    await check(RedisPlace(PlainRedisStore, server=redis_server.url))


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_sealed_redis_keeps_the_promises(check: StoreCheck, redis_server: RedisServer) -> None:
    await check(RedisPlace(RedisTokenStore, server=redis_server.url, key=_RING))


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_redis_with_a_ready_made_client_keeps_the_promises(
    check: StoreCheck, redis_server: RedisServer
) -> None:
    await check(ClientPlace(redis_server.url))


async def test_a_silent_write_publishes_nothing(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store:
        silent = await store.write(_NAME, b"silent", await store.read(_NAME), wake=False)
        assert "publish" not in redis_server.calls()
        await store.write(_NAME, b"loud", silent)
        assert redis_server.calls()["publish"] == 1


async def test_each_operation_is_one_command(redis_server: RedisServer) -> None:
    async with RedisTokenStore(redis_server.url, key=_RING) as store:
        await create(store, _NAME, _SECRET)
        redis_server.command("CONFIG", "RESETSTAT")
        for _ in range(10):
            await store.write(_NAME, _SECRET, await store.read(_NAME))
        calls = redis_server.calls()
    assert calls["evalsha"] == 20
    assert "eval" not in calls
    assert not {name for name in calls if name.startswith(("script", "ping", "auth", "select", "hello"))}


async def test_a_server_that_forgot_the_scripts_is_sent_them_again(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store:
        stored = await create(store, _NAME, _SECRET)
        redis_server.command("SCRIPT", "FLUSH")
        stored = await store.write(_NAME, b"again", stored)
        found = await store.read(_NAME)
        assert found == attrs.evolve(stored, now=found.now)


async def test_the_server_sees_neither_value_nor_name(redis_server: RedisServer) -> None:
    async with RedisTokenStore(redis_server.url, key=_RING, namespace="app") as store:
        await create(store, _NAME, _SECRET)
        wait = asyncio.create_task(store.changed(_NAME, "", 30))
        await asyncio.wait([wait])
    key = _record_in(redis_server)
    assert re.fullmatch(rb"app:\{[0-9a-f]{96}\}", key)
    assert _NAME.encode() not in redis_server.command("KEYS", "*")
    assert _SECRET not in redis_server.command("GET", key.decode())


async def test_plaintext_in_a_sealed_store_is_refused_and_can_be_replaced(redis_server: RedisServer) -> None:
    async with RedisTokenStore(redis_server.url, key=_RING) as store:
        await create(store, _NAME, _SECRET)
        key = _record_in(redis_server)
        for junk in ("", "short", "x" * 100, "\xe4" * 40):
            redis_server.command("SET", key.decode(), junk)
            with pytest.raises(PlaintextRecordError) as caught:
                await store.read(_NAME)
            await store.write(_NAME, b"put", caught.value.snapshot)
            assert (await store.read(_NAME)).value == b"put"


def _record_in(server: RedisServer) -> bytes:
    """Return the key of the only record besides the key ring's mark."""
    (key,) = re.findall(rb"(\w+:\{[0-9a-f]{96}\})", server.command("KEYS", "*"))
    assert isinstance(key, bytes)
    return key


async def test_namespaces_that_contain_each_other_are_apart(redis_server: RedisServer) -> None:
    async with (
        PlainRedisStore(redis_server.url, namespace="a") as store,
        PlainRedisStore(redis_server.url, namespace="a:b") as other,
    ):
        await create(other, _NAME, _SECRET)
        assert [name async for name in store.keys()] == []  # noqa: SIM118 - a store is no mapping


async def test_strangers_keys_in_the_namespace_are_not_listed(redis_server: RedisServer) -> None:
    async with (
        Redis.from_url(redis_server.url, socket_timeout=None, driver_info=None) as client,
        PlainRedisStore(redis_server.url) as store,
    ):
        await create(store, _NAME, _SECRET)
        for name in (b"\xff", b"", b"UPPER", b"a b", b"0a\n", b"a" * 129, b"a}:{a"):
            await client.set(b"asyncauth:{%s}" % name, b"x")
        assert [name async for name in store.keys()] == [_NAME]  # noqa: SIM118 - a store is no mapping


@pytest.mark.parametrize("pool", [ConnectionPool, BlockingConnectionPool])
async def test_a_ready_made_client_of_two_connections_is_enough(
    redis_server: RedisServer, pool: type[ConnectionPool]
) -> None:
    made = pool.from_url(redis_server.url, max_connections=2, socket_timeout=None, driver_info=None)
    async with Redis.from_pool(made) as client, PlainRedisStore(client) as store:
        names = [f"{number:064x}" for number in range(20)]
        waits = [asyncio.create_task(store.changed(name, "", 30)) for name in names]
        await until(lambda: redis_server.channels() == len(names))
        await asyncio.gather(*(create(store, name) for name in names))
        assert {name async for name in store.keys()} == set(names)  # noqa: SIM118 - a store is no mapping
        await asyncio.wait_for(asyncio.gather(*waits), 5)


async def test_a_ready_made_client_whose_connections_are_taken_is_named(redis_server: RedisServer) -> None:
    made = ConnectionPool.from_url(redis_server.url, max_connections=2, socket_timeout=None, driver_info=None)
    async with Redis.from_pool(made) as client, PlainRedisStore(client) as store:
        async with client.pubsub() as one, client.pubsub() as other:
            await one.subscribe("one")
            await other.subscribe("other")
            with pytest.raises(StoreUnavailableError, match="are all in use: raise max_connections"):
                await store.read(_NAME)
        assert (await store.read(_NAME)).value is None


async def test_a_store_that_is_forgotten_unclosed_is_warned_of(redis_server: RedisServer) -> None:
    client = Redis.from_url(redis_server.url, socket_timeout=None, driver_info=None)
    async with client:
        stores = [PlainRedisStore(client)]
        await stores[0].read(_NAME)
        with pytest.warns(ResourceWarning, match=r"PlainRedisStore\('127.*\) was not closed"):
            forget(stores)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
async def test_a_socket_of_this_machine(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "socket"
    with RedisServer(require(kind), "--unixsocket", str(place)):
        async with RedisTokenStore(f"unix://{place}?db=1", key=_RING) as store:
            wait = asyncio.create_task(store.changed(_NAME, "", 30))
            await create(store, _NAME, _SECRET)
            await asyncio.wait_for(wait, 5)
            assert (await store.read(_NAME)).value == _SECRET


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"server": "http://topsecret"}, "no Redis URL"),
        ({"server": "redis://topsecret:abc"}, "no Redis URL"),
        ({"server": "redis://localhost/topsecret"}, "no Redis URL"),
        ({"server": "redis://localhost/1/2"}, "no Redis URL"),
        ({"server": "redis://:topsecret@[host"}, "URL cannot be read"),
        ({"server": "redis://localhost/?socket_timeout=1"}, "unknown options.*socket_timeout"),
        ({"server": Redis(decode_responses=True, driver_info=None)}, "decode_responses=False"),
        ({"server": Redis(max_connections=1, driver_info=None)}, "max_connections of at least 2"),
        ({"server": "redis://localhost", "namespace": "a{b}"}, "namespace"),
        ({"server": "redis://localhost", "namespace": ""}, "namespace"),
        ({"server": "redis://localhost", "replicas": -1}, "replicas=-1"),
        ({"server": "redis://localhost", "replica_timeout": 0}, "replica_timeout=0"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        PlainRedisStore(**options)
    assert "topsecret" not in str(caught.value)
