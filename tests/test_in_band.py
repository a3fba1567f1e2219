"""Errors that vendors put into the body of a 2xx: `reads_body` and `classify_body`."""

import asyncio
from collections.abc import AsyncIterator

import attrs
import pytest
from aiohttp import web

from asyncauth import AuthorizationRequiredError, Token
from asyncauth._exchange import AuthResponse
from asyncauth.abc import ResponseHead, Verdict
from asyncauth.testing import settle
from crew import Crew, Mate, a_crew
from http_places import unauthorized
from scripted import Gate, Scripted, idling

WORDS = {
    "refused": Verdict.REFUSED,
    "suspect": Verdict.SUSPECT,
    "person": Verdict.NEEDS_USER,
    "slow": Verdict.BACK_OFF,
}


@attrs.define(eq=False, kw_only=True)
class InBand(Scripted):
    """A vendor that answers 200 whatever happens.

    Attributes:
        read: How many bodies were judged.
    """

    read: int = 0

    def reads_body(self, response: ResponseHead) -> bool:
        return response.headers.get("Content-Type", "").startswith("application/json")

    def classify_body(self, response: AuthResponse, token: Token) -> Verdict:
        self.read += 1
        return WORDS.get(str(response.json_object().get("error")), Verdict.FINE)


async def telling(request: web.BaseRequest) -> web.Response:
    """Answer what the query says for the token that the request has."""
    token = request.headers["Authorization"].removeprefix("Bearer ")
    return web.json_response({"error": request.query.get(token, "none"), "token": token})


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with a_crew(tell=telling, no=unauthorized) as crew:
        yield crew


async def a_mate(crew: Crew, **options: object) -> tuple[InBand, Mate]:
    """Return a worker whose token was issued a minute ago."""
    scheme = InBand(base=crew.site.url, **options)  # type: ignore[arg-type]
    mate = crew.join(scheme, connections=1)
    await mate.manager.token(scheme)
    await crew.clock.advance(60)
    return scheme, mate


async def told(mate: Mate, **words: str) -> tuple[str, str]:
    async with mate.client.get(mate.site.url / "tell", params=words) as response:
        assert response.status == 200
        body = await response.json()
        assert await response.read()  # as often as the caller likes
        return body["token"], body["error"]


async def test_a_body_without_an_error_is_the_callers_to_read(crew: Crew) -> None:
    scheme, mate = await a_mate(crew)
    assert await told(mate) == ("t1", "none")
    assert (scheme.read, scheme.probed, scheme.calls) == (1, 0, 1)


async def test_a_suspect_body_is_handed_over_where_a_probe_finds_the_token_alive(crew: Crew) -> None:
    scheme, mate = await a_mate(crew)
    assert await told(mate, t1="suspect") == ("t1", "suspect")
    assert (scheme.probed, scheme.calls, len(crew.site.seen)) == (1, 1, 1)


async def test_a_token_that_a_probe_finds_dead_is_replaced_and_the_request_sent_once_more(crew: Crew) -> None:
    scheme, mate = await a_mate(crew, probes=lambda: False)
    assert await told(mate, t1="suspect") == ("t2", "none")
    assert (scheme.probed, scheme.calls, len(crew.site.seen)) == (1, 2, 2)


async def test_a_token_that_a_body_refuses_is_replaced_without_a_probe(crew: Crew) -> None:
    scheme, mate = await a_mate(crew)
    assert await told(mate, t1="refused") == ("t2", "none")
    assert (scheme.probed, scheme.calls) == (0, 2)


async def test_a_second_error_in_the_body_is_the_callers(crew: Crew) -> None:
    scheme, mate = await a_mate(crew)
    assert await told(mate, t1="refused", t2="refused") == ("t2", "refused")
    assert (scheme.calls, len(crew.site.seen)) == (2, 2)


async def test_a_vendor_that_wants_fewer_requests_is_not_asked_for_a_token(crew: Crew) -> None:
    scheme, mate = await a_mate(crew)
    assert await told(mate, t1="slow") == ("t1", "slow")
    assert scheme.calls == 1


@pytest.mark.parametrize("words", [{"t1": "person"}, {"t1": "refused", "t2": "person"}])
async def test_a_body_that_asks_for_a_person_raises_also_at_the_second_sending(
    crew: Crew, words: dict[str, str]
) -> None:
    _, mate = await a_mate(crew)
    with pytest.raises(AuthorizationRequiredError):
        await told(mate, **words)
    assert await mate.ask() == 200  # the one connection is free


async def test_a_head_that_is_refused_is_not_read_for_more(crew: Crew) -> None:
    scheme, mate = await a_mate(crew)
    assert await mate.ask("no") == 401
    assert scheme.read == 0


async def test_an_error_in_a_body_is_no_use_of_a_session(crew: Crew) -> None:
    _, mate = await a_mate(crew, answer=idling)
    await told(mate)
    await crew.clock.advance(500)
    await told(mate, t1="slow")
    await crew.clock.advance(100)
    assert await told(mate) == ("t2", "none")


@pytest.mark.parametrize(("kind", "path"), [(InBand, "text"), (Scripted, "json")])
async def test_no_other_body_is_waited_for(crew: Crew, kind: type[Scripted], path: str) -> None:
    gate = Gate()

    async def trickling(request: web.BaseRequest) -> web.StreamResponse:
        kind = "text/csv" if request.path == "/text" else "application/json"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        await gate.wait()
        await response.write(b"{}")
        return response

    crew.site.paths["/" + path] = trickling
    mate = crew.join(kind(base=crew.site.url))
    async with mate.client.get(crew.site.url / path) as response:  # before its body is sent
        assert gate.arrived.is_set()
        gate.opened.set()
        assert await response.read() == b"{}"


async def test_a_caller_that_gives_up_while_the_body_is_read_leaves_no_connection_behind(crew: Crew) -> None:
    gate = Gate()

    async def trickling(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await gate.wait()
        return response

    crew.site.paths["/held"] = trickling
    _, mate = await a_mate(crew)
    asking = asyncio.create_task(mate.ask("held"))
    await gate.arrived.wait()
    await settle()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gate.opened.set()
    async with asyncio.timeout(5):
        assert await mate.ask() == 200
