"""`Verdict.NEEDS_USER`, dead grants and lost logins: a person is told of, once in the whole fleet."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from yarl import URL

from asyncauth import AuthorizationNeeded, AuthorizationRequiredError, GrantRefusedError, Token, TokenDied
from asyncauth._errors import LoggedOutError
from asyncauth.abc import Verdict
from asyncauth.testing import settle
from crew import Crew, Mate, a_crew
from scripted import Gate

URL_OF_PEOPLE = URL("https://id.example.com/authorize?client_id=app")
NEEDED = {403: Verdict.NEEDS_USER}


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async def missing(request: web.BaseRequest) -> web.StreamResponse:
        """Answer 403 to t1, with a body that comes late."""
        if request.headers["Authorization"] != "Bearer t1":
            return web.Response()
        response = web.StreamResponse(status=403, headers={"Content-Length": "7"})
        await response.prepare(request)
        await asyncio.sleep(0.02)
        await response.write(b"missing")
        return response

    async with a_crew(missing=missing) as crew:
        yield crew


async def mates_of(crew: Crew, count: int = 1, **options: object) -> list[Mate]:
    scheme = crew.scheme(**{"verdicts": NEEDED, "person_url": URL_OF_PEOPLE, **options})
    mates = [crew.join(scheme, connections=1) for _ in range(count)]
    for mate in mates:
        await mate.manager.token(scheme)
    await crew.clock.advance(60)
    return mates


def needed(crew: Crew) -> list[AuthorizationNeeded]:
    return [event for event in crew.events if isinstance(event, AuthorizationNeeded)]


async def assert_needed(mate: Mate) -> None:
    with pytest.raises(AuthorizationRequiredError, match="403 of http://.*/missing: the user has") as raised:
        await mate.ask("missing", params={"secret": "query"})
    assert raised.value.authorize_url == URL_OF_PEOPLE
    assert "query" not in str(raised.value)


async def test_a_request_that_needs_a_person_says_so_and_leaves_its_connection_for_the_next(
    crew: Crew,
) -> None:
    ports: list[int] = []

    async def noting(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.Response()

    crew.site.paths["/noting"] = noting
    (mate,) = await mates_of(crew)
    await mate.ask("noting")
    await assert_needed(mate)
    await mate.ask("noting")
    assert len(set(ports)) == 1
    assert mate.scheme.calls == 1


async def test_the_event_is_told_once_in_the_whole_fleet(crew: Crew) -> None:
    mates = await mates_of(crew, 3)
    for _ in range(2):
        await asyncio.gather(*(assert_needed(mate) for mate in mates))
    (event,) = needed(crew)
    assert event.authorize_url == URL_OF_PEOPLE
    assert event.key == mates[0].scheme.key
    assert "query" not in event.message


async def test_a_new_authorization_that_lacks_something_too_is_told_of_again(crew: Crew) -> None:
    one, other = await mates_of(crew, 2)
    await assert_needed(one)
    await other.manager.put(other.scheme, Token(access_token="t1", expires_in=3600))
    await settle()
    await assert_needed(one)
    await assert_needed(other)
    assert len(needed(crew)) == 2


async def test_a_request_is_sent_once_more_where_the_user_has_authorized_meanwhile(crew: Crew) -> None:
    one, other = await mates_of(crew, 2)
    gate = Gate()

    async def held(request: web.BaseRequest) -> web.Response:
        if request.headers["Authorization"] == "Bearer t1":
            await gate.wait()
            return web.Response(status=403)
        return web.Response()

    crew.site.paths["/held"] = held
    asking = asyncio.create_task(one.ask("held"))
    await gate.arrived.wait()
    await other.manager.put(other.scheme, Token(access_token="new", expires_in=3600))
    await settle()
    gate.opened.set()
    assert await asking == 200
    assert needed(crew) == []


async def test_a_second_answer_that_needs_a_person_raises_too(crew: Crew) -> None:
    async def first_refused(request: web.BaseRequest) -> web.Response:
        return web.Response(status=401 if request.headers["Authorization"] == "Bearer t1" else 403)

    crew.site.paths["/both"] = first_refused
    (mate,) = await mates_of(crew)
    with pytest.raises(AuthorizationRequiredError, match="both"):
        await mate.ask("both")
    assert len(crew.site.seen) == 2
    assert await mate.ask() == 200


async def test_while_the_store_is_away_it_is_told_rather_twice_than_never(crew: Crew) -> None:
    mates = await mates_of(crew, 2)
    for mate in mates:
        mate.store.away = True
        for _ in range(2):
            await assert_needed(mate)
    assert len(needed(crew)) == 2


async def test_a_caller_that_gives_up_does_not_keep_the_application_from_being_told(crew: Crew) -> None:
    (mate,) = await mates_of(crew)
    mate.store.write_gate = gate = Gate()
    asking = asyncio.create_task(mate.ask("missing"))
    await gate.arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await assert_needed(mate)
    assert len(needed(crew)) == 1


async def test_a_token_of_an_outage_that_needs_a_person_is_told_of(crew: Crew) -> None:
    (mate,) = await mates_of(crew)
    await crew.clock.advance(3600)
    mate.store.away = True
    mate.scheme.calls = 0  # t1 again, of an entry that the store has not seen
    await assert_needed(mate)
    assert len(needed(crew)) == 1


async def test_a_grant_that_died_is_told_of_once_by_whoever_found_it(crew: Crew) -> None:
    def refused(token: Token) -> Token:
        raise GrantRefusedError("the refresh token is refused: invalid_grant")

    scheme = crew.scheme(can_login=False, renewal=refused, person_url=URL_OF_PEOPLE)
    mates = [crew.join(scheme) for _ in range(3)]
    await mates[0].manager.put(scheme, Token(access_token="t1", refresh_token="r1", expires_in=60))
    await crew.clock.advance(100)
    for mate in mates:
        asking = asyncio.create_task(mate.manager.token(scheme))
        await crew.until(asking.done, step=0.5)
        error = asking.exception()
        assert isinstance(error, GrantRefusedError)
        assert error.authorize_url == URL_OF_PEOPLE
    (event,) = needed(crew)
    assert "invalid_grant" in event.message
    assert crew.told(TokenDied) == 1


async def test_a_persons_login_that_went_with_its_token_is_told_of_once(crew: Crew) -> None:
    def gone(token: Token) -> Token:
        raise GrantRefusedError("the device token is dead")

    scheme = crew.scheme(renewal=gone, person_url=URL_OF_PEOPLE, refresh_rotates=False)
    mates = [crew.join(scheme) for _ in range(3)]
    await mates[0].manager.put(
        scheme, Token(access_token="d1", refresh_token="d1", expires_in=60, subject="ada")
    )
    await crew.clock.advance(100)
    for mate in mates:
        assert await mate.ask() == 200
    (event,) = needed(crew)
    assert "login" in event.message
    assert event.authorize_url == URL_OF_PEOPLE


async def test_a_login_that_is_still_there_after_a_renewal_is_nothing_to_tell(crew: Crew) -> None:
    def kept(token: Token) -> Token:
        return Token(access_token="d2", refresh_token="d1", expires_in=60, subject=token.subject)

    scheme = crew.scheme(renewal=kept)
    mate = crew.join(scheme)
    await mate.manager.put(scheme, Token(access_token="d1", refresh_token="d1", expires_in=60, subject="ada"))
    await crew.clock.advance(100)
    assert await mate.ask() == 200
    assert needed(crew) == []


@pytest.mark.parametrize("logged_out", [False, True])
async def test_every_error_that_asks_for_a_person_says_where(crew: Crew, *, logged_out: bool) -> None:
    scheme = crew.scheme(can_login=False, person_url=URL_OF_PEOPLE)
    mate = crew.join(scheme)
    if logged_out:
        await mate.manager.put(scheme, Token(access_token="t1"))
        await mate.manager.forget(scheme)
    for _ in range(2):  # the second one is remembered
        with pytest.raises(AuthorizationRequiredError) as raised:
            await mate.manager.token(scheme)
        assert isinstance(raised.value, LoggedOutError) is logged_out
        assert raised.value.authorize_url == URL_OF_PEOPLE
