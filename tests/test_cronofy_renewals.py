"""Cronofy's users over real HTTP: renewed once for all workers, and only when that is what is wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from asyncauth import (
    AuthorizationRequiredError,
    AuthSession,
    GrantRefusedError,
    Token,
    TokenDied,
)
from asyncauth.testing import settle
from asyncauth.testing.emulators import Cut
from cronofy_samples import of_vendor
from cronofy_world import EVERYTHING, World, a_world
from worlds import text_of

pytestmark = pytest.mark.slow

MANY = 40


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def status_of(session: AuthSession, path: str) -> int:
    async with session.get(path) as response:
        return response.status


@pytest.mark.parametrize("rotate", ["always", "never", "sometimes"])
@pytest.mark.parametrize("old_access", ["valid_until_exp", "killed"])
async def test_many_callers_of_many_workers_renew_once_per_expiry(rotate: str, old_access: str) -> None:
    """A second use of a one-time refresh token would cost the authorization."""
    async with a_world(rotate=rotate, old_access=old_access, old_refresh="invalid") as world:
        workers = [world.manager() for _ in range(4)]
        user = await world.person(workers[0])
        for expiry in range(1, 4):
            await world.clock.advance(3600)
            calls = [worker.token(user) for worker in workers for _ in range(MANY)]
            tokens = await asyncio.gather(*calls)
            assert len({text_of(token) for token in tokens}) == 1
            assert world.vendor.stats.token_calls == expiry
            assert await world.stored(user) == tokens[0]
        assert (world.vendor.stats.reuses_detected, world.vendor.stats.refusals) == (0, {})


async def test_the_new_refresh_token_is_stored_too(world: World) -> None:
    """Storing the access token alone would end the authorization one expiry later."""
    manager = world.manager()
    user = await world.person(manager)
    seen = set()
    for _ in range(3):
        stored = await world.stored(user)
        assert stored is not None
        assert stored.subject == user.sub
        seen.add(stored.refresh_token)
        await world.clock.advance(3600)
        await manager.token(user)
    assert len(seen) == 3


async def test_a_refused_call_is_sent_once_more_with_a_new_token(world: World) -> None:
    manager = world.manager()
    user = await world.person(manager)
    await world.clock.advance(60)
    world.vendor.revoke_access(text_of(await manager.token(user)))
    async with AuthSession(user, store=manager) as session:
        assert (
            await asyncio.gather(*(status_of(session, "/v1/calendars") for _ in range(MANY))) == [200] * MANY
        )
    assert world.vendor.stats.token_calls == 1


@pytest.mark.parametrize(("development", "life"), [(False, 3600), (True, 10_800)])
async def test_no_life_is_taken_for_granted(*, development: bool, life: int) -> None:
    async with a_world(development=development) as world:
        manager = world.manager()
        user = await world.person(manager)
        await world.clock.advance(life / 2)
        await manager.token(user)
        await settle()
        assert world.vendor.stats.token_calls == 0
        await world.clock.advance(life / 2)
        await manager.token(user)
        assert world.vendor.stats.token_calls == 1


@pytest.mark.parametrize(
    ("knobs", "path", "status"),
    [
        ({"plan_lacks": {"/v1/calendars"}}, "/v1/calendars", 402),
        ({}, "/v1/unknown", 404),
        ({"per_minute": 0}, "/v1/calendars", 429),
        ({}, "/v1/smart_invites", 401),
        ({}, "/v1/real_time_scheduling/sch_1", 401),
    ],
)
async def test_other_refusals_are_the_callers(knobs: dict[str, object], path: str, status: int) -> None:
    async with a_world(**knobs) as world:
        manager = world.manager()
        user = await world.person(manager)
        await world.clock.advance(60)
        async with AuthSession(user, store=manager) as session:
            method = "POST" if path == "/v1/smart_invites" else "GET"
            for _ in range(3):
                async with session.request(method, path) as response:
                    assert response.status == status
        assert world.vendor.stats.token_calls == 0


@pytest.mark.parametrize(("fields", "status"), [({}, 422), ({"event_id": "e1"}, 423)])
async def test_what_is_wrong_with_a_write_is_the_callers(fields: dict[str, str], status: int) -> None:
    async with a_world(locked={"ada"} if fields else set()) as world:
        manager = world.manager()
        user = await world.person(manager)
        async with (
            AuthSession(user, store=manager) as session,
            session.post("/v1/calendars/cal_1/events", json=fields) as response,
        ):
            assert response.status == status
        assert world.vendor.stats.token_calls == 0


async def test_a_refresh_token_from_elsewhere_is_renewed_before_its_first_use(world: World) -> None:
    manager = world.manager()
    issued = world.vendor.authorize("ada", EVERYTHING)
    user = of_vendor(world.vendor, str(issued.subject))
    await manager.put(user, Token(refresh_token=issued.refresh_token, expires_in=0))
    async with AuthSession(user, store=manager) as session:
        assert await status_of(session, "/v1/account") == 200
    assert world.vendor.stats.token_calls == 1


async def test_requests_to_the_vendor_are_as_its_pages_show_them(world: World) -> None:
    manager = world.manager()
    user = await world.person(manager)
    stored = await world.stored(user)
    assert stored is not None
    assert stored.refresh_token is not None
    await world.clock.advance(3600)
    async with AuthSession(user, store=manager) as session:
        await status_of(session, "/v1/calendars")
    refresh, call = list(world.vendor.requests)
    assert (refresh.method, refresh.path_qs) == ("POST", "/oauth/token")
    assert refresh.headers["Content-Type"] == "application/json; charset=utf-8"
    assert "Authorization" not in refresh.headers
    text = stored.refresh_token.reveal()
    assert refresh.body == (
        b'{"client_id": "cronofy-app", "client_secret": "cronofy-secret",'
        b' "grant_type": "refresh_token", "refresh_token": "' + text.encode() + b'"}'
    )
    assert (call.method, call.path_qs) == ("GET", "/v1/calendars")
    token = await manager.token(user)
    assert call.headers["Authorization"] == f"Bearer {text_of(token)}"


async def test_a_token_never_leaves_its_data_centre() -> None:
    async with a_world(data_center="de") as world, a_world(data_center="us") as other:
        manager = world.manager()
        user = await world.person(manager)
        async with AuthSession(user, store=manager) as session:
            url = other.vendor.url.with_host("localhost") / "v1/calendars"
            async with session.get(URL(url)) as response:
                assert response.status == 401
        assert "Authorization" not in other.vendor.requests[0].headers
        assert world.vendor.stats.token_calls == 0


async def test_the_answer_of_the_winning_refresh_is_lost_where_old_tokens_are_dead() -> None:
    """Nothing can save it then: the user is asked, once, and no worker goes on trying."""
    async with a_world(old_refresh="invalid") as world:
        workers = [world.manager() for _ in range(3)]
        user = await world.person(workers[0])
        await world.clock.advance(3600)
        world.vendor.faults.add(Cut(when="after"), on="token")
        asking = asyncio.gather(*(worker.token(user) for worker in workers), return_exceptions=True)

        async def all_of_them() -> list[Token | BaseException]:
            return await asking

        errors = await world.patiently(all_of_them())
        assert [type(error) for error in errors] == [GrantRefusedError] * 3
        calls = world.vendor.stats.token_calls
        assert calls <= 3
        with pytest.raises(AuthorizationRequiredError):
            await workers[1].token(user)
        assert world.vendor.stats.token_calls == calls
        assert sum(isinstance(event, TokenDied) for event in world.events) == 1


@pytest.mark.parametrize("old_refresh", ["valid", "grace"])
async def test_the_answer_of_the_winning_refresh_is_lost_and_the_old_token_still_works(
    old_refresh: str,
) -> None:
    async with a_world(old_refresh=old_refresh) as world:
        workers = [world.manager() for _ in range(3)]
        user = await world.person(workers[0])
        await world.clock.advance(3600)
        world.vendor.faults.add(Cut(when="after"), on="token")
        asking = asyncio.gather(*(worker.token(user) for worker in workers))

        async def all_of_them() -> list[Token]:
            return await asking

        tokens = await world.patiently(all_of_them())
        assert len({text_of(token) for token in tokens}) == 1
        assert world.vendor.stats.token_calls == 2
