"""ClicRDV end to end: one shared session, renewed once when it is dead and not when it only looks so."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from asyncauth import AuthMiddleware, Token, TokenUnavailableError
from asyncauth.testing import settle
from asyncauth.testing.emulators import Answer, ClicRDVPerson
from clicrdv_world import FOREIGN, GROUPS, KEY, a_clicrdv, ask

JSON = {"Content-Type": "application/json; charset=utf-8"}
IN_BAND = Answer(200, b'{"error":"Your session has expired"}', JSON)

# Each way in which the vendor may refuse a dead session, and what the scheme needs to see it.
MODES: list[tuple[str, dict[str, Any]]] = [
    ("403", {}),
    ("404", {}),
    ("401_no_challenge", {}),
    ("302_login_html", {}),
    ("200_empty", {"empty_is_suspect": True}),
]


@pytest.mark.parametrize(("mode", "options"), MODES)
async def test_a_dead_session_is_renewed_once_and_the_call_repeated(
    mode: str, options: dict[str, Any]
) -> None:
    async with a_clicrdv(unauth_mode=mode) as world, world.session(**options) as session:
        assert (await ask(session))[0] == 200
        world.end_all_sessions()
        status, data = await ask(session)
        assert (status, data["totalRecords"]) == (200, 1)
        assert world.vendor.stats.token_calls == 2
        probes = 0 if mode == "401_no_challenge" else 1
        assert world.targets() == [
            "sessions/login", "groups", "groups", *["groups.json"] * probes, "sessions/login", "groups"
        ]  # fmt: skip


@pytest.mark.parametrize(("mode", "options"), MODES)
async def test_many_calls_on_a_dead_session_cost_one_login(mode: str, options: dict[str, Any]) -> None:
    async with a_clicrdv(unauth_mode=mode) as world, world.session(**options) as session:
        await ask(session)
        world.end_all_sessions()
        answers = await asyncio.gather(*(ask(session) for _ in range(20)))
        assert {(status, data["totalRecords"]) for status, data in answers} == {(200, 1)}
        assert world.vendor.stats.token_calls == 2


@pytest.mark.parametrize("status", [403, 404])
async def test_a_genuine_refusal_reaches_the_caller_after_one_probe(status: Any) -> None:
    async with a_clicrdv(unauth_mode=str(status), foreign_object=status) as world, world.session() as session:
        await ask(session)
        world.clock.step(60)
        got, data = await ask(session, FOREIGN)
        assert (got, list(data)) == (status, ["error"])
        assert world.targets() == ["sessions/login", "groups", "groups/5/calendars", "groups.json"]


async def test_a_refusal_right_after_the_login_is_probed_too_and_starts_no_loop() -> None:
    async with a_clicrdv() as world, world.session() as session:
        for _ in range(5):
            assert (await ask(session, FOREIGN))[0] == 404
        assert world.vendor.stats.token_calls == 1
        assert world.targets().count("groups.json") <= 5


async def test_an_error_inside_a_200_renews_a_dead_session() -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        world.end_all_sessions()
        world.vendor.faults.add(IN_BAND, on="api")
        status, data = await ask(session)
        assert (status, data["totalRecords"]) == (200, 1)
        assert world.vendor.stats.token_calls == 2


async def test_an_error_inside_a_200_reaches_the_caller_where_the_session_lives() -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        world.clock.step(60)
        world.vendor.faults.add(IN_BAND, on="api")
        assert await ask(session) == (200, {"error": "Your session has expired"})
        assert world.vendor.stats.token_calls == 1
        assert world.targets()[-1] == "groups.json"


async def test_a_page_in_place_of_an_answer_renews_a_dead_session() -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        world.end_all_sessions()
        world.vendor.faults.add(Answer(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}), on="api")
        assert (await ask(session))[0] == 200
        assert world.vendor.stats.token_calls == 2


async def test_the_login_page_is_never_fetched_for_a_dead_session() -> None:
    async with a_clicrdv(unauth_mode="302_login_html") as world, world.session() as session:
        await ask(session)
        world.end_all_sessions()
        assert (await ask(session))[0] == 200
        assert "/login" not in [each.path for each in world.vendor.requests]


async def test_an_empty_list_of_a_living_session_is_the_callers() -> None:
    async with a_clicrdv() as world, world.session(empty_is_suspect=True) as session:
        status, data = await ask(session, "/api/v1/groups/4/calendars")
        assert (status, data["records"]) == (200, [])
        assert world.vendor.stats.token_calls == 1
        assert world.targets()[-1] == "groups.json"


@pytest.mark.parametrize("mode", ["403", "404", "401_no_challenge"])
async def test_an_anonymous_cookie_replaces_nothing_and_reaches_no_jar(mode: str) -> None:
    async with a_clicrdv(unauth_mode=mode, reissue_cookie=True) as world, world.session() as session:
        await ask(session)
        world.end_all_sessions()
        assert (await ask(session))[0] == 200
        stored = await world.entry(world.scheme())
        assert stored is not None
        shared = stored.token.cookies["_session_id"].reveal()
        assert world.sids()[-1] == f"_session_id={shared}"
        assert (await ask(session, FOREIGN))[0] == 404
        assert world.sids()[-1] == f"_session_id={shared}"
        assert list(session.client.cookie_jar) == []
        assert await world.entry(world.scheme()) == stored


async def test_an_anonymous_cookie_reaches_no_jar_where_the_renewal_fails() -> None:
    async with (
        a_clicrdv(reissue_cookie=True, unauth_mode="401_no_challenge") as world,
        world.session() as session,
    ):
        await ask(session)
        world.end_all_sessions()
        world.vendor.faults.add(Answer(401), on="token")
        async with session.get(GROUPS) as response:
            assert (response.status, list(response.cookies)) == (401, [])
        assert list(session.client.cookie_jar) == []


async def test_the_sessions_own_cookie_reaches_no_jar() -> None:
    async with a_clicrdv(resend_cookie=True) as world, world.session() as session:
        for _ in range(3):
            assert (await ask(session))[0] == 200
        assert list(session.client.cookie_jar) == []
        assert len(set(world.sids())) == world.vendor.stats.token_calls == 1


async def test_a_poisoned_jar_does_not_displace_the_shared_session() -> None:
    async with a_clicrdv() as world, world.session() as session:
        session.client.cookie_jar.update_cookies({"_session_id": "poison", "lang": "fr"}, world.vendor.url)
        assert (await ask(session))[0] == 200
        assert "poison" not in world.sids()[0]
        assert "lang=fr" in world.sids()[0]


async def test_one_e_mail_in_both_profiles_is_two_sessions() -> None:
    accounts = {"pro@example.com": ClicRDVPerson("pro-password", group_id=5)}
    async with a_clicrdv(accounts=accounts) as world:
        manager = world.manager()
        async with world.session(manager) as pro, world.session(manager, profile="account") as account:
            assert (await ask(pro))[1]["records"][0]["id"] == 4
            assert (await ask(account))[1]["records"][0]["id"] == 5
            assert (await ask(pro))[1]["records"][0]["id"] == 4
        assert world.vendor.stats.token_calls == 2


async def test_the_sandbox_is_reached_with_its_own_key() -> None:
    async with (
        a_clicrdv(environment="sandbox") as world,
        world.session(apikey="sandbox-apikey", environment="sandbox") as session,
    ):
        assert (await ask(session))[0] == 200


async def test_a_logout_tells_nobody_and_the_next_use_logs_in() -> None:
    async with a_clicrdv() as world:
        manager, scheme = world.manager(), world.scheme()
        first = await manager.token(scheme)
        await manager.logout(scheme)
        assert world.vendor.stats.requests == world.vendor.sessions_alive == 1
        assert await manager.token(scheme) != first


@pytest.mark.parametrize("step", [7200, 3600, 3599, 3550])
async def test_an_idle_session_is_renewed_before_it_is_used(step: float) -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        world.clock.step(step)
        assert (await ask(session))[0] == 200
        assert world.targets() == ["sessions/login", "groups", "sessions/login", "groups"]
        assert not world.vendor.stats.refusals


async def test_use_keeps_a_session_alive_beyond_its_hour() -> None:
    async with a_clicrdv() as world, world.session() as session:
        for _ in range(10):
            assert (await ask(session))[0] == 200
            world.clock.step(1800)
        assert world.vendor.stats.token_calls == 1


async def test_one_workers_use_keeps_the_session_alive_for_all() -> None:
    async with a_clicrdv() as world, world.session() as busy, world.session() as idle:
        assert {(await ask(busy))[0], (await ask(idle))[0]} == {200}
        for _ in range(6):
            await world.clock.advance(1800)
            await ask(busy)
            await settle()
        assert (await ask(idle))[0] == 200
        assert world.vendor.stats.token_calls == 1


async def test_a_session_needs_no_key_where_the_vendor_says_so_and_is_sent_it_all_the_same() -> None:
    async with a_clicrdv(session_without_apikey=True) as world, world.session() as session:
        assert (await ask(session))[0] == 200
        assert world.vendor.requests[-1].path_qs == f"{GROUPS}?apikey={KEY}"


async def test_a_stored_token_that_is_no_session_is_a_clear_error() -> None:
    async with a_clicrdv() as world:
        manager, scheme = world.manager(), world.scheme()
        await manager.put(scheme, Token(access_token="from-elsewhere"))
        async with world.session(manager) as session:
            with pytest.raises(TokenUnavailableError, match="no _session_id cookie"):
                await ask(session)
            await manager.forget(scheme)
            assert (await ask(session))[0] == 200


async def test_a_body_is_sent_whole_again_with_the_new_session() -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        world.end_all_sessions()
        async with session.post("/api/v1/groups/4/calendars", json={"calendar": {"name": "c"}}) as response:
            assert (response.status, (await response.json())["name"]) == (201, "c")
        posts = [each for each in world.vendor.requests if each.path.endswith("calendars")]
        assert [json.loads(each.body) for each in posts] == [{"calendar": {"name": "c"}}] * 2


async def test_a_redirect_of_a_living_session_is_the_callers_to_follow_or_not() -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        world.clock.step(60)
        moved = Answer(302, b"", {"Location": "/api/v1/groups"})
        world.vendor.faults.add(moved, on="api")
        async with session.get("/api/v1/groups/4", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, "/api/v1/groups")
        world.vendor.faults.add(moved, on="api")
        assert (await ask(session, "/api/v1/groups/4"))[0] == 200
        assert world.vendor.stats.token_calls == 1


async def test_a_client_of_the_callers_own_may_have_the_middleware() -> None:
    async with a_clicrdv(resend_cookie=True) as world:
        jar = aiohttp.CookieJar(unsafe=True)
        middleware = AuthMiddleware(world.scheme(), world.manager())
        async with aiohttp.ClientSession(middlewares=[middleware], cookie_jar=jar) as client:
            async with client.get(world.vendor.url.with_path(GROUPS)) as response:
                assert response.status == 200
            assert list(jar) == []
