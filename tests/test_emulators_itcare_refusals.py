"""ITCare: what Keycloak's token endpoint refuses, with each version's status and text."""

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import pytest

from asyncauth.testing.emulators import KeycloakClient
from asyncauth.testing.emulators._keycloak import KeycloakProfile
from emulator_http import Client, open_client
from emulator_itcare import GRANT, ME, server

NEW_TEXT = "Invalid client or Invalid client credentials"
Refusal: TypeAlias = tuple[int, str, str]

# The fields sent, the Basic credentials, what version 11 answers, and the newer one if it differs.
CASES: list[tuple[dict[str, str], tuple[str, str] | None, Refusal, Refusal | None]] = [
    ({}, ME, (400, "invalid_request", "Missing form parameter: grant_type"), None),
    ({"grant_type": "x"}, ME, (400, "unsupported_grant_type", "Unsupported grant_type"), None),
    (GRANT, None, (400, "invalid_client", "Missing client_id parameter"), None),
    (
        {**GRANT, "client_id": "itcare-client"},
        None,
        (401, "unauthorized_client", "Client secret not provided in request"),
        (401, "unauthorized_client", NEW_TEXT),
    ),
    (
        GRANT,
        ("itcare-client", "wrong"),
        (401, "unauthorized_client", "Invalid client secret"),
        (401, "unauthorized_client", NEW_TEXT),
    ),
    (
        GRANT,
        ("nobody", "x"),
        (400, "unauthorized_client", "Invalid client credentials"),
        (401, "invalid_client", NEW_TEXT),
    ),
    (
        GRANT,
        ("disabled", "x"),
        (400, "unauthorized_client", "Invalid client credentials"),
        (401, "invalid_client", NEW_TEXT),
    ),
    (
        GRANT,
        ("no-service", "x"),
        (401, "unauthorized_client", "Client not enabled to retrieve service account"),
        None,
    ),
    (
        {**GRANT, "client_id": "public"},
        None,
        (401, "unauthorized_client", "Public client not allowed to retrieve service account"),
        None,
    ),
    (
        GRANT,
        ("no-user", "x"),
        (401, "invalid_request", "User 'service-account-no-user' disabled"),
        None,
    ),
    (
        {**GRANT, "scope": "openid made-up"},
        ME,
        (400, "invalid_scope", "Invalid scopes: openid made-up"),
        None,
    ),
    ({"grant_type": "refresh_token"}, ME, (400, "invalid_request", "No refresh token"), None),
    (
        {"grant_type": "refresh_token", "refresh_token": "garbage"},
        ME,
        (400, "invalid_grant", "Invalid refresh token"),
        None,
    ),
]

both = pytest.mark.parametrize("profile", ["kc11", "kc21"])


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


@both
@pytest.mark.parametrize(("fields", "basic", "kc11", "kc21"), CASES)
async def test_refusals_have_each_versions_status_and_text(
    http: Client,
    profile: KeycloakProfile,
    fields: dict[str, str],
    basic: tuple[str, str] | None,
    kc11: Refusal,
    kc21: Refusal | None,
) -> None:
    clients = {
        "itcare-client": KeycloakClient("itcare-secret"),
        "disabled": KeycloakClient("x", enabled=False),
        "no-service": KeycloakClient("x", service_account=False),
        "public": KeycloakClient(None),
        "no-user": KeycloakClient("x", user_enabled=False),
    }
    async with server(profile=profile, clients=clients) as vendor:
        got = await http.form(vendor.token_url, fields, basic)
        assert got.error == (kc21 if profile == "kc21" and kc21 else kc11)
        assert vendor.stats.refusals == {got.error[1]: 1}


async def test_an_unreadable_authorization_header_is_challenged_with_an_empty_body(http: Client) -> None:
    async with server() as vendor:
        got = await http.form(vendor.token_url, GRANT, Authorization="Basic %%%")
        assert (got.status, got.body) == (401, b"")
        assert got.headers["WWW-Authenticate"] == 'Basic realm="cloud"'
        in_form = {**GRANT, "client_id": ME[0], "client_secret": ME[1]}
        assert (await http.form(vendor.token_url, in_form, Authorization="Basic %%%")).status == 200


@both
async def test_a_repeated_field_is_refused_by_the_newer_version_only(
    http: Client, profile: KeycloakProfile
) -> None:
    async with server(profile=profile) as vendor:
        body = b"grant_type=client_credentials&client_id=itcare-client&client_secret=itcare-secret&x=1&x=2"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        got = await http.call("POST", vendor.token_url, data=body, headers=kind)
        if profile == "kc21":
            assert got.error == (400, "invalid_request", "duplicated parameter")
        else:
            assert got.status == 200


@pytest.mark.parametrize(
    ("knobs", "error"),
    [
        ({"require_https": True}, (403, "invalid_request", "HTTPS required")),
        ({"realm_enabled": False}, (403, "access_denied", "Realm not enabled")),
    ],
)
async def test_the_realm_is_asked_before_the_client(
    http: Client, knobs: dict[str, bool], error: Refusal
) -> None:
    async with server(**knobs) as vendor:
        assert (await http.form(vendor.token_url, GRANT, ("nobody", "x"))).error == error


@pytest.mark.parametrize(
    ("knobs", "sent", "status"),
    [
        ({"profile": "kc11"}, "50%+1", 200),
        ({"profile": "kc11"}, "50%25%2B1", 401),
        ({"profile": "kc21"}, "50%25%2B1", 200),
        ({"profile": "kc21"}, "50%+1", 401),
        ({"profile": "kc11", "basic_urldecode": True}, "50%25%2B1", 200),
        ({"profile": "kc21", "basic_urldecode": False}, "50%+1", 200),
    ],
)
async def test_basic_is_url_decoded_by_version(
    http: Client, knobs: dict[str, Any], sent: str, status: int
) -> None:
    async with server(clients={"me": KeycloakClient("50%+1")}, **knobs) as vendor:
        assert (await http.form(vendor.token_url, GRANT, ("me", sent))).status == status
