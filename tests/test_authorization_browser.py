"""People's authorizations from end to end: browser, loopback receiver, exchange, fleet."""

import asyncio
import logging
from typing import Any

import aiohttp
import pytest
from yarl import URL

from asyncauth import (
    AuthorizationNeeded,
    AuthorizationRequiredError,
    AuthSession,
    GrantRefusedError,
    LoggedOutError,
    Token,
)
from asyncauth.redirect import LoopbackRedirect
from asyncauth.schemes import AuthorizationCode, AuthorizationRequest
from worlds import Fleet, text_of

BACK = "https://client.example.com/cb"


def person(fleet: Fleet, subject: str = "ada", **options: Any) -> AuthorizationCode:
    vendor = fleet.vendor
    fields = {"client_secret": "app-secret", "redirect_uri": BACK, "subject": subject, **options}
    return AuthorizationCode(
        vendor.token_url,
        authorization_url=vendor.authorization_url,
        revocation_url=vendor.revocation_url,
        client_id="app",
        base_url=vendor.api_url,
        **fields,
    )


async def browse(url: URL) -> None:
    """Do as a browser does: follow the page's redirects to their end."""
    async with aiohttp.ClientSession() as browser, browser.get(url) as response:
        assert response.status == 200


async def come_back(url: URL) -> URL:
    """Return where the page sends the browser, without going there."""
    async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as response:
        return URL(response.headers["Location"])


async def authorized(fleet: Fleet, scheme: AuthorizationCode) -> None:
    """Authorize with a worker of their own: the web front end of the application."""
    request = scheme.authorization(login_hint=scheme.subject)
    answer = await come_back(request.url)
    await fleet.manager().authorize(scheme, scheme.exchange(answer, request))


async def test_a_command_line_program_authorizes_and_the_fleet_refreshes(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fleet.vendor.clients["app"] = ""  # a public client
    fleet.vendor.require_pkce = True
    fleet.vendor.redirect_uris = frozenset({"http://127.0.0.1/"})
    scheme = person(fleet, client_secret=None, redirect_uri=None, scope="read")
    async with LoopbackRedirect() as redirect:
        request = scheme.authorization(redirect_uri=redirect.redirect_uri)
        browser = asyncio.create_task(browse(request.url))
        answer = await redirect.answer()
        await fleet.manager().authorize(scheme, scheme.exchange(answer, request))
    await browser
    first = await fleet.manager().token(scheme)
    fleet.clock.step(3600)
    tokens = await asyncio.gather(*(fleet.manager().token(scheme) for _ in range(5)))
    assert {text_of(token) for token in tokens} != {text_of(first)}
    assert len({text_of(token) for token in tokens}) == 1
    assert (fleet.vendor.stats.token_calls, fleet.vendor.families_alive) == (2, 1)
    assert request.code_verifier is not None
    for secret in (answer.query["code"], request.state.reveal(), request.code_verifier.reveal()):
        assert secret not in caplog.text


async def test_a_web_application_authorizes_in_two_requests_of_two_processes(fleet: Fleet) -> None:
    scheme = person(fleet, "user-17")
    web_session = scheme.authorization().dump()
    answer = await come_back(URL(web_session["url"]))
    there = person(fleet, "user-17")
    await fleet.manager().authorize(
        there, there.exchange(str(answer), AuthorizationRequest.load(web_session))
    )
    async with AuthSession(scheme, fleet.manager()) as session, session.get("/me") as response:
        assert (await response.json())["subject"] == "ada"


async def test_people_are_kept_apart(fleet: Fleet) -> None:
    people = ["ada", "bob", "carol"]
    await asyncio.gather(*(authorized(fleet, person(fleet, subject)) for subject in people))
    manager = fleet.manager()
    for subject in people:
        async with AuthSession(person(fleet, subject), manager) as session, session.get("/me") as response:
            assert (await response.json())["subject"] == subject


async def test_nothing_is_stored_for_a_person_who_declines(fleet: Fleet) -> None:
    fleet.vendor.declines_with = "access_denied"
    scheme = person(fleet)
    with pytest.raises(AuthorizationRequiredError, match="the person declined"):
        await authorized(fleet, scheme)
    assert fleet.vendor.stats.token_calls == 0
    with pytest.raises(AuthorizationRequiredError) as caught:
        await fleet.manager().token(scheme)
    assert caught.value.authorize_url == scheme.authorize_url


async def test_a_refused_code_leaves_the_authorization_that_there_was(fleet: Fleet) -> None:
    scheme = person(fleet)
    await authorized(fleet, scheme)
    before = text_of(await fleet.manager().token(scheme))
    request = scheme.authorization()
    answer = await come_back(request.url)
    fleet.vendor.clock.advance(60)  # longer than a code lives
    with pytest.raises(GrantRefusedError, match="the code expired"):
        await fleet.manager().authorize(scheme, scheme.exchange(answer, request))
    assert text_of(await fleet.manager().token(scheme)) == before


async def test_a_new_authorization_reaches_the_workers_at_once(fleet: Fleet) -> None:
    scheme, workers = person(fleet), [fleet.manager() for _ in range(3)]
    await authorized(fleet, scheme)
    before = {text_of(await worker.token(scheme)) for worker in workers}
    await authorized(fleet, scheme)
    stored = await fleet.record(scheme)
    assert stored is not None
    assert stored.entry is not None
    new = text_of(stored.entry.token)
    async with asyncio.timeout(5):
        for worker in workers:
            while text_of(await worker.token(scheme)) != new:
                await asyncio.sleep(0.001)
    assert new not in before
    assert fleet.vendor.stats.token_calls == 2


async def test_a_forgotten_person_is_forgotten_by_all_workers_at_once(fleet: Fleet) -> None:
    scheme, workers = person(fleet), [fleet.manager() for _ in range(3)]
    await authorized(fleet, scheme)
    for worker in workers:
        await worker.token(scheme)
    await workers[0].forget(scheme)
    async with asyncio.timeout(5):
        for worker in workers:
            while await _has_token(fleet, worker, scheme):
                await asyncio.sleep(0.001)


async def _has_token(fleet: Fleet, worker: Any, scheme: AuthorizationCode) -> bool:
    try:
        token = await worker.token(scheme)
    except LoggedOutError:
        return False
    return isinstance(token, Token)


async def test_a_logout_revokes_the_authorization_at_the_vendor(fleet: Fleet) -> None:
    scheme, manager = person(fleet), fleet.manager()
    await authorized(fleet, scheme)
    await manager.logout(scheme)
    assert fleet.vendor.families_alive == 0
    assert fleet.vendor.requests[-1].path == "/oauth/revoke"


async def test_a_person_is_asked_for_once_in_the_fleet_when_the_authorization_was_revoked(
    fleet: Fleet,
) -> None:
    scheme, workers = person(fleet, "user-17"), [fleet.manager() for _ in range(4)]
    await authorized(fleet, scheme)
    stored = await workers[0].token(scheme)
    assert stored.refresh_token is not None
    fleet.vendor.revoke(stored.refresh_token.reveal(), "app")
    fleet.clock.step(3600)
    for worker in workers:
        with pytest.raises(AuthorizationRequiredError) as caught:
            await worker.token(scheme)
        assert caught.value.authorize_url == scheme.authorize_url
    needed = [event for event in fleet.events if isinstance(event, AuthorizationNeeded)]
    assert [(event.key, event.authorize_url) for event in needed] == [(scheme.key, scheme.authorize_url)]


async def test_a_missing_scope_tells_who_asks_what_the_person_has_to_authorize(fleet: Fleet) -> None:
    scheme = person(fleet, "user-17", scope="read")
    await authorized(fleet, scheme)
    async with AuthSession(scheme, fleet.manager()) as session:
        for _ in range(2):
            with pytest.raises(AuthorizationRequiredError, match="has to authorize write") as caught:
                await session.get("/scoped", params={"scope": "write"})
            assert caught.value.authorize_url == scheme.authorize_url
        async with session.get("/scoped", params={"scope": "read"}) as response:
            assert response.status == 200
    assert len([event for event in fleet.events if isinstance(event, AuthorizationNeeded)]) == 1
    assert fleet.vendor.stats.token_calls == 1
