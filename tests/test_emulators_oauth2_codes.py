"""The generic OAuth 2 server: its page, its codes, and revocation."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from yarl import URL

from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import OAuth2Emulator
from emulator_http import Client, Got, open_client

APP = ("app", "app-secret")
BACK = "https://client.example.com/cb"
# RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
S256 = {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}
ASK = {"response_type": "code", "client_id": "app", "redirect_uri": BACK, "state": "xyz"}


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def server(**knobs: Any) -> OAuth2Emulator:
    return OAuth2Emulator(clock=ManualClock(), **knobs)


async def visit(http: Client, vendor: OAuth2Emulator, **fields: str) -> Mapping[str, str]:
    """Return what the browser is sent back with."""
    got = await http.get(vendor.authorization_url.with_query({**ASK, **fields}))
    assert got.status == 302
    place = URL(got.headers["Location"])
    assert str(place.with_query(None)) == fields.get("redirect_uri", BACK)
    return place.query


async def exchange(http: Client, vendor: OAuth2Emulator, code: str, **more: str) -> Got:
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, **more}
    return await http.form(vendor.token_url, fields, APP)


async def test_a_code_gives_the_tokens_of_the_person_who_was_at_the_browser(http: Client) -> None:
    async with server(person="bob") as vendor:
        for hint, subject in (({}, "bob"), ({"login_hint": "carol"}, "carol")):
            back = await visit(http, vendor, scope="read write", **hint)
            assert set(back) == {"code", "state"}
            assert back["state"] == "xyz"
            got = await exchange(http, vendor, back["code"])
            assert set(got.data) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
            assert got.data["scope"] == "read write"
            api = await http.get(vendor.api_url / "x", got.data["access_token"])
            assert api.data["subject"] == subject
        assert vendor.families_alive == 2


@pytest.mark.parametrize(
    ("asked", "verifier", "status"),
    [
        (S256, VERIFIER, 200),
        (S256, VERIFIER[:-1] + "x", 400),
        (S256, None, 400),
        ({"code_challenge": VERIFIER}, VERIFIER, 200),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, VERIFIER[::-1], 400),
        ({}, VERIFIER, 400),
        ({}, None, 200),
    ],
)
async def test_the_verifier_has_to_match_the_challenge(
    http: Client, asked: dict[str, str], verifier: str | None, status: int
) -> None:
    async with server() as vendor:
        back = await visit(http, vendor, **asked)
        proof = {} if verifier is None else {"code_verifier": verifier}
        got = await exchange(http, vendor, back["code"], **proof)
        assert got.status == status
        if status == 400:
            assert got.error == (400, "invalid_grant", "code_verifier does not match")


async def test_a_code_that_comes_again_ends_what_it_gave(http: Client) -> None:
    async with server() as vendor:
        code = (await visit(http, vendor))["code"]
        first = (await exchange(http, vendor, code)).data
        assert (await exchange(http, vendor, code)).error[2] == "the code was used before"
        assert vendor.families_alive == 0
        assert (await http.get(vendor.api_url / "x", first["access_token"])).status == 401


async def test_codes_have_a_life_a_client_and_a_redirect_uri(http: Client) -> None:
    async with server(clients={"app": "app-secret", "other": "x"}, code_lifetime=10) as vendor:
        code = (await visit(http, vendor))["code"]
        other = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
        stranger = await http.form(vendor.token_url, other, ("other", "x"))
        assert stranger.error[1:] == ("invalid_grant", "no such code of this client")
        elsewhere = await exchange(http, vendor, code, redirect_uri=BACK + "/")
        assert elsewhere.error[1:] == ("invalid_grant", "redirect_uri is not that of the authorization")
        vendor.clock.advance(10)
        assert (await exchange(http, vendor, code)).error[2] == "the code expired"
        assert (await exchange(http, vendor, "x")).error[2] == "no such code of this client"
        missing = await http.form(vendor.token_url, {"grant_type": "authorization_code"}, APP)
        assert missing.error == (400, "invalid_request", "code is missing")


@pytest.mark.parametrize(
    ("knobs", "fields", "error"),
    [
        ({"declines_with": "access_denied"}, {}, "access_denied"),
        ({"declines_with": "server_error"}, {}, "server_error"),
        ({}, {"response_type": "token"}, "unsupported_response_type"),
        ({"scopes": frozenset({"read"})}, {"scope": "read write"}, "invalid_scope"),
        ({"require_pkce": True}, {}, "invalid_request"),
        ({}, {"code_challenge": "x", "code_challenge_method": "S512"}, "invalid_request"),
    ],
)
async def test_the_page_sends_people_back_with_errors(
    http: Client, knobs: dict[str, Any], fields: dict[str, str], error: str
) -> None:
    async with server(**knobs, issuer="https://id.example") as vendor:
        back = await visit(http, vendor, **fields)
        assert set(back) == {"error", "error_description", "state", "iss"}
        assert (back["error"], back["state"], back["iss"]) == (error, "xyz", "https://id.example")
        assert vendor.stats.refusals == {error: 1}


async def test_nobody_is_sent_to_a_place_that_is_not_registered(http: Client) -> None:
    places = frozenset({BACK, "http://127.0.0.1/cb"})
    async with server(redirect_uris=places) as vendor:
        for fields in ({"redirect_uri": "https://evil.example/"}, {"client_id": "x"}, {"redirect_uri": ""}):
            got = await http.get(vendor.authorization_url.with_query({**ASK, **fields}))
            assert (got.status, "Location" in got.headers) == (400, False)
        # RFC 8252, section 7.3: any port of the loopback address.
        assert (await visit(http, vendor, redirect_uri="http://127.0.0.1:51004/cb"))["code"]


async def test_a_public_client_has_no_token_of_its_own(http: Client) -> None:
    async with server(clients={"cli": ""}) as vendor:
        back = await visit(http, vendor, client_id="cli", **S256)
        fields = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": BACK}
        named = {**fields, "client_id": "cli", "code_verifier": VERIFIER}
        assert (await http.form(vendor.token_url, named)).status == 200
        own = {"grant_type": "client_credentials", "client_id": "cli"}
        assert (await http.form(vendor.token_url, own)).error[:2] == (400, "unauthorized_client")


async def revoke(http: Client, vendor: OAuth2Emulator, token: str, basic: tuple[str, str] = APP) -> Got:
    return await http.form(vendor.revocation_url, {"token": token}, basic)


async def test_revoking_a_refresh_token_ends_the_authorization(http: Client) -> None:
    async with server(clients={"app": "app-secret", "other": "x"}) as vendor:
        data = (await exchange(http, vendor, (await visit(http, vendor))["code"])).data
        assert (await revoke(http, vendor, data["refresh_token"], ("other", "x"))).error[1] == "invalid_grant"
        got = await revoke(http, vendor, data["refresh_token"])
        assert (got.status, got.body, vendor.families_alive) == (200, b"", 0)
        assert (await http.get(vendor.api_url / "x", data["access_token"])).status == 401
        # RFC 7009, section 2.2: what is not known is as good as revoked.
        assert (await revoke(http, vendor, "unknown")).status == 200
        assert (await http.form(vendor.revocation_url, {}, APP)).error[2] == "token is missing"
        assert (await revoke(http, vendor, "x", ("app", "wrong"))).error[:2] == (401, "invalid_client")


async def test_revoking_an_access_token_ends_that_one_alone(http: Client) -> None:
    async with server() as vendor:
        data = (await exchange(http, vendor, (await visit(http, vendor))["code"])).data
        assert (await revoke(http, vendor, data["access_token"])).status == 200
        assert (await http.get(vendor.api_url / "x", data["access_token"])).status == 401
        assert vendor.families_alive == 1


async def test_a_missing_scope_is_403_with_a_challenge_that_names_it(http: Client) -> None:
    async with server() as vendor:
        data = (await exchange(http, vendor, (await visit(http, vendor, scope="read"))["code"])).data
        url = vendor.api_url / "scoped"
        assert (await http.get(url.with_query(scope="read"), data["access_token"])).status == 200
        got = await http.get(url.with_query(scope="write"), data["access_token"])
        assert got.status == 403
        assert 'error="insufficient_scope", scope="write"' in got.headers["WWW-Authenticate"]
