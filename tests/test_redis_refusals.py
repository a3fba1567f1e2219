"""Redis servers that are no good place for tokens, or in trouble: what is wrong, and what to do about it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from asyncauth._errors import ConfigurationError, StoreUnavailableError
from asyncauth.testing._promise import create
from asyncauth_stores.redis import PlainRedisStore
from redis_clusters import ClusterSet
from redis_sentinels import SentinelSet
from redis_servers import RedisServer, replicated, require

pytestmark = pytest.mark.servers

_NAME = "0a" * 32
_SECRET = b"the refresh token"
_POLICIES = [
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-ttl",
    "volatile-random",
]


@asynccontextmanager
async def _scripted(info: str, error: str = "") -> AsyncIterator[str]:
    """Stand in for servers that are not to be had: one that says this of itself, and refuses everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = [(await reader.readline(), await reader.readline())[1] for _ in range(int(line[1:]))]
            text = b"$%d\r\n%s\r\n" % (len(info), info.encode())
            writer.write(text if words[0].strip() == b"INFO" else b"-%s\r\n" % error.encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("version", ["2.8.24", "5.0.14", "6.0.20"])
async def test_a_server_that_is_too_old_is_named_with_its_version(version: str) -> None:
    async with _scripted(f"# Server\r\nredis_version:{version}\r\n") as url, PlainRedisStore(url) as store:
        for operation in (store.read(_NAME), create(store, _NAME)):
            with pytest.raises(
                ConfigurationError, match=rf"is version {re.escape('.'.join(version.split('.')[:2]))}"
            ):
                await operation


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("LOADING Redis is loading the dataset in memory", "still loading its data"),
        ("MISCONF Redis is configured to save RDB snapshots", "cannot save to its disk"),
        ("CLUSTERDOWN The cluster is down", "its Cluster is down"),
        ("CROSSSLOT Keys in request don't hash to the same slot", "different slots"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "slot is moving"),
        ("BUSY Redis is busy running a script", "a script of somebody else's"),
        ("MOVED 1 127.0.0.1:1", "part of a Cluster: use redis[+]cluster://"),
        ("MASTERDOWN Link with MASTER is down", "a replica without its primary"),
        ("DENIED Redis is running in protected mode", "protected mode"),
        ("STRANGE topsecret", r"answers with an error \(ResponseError\): see its log"),
    ],
)
async def test_a_refusal_says_what_is_wrong_and_quotes_nothing(error: str, advice: str) -> None:
    async with _scripted("redis_version:7.2.4\r\n", error) as url, PlainRedisStore(url) as store:
        with pytest.raises(StoreUnavailableError, match=advice) as caught:
            await store.read(_NAME)
        assert "topsecret" not in str(caught.value)


async def test_an_eviction_policy_that_drops_tokens_is_warned_of_once(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    for policy in _POLICIES:
        own_redis.command("CONFIG", "SET", "maxmemory-policy", policy)
        async with PlainRedisStore(own_redis.url) as store:
            await asyncio.gather(*(create(store, f"{number:064x}") for number in range(20)))
        (record,) = caplog.records
        assert f"(maxmemory-policy {policy}): set it to noeviction" in record.message
        caplog.clear()
        own_redis.command("FLUSHALL")
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    async with PlainRedisStore(own_redis.url) as store:
        await create(store, _NAME)
    assert caplog.records == []


async def test_the_first_look_is_one_command_and_never_another(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store:
        for _ in range(10):
            await store.read(_NAME)
        calls = redis_server.calls()
    # Each script asks for the replication id; the CLIENT that counts is none of ours.
    assert calls["info"] - calls["evalsha"] == 1


async def test_a_full_server_keeps_what_it_has_and_says_so(own_redis: RedisServer) -> None:
    async with PlainRedisStore(own_redis.url) as store:
        stored = await create(store, _NAME, _SECRET)
        own_redis.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreUnavailableError, match="memory is full: raise maxmemory"):
            await store.write(_NAME, b"next", stored)
        assert (await store.read(_NAME)).value == _SECRET
        own_redis.command("CONFIG", "SET", "maxmemory", "0")
        await store.write(_NAME, b"next", stored)


async def test_a_server_that_wants_more_replicas_says_so(own_redis: RedisServer) -> None:
    async with PlainRedisStore(own_redis.url) as store:
        stored = await create(store, _NAME, _SECRET)
        own_redis.command("CONFIG", "SET", "min-replicas-to-write", "1")
        with pytest.raises(StoreUnavailableError, match="fewer replicas than min-replicas-to-write"):
            await store.write(_NAME, b"next", stored)
        assert (await store.read(_NAME)).value == _SECRET


@pytest.mark.parametrize("kind", ["redis", "valkey"])
async def test_a_replica_is_refused_for_reading_and_writing(kind: str) -> None:
    with replicated(require(kind)) as (primary, replica):
        async with PlainRedisStore(primary.url) as store, PlainRedisStore(replica.url) as other:
            stored = await create(store, _NAME, _SECRET)
            for operation in (other.read(_NAME), other.write(_NAME, b"next", stored)):
                with pytest.raises(StoreUnavailableError, match="read-only replica: connect to the primary"):
                    await operation
            assert (await store.read(_NAME)).value == _SECRET
            blind = replica.url.replace("//", "//blind:pw@")
            replica.command("ACL", "SETUSER", "blind", "on", ">pw", "~*", "&*", "+@all", "-info")
            async with PlainRedisStore(blind) as unseeing:
                with pytest.raises(StoreUnavailableError, match="read-only replica: connect to the primary"):
                    await create(unseeing, "0b" * 32, _SECRET)


async def test_a_sentinel_is_not_taken_for_a_server(sentinels: SentinelSet) -> None:
    port = sentinels.sentinels[0].port
    async with PlainRedisStore(f"redis://127.0.0.1:{port}") as store:
        with pytest.raises(ConfigurationError, match=rf"is a Sentinel: redis\+sentinel://127.0.0.1:{port}/"):
            await store.read(_NAME)


async def test_a_server_is_not_taken_for_a_cluster_or_a_sentinel(redis_server: RedisServer) -> None:
    where = f"127.0.0.1:{redis_server.port}"
    async with PlainRedisStore(f"redis+cluster://{where}") as store:
        with pytest.raises(StoreUnavailableError, match="it is no Cluster: use redis://"):
            await store.read(_NAME)
    async with PlainRedisStore(f"redis+sentinel://{where}/main") as store:
        with pytest.raises(
            StoreUnavailableError, match="no Sentinel names the primary 'main'.*scheme the right one"
        ):
            await store.read(_NAME)


async def test_a_cluster_is_not_taken_for_one_server(cluster: ClusterSet) -> None:
    other = next(server for server in cluster.primaries() if server is not cluster.primary_of(_KEY))
    async with PlainRedisStore(f"redis://127.0.0.1:{other.port}") as store:
        with pytest.raises(StoreUnavailableError, match=r"part of a Cluster: use redis\+cluster://"):
            await store.read(_NAME)


_KEY = f"asyncauth:{{{_NAME}}}"
