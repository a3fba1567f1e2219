"""ClicRDV end to end: requests as the vendor's pages show them, and Basic, which asks nobody."""

import base64
import json
from typing import Any

import pytest

from asyncauth import TokenManager
from asyncauth.abc import AuthScheme
from asyncauth.testing.emulators import Answer
from clicrdv_world import FOREIGN, GROUPS, KEY, a_clicrdv, ask
from worlds import handle_of

AUTHS = pytest.mark.parametrize("auth", ["basic", "session"])
BASIC = "Basic " + base64.b64encode(b"pro@example.com:pro-password").decode()


@AUTHS
async def test_a_get_has_the_api_key_in_its_query_as_the_vendors_page_shows(auth: str) -> None:
    async with a_clicrdv() as world:
        world.vendor.apikeys["xxxxxx"] = world.vendor.apikeys[KEY]
        async with world.session(auth=auth, apikey="xxxxxx") as session:
            assert (await ask(session, "/api/v1/groups"))[0] == 200
        sent = world.vendor.requests[-1]
        assert (sent.method, sent.path_qs) == ("GET", "/api/v1/groups?apikey=xxxxxx")


@AUTHS
async def test_a_post_has_it_in_its_query_and_a_body_of_its_own(auth: str) -> None:
    async with a_clicrdv(accept_body_apikey=True) as world:
        world.vendor.apikeys["xxxxxx"] = world.vendor.apikeys[KEY]
        async with (
            world.session(auth=auth, apikey="xxxxxx") as session,
            session.post("/api/v1/groups/4/calendars", json={"calendar": {"name": "c"}}) as response,
        ):
            assert response.status == 201
        sent = world.vendor.requests[-1]
        assert (sent.method, sent.path_qs) == ("POST", "/api/v1/groups/4/calendars?apikey=xxxxxx")
        assert sent.headers["Content-Type"] == "application/json"
        assert json.loads(sent.body) == {"calendar": {"name": "c"}}


@AUTHS
@pytest.mark.parametrize(
    ("path", "params", "sent"),
    [
        ("/api/v1/groups?results=all", {}, f"/api/v1/groups?results=all&apikey={KEY}"),
        ("/api/v1/groups", {"startIndex": "25"}, f"/api/v1/groups?startIndex=25&apikey={KEY}"),
        ("/api/v1/groups?apikey=other&a=1", {}, f"/api/v1/groups?a=1&apikey={KEY}"),
    ],
)
async def test_the_api_key_joins_the_callers_query(
    auth: str, path: str, params: dict[str, str], sent: str
) -> None:
    async with a_clicrdv() as world, world.session(auth=auth) as session:
        assert (await ask(session, path, params=params))[0] == 200
        assert world.vendor.requests[-1].path_qs == sent


async def test_a_sessions_requests_on_the_wire() -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        login, call = world.vendor.requests
        stored = await world.entry(world.scheme())
        assert stored is not None
        sid = stored.token.cookies["_session_id"].reveal()
        assert (login.method, login.path_qs) == ("POST", f"/api/v1/sessions/login?apikey={KEY}")
        assert login.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert login.body == (
            b"pro%5Bemail%5D=pro%40example.com&pro%5Bpassword%5D=410f4025d3a5d3ed19bb7b8cd514fe25b95415b2"
        )
        assert not {"Authorization", "Cookie"} & set(login.headers)
        assert call.headers["Cookie"] == f"_session_id={sid}"
        assert "Authorization" not in call.headers


async def test_a_login_in_the_query_has_no_body() -> None:
    async with a_clicrdv() as world, world.session(login_in="query") as session:
        assert (await ask(session))[0] == 200
        login = world.vendor.requests[0]
        assert login.path_qs.startswith(
            f"/api/v1/sessions/login?apikey={KEY}&pro%5Bemail%5D=pro%40example.com&"
        )
        assert (login.method, login.body, login.headers["Content-Length"]) == ("POST", b"", "0")


async def test_basic_goes_out_with_the_first_request_already() -> None:
    async with a_clicrdv() as world, world.session(auth="basic") as session:
        assert (await ask(session))[0] == 200
        (sent,) = world.vendor.requests
        assert sent.headers["Authorization"] == BASIC
        assert "Cookie" not in sent.headers


async def test_basic_needs_neither_a_login_nor_a_store() -> None:
    async with a_clicrdv() as world:
        manager = world.manager()
        handle_of(manager).away = True
        async with world.session(manager, auth="basic") as session:
            assert (await ask(session))[0] == 200
        token = await manager.token(world.scheme(auth="basic"))
        assert (token.token_type, token.expires_in) == ("Basic", None)
        assert not handle_of(manager).calls
        assert world.vendor.stats.token_calls == 0


@pytest.mark.parametrize("mode", ["403", "404", "401_no_challenge", "200_empty", "302_login_html"])
async def test_with_basic_every_refusal_is_the_callers_and_costs_nothing_more(mode: str) -> None:
    async with a_clicrdv(unauth_mode=mode) as world, world.session(auth="basic", password="wrong") as session:
        for _ in range(3):
            async with session.get(GROUPS, allow_redirects=False) as response:
                assert response.status == int(mode[:3])
        assert world.vendor.stats.requests == 3


@pytest.mark.parametrize("status", [403, 404])
async def test_with_basic_a_genuine_refusal_is_not_probed(status: Any) -> None:
    async with a_clicrdv(foreign_object=status) as world, world.session(auth="basic") as session:
        assert (await ask(session, FOREIGN))[0] == status
        world.vendor.faults.add(
            Answer(200, b'{"error": "no"}', {"Content-Type": "application/json"}), on="api"
        )
        assert await ask(session) == (200, {"error": "no"})
        assert world.vendor.stats.requests == 2


async def test_basic_and_sessions_share_a_store_without_mixing() -> None:
    async with a_clicrdv() as world:
        manager: TokenManager = world.manager()
        schemes: list[AuthScheme] = [world.scheme(), world.scheme(auth="basic")]
        tokens = [await manager.token(scheme) for scheme in (*schemes, *schemes)]
        assert tokens[:2] == tokens[2:]
        assert [bool(token.cookies) for token in tokens[:2]] == [True, False]
        async with world.session(manager) as one, world.session(manager, auth="basic") as other:
            assert {(await ask(one, GROUPS))[0], (await ask(other, GROUPS))[0]} == {200}
        first, second = list(world.vendor.requests)[-2:]
        assert ("Authorization" in first.headers, "Authorization" in second.headers) == (False, True)
