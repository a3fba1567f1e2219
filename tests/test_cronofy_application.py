"""Cronofy's applications over real HTTP, and that their secret and users' tokens are never mixed up."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from asyncauth import AuthSession, CredentialRefusedError
from asyncauth.schemes import CronofyApplication
from cronofy_samples import app_of_vendor, of_vendor
from cronofy_world import World, a_world
from worlds import handle_of, text_of

IN_BODY = ["application_calendars", "add_to_calendar", "real_time_sequencing"]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/real_time_scheduling/sch_1"),
        ("POST", "/v1/smart_invites"),
        ("POST", "/v1/element_tokens"),
    ],
)
async def test_an_applications_call_carries_the_secret_and_asks_nobody(
    world: World, method: str, path: str
) -> None:
    manager = world.manager()
    async with (
        AuthSession(app_of_vendor(world.vendor), store=manager) as session,
        session.request(method, path) as response,
    ):
        assert response.status == 200
    (call,) = world.vendor.requests
    assert (call.method, call.path_qs) == (method, path)
    assert call.headers["Authorization"] == "Bearer cronofy-secret"
    assert not handle_of(manager).calls


async def test_a_refused_application_hears_so_and_nothing_is_renewed(world: World) -> None:
    wrong = CronofyApplication(client_id="cronofy-app", client_secret="not-it", api_url=world.vendor.api_url)
    async with AuthSession(wrong, store=world.manager()) as session:
        for _ in range(3):
            async with session.post("/v1/element_tokens") as response:
                assert response.status == 401
    assert (world.vendor.stats.requests, world.vendor.stats.token_calls) == (3, 0)


async def test_the_secret_opens_no_users_call_and_no_user_token_takes_its_place(world: World) -> None:
    manager = world.manager()
    user = await world.person(manager)
    app = app_of_vendor(world.vendor)
    async with AuthSession(app, store=manager) as session, session.get("/v1/userinfo") as response:
        assert response.status == 401
    async with AuthSession(user, store=manager) as session, session.post("/v1/smart_invites") as response:
        assert response.status == 401
    sent = [request.headers["Authorization"] for request in world.vendor.requests]
    assert sent == ["Bearer cronofy-secret", f"Bearer {text_of(await manager.token(user))}"]
    assert world.vendor.stats.token_calls == 0


@pytest.mark.parametrize("path", IN_BODY)
async def test_calls_with_credentials_in_the_body_go_through_any_client(path: str) -> None:
    async with a_world(bearer_beside_body="refused") as world, aiohttp.ClientSession() as client:
        app = app_of_vendor(world.vendor)
        body = app.with_credentials({"application_calendar_id": "my-unique-string"})
        async with client.post(app.base_url / "v1" / path, json=body) as response:
            assert response.status == 200
        (call,) = world.vendor.requests
        assert call.body == (
            b'{"client_id": "cronofy-app", "client_secret": "cronofy-secret",'
            b' "application_calendar_id": "my-unique-string"}'
        )


@pytest.mark.parametrize(("knob", "status"), [("ignored", 200), ("refused", 401)])
async def test_a_header_beside_such_a_body_is_the_vendors_choice(knob: str, status: int) -> None:
    async with a_world(bearer_beside_body=knob) as world:
        app = app_of_vendor(world.vendor)
        async with (
            AuthSession(app, store=world.manager()) as session,
            session.post("/v1/add_to_calendar", json=app.with_credentials({})) as response,
        ):
            assert response.status == status


async def test_an_application_calendar_is_made_and_kept_like_a_user(world: World) -> None:
    one, other = world.manager(), world.manager()
    nobody = of_vendor(world.vendor)
    room = await one.authorize(nobody, nobody.application_calendar("room-17"))
    assert room.sub.startswith("apc_")
    await world.clock.advance(3600)
    async with (
        AuthSession(room, store=other) as session,
        session.get("/v1/calendars") as response,
    ):
        assert response.status == 200
    assert world.vendor.stats.token_calls == 1


async def test_an_application_calendar_that_was_revoked_is_obtained_again_without_a_person(
    world: World,
) -> None:
    manager, nobody = world.manager(), of_vendor(world.vendor)
    room = await manager.authorize(nobody, nobody.application_calendar("room-17"))
    await manager.logout(room)
    assert await manager.authorize(room, room.application_calendar("room-17")) == room
    assert text_of(await manager.token(room))


async def test_an_application_calendar_of_a_wrong_application_says_what_to_check(world: World) -> None:
    nobody = of_vendor(world.vendor, client_secret="not-it")
    with pytest.raises(CredentialRefusedError, match="check client_id and client_secret"):
        await world.manager().authorize(nobody, nobody.application_calendar("room-17"))
