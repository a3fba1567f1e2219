"""Cronofy's OAuth endpoints: codes, rotation, old tokens, revocation, and bodies of both kinds."""

from collections.abc import AsyncIterator
from typing import Literal

import pytest

from asyncauth._errors import ConfigurationError
from asyncauth._exchange import basic_auth
from asyncauth.testing.emulators import CronofyEmulator
from emulator_cronofy import WHO, post, refresh, server, texts
from emulator_http import Client, open_client


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def userinfo(http: Client, vendor: CronofyEmulator, token: str) -> int:
    return (await http.get(vendor.api_url / "v1/userinfo", token)).status


@pytest.mark.parametrize(
    ("rotate", "changes"),
    [
        ("never", [False, False, False]),
        ("always", [True, True, True]),
        ("sometimes", [True, False, True]),
    ],
)
async def test_a_refresh_may_change_the_refresh_token(http: Client, rotate: str, changes: list[bool]) -> None:
    async with server(rotate=rotate) as vendor:
        token, seen = texts(vendor.authorize("ada"))[1], []
        for _ in range(3):
            got = await refresh(http, vendor, token)
            assert set(got.data) == {"token_type", "access_token", "expires_in", "refresh_token", "scope"}
            seen.append(got.data["refresh_token"] != token)
            token = got.data["refresh_token"]
        assert seen == changes


@pytest.mark.parametrize(
    ("old", "at_once", "later"), [("valid", 200, 200), ("invalid", 400, 400), ("grace", 200, 400)]
)
async def test_what_a_replaced_refresh_token_is_good_for_is_a_knob(
    http: Client, old: Literal["valid", "invalid", "grace"], at_once: int, later: int
) -> None:
    async with server(old_refresh=old, grace=30) as vendor:
        token = texts(vendor.authorize("ada"))[1]
        assert (await refresh(http, vendor, token)).status == 200
        assert (await refresh(http, vendor, token)).status == at_once
        vendor.clock.advance(30)
        got = await refresh(http, vendor, token)
        assert got.status == later
        if later == 400:
            assert got.data == {"error": "invalid_grant"}
        assert vendor.stats.reuses_detected == [at_once, later].count(400)
        # A reuse is refused; that it ends the authorization is nowhere said.
        assert (vendor.stats.families_revoked, vendor.authorizations_alive) == (0, 1)


@pytest.mark.parametrize(("old", "status"), [("valid_until_exp", 200), ("killed", 401)])
async def test_what_a_refresh_does_to_earlier_access_tokens_is_a_knob(
    http: Client, old: str, status: int
) -> None:
    async with server(old_access=old) as vendor:
        access, token = texts(vendor.authorize("ada"))
        got = await refresh(http, vendor, token)
        assert await userinfo(http, vendor, access) == status
        assert await userinfo(http, vendor, got.data["access_token"]) == 200


@pytest.mark.parametrize(("development", "life"), [(False, 3600), (True, 10_800)])
async def test_lives_are_those_of_the_applications_mode(
    http: Client, *, development: bool, life: int
) -> None:
    async with server(development=development) as vendor:
        access, token = texts(vendor.authorize("ada"))
        assert (await refresh(http, vendor, token)).data["expires_in"] == life
        vendor.clock.advance(life - 1)
        assert await userinfo(http, vendor, access) == 200
        vendor.clock.advance(1)
        assert await userinfo(http, vendor, access) == 401


async def test_a_form_is_as_good_as_json_and_authorization_is_not_looked_at(http: Client) -> None:
    async with server(rotate="never") as vendor:
        token = texts(vendor.authorize("ada"))[1]
        fields = {**WHO, "grant_type": "refresh_token", "refresh_token": token}
        for header in ("Bearer undefined", "Bearer None", basic_auth("some", "body")):
            got = await http.form(vendor.api_url / "oauth/token", fields, Authorization=header)
            assert got.status == 200
        assert vendor.stats.token_calls == 3


async def test_basic_instead_of_the_body_is_no_client(http: Client) -> None:
    async with server() as vendor:
        fields = {"grant_type": "refresh_token", "refresh_token": texts(vendor.authorize("ada"))[1]}
        basic = ("cronofy-app", "cronofy-secret")
        assert (await http.form(vendor.api_url / "oauth/token", fields, basic)).status == 401


@pytest.mark.parametrize(("body", "data"), [("json", b'{"error": "invalid_client"}'), ("empty", b"")])
@pytest.mark.parametrize("wrong", [{"client_id": "other"}, {"client_secret": "other"}, {"client_secret": ""}])
async def test_a_wrong_application_is_401_at_token_and_revoke(
    http: Client, body: str, data: bytes, wrong: dict[str, str]
) -> None:
    async with server(invalid_client_body=body) as vendor:
        for path in ("oauth/token", "oauth/token/revoke"):
            got = await post(http, vendor, path, **{"grant_type": "refresh_token", **wrong})
            assert (got.status, got.body) == (401, data)
        assert vendor.stats.refusals == {"invalid_client": 2}


@pytest.mark.parametrize(
    ("grant", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, "invalid_grant"),
    ],
)
async def test_other_grants_are_refused(http: Client, grant: dict[str, str], error: str) -> None:
    async with server() as vendor:
        got = await post(http, vendor, "oauth/token", **grant)
        assert (got.status, got.data) == (400, {"error": error})


@pytest.mark.parametrize("status", [400, 415])
async def test_another_content_type_is_refused_as_the_knob_says(http: Client, status: int) -> None:
    async with server(wrong_content_type=status) as vendor:
        url = vendor.api_url / "oauth/token"
        got = await http.call("POST", url, data=b"{}", headers={"Content-Type": "text/plain"})
        assert got.status == status
        broken = await http.call("POST", url, data=b"{", headers={"Content-Type": "application/json"})
        assert (broken.status, broken.data) == (400, {"error": "invalid_request"})


@pytest.mark.parametrize("by", ["refresh_token", "access_token", "sub"])
async def test_a_revocation_ends_the_authorization_with_all_its_tokens(http: Client, by: str) -> None:
    async with server() as vendor:
        first = vendor.authorize("ada")
        access, token = texts(first)
        named = {"refresh_token": token, "access_token": access}.get(by)
        fields = {"sub": str(first.subject)} if named is None else {"token": named, "sub": "acc_ignored"}
        got = await post(http, vendor, "oauth/token/revoke", **fields)
        assert (got.status, got.body) == (200, b"")
        assert await userinfo(http, vendor, access) == 401
        assert (await refresh(http, vendor, token)).data == {"error": "invalid_grant"}
        assert vendor.authorizations_alive == 0


async def test_a_revocation_with_an_expired_or_unknown_token_succeeds_and_does_nothing(http: Client) -> None:
    async with server() as vendor:
        access, token = texts(vendor.authorize("ada"))
        vendor.clock.advance(3600)
        for text in (access, "unknown"):
            assert (await post(http, vendor, "oauth/token/revoke", token=text)).status == 200
        assert (await refresh(http, vendor, token)).status == 200


async def test_a_revocation_of_nothing_says_what_is_missing(http: Client) -> None:
    """What cronofy-node sends: the token in a field of another name."""
    async with server() as vendor:
        access, token = texts(vendor.authorize("ada"))
        got = await post(http, vendor, "oauth/token/revoke", refresh_token=token)
        assert (got.status, got.data["errors"]["token"][0]["key"]) == (422, "errors.required")
        assert await userinfo(http, vendor, access) == 200


async def test_an_owner_may_withdraw_and_strangers_are_not_revoked(http: Client) -> None:
    async with server() as vendor:
        token = vendor.authorize("ada")
        vendor.revoke(str(token.subject))
        assert (await refresh(http, vendor, texts(token)[1])).status == 400
        for unknown in (vendor.revoke, vendor.revoke_access):
            with pytest.raises(ConfigurationError, match="this emulator"):
                unknown("nobody")


async def test_a_refresh_token_is_one_applications(http: Client) -> None:
    async with server(applications={"cronofy-app": "cronofy-secret", "other": "s"}) as vendor:
        token = texts(vendor.authorize("ada", client_id="other"))[1]
        assert (await refresh(http, vendor, token)).data == {"error": "invalid_grant"}
