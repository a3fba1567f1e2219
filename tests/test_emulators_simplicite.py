"""Simplicité: the login in every documented form and answer, logout, and probes that see no token."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from asyncauth._errors import ConfigurationError
from asyncauth._exchange import basic_auth
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import GATEWAY_504_HTML, SimpliciteEmulator, html_page
from asyncauth.testing.emulators._simplicite_sessions import SimpliciteProfile
from emulator_http import Client, Got, open_client

BASIC = basic_auth("svc", "svc-password")
FORM = {"username": "svc", "password": "svc-password"}

new = pytest.mark.parametrize("profile", ["v5_2", "v6"])
every = pytest.mark.parametrize("profile", ["v3", "v5_1", "v5_2", "v6"])


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def server(**knobs: Any) -> SimpliciteEmulator:
    return SimpliciteEmulator(clock=ManualClock(), **knobs)


async def sign_in(http: Client, vendor: SimpliciteEmulator, query: str = "", **headers: str) -> Got:
    url = (vendor.api_url / "login").with_query(query)
    return await http.get(url, Authorization=BASIC, **headers)


async def token_of(http: Client, vendor: SimpliciteEmulator) -> str:
    return (await sign_in(http, vendor)).body.decode()


@every
async def test_every_documented_form_of_credentials_logs_in(http: Client, profile: SimpliciteProfile) -> None:
    async with server(profile=profile, reuse=False) as vendor:
        url = vendor.api_url / "login"
        multipart = aiohttp.FormData(FORM, default_to_multipart=True)
        answers = [
            await http.get(url, Authorization=BASIC),
            await http.get(url, **{"X-Simplicite-Authorization": BASIC}),
            await http.call("POST", url, headers={"Authorization": BASIC}),
            await http.get(url.with_query(FORM)),
            await http.call("POST", url.with_query(FORM)),
            await http.form(url, FORM),
            await http.call("POST", url, data=multipart),
        ]
        assert [got.status for got in answers] == [200] * 7
        assert all(got.headers["Content-Type"] == "text/plain" for got in answers)
        assert len({got.body for got in answers}) == vendor.stats.tokens_issued == 7


@pytest.mark.parametrize(
    "query", [{}, {"username": "svc"}, {"password": "svc-password"}, {"username": "svc", "password": "wrong"}]
)
async def test_wrong_or_incomplete_credentials_are_401_without_a_challenge(
    http: Client, query: dict[str, str]
) -> None:
    async with server() as vendor:
        got = await http.get((vendor.api_url / "login").with_query(query))
        assert (got.status, got.body, "WWW-Authenticate" in got.headers) == (401, b"", False)
        assert vendor.stats.refusals == {"credentials": 1}


async def test_refusals_have_a_body_and_a_challenge_by_knob(http: Client) -> None:
    async with server(refusal_body="json", login_challenge=True) as vendor:
        login = await http.get(vendor.api_url / "login")
        assert login.headers["WWW-Authenticate"].startswith("Basic realm=")
        api = await http.get(vendor.api_url / "rest", "unknown")
        assert "WWW-Authenticate" not in api.headers
        assert api.data["status"] == login.data["status"] == 401
        assert api.data["error"]


@pytest.mark.parametrize(("newline", "end"), [(False, b""), (True, b"\n")])
async def test_the_plain_answer_is_the_token_alone(http: Client, *, newline: bool, end: bytes) -> None:
    async with server(trailing_newline=newline) as vendor:
        body = (await sign_in(http, vendor)).body
        assert body == body.strip() + end
        assert (await http.get(vendor.api_url / "rest", body.decode().strip())).status == 200


@every
@pytest.mark.parametrize("query", ["_json=true", "_output=json", "format=json"])
async def test_json_by_query_parameter_works_on_every_version(
    http: Client, profile: SimpliciteProfile, query: str
) -> None:
    async with server(profile=profile) as vendor:
        got = await sign_in(http, vendor, query)
        assert got.headers["Content-Type"] == "application/json"
        assert {"authtoken", "login", "firstname", "lastname", "lang"} <= set(got.data)
        assert got.data["login"] == "svc"
        assert ("sessionid" in got.data) == (profile in {"v3", "v5_1"})
        assert ("authtokenexpiry" in got.data) == (profile in {"v5_2", "v6"})


async def test_the_expiry_is_in_milliseconds_and_as_a_date(http: Client) -> None:
    async with server(token_duration=3600) as vendor:
        data = (await sign_in(http, vendor, "format=json")).data
        assert data["authtokenexpiry"] == (vendor.clock.wall() + 3600) * 1000
        assert data["authtokenexpires"].endswith("Z")
        moment = datetime.fromisoformat(data["authtokenexpires"])
        assert moment.timestamp() * 1000 == data["authtokenexpiry"]


@every
async def test_the_accept_header_is_ignored_before_5_2(http: Client, profile: SimpliciteProfile) -> None:
    async with server(profile=profile) as vendor:
        got = await sign_in(http, vendor, Accept="application/json")
        is_json = got.headers["Content-Type"] == "application/json"
        assert is_json == (profile in {"v5_2", "v6"})


@pytest.mark.parametrize("query", ["_oauth2=true", "_output=oauth2"])
async def test_the_oauth2_shape_tells_the_sessions_time_and_needs_https(http: Client, query: str) -> None:
    async with server() as vendor:
        assert (await sign_in(http, vendor, query)).status == 403
        assert vendor.stats.tokens_issued == 0
        vendor.oauth2_over_http = "allow"
        data = (await sign_in(http, vendor, query)).data
        assert set(data) == {"access_token", "token_type", "expires_in", "scope"}
        assert (data["token_type"], data["expires_in"], data["scope"]) == ("bearer", 300, None)


@pytest.mark.parametrize(
    ("target", "joint"), [("http://localhost/back", "?"), ("http://localhost/back?a=1", "&")]
)
async def test_a_redirect_uri_gets_the_token_in_its_query(http: Client, target: str, joint: str) -> None:
    async with server() as vendor:
        url = (vendor.api_url / "login").with_query(redirect_uri=target)
        got = await http.get(url, Authorization=BASIC)
        token = await token_of(http, vendor)
        assert (got.status, got.headers["Location"]) == (302, f"{target}{joint}access_token={token}")


@new
@pytest.mark.parametrize("header", ["Authorization", "X-Simplicite-Authorization"])
async def test_a_living_token_logs_in_as_itself(
    http: Client, profile: SimpliciteProfile, header: str
) -> None:
    async with server(profile=profile, reuse=False) as vendor:
        token = await token_of(http, vendor)
        url = (vendor.api_url / "login").with_query("format=json")
        got = await http.get(url, **{header: f"Bearer {token}"})
        assert (got.data["authtoken"], vendor.stats.tokens_issued) == (token, 1)
        vendor.revoke_access(token)
        assert (await http.get(url, **{header: f"Bearer {token}"})).status == 401


async def test_with_reuse_a_login_gives_the_same_token_with_the_same_end(http: Client) -> None:
    async with server() as vendor:
        first = (await sign_in(http, vendor, "format=json")).data
        vendor.clock.advance(86399)
        again = (await sign_in(http, vendor, "format=json")).data
        assert (again["authtoken"], again["authtokenexpiry"]) == (
            first["authtoken"],
            first["authtokenexpiry"],
        )
        vendor.clock.advance(1)
        assert (await sign_in(http, vendor, "format=json")).data["authtoken"] != first["authtoken"]
        assert (vendor.stats.tokens_issued, vendor.tokens_alive) == (2, 1)


async def test_reuse_never_gives_one_users_token_to_another(http: Client) -> None:
    async with server(users={"svc": "svc-password", "bob": "b"}) as vendor:
        url = (vendor.api_url / "login").with_query(username="bob", password="b")
        assert (await http.get(url)).body.decode() != await token_of(http, vendor)


async def test_without_reuse_every_login_gives_another_token_and_all_work(http: Client) -> None:
    async with server(reuse=False) as vendor:
        tokens = {await token_of(http, vendor) for _ in range(3)}
        assert len(tokens) == vendor.tokens_alive == 3
        for token in tokens:
            assert (await http.get(vendor.api_url / "rest", token)).status == 200


@pytest.mark.parametrize(
    ("knobs", "dots"),
    [
        ({"profile": "v5_1"}, 0),
        ({"profile": "v5_2"}, 2),
        ({"profile": "v6", "mode": "simple"}, 0),
        ({"profile": "v5_1", "mode": "jwt"}, 2),
    ],
)
async def test_tokens_look_by_mode(http: Client, knobs: dict[str, Any], dots: int) -> None:
    async with server(**knobs) as vendor:
        assert (await token_of(http, vendor)).count(".") == dots


@pytest.mark.parametrize("query", ["", "format=json"])
async def test_a_logout_by_one_holder_refuses_every_holder(http: Client, query: str) -> None:
    async with server() as vendor:
        mine, theirs = await token_of(http, vendor), await token_of(http, vendor)
        url = (vendor.api_url / "logout").with_query(query)
        got = await http.get(url, mine)
        assert got.status == 200
        if query:
            assert "error" not in got.data
        else:
            assert got.headers["Content-Type"] == "text/plain"
        assert (await http.get(vendor.api_url / "rest", theirs)).status == 401
        assert (await http.get(url, mine)).status == 401
        assert (await http.get(url)).status == 401
        assert vendor.stats.refusals == {"deleted": 2, "missing": 1}


@new
async def test_probes_stay_green_while_every_token_is_dead(http: Client, profile: SimpliciteProfile) -> None:
    async with server(profile=profile, context_path="/myapp") as vendor:
        token = await token_of(http, vendor)
        vendor.clock.advance(86400)
        assert (await http.get(vendor.api_url / "rest", token)).status == 401
        for path in ("myapp/ping", "myapp/health"):
            got = await http.get((vendor.url / path).with_query(format="json"))
            assert got.status == 200


async def test_a_context_path_stands_before_everything(http: Client) -> None:
    async with server(context_path="/myapp") as vendor:
        assert vendor.api_url.path == "/myapp/api"
        assert (await sign_in(http, vendor)).status == 200
        assert (await http.get(vendor.url / "api" / "login", Authorization=BASIC)).status == 404


@pytest.mark.parametrize("fault", [GATEWAY_504_HTML, html_page(200)])
async def test_a_gateways_page_can_stand_in_for_the_login(http: Client, fault: Any) -> None:
    async with server() as vendor:
        vendor.faults.add(fault, on="token")
        got = await sign_in(http, vendor)
        assert (got.status, got.headers["Content-Type"]) == (fault.status, "text/html")
        assert vendor.stats.tokens_issued == 0


async def test_only_an_issued_token_can_be_revoked() -> None:
    with pytest.raises(ConfigurationError, match="never issued"):
        server().revoke_access("unknown")


@every
@pytest.mark.parametrize("query", ["format=json&_json=true", "_output=json", "_oauth2=true"])
async def test_the_first_servers_know_the_bare_token_only(
    http: Client, profile: SimpliciteProfile, query: str
) -> None:
    async with server(profile=profile, plain_only=True) as vendor:
        got = await sign_in(http, vendor, query, Accept="application/json")
        assert (got.status, got.headers["Content-Type"]) == (200, "text/plain")
        assert vendor.stats.tokens_issued == 1
