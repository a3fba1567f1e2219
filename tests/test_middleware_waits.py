"""`AuthMiddleware`: tokens at hand, at their end, and waited for."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from asyncauth import (
    AuthMiddleware,
    ConfigurationError,
    RefreshPolicy,
    Token,
    TokenManager,
    WaitTimeoutError,
)
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import Hold
from asyncauth_stores.memory import MemoryTokenStore
from http_places import PATIENT, Ready, World, a_site, a_world, client_of, status


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    async with client_of(world) as client:
        yield client


@pytest.mark.parametrize("early", [True, False])
async def test_an_expired_token_is_not_sent(*, early: bool) -> None:
    clock = ManualClock()
    async with a_site() as site, MemoryTokenStore(clock=clock) as store:
        scheme = Ready(base_url=site.url, life=60, renews_early=early)
        manager = TokenManager(store, clock=clock)
        async with aiohttp.ClientSession(middlewares=[AuthMiddleware(scheme, manager)]) as client:
            for _ in range(3):
                await client.get(site.url)
                clock.step(61)
        assert site.tokens == ["Bearer t1", "Bearer t2", "Bearer t3"]


async def test_a_token_near_its_end_is_used_while_it_is_renewed(
    world: World, client: aiohttp.ClientSession
) -> None:
    assert await status(client, world) == 200
    world.clock.step(3500)
    hold = Hold()
    world.vendor.faults.add(hold, on="token")
    assert await status(client, world) == 200
    await hold.arrived.wait()
    assert await status(client, world) == 200
    hold.release()
    while len(world.events) < 4:
        await asyncio.sleep(0.001)
    assert world.vendor.stats.token_calls == 2


async def test_steady_requests_cost_the_store_nothing(world: World, client: aiohttp.ClientSession) -> None:
    await status(client, world)
    before = dict(vars(world.store))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("read", "write"):
            patch.setattr(MemoryTokenStore, name, None)
        assert [await status(client, world) for _ in range(5)] == [200] * 5
    assert vars(world.store) == before


def test_one_middleware_serves_one_event_loop_after_the_other(unused_tcp_port: int) -> None:
    scheme = Ready(base_url=URL(f"http://127.0.0.1:{unused_tcp_port}"))
    manager = TokenManager(MemoryTokenStore())
    middleware = AuthMiddleware(scheme, manager)

    async def session(token: str) -> list[str | None]:
        await manager.put(scheme, Token(access_token=token))
        async with a_site(unused_tcp_port) as site:
            async with aiohttp.ClientSession(middlewares=[middleware]) as client:
                await client.get(site.url)
            return site.tokens

    assert [asyncio.run(session(token)) for token in ("a", "b")] == [["Bearer a"], ["Bearer b"]]


def test_a_policy_goes_to_the_manager() -> None:
    manager = TokenManager(MemoryTokenStore())
    with pytest.raises(ConfigurationError, match="TokenManager"):
        AuthMiddleware(Ready(base_url=URL("https://a.example")), manager, policy=RefreshPolicy())


async def test_a_callers_patience_ends_in_an_error_of_ours(
    world: World, client: aiohttp.ClientSession
) -> None:
    hold = Hold()
    world.vendor.faults.add(hold, on="token", times=None)
    asking = asyncio.create_task(status(client, world))
    await hold.arrived.wait()
    world.clock.step(PATIENT.wait + 1)
    await world.clock.advance(0)
    with pytest.raises(WaitTimeoutError):
        await asking
    world.vendor.faults.clear()
    hold.drop()
    await world.clock.advance(5)
    assert await status(client, world) == 200
