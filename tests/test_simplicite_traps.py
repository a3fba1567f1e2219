"""What goes wrong with Simplicité in the field, each with real workers on one store and the emulator."""

from typing import Any

import pytest

from asyncauth import AuthSession, CredentialRefusedError, Token, TokenManager, TokenUnavailableError
from asyncauth.testing.emulators import Answer
from emulator_http import open_client
from flow_driver import drive, reply
from simplicite_samples import Instance, an_instance, call
from worlds import handle_of

BACK = "http://localhost/back"
LONG_ENOUGH = 60
"""Seconds after which a refused token is renewed: it was not issued just now."""


async def serials(*sessions: AuthSession) -> list[int]:
    """Return which token each session's call was made with; all are answered in the user's name."""
    answers = [await call(session) for session in sessions]
    assert [(status, data["login"]) for status, data in answers] == [(200, "svc")] * len(sessions)
    return [data["serial"] for _, data in answers]


async def two_workers(world: Instance, **options: Any) -> tuple[AuthSession, AuthSession]:
    scheme = world.scheme(**options)
    return AuthSession(scheme, world.worker()), AuthSession(scheme, world.worker())


# 1: a logout by one worker ends everybody's token.
@pytest.mark.parametrize("profile", ["v3", "v6"])
async def test_a_worker_that_leaves_logs_nobody_out(profile: str) -> None:
    async with an_instance(profile=profile) as world:
        scheme = world.scheme(session_cookie=profile == "v3")
        leaving, staying = world.worker(), world.worker()
        async with AuthSession(scheme, staying) as session:
            async with leaving, AuthSession(scheme, leaving) as other:
                assert await serials(session, other) == [1, 1]
            await handle_of(leaving).aclose()
            assert await serials(session) == [1]
        await handle_of(staying).aclose()
        assert world.asked("logout") == []
        assert world.vendor.tokens_alive == 1


async def test_the_owners_logout_ends_the_token_of_all_and_the_next_call_logs_in() -> None:
    async with an_instance() as world:
        mine, theirs = await two_workers(world)
        async with mine, theirs:
            assert await serials(mine, theirs) == [1, 1]
            owner = world.worker()
            await owner.logout(world.scheme())
            assert (world.vendor.tokens_alive, await world.entry(world.scheme())) == (0, None)
            assert await serials(mine, theirs) == [2, 2]
        assert world.asked("logout") == ["/api/logout?format=json"]


@pytest.mark.parametrize("refusal_body", ["empty", "json"])
@pytest.mark.parametrize("profile", ["v3", "v6"])
@pytest.mark.parametrize("options", [{}, {"header": "Authorization"}, {"send_in": "url"}])
async def test_a_logout_of_a_token_that_was_gone_has_done_its_work(
    refusal_body: str, profile: str, options: dict[str, Any]
) -> None:
    async with an_instance(profile=profile, refusal_body=refusal_body) as world:
        scheme, manager = world.scheme(session_cookie=profile == "v3", **options), world.worker()
        token = await manager.token(scheme)
        assert token.access_token is not None
        world.vendor.revoke_access(token.access_token)
        await manager.logout(scheme)
        assert world.vendor.stats.refusals == {"deleted": 1}


# 2: a login that gives the refused token again is not repeated for ever.
async def test_a_server_that_gives_the_refused_token_again_is_asked_once() -> None:
    async with an_instance() as world:
        session, other = await two_workers(world)
        async with session, other:
            assert await serials(session, other) == [1, 1]
            world.clock.step(LONG_ENOUGH)
            world.vendor.faults.add(Answer(401), on="api", times=None)
            for _ in range(10):
                assert [(await call(each))[0] for each in (session, other)] == [401, 401]
            assert len(world.asked("login")) == 2
            world.vendor.faults.clear()
            assert await serials(session, other) == [1, 1]
        assert len(world.asked("login")) == 2
        assert world.vendor.stats.tokens_issued == 1


# 3: `expires_in` is the session's, and a session's end is not the token's.
async def test_a_days_token_is_not_renewed_every_five_minutes() -> None:
    async with an_instance(oauth2_over_http="allow", session_timeout=300) as world:
        async with AuthSession(world.scheme(answer="oauth2"), world.worker()) as session:
            for _ in range(24):
                assert await serials(session) == [1]
                world.clock.step(3599)
        assert len(world.asked("login")) == 1


@pytest.mark.parametrize("options", [{}, {"answer": "oauth2"}])
async def test_a_session_of_version_3_does_not_live_as_long_as_its_token(options: dict[str, Any]) -> None:
    async with an_instance(profile="v3", oauth2_over_http="allow") as world:
        async with AuthSession(world.scheme(session_cookie=True, **options), world.worker()) as session:
            assert await serials(session) == [1]
            world.clock.step(301)
            assert await serials(session) == [1]
        assert len(world.asked("login")) == 2
        assert world.vendor.sessions_alive == 1


# 4: milliseconds.
async def test_the_end_is_in_milliseconds_and_is_the_servers() -> None:
    async with an_instance(token_duration=7200) as world:
        token = await world.worker().token(world.scheme())
        assert token.expires_in == pytest.approx(7200, abs=1)


@pytest.mark.parametrize("ahead", [0, 3600])
async def test_an_end_in_seconds_under_a_name_for_milliseconds_is_no_years_long_life(ahead: int) -> None:
    answer = reply({"authtoken": "t" * 50, "authtokenexpiry": 1_750_000_000 + ahead})
    async with an_instance() as world:
        assert drive(world.scheme().login(), answer).result.expires_in is None


# 5: nobody is `public` by mistake.
FAILING = {
    "wrong password": Answer(401),
    "no right": Answer(403),
    "down": Answer(503),
    "a page": Answer(200, b"<html></html>", {"Content-Type": "text/html"}),
    "a login as public": Answer(
        200,
        b'{"authtoken": "0123456789012345678901", "login": "public"}',
        {"Content-Type": "application/json"},
    ),
}


@pytest.mark.parametrize("profile", ["v5_2", "v6"])
@pytest.mark.parametrize("fault", FAILING.values(), ids=FAILING.keys())
async def test_no_call_is_sent_without_a_token(profile: str, fault: Answer) -> None:
    async with an_instance(profile=profile) as world:
        world.vendor.faults.add(fault, on="token", times=None)
        async with AuthSession(world.scheme(), world.worker()) as session:
            for _ in range(3):
                with pytest.raises(TokenUnavailableError):
                    await world.patiently(session.get("/rest/Customer"))
        assert world.vendor.stats.api_calls == 0


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_every_call_has_the_users_rights_also_around_a_renewal(status: int) -> None:
    async with an_instance(public_status=status) as world:
        session, other = await two_workers(world)
        async with session, other:
            for serial in (1, 2, 3):
                assert await serials(session, other) == [serial, serial]
                world.clock.step(86_401)
        assert "public" not in world.vendor.stats.refusals


# 5 and 7: a parameter that the server does not know is no error there, but a call as `public`.
@pytest.mark.parametrize("names_user", ["on top", "below user"])
async def test_whoami_finds_a_token_that_does_not_arrive(names_user: str) -> None:
    async with an_instance(also_accept_doc_spelling=False, names_user=names_user) as world:
        wrong = {"send_in": "url", "url_param": "_x_simplicite_autorization_"}
        async with AuthSession(world.scheme(**wrong), world.worker()) as careless:
            assert (await call(careless))[1]["login"] == "public"
        await world.worker().forget(world.scheme())
        manager = world.worker()
        with pytest.raises(CredentialRefusedError, match="takes the token for another user's, 'public'"):
            await manager.token(world.scheme(whoami=True, **wrong))
        assert await world.entry(world.scheme()) is None
        assert (await manager.token(world.scheme(whoami=True))).subject == "svc"


# 6, pages as tokens: test_simplicite_failures. 8, answers that nobody asked for: test_simplicite_modes.


# 9: version 3 is a cookie and a token.
async def test_in_version_3_cookie_and_token_are_shared_and_replaced_together() -> None:
    async with an_instance(profile="v3") as world:
        mine, theirs = await two_workers(world, session_cookie=True)
        async with mine, theirs:
            assert await serials(mine, theirs) == [1, 1]
            first = await world.entry(world.scheme())
            world.clock.step(86_401)
            assert await serials(theirs, mine) == [2, 2]
            second = await world.entry(world.scheme())
            assert len(mine.client.cookie_jar) == len(theirs.client.cookie_jar) == 0
        assert first is not None
        assert second is not None
        assert first.token.access_token != second.token.access_token
        assert first.token.cookies.keys() == second.token.cookies.keys() == {"JSESSIONID"}
        assert first.token.cookies != second.token.cookies
        assert len(world.asked("login")) == 2
        cookies = [request.headers["Cookie"] for request in world.vendor.requests if "rest" in request.path]
        wanted = [f"JSESSIONID={entry.token.cookies['JSESSIONID'].reveal()}" for entry in (first, second)]
        assert list(dict.fromkeys(cookies)) == wanted


async def test_in_version_3_the_callers_own_cookies_go_beside_the_sessions() -> None:
    async with an_instance(profile="v3") as world:
        async with AuthSession(world.scheme(session_cookie=True), world.worker()) as session:
            assert (await call(session, cookies={"own": "1", "JSESSIONID": "stale"}))[0] == 200
        sent = world.vendor.requests[-1].headers["Cookie"]
        assert sent.startswith("own=1; JSESSIONID=")
        assert "stale" not in sent


@pytest.mark.parametrize("cookies", [{}, {"JSESSIONID": "UNKNOWN"}])
async def test_in_version_3_a_token_without_its_session_is_replaced_once(cookies: dict[str, str]) -> None:
    async with an_instance(profile="v3") as world:
        scheme, manager = world.scheme(session_cookie=True), world.worker()
        token = await manager.token(scheme)
        await manager.put(scheme, Token(access_token=token.access_token, cookies=cookies))
        world.clock.step(LONG_ENOUGH)
        async with AuthSession(scheme, manager) as session:
            assert await serials(session) == [1]
        assert len(world.asked("login")) == 2
        assert world.vendor.stats.refusals == {"no session": 1}


# 10: `/ping` and `/health` know nothing of tokens.
async def test_a_probe_tells_what_ping_and_health_do_not() -> None:
    async with an_instance() as world, open_client() as http:
        scheme, manager = world.scheme(), world.worker()
        token = await manager.token(scheme)
        for alive in (True, False):
            for path in ("ping", "health"):
                assert (await http.get(world.vendor.url / path)).status == 200
            request = next(scheme.probe(token))
            got = await http.call(request.method, request.url, headers=request.headers)
            answer = reply(got.body, got.status, {"Content-Type": "application/json"})
            assert drive(scheme.probe(token), answer).result is alive
            assert token.access_token is not None
            world.vendor.revoke_access(token.access_token)


# 11, multipart: test_simplicite_requests. 12, a proxy's own `Authorization`: test_simplicite_modes.


async def test_a_token_that_an_administrator_deletes_is_replaced_once_for_all() -> None:
    async with an_instance() as world:
        mine, theirs = await two_workers(world)
        async with mine, theirs:
            assert await serials(mine, theirs) == [1, 1]
            world.clock.step(LONG_ENOUGH)
            entry = await world.entry(world.scheme())
            assert entry is not None
            assert entry.token.access_token is not None
            world.vendor.revoke_access(entry.token.access_token)
            assert await serials(mine, theirs) == [2, 2]
        assert len(world.asked("login")) == 2


async def test_a_login_under_reuse_has_the_life_that_is_left() -> None:
    async with an_instance() as world:
        await world.worker().token(world.scheme())
        world.clock.step(80_000)
        async with world.elsewhere() as store:
            token = await TokenManager(store, clock=world.clock).token(world.scheme())
        assert token.expires_in == pytest.approx(6400, abs=1)
        assert world.vendor.stats.tokens_issued == 1


async def test_where_logins_give_new_tokens_nobody_waits_for_one() -> None:
    async with (
        an_instance(reuse=False) as world,
        AuthSession(world.scheme(renews_early=True), world.worker()) as session,
    ):
        assert await serials(session) == [1]
        world.clock.step(86_400 - 100)
        assert await serials(session) == [1]
        await world.until(lambda: len(world.asked("login")) == 2)
        assert await serials(session) == [2]


async def test_early_logins_that_gain_nothing_are_few() -> None:
    async with (
        an_instance(reuse=True) as world,
        AuthSession(world.scheme(renews_early=True), world.worker()) as session,
    ):
        await call(session)
        world.clock.step(85_000)
        for _ in range(300):
            assert (await call(session))[0] == 200
            await world.let_pass(5)
        assert world.vendor.stats.tokens_issued == 2
        assert len(world.asked("login")) <= 10


async def test_an_in_band_error_of_the_json_gateway_is_the_callers() -> None:
    async with an_instance() as world:
        body = b'{"type": "error", "response": {"message": "ERR_CORE"}}'
        world.vendor.faults.add(Answer(200, body, {"Content-Type": "application/json"}), on="api")
        async with AuthSession(world.scheme(), world.worker()) as session:
            assert (await call(session, "/rest/Customer"))[1]["type"] == "error"
        assert len(world.asked("login")) == 1
