"""Cronofy's authorize endpoint and its codes."""

from collections.abc import AsyncIterator, Mapping

import pytest
from yarl import URL

from asyncauth.schemes._authorization import challenge_of
from asyncauth.testing.emulators import CronofyEmulator
from cronofy_samples import CALLBACK
from emulator_cronofy import post, server
from emulator_http import Client, Got, open_client

JSON_TYPE = "application/json; charset=utf-8"


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def page(http: Client, vendor: CronofyEmulator, **more: str) -> Mapping[str, str]:
    """Authorize, and return what the browser comes back with."""
    query = {"response_type": "code", "client_id": "cronofy-app", "redirect_uri": CALLBACK}
    url = (vendor.app_url / "oauth/authorize").with_query({**query, "scope": "read_account", **more})
    got = await http.get(url)
    assert got.status == 302
    assert got.headers["Location"].startswith(CALLBACK)
    return dict(URL(got.headers["Location"]).query)


async def exchange(http: Client, vendor: CronofyEmulator, code: str, **more: str) -> Got:
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, **more}
    return await post(http, vendor, "oauth/token", **fields)


async def userinfo(http: Client, vendor: CronofyEmulator, token: str) -> int:
    return (await http.get(vendor.api_url / "v1/userinfo", token)).status


async def test_a_code_is_exchanged_once_for_the_documented_answer(http: Client) -> None:
    async with server() as vendor:
        back = await page(http, vendor, state="xyz")
        assert back["state"] == "xyz"
        got = await exchange(http, vendor, back["code"])
        assert got.status == 200
        assert got.headers["Content-Type"] == JSON_TYPE
        assert (got.headers["Cache-Control"], got.headers["Pragma"]) == ("no-store", "no-cache")
        assert set(got.data) == {
            "token_type",
            "access_token",
            "expires_in",
            "refresh_token",
            "scope",
            "account_id",
            "sub",
            "linking_profile",
        }
        assert (got.data["token_type"], got.data["expires_in"], got.data["scope"]) == (
            "bearer",
            3600,
            "read_account",
        )
        assert len(got.data["access_token"]) == 32
        assert set(got.data["linking_profile"]) == {"provider_name", "profile_id", "profile_name"}
        again = await exchange(http, vendor, back["code"])
        assert (again.status, again.data) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize("used_code", ["invalid_grant", "unknown_or_used"])
async def test_a_code_is_short_lived_and_for_its_redirect_uri(http: Client, used_code: str) -> None:
    async with server(used_code=used_code) as vendor:
        other = await page(http, vendor)
        old = await page(http, vendor)
        refusals = [await exchange(http, vendor, other["code"], redirect_uri=CALLBACK + "/")]
        vendor.clock.advance(60)
        refusals += [await exchange(http, vendor, old["code"]), await exchange(http, vendor, "none")]
        for got in refusals:
            if used_code == "invalid_grant":
                assert (got.status, got.data) == (400, {"error": "invalid_grant"})
            else:
                assert got.status == 422
                assert got.data["errors"]["code"][0]["key"] == "errors.unknown_or_used"


async def test_a_person_may_decline_and_unknown_applications_get_a_page(http: Client) -> None:
    async with server(approving=None) as vendor:
        assert await page(http, vendor, state="s") == {"error": "access_denied", "state": "s"}
        assert await page(http, vendor, response_type="token") == {"error": "invalid_request"}
        url = (vendor.app_url / "oauth/authorize").with_query({"client_id": "x", "redirect_uri": CALLBACK})
        assert (await http.get(url)).status == 400


@pytest.mark.parametrize(
    ("knob", "challenge", "verifier", "status"),
    [
        ("ignored", True, "wrong", 200),
        ("checked", True, "right", 200),
        ("checked", True, "wrong", 400),
        ("checked", False, "", 200),
        ("required", True, "right", 200),
    ],
)
async def test_pkce_is_a_knob(
    http: Client, knob: str, *, challenge: bool, verifier: str, status: int
) -> None:
    async with server(pkce=knob) as vendor:
        more = {"code_challenge": challenge_of("right"), "code_challenge_method": "S256"} if challenge else {}
        back = await page(http, vendor, **more)
        assert (await exchange(http, vendor, back["code"], code_verifier=verifier)).status == status


async def test_pkce_may_be_required(http: Client) -> None:
    async with server(pkce="required") as vendor:
        assert await page(http, vendor) == {"error": "invalid_request"}


async def test_people_who_authorize_in_one_browser_are_linked(http: Client) -> None:
    async with server(linked=True) as vendor:
        answers = []
        for person, more in (("ada", {}), ("bob", {}), ("cy", {"avoid_linking": "true"})):
            vendor.approving = person
            back = await page(http, vendor, **more)
            answers.append((await exchange(http, vendor, back["code"])).data)
        ada, bob, cy = answers
        assert (ada["sub"], ada["refresh_token"]) == (bob["sub"], bob["refresh_token"])
        assert cy["sub"] != ada["sub"]
        assert ada["access_token"] != bob["access_token"]


async def test_a_further_authorization_adds_scopes(http: Client) -> None:
    async with server() as vendor:
        vendor.authorize("ada", "read_account")
        assert vendor.authorize("ada", "read_events").scope == ("read_account", "read_events")
        assert vendor.authorizations_alive == 1
