"""ITCare: logout, revocation, userinfo, and the API that refuses with an empty body."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncauth.testing.emulators import KeycloakClient
from asyncauth.testing.emulators._keycloak import KeycloakProfile
from emulator_http import Client, open_client
from emulator_itcare import login, post, refresh, server

both = pytest.mark.parametrize("profile", ["kc11", "kc21"])


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def test_logout_ends_one_session_and_takes_expired_tokens(http: Client) -> None:
    async with server() as vendor:
        first, other = await login(http, vendor), await login(http, vendor)
        got = await post(http, vendor, "logout", refresh_token=first["refresh_token"])
        assert (got.status, got.body, vendor.sessions_alive) == (204, b"", 1)
        assert (await refresh(http, vendor, first["refresh_token"])).error[2] == "Session not active"
        vendor.clock.advance(7200)
        assert (await post(http, vendor, "logout", refresh_token=other["refresh_token"])).status == 204
        assert vendor.sessions_alive == 0


async def test_logout_without_a_sound_token_is_400(http: Client) -> None:
    async with server() as vendor:
        assert (await post(http, vendor, "logout")).error == (400, "invalid_request", "No refresh token")
        bad = await post(http, vendor, "logout", refresh_token="garbage")
        assert bad.error == (400, "invalid_grant", "Invalid refresh token")
        stranger = await http.form(vendor.token_url.parent / "logout", {}, ("nobody", "x"))
        assert stranger.error[1] == "unauthorized_client"


async def test_revoking_a_refresh_token_ends_every_session_of_the_client(http: Client) -> None:
    clients = {"itcare-client": KeycloakClient("itcare-secret"), "other": KeycloakClient("x")}
    async with server(clients=clients) as vendor:
        first, second = await login(http, vendor), await login(http, vendor)
        await http.form(vendor.token_url, {"grant_type": "client_credentials"}, ("other", "x"))
        got = await post(http, vendor, "revoke", token=first["refresh_token"])
        assert (got.status, got.body) == (200, b"")
        assert (await refresh(http, vendor, second["refresh_token"])).error[2] == "Session not active"
        assert vendor.sessions_alive == 1


async def test_revoking_garbage_fails_with_the_status_of_a_success(http: Client) -> None:
    async with server() as vendor:
        assert (await post(http, vendor, "revoke", token="x")).error == (
            200,
            "invalid_token",
            "Invalid token",
        )
        assert vendor.stats.refusals == {"invalid_token": 1}


@both
async def test_an_access_token_can_be_revoked_alone_in_the_newer_version(
    http: Client, profile: KeycloakProfile
) -> None:
    async with server(profile=profile, api_validation="introspect") as vendor:
        data = await login(http, vendor)
        got = await post(http, vendor, "revoke", token=data["access_token"])
        api = await http.get(vendor.api_url / "compute/vms", data["access_token"])
        if profile == "kc11":
            assert got.error[:2] == (400, "unsupported_token_type")
            assert api.status == 200
        else:
            assert (got.status, api.status) == (200, 401)
            assert vendor.stats.refusals == {"revoked": 1}
        assert (await refresh(http, vendor, data["refresh_token"])).status == 200


@both
async def test_userinfo_is_a_bad_probe(http: Client, profile: KeycloakProfile) -> None:
    async with server(profile=profile) as vendor:
        url = vendor.token_url.parent / "userinfo"
        plain, openid = await login(http, vendor), await login(http, vendor, scope="openid")
        without_scope = await http.get(url, plain["access_token"])
        if profile == "kc11":
            assert without_scope.status == 200
            assert (await http.get(url)).error == (400, "invalid_request", "Token not provided")
        else:
            assert without_scope.error == (403, "insufficient_scope", "Missing openid scope")
            assert (await http.get(url)).status == 401
        assert (await http.get(url, openid["access_token"])).status == 200
        dead = await http.get(url, "garbage")
        assert dead.error == (401, "invalid_token", "Token verification failed")
        assert 'error="invalid_token"' in dead.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/itcare/api/status", "/itcare/health"])
async def test_status_pages_ask_for_no_token(http: Client, path: str) -> None:
    async with server() as vendor:
        assert (await http.get(vendor.url.with_path(path))).status == 200
        assert vendor.stats.api_calls == 0


async def test_the_api_refuses_with_an_empty_body(http: Client) -> None:
    async with server() as vendor:
        data = await login(http, vendor)
        url = vendor.api_url / "compute" / "vms"
        good = await http.get(url, data["access_token"])
        assert (good.status, good.data["client"], good.data["serial"]) == (200, "itcare-client", 1)
        vendor.clock.advance(1199.9)
        assert (await http.get(url, data["access_token"])).status == 200
        vendor.clock.advance(0.1)
        tokens = [None, "garbage", data["access_token"], data["refresh_token"]]
        for got in [await http.get(url, token) for token in tokens]:
            assert (got.status, got.body, "WWW-Authenticate" in got.headers) == (401, b"", False)
        assert vendor.stats.refusals == {"missing": 1, "unknown": 2, "expired": 1}


async def test_a_missing_role_is_403_with_an_empty_body(http: Client) -> None:
    clients = {"itcare-client": KeycloakClient("itcare-secret", forbidden=frozenset({"billing"}))}
    async with server(clients=clients) as vendor:
        token = (await login(http, vendor))["access_token"]
        got = await http.get(vendor.api_url / "billing" / "invoices", token)
        assert (got.status, got.body) == (403, b"")
        assert (await http.get(vendor.api_url / "compute" / "vms", token)).status == 200


@pytest.mark.parametrize(
    ("knobs", "seconds", "status"),
    [({}, 1200, 401), ({"leeway": 60.0}, 1259, 200), ({"leeway": 60.0}, 1260, 401)],
)
async def test_the_api_may_have_a_leeway(
    http: Client, knobs: dict[str, Any], seconds: int, status: int
) -> None:
    async with server(**knobs) as vendor:
        token = (await login(http, vendor))["access_token"]
        vendor.clock.advance(seconds)
        assert (await http.get(vendor.api_url / "x/y", token)).status == status


async def test_the_apis_challenge_is_a_knob(http: Client) -> None:
    async with server(api_challenge=True) as vendor:
        got = await http.get(vendor.api_url / "x/y", "garbage")
        assert got.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert got.body == b""


@pytest.mark.parametrize(("validation", "status"), [("jwt_local", 200), ("introspect", 401)])
async def test_a_logout_stops_an_access_token_only_where_the_api_asks(
    http: Client, validation: str, status: int
) -> None:
    async with server(api_validation=validation) as vendor:
        data = await login(http, vendor)
        await post(http, vendor, "logout", refresh_token=data["refresh_token"])
        assert (await http.get(vendor.api_url / "x/y", data["access_token"])).status == status
