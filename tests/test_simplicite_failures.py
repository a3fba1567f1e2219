"""Every failure of Simplicité's emulator, for every knob: what the caller is told, and what stays stored."""

from typing import Any

import pytest

from asyncauth import (
    AuthError,
    AuthSession,
    CredentialRefusedError,
    RenewalFailedError,
    Token,
    TokenManager,
)
from asyncauth.schemes import Simplicite
from asyncauth.testing.emulators import GATEWAY_504_HTML, Answer, Cut, Fault, html_page
from asyncauth.testing.emulators._simplicite_sessions import SimpliciteProfile
from simplicite_samples import Instance, an_instance, call
from test_bad_answers_keep_records import assert_shows_nothing

pytestmark = pytest.mark.slow

PROFILES: list[SimpliciteProfile] = ["v3", "v5_1", "v5_2", "v6"]
every = pytest.mark.parametrize("profile", PROFILES)
WAYS = ["basic", "form", "query"]
ASKING: dict[str, dict[str, Any]] = {
    "json": {},
    "text": {"answer": "text"},
    "oauth2": {"answer": "oauth2"},
    "redirect": {"answer": "redirect", "redirect_uri": "http://localhost/back"},
}
asking = pytest.mark.parametrize("options", ASKING.values(), ids=ASKING.keys())
LONG_ENOUGH = 60

OLD = Token(access_token="the-token-that-is-over", cookies={"JSESSIONID": "OVER"}, expires_in=60)


async def failure_of(world: Instance, scheme: Simplicite) -> AuthError:
    """Return what a caller is told that needs a new token; nobody lost the old one by it."""
    manager = world.worker()
    await manager.put(scheme, OLD)
    world.clock.step(61)
    with pytest.raises(AuthError) as caught:
        await world.patiently(manager.token(scheme))
    entry = await world.entry(scheme)
    assert entry is not None
    assert entry.token == OLD
    assert_shows_nothing(caught.value, "svc-password", "hidden-password", "the-token-that-is-over")
    return caught.value


async def assert_asked_no_more(world: Instance, manager: TokenManager, scheme: Simplicite) -> None:
    """Another worker is told the same, and the vendor is not asked for it."""
    before = world.vendor.stats.token_calls
    with pytest.raises(AuthError):
        await manager.token(scheme)
    assert world.vendor.stats.token_calls == before


@every
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("knobs", [{}, {"refusal_body": "json"}, {"login_challenge": True}], ids=str)
async def test_a_wrong_password_is_tried_once_by_the_fleet(
    profile: SimpliciteProfile, way: str, knobs: dict[str, Any]
) -> None:
    async with an_instance(profile=profile, **knobs) as world:
        scheme = world.scheme(password="hidden-password", login_with=way, session_cookie=profile == "v3")
        error = await failure_of(world, scheme)
        assert isinstance(error, CredentialRefusedError)
        assert "check login and password" in str(error)
        assert ("login_header" in str(error)) == ("login_challenge" in knobs)
        await assert_asked_no_more(world, world.worker(), scheme)
        assert len(world.asked("login")) == 1
        corrected = world.scheme(login_with=way, session_cookie=profile == "v3")
        assert (await world.worker().token(corrected)).subject == "svc"


@every
async def test_the_oauth2_style_over_http_hints_at_https(profile: SimpliciteProfile) -> None:
    async with an_instance(profile=profile, oauth2_over_http="refuse") as world:
        error = await failure_of(world, world.scheme(answer="oauth2"))
        assert isinstance(error, CredentialRefusedError)
        assert "the OAuth 2 style answer is given over https only" in str(error)
        other = world.scheme(session_cookie=profile == "v3")
        assert (await world.worker().token(other)).subject == "svc"


@asking
async def test_a_forgotten_context_path_is_hinted_at(options: dict[str, Any]) -> None:
    async with an_instance(context_path="/myapp") as world:
        scheme = Simplicite(world.vendor.url / "api", login="svc", password="svc-password", **options)
        error = await failure_of(world, scheme)
        assert isinstance(error, RenewalFailedError)
        assert error.reason == "UnreadableAnswerError"
        assert "does the base URL have the application's path, as in https://host/myapp/api?" in str(error)


PAGES: dict[str, tuple[Fault, str]] = {
    "504": (GATEWAY_504_HTML, "VendorFailedError"),
    "200": (html_page(200), "UnreadableAnswerError"),
    "200 as text": (Answer(200, b"<!DOCTYPE html>", {"Content-Type": "text/plain"}), "UnreadableAnswerError"),
    "200 as JSON": (Answer(200, b"<html>", {"Content-Type": "application/json"}), "UnreadableAnswerError"),
    "nothing": (Answer(200), "UnreadableAnswerError"),
    "a word": (Answer(200, b"Unauthorized"), "UnreadableAnswerError"),
    "single sign-on": (Answer(302, headers={"Location": "https://sso.example/"}), "UnreadableAnswerError"),
    "cut": (Cut(), "AnswerLostError"),
}


@asking
@pytest.mark.parametrize(("fault", "reason"), PAGES.values(), ids=PAGES.keys())
async def test_what_stands_in_for_a_login_is_never_stored(
    options: dict[str, Any], fault: Fault, reason: str
) -> None:
    async with an_instance(oauth2_over_http="allow") as world:
        world.vendor.faults.add(fault, on="token", times=None)
        error = await failure_of(world, world.scheme(**options))
        assert isinstance(error, RenewalFailedError)
        assert error.reason == reason
        await assert_asked_no_more(world, world.worker(), world.scheme(**options))
        world.vendor.faults.clear()
        world.clock.step(120)
        assert (await world.worker().token(world.scheme(**options))).subject == "svc"


async def test_a_server_of_version_4_or_later_hints_at_the_cookie_that_it_does_not_set() -> None:
    async with an_instance(profile="v6") as world:
        error = await failure_of(world, world.scheme(session_cookie=True))
        assert isinstance(error, RenewalFailedError)
        assert "brings no JSESSIONID: without session_cookie" in str(error)


async def test_whoami_that_nobody_answers_says_that_it_cannot_work() -> None:
    async with an_instance(names_user="nowhere") as world:
        error = await failure_of(world, world.scheme(whoami=True))
        assert isinstance(error, RenewalFailedError)
        assert "does not name a user: whoami=True cannot work here" in str(error)


async def test_a_token_that_whoami_finds_refused_is_not_stored() -> None:
    async with an_instance() as world:
        world.vendor.faults.add(Answer(401), on="api", times=None)
        error = await failure_of(world, world.scheme(whoami=True))
        assert isinstance(error, RenewalFailedError)
        assert error.reason == "TokenRefusedError"
        assert "refuses the token that the login has just given" in str(error)


@every
@pytest.mark.parametrize("refusal_body", ["empty", "json"])
@pytest.mark.parametrize("why", ["unknown", "deleted", "expired"])
async def test_a_refused_token_costs_one_login_and_no_call(
    profile: SimpliciteProfile, refusal_body: str, why: str
) -> None:
    async with an_instance(profile=profile, refusal_body=refusal_body, reuse=False) as world:
        scheme, manager = world.scheme(answer="text", session_cookie=profile == "v3"), world.worker()
        token = await manager.token(scheme)
        assert token.access_token is not None
        if why == "unknown":
            await manager.put(scheme, Token(access_token="unknown", cookies=token.cookies))
        if why == "deleted":
            world.vendor.revoke_access(token.access_token)
        world.clock.step(86_401 if why == "expired" else LONG_ENOUGH)
        async with AuthSession(scheme, manager) as session:
            status, data = await call(session)
        assert (status, data["serial"]) == (200, 2)
        assert len(world.asked("login")) == 2
        assert world.vendor.stats.refusals == {why: 1}


@pytest.mark.parametrize("profile", ["v3", "v5_1"])
async def test_an_idle_session_costs_one_login_and_no_call(profile: SimpliciteProfile) -> None:
    async with an_instance(profile=profile, usertokens=False) as world:
        scheme, manager = world.scheme(session_cookie=profile == "v3"), world.worker()
        async with AuthSession(scheme, manager) as session:
            assert (await call(session))[1]["serial"] == 1
            world.clock.step(301)
            assert (await call(session))[1]["serial"] == 2
        assert len(world.asked("login")) == 2


@every
@pytest.mark.parametrize("status", [403, 404, 409, 500])
async def test_what_is_no_refusal_of_the_token_is_the_callers(
    profile: SimpliciteProfile, status: int
) -> None:
    async with an_instance(profile=profile) as world:
        session = AuthSession(world.scheme(session_cookie=profile == "v3"), world.worker())
        async with session:
            await call(session)
            world.clock.step(LONG_ENOUGH)
            world.vendor.faults.add(Answer(status, b"mine"), on="api")
            async with session.get("/rest/Customer") as response:
                assert (response.status, await response.read()) == (status, b"mine")
        assert len(world.asked("login")) == 1
        assert world.vendor.faults.struck == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Answer(200, b'{"error": "no"}'), "does not confirm the logout"),
        (html_page(200), "does not confirm the logout"),
        (Answer(404), "does not confirm the logout"),
        (GATEWAY_504_HTML, "failure on the vendor's side"),
    ],
)
async def test_a_logout_that_is_not_confirmed_has_dropped_the_token_all_the_same(
    fault: Fault, words: str
) -> None:
    async with an_instance() as world:
        scheme, manager = world.scheme(), world.worker()
        await manager.token(scheme)
        world.vendor.faults.add(fault, on="other")
        with pytest.raises(AuthError, match=words):
            await manager.logout(scheme)
        assert await world.entry(scheme) is None
