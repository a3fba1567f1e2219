"""Cronofy's users over real HTTP: authorized once, renewed once for all workers, asked again when needed."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from asyncauth import (
    AuthorizationNeeded,
    AuthSession,
    ConfigurationError,
    GrantRefusedError,
    LoggedOutError,
)
from asyncauth.schemes import AuthorizationRequest, CronofyUser
from asyncauth.testing import settle
from cronofy_samples import of_vendor
from cronofy_world import EVERYTHING, World, a_world, refusal_of


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def browse(begun: AuthorizationRequest) -> str:
    """Do what a person's browser does, and return where it comes back to."""
    async with aiohttp.ClientSession() as browser, browser.get(begun.url, allow_redirects=False) as page:
        return page.headers["Location"]


async def status_of(session: AuthSession, path: str) -> int:
    async with session.get(path) as response:
        return response.status


@pytest.mark.parametrize("body", ["json", "form"])
@pytest.mark.parametrize("pkce", [True, False])
async def test_a_person_authorizes_and_every_worker_has_the_token(body: str, *, pkce: bool) -> None:
    async with a_world(pkce="required" if pkce else "ignored") as world:
        one, other = world.manager(), world.manager()
        nobody = of_vendor(world.vendor, body=body, pkce=pkce, scope=EVERYTHING)
        begun = nobody.authorization()
        user = await one.authorize(nobody, nobody.exchange(await browse(begun), begun))
        assert user.sub.startswith("acc_")
        assert user == of_vendor(world.vendor, user.sub, body=body, pkce=pkce, scope=EVERYTHING)
        assert await one.token(user) == await other.token(user) == await world.stored(user)
        async with AuthSession(user, store=other) as session:
            assert await status_of(session, "/v1/calendars") == 200
        assert world.vendor.stats.token_calls == 1


async def test_the_wrong_person_is_not_stored(world: World) -> None:
    manager, ada = world.manager(), of_vendor(world.vendor, "acc_somebody_else")
    begun = ada.authorization()
    error = await refusal_of(manager.authorize(ada, ada.exchange(await browse(begun), begun)))
    assert "another user authorized" in str(error)
    assert await world.stored(ada) is None


async def test_a_code_that_comes_twice_is_refused_and_keeps_what_is_stored(world: World) -> None:
    manager, nobody = world.manager(), of_vendor(world.vendor)
    begun = nobody.authorization()
    answer = await browse(begun)
    user = await manager.authorize(nobody, nobody.exchange(answer, begun))
    stored = await world.stored(user)
    with pytest.raises(GrantRefusedError, match="authorize again"):
        await manager.authorize(nobody, nobody.exchange(answer, begun))
    assert await world.stored(user) == stored
    assert await manager.token(user) == stored


async def test_a_scheme_without_a_user_sends_nothing(world: World) -> None:
    manager, nobody = world.manager(), of_vendor(world.vendor)
    await manager.put(nobody, world.vendor.authorize("ada"))
    async with AuthSession(nobody, store=manager) as session:
        with pytest.raises(ConfigurationError, match="no sub"):
            await session.get("/v1/userinfo")
    assert not world.vendor.requests


async def test_nobody_has_authorized_yet(world: World) -> None:
    error = await refusal_of(world.manager().token(of_vendor(world.vendor, "acc_new")))
    assert error.authorize_url is not None
    assert error.authorize_url.path == "/oauth/authorize"


async def test_a_missing_scope_asks_the_user_once_per_fleet_and_never_renews(world: World) -> None:
    workers = [world.manager(), world.manager()]
    user = await world.person(workers[0], scope="read_account")
    for worker in workers:
        async with AuthSession(user, store=worker) as session:
            for _ in range(3):
                error = await refusal_of(status_of(session, "/v1/events"))
                assert "the user granted read_account" in str(error)
                assert "authorization(scope=...)" in str(error)
                assert error.authorize_url == user.authorize_url
            assert await status_of(session, "/v1/account") == 200
    assert world.vendor.stats.token_calls == 0
    assert world.vendor.stats.refusals == {"scope": 6}
    needed = [event for event in world.events if isinstance(event, AuthorizationNeeded)]
    assert [event.key for event in needed] == [user.key]


async def test_a_further_authorization_is_picked_up_by_all_workers_at_once(world: World) -> None:
    one, other = world.manager(), world.manager()
    user = await world.person(one, scope="read_account")
    async with AuthSession(user, store=other) as session:
        await refusal_of(status_of(session, "/v1/events"))
        begun = user.authorization(scope="read_events")
        assert await one.authorize(user, user.exchange(await browse(begun), begun)) == user
        await settle()
        assert await status_of(session, "/v1/events") == 200


async def test_two_people_who_are_linked_share_one_token_and_one_renewal() -> None:
    async with a_world(linked=True) as world:
        manager, other = world.manager(), world.manager()
        users: list[CronofyUser] = []
        for person in ("ada", "bob"):
            world.vendor.approving = person
            nobody = of_vendor(world.vendor)
            begun = nobody.authorization()
            users.append(await manager.authorize(nobody, nobody.exchange(await browse(begun), begun)))
        ada, bob = users
        assert ada.key == bob.key
        await world.clock.advance(3600)
        tokens = await asyncio.gather(manager.token(ada), other.token(bob))
        assert tokens[0] == tokens[1]
        assert world.vendor.stats.token_calls == 3
        await other.logout(bob)
        await settle()
        with pytest.raises(LoggedOutError):
            await manager.token(ada)


async def test_avoid_linking_keeps_people_apart() -> None:
    async with a_world(linked=True) as world:
        subs = []
        for person in ("ada", "bob"):
            world.vendor.approving = person
            nobody = of_vendor(world.vendor)
            begun = nobody.authorization(avoid_linking="true")
            manager = world.manager()
            subs.append((await manager.authorize(nobody, nobody.exchange(await browse(begun), begun))).sub)
        assert subs[0] != subs[1]


async def test_a_logout_revokes_with_the_refresh_token_even_after_the_access_token_ended(
    world: World,
) -> None:
    one, other = world.manager(), world.manager()
    user = await world.person(one)
    stored = await world.stored(user)
    assert stored is not None
    await other.token(user)
    await world.clock.advance(3600)
    await one.logout(user)
    await settle()
    assert world.vendor.authorizations_alive == 0
    sent = world.vendor.requests[-1].json_object()
    assert sent is not None
    assert stored.refresh_token is not None
    assert (set(sent), sent["token"]) == (
        {"client_id", "client_secret", "token"},
        stored.refresh_token.reveal(),
    )
    for worker in (one, other):
        with pytest.raises(LoggedOutError):
            await worker.token(user)
    assert world.vendor.stats.token_calls == 0
