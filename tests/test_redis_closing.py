"""Closing a Redis store, at any moment and more than once: no connection stays open, no caller hangs."""

import asyncio

import pytest

from asyncauth._errors import ClosedError, StoreUnavailableError
from asyncauth_stores._redis_link import link_to
from asyncauth_stores._redis_search import Farewell
from asyncauth_stores._redis_server import FirstLook, Talk
from asyncauth_stores._redis_url import target_of
from asyncauth_stores.redis import PlainRedisStore
from redis_clusters import ClusterSet
from redis_sentinels import SentinelSet
from redis_servers import RedisServer, until

_NAME = "0a" * 32


def _connections(server: RedisServer) -> int:
    """Return how many connections a server has, besides the one that asks."""
    return server.command("CLIENT", "LIST").count(b"id=") - 1


@pytest.mark.servers
@pytest.mark.parametrize("steps", range(8))
async def test_a_connection_that_comes_about_while_the_store_closes_is_closed(
    any_redis: RedisServer, steps: int
) -> None:
    before = _connections(any_redis)
    store = PlainRedisStore(any_redis.url)
    # More than there are connections: some still wait for one.
    readers = [asyncio.create_task(store.read(_NAME)) for _ in range(20)]
    for _ in range(steps):
        await asyncio.sleep(0)
    await store.aclose()
    for end in await asyncio.gather(*readers, return_exceptions=True):
        assert not isinstance(end, BaseException) or isinstance(end, (ClosedError, StoreUnavailableError))
    await until(lambda: _connections(any_redis) == before)


@pytest.mark.servers
@pytest.mark.parametrize("steps", range(4))
async def test_a_closing_that_was_cancelled_can_be_repeated(any_redis: RedisServer, steps: int) -> None:
    before = _connections(any_redis)
    store = PlainRedisStore(any_redis.url)
    await store.read(_NAME)
    wait = asyncio.create_task(store.changed(_NAME, "", 30))
    await until(lambda: any_redis.channels() == 1)
    closing = asyncio.create_task(store.aclose())
    for _ in range(steps):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await store.aclose()
    with pytest.raises(ClosedError):
        await store.read(_NAME)
    await asyncio.wait([wait], timeout=5)
    assert wait.done()
    await until(lambda: _connections(any_redis) == before)


@pytest.mark.servers
async def test_nothing_begins_once_closing_has_begun(any_redis: RedisServer) -> None:
    before = _connections(any_redis)
    store = PlainRedisStore(any_redis.url)
    await store.read(_NAME)
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)
    for operation in (store.read(_NAME), store.changed(_NAME, "", 5)):
        with pytest.raises(ClosedError):
            await operation
    await closing
    # A listener would be given up after 5 s.
    async with asyncio.timeout(2):
        await until(lambda: _connections(any_redis) == before)


@pytest.mark.servers
async def test_who_still_waits_for_a_connection_is_told_that_the_store_was_closed(
    any_redis: RedisServer,
) -> None:
    store = PlainRedisStore(any_redis.url)
    readers = [asyncio.create_task(store.read(_NAME)) for _ in range(20)]
    await asyncio.sleep(0)
    await store.aclose()
    ends = await asyncio.gather(*readers, return_exceptions=True)
    assert all(isinstance(end, ClosedError) for end in ends[8:])


@pytest.mark.servers
@pytest.mark.parametrize(
    ("shared_sentinels", "shared_cluster"), [("valkey", "valkey")], indirect=True, ids=["valkey"]
)
async def test_what_was_under_way_connects_to_no_other_server_after_closing(
    sentinels: SentinelSet, cluster: ClusterSet
) -> None:
    async def ping(talk: Talk) -> bytes:
        answer: bytes = await talk.say("PING")
        return answer

    for group in (sentinels, cluster):
        link = link_to(target_of(group.url), "app", FirstLook())
        assert await link.servers.run("app:{00}", ping) == b"PONG"
        await link.aclose()
        with pytest.raises((ClosedError, StoreUnavailableError)):
            await link.servers.run("app:{00}", ping)


@pytest.mark.servers
async def test_a_server_that_is_left_for_another_does_not_claim_that_the_store_was_closed(
    any_redis: RedisServer,
) -> None:
    link = link_to(target_of(any_redis.url), "app", FirstLook())
    (server,) = await link.servers.all()
    await server.aclose()
    with pytest.raises(StoreUnavailableError, match="is not the one to ask any more"):
        [key async for key in link.scan(b"*")]
    await link.aclose()


@pytest.mark.servers
@pytest.mark.parametrize("steps", [0, 2, 5, 10, 20, 40])
@pytest.mark.parametrize(
    ("shared_sentinels", "shared_cluster"), [("valkey", "valkey")], indirect=True, ids=["valkey"]
)
async def test_closing_leaves_no_connection_to_any_of_several_servers(
    sentinels: SentinelSet, cluster: ClusterSet, steps: int
) -> None:
    for group in (sentinels, cluster):
        store = PlainRedisStore(f"{group.url}?client_name=closing")
        readers = [asyncio.create_task(store.read(f"{number:064x}")) for number in range(20)]
        for _ in range(steps):
            await asyncio.sleep(0)
        await store.aclose()
        for end in await asyncio.gather(*readers, return_exceptions=True):
            assert not isinstance(end, BaseException) or isinstance(end, (ClosedError, StoreUnavailableError))
        await until(
            lambda: not any(b"name=closing" in each.command("CLIENT", "LIST") for each in group.servers)  # noqa: B023
        )


class _Slow:
    """A server whose connections take their time to close."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.closed = False

    async def aclose(self) -> None:
        await self.go.wait()
        self.closed = True


async def test_servers_go_on_closing_when_who_waits_for_them_is_cancelled() -> None:
    farewell, slow = Farewell(), _Slow()
    farewell.bid([slow])  # type: ignore[list-item]
    waiting = asyncio.create_task(farewell.aclose())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    slow.go.set()
    await farewell.aclose()
    assert slow.closed
