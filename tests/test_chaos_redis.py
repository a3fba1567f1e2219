"""The Redis store behind a `FaultProxy`: what it makes of each fault."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from asyncauth import StoreUnavailableError
from asyncauth._errors import WriteConflictError
from asyncauth.abc import TokenStore
from asyncauth.testing import FaultProxy
from asyncauth.testing._promise import create, draw_name
from asyncauth_stores.redis import PlainRedisStore
from redis_servers import RedisServer, binaries, require

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def a_server() -> Iterator[RedisServer]:
    with RedisServer(require(next(iter(binaries()), "redis"))) as server:
        yield server


@pytest.fixture
async def proxy(a_server: RedisServer) -> AsyncIterator[FaultProxy]:
    a_server.command("FLUSHALL")
    async with FaultProxy(f"127.0.0.1:{a_server.port}") as opened:
        yield opened


def _url(proxy: FaultProxy) -> str:
    return f"redis://{proxy.address}/0"


async def _within(seconds: float, waiting: Awaitable[object]) -> None:
    async with asyncio.timeout(seconds):
        await waiting


def _cut(proxy: FaultProxy) -> None:
    proxy.cut_answer()


def _cut_in_the_middle(proxy: FaultProxy) -> None:
    proxy.cut_answer(keep=9)


def _close(proxy: FaultProxy) -> None:
    proxy.cut_answer(reset=False)


@pytest.mark.parametrize("fault", [_cut, _cut_in_the_middle, _close])
async def test_a_write_whose_answer_is_cut_is_unknown_and_a_read_tells(
    proxy: FaultProxy, fault: Callable[[FaultProxy], None]
) -> None:
    name = draw_name()
    async with PlainRedisStore(_url(proxy)) as store:
        before = await create(store, name)
        fault(proxy)
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            await store.write(name, b"second", before)

        assert (await store.read(name)).value == b"second"
        with pytest.raises(WriteConflictError):
            await store.write(name, b"third", before)


async def test_a_write_that_waits_for_a_dropped_answer_can_be_cancelled_and_a_read_tells(
    proxy: FaultProxy,
) -> None:
    name = draw_name()
    async with PlainRedisStore(_url(proxy)) as store:
        before = await create(store, name)
        proxy.drop_answer()
        with pytest.raises(TimeoutError):
            await _within(0.2, store.write(name, b"second", before))

        # Not on the connection that still owes an answer.
        assert (await store.read(name)).value == b"second"
    assert proxy.stats.dropped == 1


async def test_an_answer_that_comes_too_late_is_nobody_elses(proxy: FaultProxy) -> None:
    one, other = draw_name(), draw_name()
    async with PlainRedisStore(_url(proxy)) as store:
        await create(store, one, b"one")
        await create(store, other, b"other")
        proxy.latency(downstream=0.1)
        with pytest.raises(TimeoutError):
            await _within(0.05, store.read(one))

        assert (await store.read(other)).value == b"other"


async def test_a_frozen_server_is_waited_for_and_goes_on_where_it_was(proxy: FaultProxy) -> None:
    name = draw_name()
    async with PlainRedisStore(_url(proxy)) as store:
        await create(store, name)
        proxy.freeze()
        reading = asyncio.create_task(store.read(name))
        await asyncio.sleep(0.1)
        assert not reading.done()
        proxy.thaw()
        await _within(5, reading)


async def test_a_refused_connection_is_an_unavailable_store_until_the_port_is_open_again(
    proxy: FaultProxy,
) -> None:
    name = draw_name()
    async with PlainRedisStore(_url(proxy)) as store:
        await create(store, name)
        await proxy.refuse()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="cannot be reached"):
                await store.read(name)
        await proxy.accept()

        assert (await store.read(name)).value == b"first"


async def _waiter(store: TokenStore, proxy: FaultProxy, name: str, since: str) -> "asyncio.Task[None]":
    """Return a task that waits for a change, and has looked."""
    waiting = asyncio.create_task(store.changed(name, since, 30))
    answers = proxy.stats.answers + 2  # the subscription's, and that of the look after it
    async with asyncio.timeout(5):
        while proxy.stats.answers < answers:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    return waiting


async def test_a_lost_notification_delays_until_the_next_one(
    proxy: FaultProxy, a_server: RedisServer
) -> None:
    name = draw_name()
    async with PlainRedisStore(_url(proxy)) as store, PlainRedisStore(a_server.url) as writer:
        first = await create(writer, name)
        waiting = await _waiter(store, proxy, name, first.version)
        proxy.drop_notification()
        second = await writer.write(name, b"second", first)
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await writer.write(name, b"third", second)
        await _within(5, waiting)
    assert (proxy.stats.notifications, proxy.stats.dropped) == (2, 1)


async def test_a_cut_channel_wakes_its_waiters_since_messages_may_be_lost(
    proxy: FaultProxy, a_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    name = draw_name()
    async with PlainRedisStore(_url(proxy)) as store, PlainRedisStore(a_server.url) as writer:
        first = await create(writer, name)
        waiting = await _waiter(store, proxy, name, first.version)
        proxy.drop_notification()
        await writer.write(name, b"second", first)
        proxy.cut()
        await _within(5, waiting)
    assert caplog.records == []
