"""Sentinel and Cluster under the Redis store: primaries die, freeze or hand over, and slots move."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import pytest

from asyncauth._errors import NotReplicatedError, StoreUnavailableError, WriteConflictError
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing._promise import create, draw_name
from asyncauth_stores import _redis_channel
from asyncauth_stores.redis import PlainRedisStore
from redis_clusters import ClusterSet
from redis_places import another_incarnation
from redis_sentinels import SERVICE, SentinelSet
from redis_servers import RedisServer, replicated, require, until
from redis_topologies import asked

pytestmark = pytest.mark.servers

_NAME = "0a" * 32
_KEY = f"asyncauth:{{{_NAME}}}"


async def _is_found_again(url: str, fault: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Check that workers find the new primary by themselves, and that a waiter misses nothing."""
    patch.setattr(_redis_channel, "_PROBE", 0.5)
    async with PlainRedisStore(url) as store, PlainRedisStore(url) as waiting:
        before = await create(store, _NAME, b"before")
        wait = asyncio.create_task(waiting.changed(_NAME, before.version, 60))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(fault)
        after = await another_incarnation(store, _NAME, before)
        with pytest.raises(WriteConflictError):
            await store.write(_NAME, b"stale", before)
        # Either that its server fell silent woke it, or this does.
        after = await store.write(_NAME, b"after", after)
        await asyncio.wait_for(_settled(wait), 20)
        await _notices(waiting, store, after)


async def _settled(wait: asyncio.Task[None]) -> None:
    with suppress(StoreUnavailableError):
        await wait


async def _notices(waiting: TokenStore, store: TokenStore, since: Snapshot) -> None:
    """Check that a store hears of another's writes again."""
    async with asyncio.timeout(20):
        while True:
            wait = asyncio.create_task(waiting.changed(_NAME, since.version, 60))
            with suppress(StoreUnavailableError):
                await asyncio.sleep(0.1)
                since = await store.write(_NAME, b"after", since)
                return await wait
            wait.cancel()


async def test_a_sentinels_new_primary_is_found_after_a_crash(
    sentinels: SentinelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _is_found_again(sentinels.url, sentinels.kill_primary, monkeypatch)


@pytest.mark.parametrize("shared_sentinels", ["valkey"], indirect=True)
async def test_a_sentinels_new_primary_is_found_while_the_old_one_is_frozen(
    sentinels: SentinelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _is_found_again(sentinels.url, sentinels.primary.pause, monkeypatch)


@pytest.mark.parametrize("shared_cluster", ["redis"], indirect=True)
async def test_a_primary_that_hands_over_is_left(
    cluster: ClusterSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _is_found_again(cluster.url, lambda: cluster.fail_over(_KEY), monkeypatch)


async def test_a_clusters_new_primary_is_found_after_a_crash(
    cluster: ClusterSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _is_found_again(cluster.url, lambda: cluster.kill_primary(_KEY), monkeypatch)


@pytest.mark.parametrize("shared_cluster", ["valkey"], indirect=True)
async def test_a_clusters_new_primary_is_found_while_the_old_one_is_frozen(
    cluster: ClusterSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _is_found_again(cluster.url, cluster.primary_of(_KEY).pause, monkeypatch)


async def test_a_silent_server_is_noticed_by_who_only_listens(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_channel, "_PROBE", 0.2)
    async with PlainRedisStore(own_redis.url) as store:
        stored = await create(store, _NAME)
        wait = asyncio.create_task(store.changed(_NAME, stored.version, 60))
        await until(lambda: own_redis.channels() == 1)
        await asyncio.sleep(0.5)
        assert not wait.done(), "an answered probe wakes nobody"
        own_redis.pause()
        await asyncio.wait_for(wait, 5)
        own_redis.resume()


async def test_a_slot_that_moved_is_followed_and_its_waiters_wake(cluster: ClusterSet) -> None:
    async with PlainRedisStore(cluster.url) as store:
        found = await store.read(_NAME)
        wait = asyncio.create_task(store.changed(_NAME, "", 60))
        await asyncio.sleep(0.2)
        target = await asyncio.to_thread(cluster.move_slot, _KEY)
        moved = await store.read(_NAME)
        assert moved.incarnation != found.incarnation
        with pytest.raises(WriteConflictError):
            await store.write(_NAME, b"stale", found)
        await store.write(_NAME, b"moved", moved)
        await asyncio.wait_for(wait, 5)
        assert b"moved" in target.command("GET", _KEY)


async def test_who_waits_is_woken_while_the_slot_is_on_its_way(cluster: ClusterSet) -> None:
    async with PlainRedisStore(cluster.url) as store, PlainRedisStore(cluster.url) as waiting:
        before = await create(store, _NAME, b"first")
        waits = [asyncio.create_task(waiting.changed(_NAME, before.version, 30))]
        await asyncio.sleep(0.2)
        source = cluster.primary_of(_KEY)
        target = next(server for server in cluster.primaries() if server is not source)
        cluster.begin_move(_KEY, source, target)
        moved = source.command("MIGRATE", "127.0.0.1", str(target.port), _KEY, "0", "2000")
        assert moved == b"+OK\r\n"
        for value in (b"second", b"third"):
            found = await store.read(_NAME)
            waits.append(asyncio.create_task(waiting.changed(_NAME, found.version, 30)))
            await asyncio.sleep(0.2)
            await store.write(_NAME, value, found)
            await asyncio.wait_for(asyncio.gather(*waits), 2)
        await asyncio.to_thread(cluster.end_move, _KEY, target)


async def test_a_key_on_its_way_to_another_server_is_followed(cluster: ClusterSet) -> None:
    source = cluster.primary_of(_KEY)
    target = next(server for server in cluster.primaries() if server is not source)
    cluster.begin_move(_KEY, source, target)
    target.command("SCRIPT", "FLUSH")
    async with PlainRedisStore(cluster.url) as store:
        stored = await create(store, _NAME, b"secret")
        assert (await store.read(_NAME)).version == stored.version
        assert source.command("EXISTS", _KEY).startswith(b"-ASK")
        await asyncio.to_thread(cluster.end_move, _KEY, target)
        assert (await store.read(_NAME)).value == b"secret"


@pytest.mark.parametrize("shared_cluster", ["valkey"], indirect=True)
async def test_channels_are_sharded_where_the_server_knows_that(cluster: ClusterSet) -> None:
    async with PlainRedisStore(cluster.url) as store:
        names = [draw_name() for _ in range(20)]
        waits = [asyncio.create_task(store.changed(name, "", 30)) for name in names]
        shards = cluster.primaries()
        await until(
            lambda: sum(len(_list(asked(each, "PUBSUB", "SHARDCHANNELS"))) for each in shards) == len(names)
        )
        assert all(server.channels() == 0 for server in cluster.servers)
        for name in names:
            await create(store, name)
        await asyncio.wait_for(asyncio.gather(*waits), 5)


def _list(found: object) -> list[object]:
    assert isinstance(found, list)
    return found


async def test_a_replicated_write_in_a_cluster_waits_at_its_own_server(cluster: ClusterSet) -> None:
    async with PlainRedisStore(cluster.url, replicas=1, replica_timeout=2) as store:
        for _ in range(5):
            name = draw_name()
            await store.write(name, b"value", await store.read(name), replicated=True)
            replica = cluster.replica_of(f"asyncauth:{{{name}}}")
            assert f"asyncauth:{{{name}}}" in str(asked(replica, "KEYS", "*"))
    async with PlainRedisStore(cluster.url, replicas=2, replica_timeout=0.05) as store:
        with pytest.raises(NotReplicatedError, match="1 of 2 replicas"):
            await store.write(_NAME, b"value", await store.read(_NAME), replicated=True)


@pytest.mark.parametrize("shared_sentinels", ["valkey"], indirect=True)
async def test_a_replicated_write_behind_sentinels_waits(sentinels: SentinelSet) -> None:
    async with PlainRedisStore(sentinels.url, replicas=1, replica_timeout=2) as store:
        await store.write(_NAME, b"value", await store.read(_NAME), replicated=True)
        assert b"value" in sentinels.replica.command("GET", _KEY)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
async def test_a_conflict_is_not_believed_from_a_primary_without_its_replicas(kind: str) -> None:
    with replicated(require(kind)) as (primary, replica):
        async with (
            PlainRedisStore(primary.url, replicas=1, replica_timeout=0.05) as store,
            PlainRedisStore(primary.url) as other,
        ):
            before = await store.read(_NAME)
            await create(other, _NAME, b"other")
            with pytest.raises(WriteConflictError):
                await store.write(_NAME, b"late", before, replicated=True)
            replica.kill()
            with pytest.raises(StoreUnavailableError, match="reaches 0 of its 1 replicas"):
                await store.write(_NAME, b"late", before, replicated=True)
            assert (await other.read(_NAME)).value == b"other"
            with pytest.raises(WriteConflictError):
                await store.write(_NAME, b"late", before)


async def test_dead_sentinels_are_passed_over(sentinels: SentinelSet) -> None:
    (sentinel,) = sentinels.sentinels
    # 192.0.2.1 never answers (RFC 5737), and nobody listens on port 1.
    url = f"redis+sentinel://192.0.2.1,127.0.0.1:1,127.0.0.1:{sentinel.port}/{SERVICE}"
    async with PlainRedisStore(url) as store, asyncio.timeout(5):
        assert (await store.read(_NAME)).value is None


async def test_who_names_the_primary_is_told_when_nobody_does(sentinels: SentinelSet) -> None:
    (sentinel,) = sentinels.sentinels
    wrong = f"redis+sentinel://user:topsecret@127.0.0.1:1,127.0.0.1:{sentinel.port}/other"
    async with PlainRedisStore(wrong) as store:
        with pytest.raises(
            StoreUnavailableError,
            match=r"no Sentinel names the primary 'other': .*:1 cannot be reached \(Connection refused\).*;"
            r" 127.0.0.1:\d+ knows none of this name",
        ) as caught:
            await store.read(_NAME)
    assert "topsecret" not in str(caught.value)


async def test_a_clusters_lost_slot_is_named(cluster: ClusterSet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    dead = [cluster.primary_of(_KEY), cluster.replica_of(_KEY)]
    async with PlainRedisStore(cluster.url) as store:
        await store.read(_NAME)
        for server in dead:
            server.kill()
        with pytest.raises(StoreUnavailableError, match="cannot be reached|its Cluster is down"):
            await store.read(_NAME)
