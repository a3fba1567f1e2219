"""The generic OAuth 2 server: grants, rotation, reuse, refusals, resources."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

from asyncauth._errors import ConfigurationError
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import OAuth2Emulator
from emulator_http import Client, Got, open_client

APP = ("app", "app-secret")
GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def server(**knobs: Any) -> OAuth2Emulator:
    return OAuth2Emulator(clock=ManualClock(), **knobs)


def authorize(vendor: OAuth2Emulator, scope: str = "") -> str:
    token = vendor.authorize("alice", scope)
    assert token.refresh_token is not None
    return token.refresh_token.reveal()


async def refresh(http: Client, vendor: OAuth2Emulator, token: str, **more: str) -> Got:
    fields = {"grant_type": "refresh_token", "refresh_token": token, **more}
    return await http.form(vendor.token_url, fields, APP)


async def test_client_credentials_give_a_token_and_no_refresh_token(http: Client) -> None:
    async with server(access_lifetime=600) as vendor:
        got = await http.form(vendor.token_url, {**GRANT, "scope": "read write"}, APP)
        assert got.status == 200
        assert (got.headers["Cache-Control"], got.headers["Pragma"]) == ("no-store", "no-cache")
        assert set(got.data) == {"access_token", "token_type", "expires_in", "scope"}
        assert (got.data["token_type"], got.data["expires_in"]) == ("Bearer", 600)
        assert got.data["scope"] == "read write"


async def test_client_credentials_give_a_refresh_token_where_that_is_on(http: Client) -> None:
    async with server(refresh_for_client_credentials=True) as vendor:
        first = await http.form(vendor.token_url, GRANT, APP)
        assert (await refresh(http, vendor, first.data["refresh_token"])).status == 200


@pytest.mark.parametrize("basic", [True, False])
async def test_clients_authenticate_by_basic_or_body_or_are_refused(http: Client, *, basic: bool) -> None:
    body = {**GRANT, "client_id": "app", "client_secret": "app-secret"}
    for accepted, status in (
        (frozenset({"basic"}), 200 if basic else 401),
        (frozenset({"body"}), 401 if basic else 200),
    ):
        async with server(client_auth=accepted) as vendor:
            got = await http.form(vendor.token_url, *((GRANT, APP) if basic else (body, None)))
            assert got.status == status


async def test_basic_is_form_decoded(http: Client) -> None:
    async with server(clients={"a b": "p%:ö"}) as vendor:
        got = await http.form(vendor.token_url, GRANT, ("a+b", "p%25%3A%C3%B6"))
        assert got.status == 200


@pytest.mark.parametrize("basic", [("app", "wrong"), ("nobody", "x")])
async def test_a_wrong_client_is_401_with_a_challenge_for_basic(http: Client, basic: tuple[str, str]) -> None:
    async with server() as vendor:
        got = await http.form(vendor.token_url, GRANT, basic)
        assert got.error[:2] == (401, "invalid_client")
        assert got.headers["WWW-Authenticate"].startswith("Basic ")
        in_body = await http.form(
            vendor.token_url, {**GRANT, "client_id": basic[0], "client_secret": basic[1]}
        )
        assert in_body.error[:2] == (401, "invalid_client")
        assert "WWW-Authenticate" not in in_body.headers
        assert vendor.stats.refusals == {"invalid_client": 2}


async def test_garbage_in_the_authorization_header_is_a_wrong_client(http: Client) -> None:
    async with server() as vendor:
        for value in ("Basic %%%", "Basic YXBw", "Basic /w==", "Digest x"):
            got = await http.form(vendor.token_url, GRANT, Authorization=value)
            assert got.error[:2] == (401, "invalid_client")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "invalid_grant"),
        ({**GRANT, "scope": "read admin"}, "invalid_scope"),
        ({**GRANT, "client_secret": "app-secret"}, "invalid_request"),
    ],
)
async def test_wrong_token_requests_are_400_with_the_right_error(
    http: Client, fields: dict[str, str], error: str
) -> None:
    async with server(scopes=frozenset({"read"})) as vendor:
        assert (await http.form(vendor.token_url, fields, APP)).error[:2] == (400, error)


async def test_a_repeated_parameter_and_a_body_that_is_no_form_are_invalid_requests(http: Client) -> None:
    async with server() as vendor:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        repeated = await http.call("POST", vendor.token_url, data=b"scope=a&scope=b", headers=form)
        assert repeated.error[:2] == (400, "invalid_request")
        no_form = await http.call("POST", vendor.token_url, json=GRANT, headers={})
        assert no_form.error[:2] == (401, "invalid_client")


async def test_a_rotating_refresh_token_is_for_one_use(http: Client) -> None:
    async with server() as vendor:
        first = authorize(vendor, "read")
        second = (await refresh(http, vendor, first)).data
        assert second["refresh_token"] != first
        assert second["scope"] == "read"
        third = await refresh(http, vendor, second["refresh_token"])
        assert third.status == 200
        assert (vendor.stats.reuses_detected, vendor.families_alive) == (0, 1)


async def test_reuse_revokes_the_whole_family_and_no_other(http: Client) -> None:
    async with server() as vendor:
        other, first = authorize(vendor), authorize(vendor)
        second = (await refresh(http, vendor, first)).data
        assert (await refresh(http, vendor, first)).error[:2] == (400, "invalid_grant")
        assert (await refresh(http, vendor, second["refresh_token"])).error[:2] == (400, "invalid_grant")
        assert (await http.get(vendor.api_url / "x", second["access_token"])).status == 401
        assert (await refresh(http, vendor, other)).status == 200
        assert (vendor.stats.reuses_detected, vendor.stats.families_revoked) == (1, 1)
        assert vendor.families_alive == 1
        assert vendor.stats.refusals["revoked"] == 1


async def test_reuse_can_be_only_refused(http: Client) -> None:
    async with server(reuse_revokes=False) as vendor:
        first = authorize(vendor)
        second = (await refresh(http, vendor, first)).data["refresh_token"]
        assert (await refresh(http, vendor, first)).status == 400
        assert (await refresh(http, vendor, second)).status == 200
        assert (vendor.stats.reuses_detected, vendor.stats.families_revoked) == (1, 0)


@pytest.mark.parametrize("replaces", [True, False])
async def test_within_the_window_a_spent_token_works_again(http: Client, *, replaces: bool) -> None:
    async with server(reuse_window=30, reuse_replaces=replaces) as vendor:
        first = authorize(vendor)
        lost = (await refresh(http, vendor, first)).data
        vendor.clock.advance(29)
        again = (await refresh(http, vendor, first)).data
        assert (await http.get(vendor.api_url / "x", again["access_token"])).status == 200
        child = await refresh(http, vendor, lost["refresh_token"])
        assert child.status == (400 if replaces else 200)
        assert vendor.stats.families_revoked == 0
        vendor.clock.advance(1)
        assert (await refresh(http, vendor, first)).status == 400
        assert vendor.stats.families_revoked == 1


async def test_the_window_counts_from_the_first_use(http: Client) -> None:
    async with server(reuse_window=30) as vendor:
        first = authorize(vendor)
        for seconds in (20, 9):
            await refresh(http, vendor, first)
            vendor.clock.advance(seconds)
        assert (await refresh(http, vendor, first)).status == 200
        vendor.clock.advance(1)
        assert (await refresh(http, vendor, first)).status == 400


@pytest.mark.parametrize("repeat", [True, False])
async def test_without_rotation_a_refresh_token_serves_for_ever(http: Client, *, repeat: bool) -> None:
    async with server(rotate="never", repeat_refresh_token=repeat) as vendor:
        token = authorize(vendor)
        for _ in range(3):
            got = await refresh(http, vendor, token)
            assert got.data.get("refresh_token") == (token if repeat else None)
        assert vendor.stats.reuses_detected == 0


async def test_rotation_now_and_then_rotates_every_other_time(http: Client) -> None:
    async with server(rotate="sometimes") as vendor:
        token = authorize(vendor)
        rotated = []
        for _ in range(4):
            got = await refresh(http, vendor, token)
            rotated.append("refresh_token" in got.data)
            token = got.data.get("refresh_token", token)
        assert rotated == [True, False, True, False]


async def test_lifetimes_are_exact(http: Client) -> None:
    async with server(access_lifetime=100, refresh_lifetime=200) as vendor:
        token = vendor.authorize("alice")
        assert (token.expires_in, token.refresh_expires_in, token.subject) == (100, 200, "alice")
        assert token.access_token is not None
        assert token.refresh_token is not None
        access = token.access_token.reveal()
        vendor.clock.advance(99.9)
        assert (await http.get(vendor.api_url / "x", access)).status == 200
        vendor.clock.advance(0.1)
        assert (await http.get(vendor.api_url / "x", access)).status == 401
        assert vendor.stats.refusals == {"expired": 1}
        vendor.clock.advance(100)
        assert (await refresh(http, vendor, token.refresh_token.reveal())).error[1] == "invalid_grant"


async def test_a_refresh_may_narrow_the_scope_and_not_widen_it(http: Client) -> None:
    async with server() as vendor:
        token = authorize(vendor, "read write")
        assert (await refresh(http, vendor, token, scope="admin")).error[1] == "invalid_scope"
        narrow = (await refresh(http, vendor, token, scope="read")).data
        assert narrow["scope"] == "read"
        assert (await refresh(http, vendor, narrow["refresh_token"])).data["scope"] == "read write"


async def test_another_clients_refresh_token_is_refused_and_kept(http: Client) -> None:
    async with server(clients={"app": "app-secret", "other": "x"}) as vendor:
        foreign = vendor.authorize("bob", client_id="other").refresh_token
        assert foreign is not None
        assert (await refresh(http, vendor, foreign.reveal())).error[1] == "invalid_grant"
        assert vendor.stats.reuses_detected == 0


async def test_a_revoked_access_token_is_refused_and_its_refresh_token_works_on(http: Client) -> None:
    async with server() as vendor:
        token = vendor.authorize("alice")
        assert token.access_token is not None
        assert token.refresh_token is not None
        vendor.revoke_access(token.access_token)
        got = await http.get(vendor.api_url / "x", token.access_token.reveal())
        assert got.status == 401
        assert 'error="invalid_token"' in got.headers["WWW-Authenticate"]
        assert (await refresh(http, vendor, token.refresh_token.reveal())).status == 200
        with pytest.raises(ConfigurationError, match="never issued"):
            vendor.revoke_access("unknown")


async def test_the_challenge_names_an_error_only_where_a_token_came(http: Client) -> None:
    async with server() as vendor:
        bare = await http.get(vendor.api_url / "x")
        assert (bare.status, bare.headers["WWW-Authenticate"]) == (401, 'Bearer realm="emulator"')
        wrong = await http.get(vendor.api_url / "x", "made-up")
        assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
        assert vendor.stats.refusals == {"missing": 1, "unknown": 1}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_resource_echoes_and_names_the_token_by_its_serial_number(http: Client, method: str) -> None:
    async with server() as vendor:
        token = vendor.authorize("alice").access_token
        assert token is not None
        headers = {"Authorization": f"bearer {token.reveal()}"}
        got = await http.call(method, vendor.api_url / "a/b", data=b"12345", headers=headers)
        assert got.data == {"method": method, "path": "/api/a/b", "size": 5, "serial": 1, "subject": "alice"}


async def test_an_upload_is_streamed_and_counted_and_not_kept_whole(http: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(48):
            yield b"x" * 2**16

    async with server() as vendor:
        token = vendor.authorize("alice").access_token
        assert token is not None
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        got = await http.call("POST", vendor.api_url / "upload", data=pieces(), headers=headers)
        assert got.data["size"] == 48 * 2**16
        assert len(vendor.requests[-1].body) == 2**20


async def test_a_redirect_leads_where_it_is_told_to(http: Client) -> None:
    async with server() as vendor:
        token = vendor.authorize("alice").access_token
        assert token is not None
        to = URL("http://localhost:1/elsewhere?x=1")
        url = (vendor.api_url / "redirect").with_query(to=str(to), status="307")
        got = await http.get(url, token.reveal())
        assert (got.status, URL(got.headers["Location"])) == (307, to)
        assert (await http.get(url)).status == 401


async def test_the_slow_route_answers_late(http: Client) -> None:
    async with OAuth2Emulator() as vendor:
        token = vendor.authorize("alice").access_token
        assert token is not None
        start = vendor.clock.monotonic()
        got = await http.get((vendor.api_url / "slow").with_query(seconds="0.05"), token.reveal())
        assert got.status == 200
        assert vendor.clock.monotonic() - start >= 0.05
