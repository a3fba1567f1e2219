"""`AuthMiddleware`: tokens that are used, refused and renewed."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from asyncauth import (
    AuthMiddleware,
    AuthorizationRequiredError,
    AuthSession,
    ConfigurationError,
    RenewalFailedError,
    TokenManager,
)
from asyncauth.abc import Snapshot
from asyncauth.schemes import RefreshToken
from asyncauth.testing import ManualClock, settle
from asyncauth.testing.emulators import Answer, Hold
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore
from http_places import NO_RETRY, PATIENT, Ready, World, a_site, a_world, client_of, status, unauthorized


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    async with client_of(world) as client:
        yield client


async def test_a_refused_token_is_renewed_once_and_the_request_sent_once_more(
    world: World, client: aiohttp.ClientSession
) -> None:
    world.vendor.revoke_access(await world.have_old_token())
    async with client.get(world.vendor.api_url / "x") as response:
        assert response.status == 200
        assert (await response.json())["serial"] == 2
    assert (world.vendor.stats.token_calls, world.vendor.stats.api_calls) == (2, 2)


async def test_a_request_whose_token_was_renewed_meanwhile_takes_the_new_one_without_asking_the_vendor(
    world: World, client: aiohttp.ClientSession
) -> None:
    old = await world.have_old_token()
    hold = Hold()
    world.vendor.faults.add(hold, on="api")
    slow = asyncio.create_task(status(client, world))
    await hold.arrived.wait()
    world.vendor.revoke_access(old)
    assert await status(client, world) == 200
    hold.release()
    assert await slow == 200
    assert (world.vendor.stats.token_calls, world.vendor.stats.api_calls) == (2, 4)


async def test_fifty_refused_requests_cost_one_renewal(world: World, client: aiohttp.ClientSession) -> None:
    world.vendor.revoke_access(await world.have_old_token())
    assert set(await asyncio.gather(*(status(client, world) for _ in range(50)))) == {200}
    assert world.vendor.stats.token_calls == 2
    assert world.vendor.stats.api_calls <= 100


async def test_a_refused_fresh_token_starts_no_loop_in_one_request_or_the_next_ones(
    world: World, client: aiohttp.ClientSession
) -> None:
    await world.have_old_token()
    world.vendor.faults.add(Answer(401), on="api", times=None)
    assert await status(client, world) == 401
    assert (world.vendor.stats.token_calls, world.vendor.stats.api_calls) == (2, 2)
    assert [await status(client, world) for _ in range(20)] == [401] * 20
    assert (world.vendor.stats.token_calls, world.vendor.stats.api_calls) == (2, 22)


async def test_a_refused_fresh_token_starts_no_loop_between_workers(world: World) -> None:
    ring = KeyRing.generate()
    one, other = (
        TokenManager(SealedTokenStore(world.store, ring), clock=world.clock, policy=PATIENT) for _ in range(2)
    )
    async with one, other, client_of(world, one) as first, client_of(world, other) as second:
        assert await status(first, world) == await status(second, world) == 200
        world.clock.step(11)
        world.vendor.faults.add(Answer(401), on="api", times=None)
        statuses = [await status(client, world) for _ in range(20) for client in (first, second)]
        assert statuses == [401] * 40
        assert world.vendor.stats.token_calls == 2
        assert world.vendor.stats.api_calls <= 2 + 40 + 2


async def test_after_the_back_off_a_refused_token_is_renewed_again(
    world: World, client: aiohttp.ClientSession
) -> None:
    await world.have_old_token()
    world.vendor.faults.add(Answer(401), on="api", times=None)
    assert [await status(client, world) for _ in range(3)] == [401] * 3
    world.vendor.faults.clear()
    world.vendor.revoke_access((await world.manager.token(world.scheme)).access_token or "")
    world.clock.step(60)
    assert await status(client, world) == 200
    assert world.vendor.stats.token_calls == 3


async def test_a_resource_that_refuses_every_token_does_not_stop_the_others() -> None:
    clock = ManualClock()
    async with a_site(no=unauthorized) as site, MemoryTokenStore(clock=clock) as store:
        scheme = Ready(base_url=site.url)
        manager = TokenManager(store, clock=clock)
        async with aiohttp.ClientSession(middlewares=[AuthMiddleware(scheme, manager)]) as client:
            statuses = []
            for _ in range(10):
                clock.step(3)
                for path in ("no", "yes"):
                    async with client.get(site.url / path) as response:
                        statuses.append(response.status)
            assert statuses == [401, 200] * 10
            # 30 s, and no token is renewed within 10 s of its issue.
            assert len(scheme.drawn) <= 4


async def test_a_request_that_comes_while_a_refusal_is_settled_is_sent() -> None:
    looked, go_on = asyncio.Event(), asyncio.Event()
    read = MemoryTokenStore.read

    async def slow_read(store: MemoryTokenStore, name: str) -> Snapshot:
        looked.set()
        await go_on.wait()
        return await read(store, name)

    async with (
        a_site(no=unauthorized) as site,
        MemoryTokenStore() as store,
        AuthSession(Ready(base_url=site.url), store) as session,
    ):

        async def get(path: str) -> int:
            async with session.get(path) as response:
                return response.status

        assert await get("yes") == 200
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MemoryTokenStore, "read", slow_read)
            refused = asyncio.create_task(get("no"))
            await looked.wait()
            other = asyncio.create_task(get("yes"))
            await settle()
            go_on.set()
            assert (await refused, await other) == (401, 200)


async def test_a_token_at_hand_is_taken_although_an_older_one_is_excused(
    world: World, client: aiohttp.ClientSession
) -> None:
    await world.have_old_token()
    world.vendor.faults.add(Answer(401), on="api", times=3)
    assert [await status(client, world) for _ in range(2)] == [401, 401]
    excused = (await world.manager.token(world.scheme)).access_token
    assert excused is not None
    hold = Hold()
    world.vendor.faults.add(hold, on="api")
    slow = asyncio.create_task(status(client, world))
    await hold.arrived.wait()
    world.vendor.revoke_access(excused)
    await world.manager.put(world.scheme, world.vendor.authorize("app"))
    hold.release()
    assert await slow == 200


async def test_a_failed_renewal_leaves_the_caller_the_refusal_and_its_words() -> None:
    async with a_world(NO_RETRY) as world, a_site() as site:
        scheme = RefreshToken(
            world.vendor.token_url,
            client_id="app",
            client_secret="app-secret",
            subject="u",
            base_url=site.url,
        )
        token = world.vendor.authorize("u")
        await world.manager.put(scheme, token)
        assert token.access_token is not None
        site.refused.add(token.access_token.reveal())
        world.clock.step(11)
        world.vendor.faults.add(Answer(503), on="token", times=None)
        async with (
            aiohttp.ClientSession(middlewares=[AuthMiddleware(scheme, world.manager)]) as client,
            client.get(site.url / "x") as response,
        ):
            assert response.status == 401
            assert await response.json() == {"why": "refused"}
        assert len(site.seen) == 1
        assert world.vendor.stats.token_calls == 1


@pytest.mark.parametrize("answer", [403, 404, 429, 500, 503])
async def test_an_answer_that_says_nothing_against_the_token_is_handed_over(
    world: World, client: aiohttp.ClientSession, answer: int
) -> None:
    await world.have_old_token()
    world.vendor.faults.add(Answer(answer), on="api", times=None)
    assert await status(client, world) == answer
    assert (world.vendor.stats.token_calls, world.vendor.stats.api_calls) == (1, 1)


async def test_without_a_token_nothing_is_sent() -> None:
    async with a_world(NO_RETRY) as world, client_of(world) as client:
        world.vendor.faults.add(Answer(503), on="token", times=None)
        with pytest.raises(RenewalFailedError):
            await client.get(world.vendor.api_url / "x")
        scheme = RefreshToken(
            world.vendor.token_url, client_id="app", subject="u", base_url=world.vendor.api_url
        )
        middleware = AuthMiddleware(scheme, world.manager)
        with pytest.raises(AuthorizationRequiredError, match=r"put\(\)"):
            await client.get(world.vendor.api_url / "x", middlewares=[middleware])
        assert world.vendor.stats.api_calls == 0


async def test_a_class_instead_of_a_scheme_is_named() -> None:
    async with MemoryTokenStore() as store:
        for wrong in (RefreshToken, "itcare"):
            with pytest.raises(ConfigurationError, match=r"a scheme .* not (the class RefreshToken|str)"):
                AuthMiddleware(wrong, store)  # type: ignore[arg-type]
