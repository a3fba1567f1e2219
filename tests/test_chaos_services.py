"""Services whose Redis is behind a `FaultProxy`: what they notice of its faults, and what the vendor does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import attrs
import pytest

from asyncauth import (
    AuthSession,
    RefreshPolicy,
    StoreUnavailableError,
    Token,
    TokenEvent,
    TokenManager,
    TokenRenewed,
    open_store,
)
from asyncauth.abc import AuthScheme
from asyncauth.schemes import ClientCredentials, RefreshToken
from asyncauth.testing import FaultProxy
from asyncauth.testing.emulators import Hold, MovableClock, OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from redis_servers import RedisServer, binaries, require, until

pytestmark = pytest.mark.servers

HOUR = 3600.0
# No heartbeat gets in between the faults, and nothing is renewed before its end.
POLICY = RefreshPolicy(
    store_timeout=0.3,
    heartbeat=5,
    lease=15,
    grace=25,
    quarantine=40,
    wait=60,
    early_share=0.001,
    early_min=0.001,
)


@pytest.fixture(scope="module")
def a_server() -> Iterator[RedisServer]:
    with RedisServer(require(next(iter(binaries()), "redis"))) as server:
        yield server


@pytest.fixture
async def proxy(a_server: RedisServer) -> AsyncIterator[FaultProxy]:
    a_server.command("FLUSHALL")
    async with FaultProxy(f"127.0.0.1:{a_server.port}") as opened:
        yield opened


@attrs.define(eq=False)
class Service:
    """One worker whose Redis is behind a proxy of its own."""

    manager: TokenManager
    session: AuthSession
    clock: MovableClock
    scheme: AuthScheme
    events: list[TokenEvent]

    async def ask(self) -> int:
        async with self.session.get("things") as response:
            return response.status

    async def until_it_has(self, token: Token, seconds: float = 10) -> None:
        """Wait until it uses a token, without asking for one."""
        slot = self.manager.worker.slot(self.scheme)
        async with asyncio.timeout(seconds):
            while slot.held is None or slot.held.entry.token != token:
                await asyncio.sleep(0.01)


@attrs.define(eq=False)
class World:
    """A vendor, and what services are made with."""

    vendor: OAuth2Emulator
    server: RedisServer
    key: str
    services: list[Service]

    def scheme(self, *, one_time: bool) -> AuthScheme:
        url, api, secret = self.vendor.token_url, self.vendor.api_url, "app-secret"
        if one_time:
            return RefreshToken(url, client_id="app", client_secret=secret, base_url=api, subject="ada")
        return ClientCredentials(url, client_id="app", client_secret=secret, base_url=api)

    @asynccontextmanager
    async def service(self, at: str, *, one_time: bool) -> AsyncIterator[Service]:
        clock, events, scheme = MovableClock(), list[TokenEvent](), self.scheme(one_time=one_time)
        async with open_store(f"redis://{at}/0", key=self.key) as store:
            manager = TokenManager(store, policy=POLICY, clock=clock, listener=events.append)
            async with manager, AuthSession(scheme, manager) as session:
                service = Service(manager, session, clock, scheme, events)
                self.services.append(service)
                yield service

    def expire(self) -> None:
        """Let an hour go by."""
        for clock in (self.vendor.clock, *(service.clock for service in self.services)):
            clock.advance(HOUR)


@pytest.fixture
async def world(a_server: RedisServer) -> AsyncIterator[World]:
    async with OAuth2Emulator(access_lifetime=HOUR) as vendor:
        yield World(vendor, a_server, KeyRing.generate().dump(), [])


def _cut(proxy: FaultProxy) -> None:
    proxy.cut_answer()


def _cut_in_the_middle(proxy: FaultProxy) -> None:
    proxy.cut_answer(keep=9)


async def _freeze(proxy: FaultProxy) -> None:
    proxy.freeze()


async def _refuse(proxy: FaultProxy) -> None:
    await proxy.refuse()


async def _slow(proxy: FaultProxy) -> None:
    proxy.latency(downstream=2)


@pytest.mark.parametrize("outage", [_freeze, _refuse, _slow])
@pytest.mark.parametrize("one_time", [False, True], ids=["login", "one-time"])
async def test_tokens_at_hand_serve_through_an_outage_and_what_is_not_safe_fails_closed(
    world: World, proxy: FaultProxy, outage: Callable[[FaultProxy], Awaitable[None]], *, one_time: bool
) -> None:
    async with world.service(proxy.address, one_time=one_time) as service:
        if one_time:
            await service.manager.put(service.scheme, world.vendor.authorize("ada"))
        assert await service.ask() == 200
        calls = world.vendor.stats.token_calls
        await outage(proxy)
        assert {await service.ask() for _ in range(20)} == {200}
        world.expire()
        began = asyncio.get_running_loop().time()
        if one_time:
            with pytest.raises(StoreUnavailableError, match="is not spent without it"):
                await service.ask()
        else:
            assert await service.ask() == 200
        assert asyncio.get_running_loop().time() - began < 3
        assert world.vendor.stats.token_calls == calls + (not one_time)

        await proxy.heal()
        await _until_served(service)
        assert world.vendor.stats.token_calls == calls + 1
        assert world.vendor.stats.refusals == {}


async def _status(service: Service) -> int:
    try:
        return await service.ask()
    except StoreUnavailableError:
        return 0


async def _until_served(service: Service) -> None:
    async with asyncio.timeout(10):
        while await _status(service) != 200:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", [_cut, _cut_in_the_middle, FaultProxy.drop_answer])
async def test_a_commit_whose_answer_is_lost_is_found_by_reading_and_no_token_is_spent_twice(
    world: World, proxy: FaultProxy, fault: Callable[[FaultProxy], None]
) -> None:
    async with (
        world.service(proxy.address, one_time=True) as service,
        world.service(f"127.0.0.1:{world.server.port}", one_time=True) as other,
    ):
        await service.manager.put(service.scheme, world.vendor.authorize("ada"))
        assert [await service.ask(), await other.ask()] == [200, 200]
        world.expire()
        hold = Hold(when="after")
        world.vendor.faults.add(hold, on="token")
        asking = asyncio.create_task(_status(service))
        await asyncio.wait_for(hold.arrived.wait(), 5)
        fault(proxy)
        hold.release()

        # Whose answer is waited for in vain is told so; the token is there once the commit is repeated.
        assert await asyncio.wait_for(asking, 5) in {0, 200}
        await _until_served(service)
        await other.until_it_has(await service.manager.token(service.scheme))
        assert await other.ask() == 200
    assert proxy.stats.dropped == 1
    assert (world.vendor.stats.token_calls, world.vendor.stats.refusals) == (1, {})
    assert sum(isinstance(event, TokenRenewed) for event in service.events) == 1


async def test_a_lost_notification_costs_no_renewal_and_no_request(world: World, proxy: FaultProxy) -> None:
    async with (
        world.service(proxy.address, one_time=True) as deaf,
        world.service(f"127.0.0.1:{world.server.port}", one_time=True) as other,
    ):
        await other.manager.put(other.scheme, world.vendor.authorize("ada"))
        assert [await deaf.ask(), await other.ask()] == [200, 200]
        await until(lambda: world.server.subscribers() == 2)
        world.expire()
        proxy.drop_notification()
        assert await other.ask() == 200
        await until(lambda: proxy.stats.dropped == 1)
        held = deaf.manager.worker.slot(deaf.scheme).held
        assert held is not None
        assert held.entry.token != await other.manager.token(other.scheme)

        assert await deaf.ask() == 200
    assert (world.vendor.stats.token_calls, world.vendor.stats.refusals) == (1, {})


async def test_one_connection_that_is_cut_while_all_renew_costs_no_second_renewal(
    world: World, proxy: FaultProxy
) -> None:
    direct = f"127.0.0.1:{world.server.port}"
    async with (
        world.service(proxy.address, one_time=True) as one,
        world.service(proxy.address, one_time=True) as two,
        world.service(direct, one_time=True) as three,
    ):
        everybody = (one, two, three)
        await three.manager.put(three.scheme, world.vendor.authorize("ada"))
        assert await asyncio.gather(*(service.ask() for service in everybody)) == [200] * 3
        for expiry in range(1, 4):
            world.expire()
            asking = [asyncio.create_task(_status(service)) for service in everybody for _ in range(5)]
            await asyncio.sleep(0.002 * expiry)
            proxy.cut(reset=bool(expiry % 2))
            await asyncio.gather(*asking)
            for service in everybody:
                await _until_served(service)
            assert world.vendor.stats.token_calls == expiry
    assert world.vendor.stats.refusals == {}
