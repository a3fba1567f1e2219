"""Simplicité's services: where a token may stand, sessions, and what runs silently as `public`."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncauth._exchange import basic_auth
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import SimpliciteEmulator
from asyncauth.testing.emulators._simplicite_sessions import SimpliciteProfile
from emulator_http import Client, open_client

BASIC = basic_auth("svc", "svc-password")
CUSTOM = "X-Simplicite-Authorization"

new = pytest.mark.parametrize("profile", ["v5_2", "v6"])


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def server(**knobs: Any) -> SimpliciteEmulator:
    return SimpliciteEmulator(clock=ManualClock(), **knobs)


async def token_of(http: Client, vendor: SimpliciteEmulator) -> str:
    return (await http.get(vendor.api_url / "login", Authorization=BASIC)).body.decode()


async def session_of(http: Client, vendor: SimpliciteEmulator) -> tuple[str, str]:
    got = await http.get(vendor.api_url / "login", Authorization=BASIC)
    cookie, _, attributes = got.headers["Set-Cookie"].partition("; ")
    assert attributes == "Path=/; HttpOnly"
    return got.body.decode(), cookie


@pytest.mark.parametrize("path", ["rest", "rest/Customer/1"])
async def test_a_token_may_stand_in_three_places(http: Client, path: str) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        url = vendor.api_url / path
        answers = [
            await http.get(url, token),
            await http.get(url, **{CUSTOM: f"Bearer {token}"}),
            await http.get(url.with_query({"_x_simplicite_authorization_": token})),
            await http.get(url.with_query({"_x_simplicite_autorization_": token})),
            await http.get(url.with_query(session="true"), token),
        ]
        assert [(got.data["login"], got.data["serial"]) for got in answers] == [("svc", 1)] * 5


async def test_the_custom_header_wins_over_the_standard_one(http: Client) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        url = vendor.api_url / "rest"
        good = {CUSTOM: f"Bearer {token}", "Authorization": "Basic for-a-proxy"}
        assert (await http.get(url, **good)).data["login"] == "svc"
        assert (await http.get(url, token, **{CUSTOM: "Bearer unknown"})).status == 401


async def test_the_parameters_name_and_the_pages_spelling_are_knobs(http: Client) -> None:
    async with server(url_param_name="tok", also_accept_doc_spelling=False) as vendor:
        token = await token_of(http, vendor)
        names = ["tok", "_x_simplicite_authorization_", "_x_simplicite_autorization_"]
        answers = [await http.get((vendor.api_url / "rest").with_query({name: token})) for name in names]
        assert [got.data["login"] for got in answers] == ["svc", "public", "public"]


async def test_unknown_deleted_and_expired_tokens_are_401(http: Client) -> None:
    async with server(reuse=False) as vendor:
        url = vendor.api_url / "rest/Customer"
        deleted, expired = await token_of(http, vendor), await token_of(http, vendor)
        vendor.revoke_access(deleted)
        vendor.clock.advance(86399)
        assert (await http.get(url, expired)).status == 200
        vendor.clock.advance(1)
        assert [(await http.get(url, token)).status for token in ("unknown", deleted, expired)] == [401] * 3
        assert vendor.stats.refusals == {"unknown": 1, "deleted": 1, "expired": 1}


@new
async def test_a_call_without_a_token_runs_as_public(http: Client, profile: SimpliciteProfile) -> None:
    async with server(profile=profile) as vendor:
        url = vendor.api_url / "rest/Customer"
        for headers in ({}, {"Authorization": BASIC}):
            got = await http.get(url, **headers)
            assert (got.status, got.data["login"], got.data["serial"]) == (200, "public", None)


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_objects_may_be_closed_to_public_by_knob(http: Client, status: int) -> None:
    async with server(public_status=status) as vendor:
        assert (await http.get(vendor.api_url / "rest/Customer")).status == status
        assert (await http.get(vendor.api_url / "rest")).data["login"] == "public"
        token = await token_of(http, vendor)
        assert (await http.get(vendor.api_url / "rest/Customer", token)).status == 200


@pytest.mark.parametrize("header", ["Authorization", CUSTOM])
@pytest.mark.parametrize(("profile", "login"), [("v5_1", "public"), ("v5_2", "public"), ("v6", None)])
async def test_a_header_without_bearer_is_downgraded_before_6(
    http: Client, header: str, profile: SimpliciteProfile, login: str | None
) -> None:
    async with server(profile=profile) as vendor:
        got = await http.get(vendor.api_url / "rest", **{header: await token_of(http, vendor)})
        assert got.status == (401 if login is None else 200)
        if login is not None:
            assert got.data["login"] == login


@pytest.mark.parametrize("profile", ["v3", "v5_1"])
async def test_up_to_5_1_basic_works_on_services_and_nothing_is_401(
    http: Client, profile: SimpliciteProfile
) -> None:
    async with server(profile=profile) as vendor:
        url = vendor.api_url / "rest/Customer"
        assert (await http.get(url, Authorization=BASIC)).data["login"] == "svc"
        assert (await http.get(url, Authorization=basic_auth("svc", "wrong"))).status == 401
        assert (await http.get(url)).status == 401
        assert vendor.stats.refusals == {"credentials": 1, "missing": 1}


async def test_v3_needs_the_cookie_of_the_tokens_own_session(http: Client) -> None:
    async with server(profile="v3", reuse=False) as vendor:
        url = vendor.api_url / "rest"
        token, cookie = await session_of(http, vendor)
        _, foreign = await session_of(http, vendor)
        assert (await http.get(url, token, Cookie=f"a=b; {cookie}")).data["login"] == "svc"
        assert (await http.get(url, token)).status == 401
        assert (await http.get(url, token, Cookie=foreign)).status == 401
        assert vendor.stats.refusals == {"no session": 2}


async def test_v3_gives_a_reused_token_a_session_of_its_own_each_time(http: Client) -> None:
    async with server(profile="v3") as vendor:
        first, second = await session_of(http, vendor), await session_of(http, vendor)
        assert first[0] == second[0]
        assert first[1] != second[1]
        for token, cookie in (first, second):
            assert (await http.get(vendor.api_url / "rest", token, Cookie=cookie)).status == 200
        assert vendor.sessions_alive == 2


async def test_v3_sessions_end_idle_and_each_call_slides(http: Client) -> None:
    async with server(profile="v3") as vendor:
        token, cookie = await session_of(http, vendor)
        for _ in range(3):
            vendor.clock.advance(299)
            assert (await http.get(vendor.api_url / "rest", token, Cookie=cookie)).status == 200
        vendor.clock.advance(300)
        assert (await http.get(vendor.api_url / "rest", token, Cookie=cookie)).status == 401
        assert vendor.sessions_alive == 0
        again, new_cookie = await session_of(http, vendor)
        assert (again, new_cookie == cookie) == (token, False)


async def test_v3_logout_needs_the_cookie_too(http: Client) -> None:
    async with server(profile="v3") as vendor:
        token, cookie = await session_of(http, vendor)
        url = vendor.api_url / "logout"
        assert (await http.get(url, token)).status == 401
        assert (await http.get(url, token, Cookie=cookie)).status == 200
        assert vendor.sessions_alive == 0


async def test_without_user_tokens_a_token_ends_idle_and_is_never_reused(http: Client) -> None:
    async with server(profile="v5_1", usertokens=False) as vendor:
        token = await token_of(http, vendor)
        assert await token_of(http, vendor) != token
        for _ in range(2):
            vendor.clock.advance(299)
            assert (await http.get(vendor.api_url / "rest", token)).status == 200
        vendor.clock.advance(300)
        assert (await http.get(vendor.api_url / "rest", token)).status == 401


async def test_with_user_tokens_no_idle_time_ends_a_token(http: Client) -> None:
    async with server(profile="v5_1") as vendor:
        token = await token_of(http, vendor)
        vendor.clock.advance(86399)
        assert (await http.get(vendor.api_url / "rest", token)).status == 200


@pytest.mark.parametrize("query", ["", "session=true"])
async def test_where_the_caller_is_named_is_a_knob(http: Client, query: str) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        url = (vendor.api_url / "rest").with_query(query)
        assert (await http.get(url, token)).data["login"] == "svc"
        vendor.names_user = "below user"
        assert (await http.get(url, token)).data["user"] == {"login": "svc"}
        vendor.names_user = "nowhere"
        assert "svc" not in (await http.get(url, token)).body.decode()
