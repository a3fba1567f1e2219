"""Waking through Redis: one connection, nothing missed, also when the server or the channel goes."""

import asyncio
import threading
import time

import pytest
from redis.asyncio import Redis

from asyncauth._errors import (
    ClosedError,
    StoreUnavailableError,
    WriteConflictError,
)
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing._promise import create, draw_name
from asyncauth_stores import _redis_channel
from asyncauth_stores._redis_errors import Place
from asyncauth_stores._redis_follower import Channel
from asyncauth_stores.redis import PlainRedisStore
from redis_servers import RedisServer, until

pytestmark = pytest.mark.servers

_NAME = "0a" * 32
_SECRET = b"the refresh token"


async def _told_of(server: RedisServer, store: TokenStore, writer: TokenStore) -> Snapshot:
    """Return a record whose first message a store has heard, which stays subscribed for a while."""
    wait = asyncio.create_task(store.changed(_NAME, "", 30))
    await until(lambda: server.channels() == 1)
    stored = await create(writer, _NAME, _SECRET)
    await wait
    return stored


async def test_200_waiting_names_take_one_subscriber_connection(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store:
        names = [f"{number:064x}" for number in range(200)]
        waits = [asyncio.create_task(store.changed(name, "", 30)) for name in names]
        await until(lambda: redis_server.channels() == len(names))
        # And the commands of all of them no more than a handful: one is this test's own.
        assert redis_server.command("CLIENT", "LIST").count(b"id=") <= 1 + 8 + 1
        assert redis_server.subscribers() == 1
        for name in names:
            await create(store, name)
        await asyncio.wait_for(asyncio.gather(*waits), 10)


async def test_a_channel_without_waiters_is_given_up(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_channel, "_GRACE", 0.2)
    async with PlainRedisStore(redis_server.url) as store:
        long = asyncio.create_task(store.changed("aa" * 32, "", 30))
        await store.changed("bb" * 32, "", 0.1)
        assert redis_server.channels() == 2
        await until(lambda: redis_server.channels() == 1)
        assert not long.done()
        long.cancel()
        await until(lambda: redis_server.subscribers() == 0)
        again = asyncio.create_task(store.changed("aa" * 32, "", 30))
        await until(lambda: redis_server.channels() == 1)
        await create(store, "aa" * 32)
        await asyncio.wait_for(again, 5)


async def test_a_channel_that_comes_back_at_once_is_subscribed_again(redis_server: RedisServer) -> None:
    async with Redis.from_url(redis_server.url, socket_timeout=None, driver_info=None) as client:
        subscriber = _redis_channel.Subscriber(client.connection_pool, Place("here", "app"), lambda: None)
        other, follower, rung = subscriber.follow(b"other"), subscriber.follow(b"channel"), asyncio.Event()
        await follower.ready()
        follower()
        subscriber._forget(b"channel")
        again = subscriber.follow(b"channel")
        await again.ready()
        again.arm(rung.set)
        assert again.channel.live
        redis_server.command("PUBLISH", "channel", "")
        await asyncio.wait_for(rung.wait(), 5)
        other()
        await subscriber.aclose()


async def test_a_write_between_subscribing_and_waiting_is_not_missed(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store, PlainRedisStore(redis_server.url) as writer:

        class Racing:
            """Another worker that writes the moment this one has read, or has subscribed."""

            def __init__(self, *, before: bool) -> None:
                self.before = before

            async def read(self, name: str) -> Snapshot:
                if self.before:
                    await create(writer, name)
                found = await PlainRedisStore.read(store, name)
                if not self.before:
                    await create(writer, name)
                return found

        for before in (True, False):
            name = draw_name()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(store, "read", Racing(before=before).read)
                await asyncio.wait_for(store.changed(name, "", 30), 5)


async def test_what_was_read_while_subscribed_is_not_read_again(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store, PlainRedisStore(redis_server.url) as writer:
        stored = await _told_of(redis_server, store, writer)
        for write in (writer.write, store.write):
            stored = await store.read(_NAME)
            before = redis_server.calls()["evalsha"]
            wait = asyncio.create_task(store.changed(_NAME, stored.version, 30))
            await asyncio.sleep(0.05)
            assert redis_server.calls()["evalsha"] == before
            stored = await write(_NAME, b"next", stored)
            await asyncio.wait_for(wait, 5)
        # The last was this store's own: it knows what is there.
        before = redis_server.calls()["evalsha"]
        wait = asyncio.create_task(store.changed(_NAME, stored.version, 30))
        await asyncio.sleep(0.05)
        assert redis_server.calls()["evalsha"] == before
        await writer.write(_NAME, None, stored)
        await asyncio.wait_for(wait, 5)


async def test_a_change_that_was_heard_of_before_the_wait_is_looked_at(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store, PlainRedisStore(redis_server.url) as writer:
        stored = await _told_of(redis_server, store, writer)
        since = await store.read(_NAME)
        before = redis_server.calls()["evalsha"]
        await writer.write(_NAME, b"next", stored)
        await asyncio.sleep(0.1)
        await asyncio.wait_for(store.changed(_NAME, since.version, 30), 1)
        # The message has told it; the waiter reads for itself.
        assert redis_server.calls()["evalsha"] == before + 1


async def test_an_old_message_wakes_once_and_not_for_ever(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store, PlainRedisStore(redis_server.url) as writer:
        stored = await _told_of(redis_server, store, writer)
        silent = await writer.write(_NAME, b"a lease", stored, wake=False)
        await asyncio.wait_for(store.changed(_NAME, silent.version, 30), 1)
        # Also for one who does not read then.
        wait = asyncio.create_task(store.changed(_NAME, silent.version, 30))
        await asyncio.sleep(0.05)
        assert not wait.done()
        await writer.write(_NAME, None, silent)
        await asyncio.wait_for(wait, 5)


def test_a_removal_that_was_told_of_is_no_news_for_who_knows_of_it() -> None:
    channel = Channel(b"channel", lambda _: None, live=True)
    before = channel.rings
    channel.ring("removed")
    assert not channel.told_of_another("")
    channel.saw("", before)  # its own write's answer
    assert channel.knows("")
    channel.ring("removed")
    assert channel.told_of_another("v1")
    assert not channel.told_of_another("v1")


async def test_waiters_are_woken_within_milliseconds(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store, PlainRedisStore(redis_server.url) as writer:
        stored = await create(writer, _NAME, _SECRET)
        delays = []
        for _ in range(20):
            wait = asyncio.create_task(store.changed(_NAME, stored.version, 30))
            await until(lambda: redis_server.channels() == 1)
            await asyncio.sleep(0.01)
            start = time.perf_counter()
            stored = await writer.write(_NAME, b"next", stored)
            await wait
            delays.append(time.perf_counter() - start)
    # About a millisecond; the fall-back poll would take one second.
    assert sorted(delays)[10] < 0.1


async def test_a_store_outlives_its_server(own_redis: RedisServer) -> None:
    async with PlainRedisStore(own_redis.url) as store:
        before = await create(store, _NAME, _SECRET)
        waits = [asyncio.create_task(store.changed(_NAME, before.version, 30)) for _ in range(5)]
        await until(lambda: own_redis.channels() == 1)
        own_redis.kill()
        ends = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 5)
        # Those that were about to look are told what they found.
        assert all(end is None or isinstance(end, StoreUnavailableError) for end in ends)
        with pytest.raises(StoreUnavailableError):
            await store.read(_NAME)
        with pytest.raises(StoreUnavailableError):
            await store.changed(_NAME, before.version, 30)
        own_redis.start()
        after = await store.read(_NAME)
        assert after.value is None
        assert after.incarnation != before.incarnation
        with pytest.raises(WriteConflictError):
            await store.write(_NAME, b"late", before)
        wait = asyncio.create_task(store.changed(_NAME, "", 30))
        await until(lambda: own_redis.channels() == 1)
        await store.write(_NAME, b"new", after)
        await asyncio.wait_for(wait, 5)


async def test_losing_the_channel_alone_wakes_and_loses_nothing(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store:
        stored = await create(store, _NAME, _SECRET)
        wait = asyncio.create_task(store.changed(_NAME, stored.version, 30))
        await until(lambda: redis_server.channels() == 1)
        redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.wait_for(wait, 5)
        wait = asyncio.create_task(store.changed(_NAME, stored.version, 30))
        await until(lambda: redis_server.channels() == 1)
        await store.write(_NAME, b"next", stored)
        await asyncio.wait_for(wait, 5)


async def test_a_cancelled_waiter_disturbs_no_other(redis_server: RedisServer) -> None:
    async with PlainRedisStore(redis_server.url) as store:
        stored = await create(store, _NAME, _SECRET)
        for step in range(20):
            cancelled = asyncio.create_task(store.changed(f"{step:064x}", "", 30))
            await asyncio.sleep(step * 0.0002)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        wait = asyncio.create_task(store.changed(_NAME, stored.version, 30))
        await until(lambda: redis_server.command("PUBSUB", "NUMSUB", _channel()).endswith(b":1\r\n"))
        await store.write(_NAME, b"next", stored)
        await asyncio.wait_for(wait, 5)


def _channel() -> str:
    return f"asyncauth:{{{_NAME}}}:changed"


async def test_a_forbidden_channel_is_polled(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.command("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "&*", "+@all", "-subscribe")
    url = own_redis.url.replace("//", "//deaf:pw@")
    async with PlainRedisStore(url) as store, PlainRedisStore(own_redis.url) as writer:
        wait = asyncio.create_task(store.changed(_NAME, "", 30))
        await asyncio.sleep(0.2)
        await create(writer, _NAME, _SECRET)
        await asyncio.wait_for(wait, 5)
    assert len([record for record in caplog.records if "no wake-up channel" in record.message]) == 1


def test_one_store_serves_several_loops_and_threads(redis_server: RedisServer) -> None:
    store = PlainRedisStore(redis_server.url)
    ready, stop = threading.Event(), threading.Event()
    woken: list[str] = []

    async def elsewhere() -> None:
        wait = asyncio.create_task(store.changed(_NAME, "", 30))
        await until(lambda: redis_server.channels() == 1)
        ready.set()
        await wait
        woken.append("elsewhere")
        await asyncio.to_thread(stop.wait, 10)

    async def here() -> None:
        await create(store, _NAME, _SECRET)
        await until(lambda: bool(woken))
        await store.aclose()
        stop.set()
        with pytest.raises(ClosedError):
            await store.read(_NAME)

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    assert ready.wait(10)
    asyncio.run(here())
    thread.join(10)
    assert not thread.is_alive()
    assert redis_server.subscribers() == 0
