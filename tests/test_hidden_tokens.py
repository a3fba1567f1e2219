"""Tokens in queries and cookies: on the wire, and nowhere else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from asyncauth import AuthMiddleware, TokenManager
from asyncauth._exchange import Placement
from asyncauth.testing import ManualClock
from asyncauth_stores.memory import MemoryTokenStore
from crew import Crew, Mate, a_crew
from http_places import a_site, unauthorized
from scripted import BASE, Scripted

SECRET = "top-secret"
ASKED = {"page": "2"}


def in_query(text: str) -> Placement:
    return Placement(query={"token": f"{SECRET}-{text}"})


def in_cookies(text: str) -> Placement:
    return Placement(cookies={"sid": f"{SECRET}-{text}"})


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async def moved(request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": "/x?page=2"})

    async def around(request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": "/around"})

    async def failing(request: web.BaseRequest) -> web.Response:
        return web.Response(status=500, text="no JSON")

    async def baking(request: web.BaseRequest) -> web.Response:
        """Prolong the session, as servers do, and set what belongs to the caller."""
        response = web.Response()
        response.set_cookie("sid", f"{SECRET}-again")
        response.set_cookie("language", "fr")
        return response

    async def cut(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with a_crew(
        moved=moved, around=around, failing=failing, baking=baking, cut=cut, no=unauthorized
    ) as crew:
        yield crew


async def a_mate(crew: Crew, place: Callable[[str], Placement]) -> Mate:
    mate = crew.join(crew.scheme(place=place))
    await mate.manager.token(mate.scheme)
    await crew.clock.advance(60)
    return mate


def shown(response: aiohttp.ClientResponse) -> str:
    info = response.request_info
    return " ".join(
        map(str, (response.url, response.real_url, repr(response), info.url, info.real_url, repr(info)))
    )


async def test_a_token_in_the_query_is_on_the_wire_and_nowhere_in_the_response(crew: Crew) -> None:
    mate = await a_mate(crew, in_query)
    async with mate.client.get(crew.site.url / "x", params=ASKED) as response:
        assert SECRET not in shown(response)
        assert response.request_info.url.query == ASKED
        assert response.method == "GET"
    assert crew.site.seen[-1].target == f"/x?page=2&token={SECRET}-t1"


async def test_what_a_middleware_underneath_has_looked_at_is_hidden_from_the_caller_too(crew: Crew) -> None:
    async def looking(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await handler(request)
        assert SECRET in repr(response.request_info)
        return response

    mate = await a_mate(crew, in_query)
    middleware = AuthMiddleware(mate.scheme, mate.manager)
    async with mate.client.get(crew.site.url / "x", middlewares=[middleware, looking]) as response:
        assert SECRET not in shown(response)


async def test_a_token_in_the_query_is_in_no_redirect_and_goes_with_each(crew: Crew) -> None:
    mate = await a_mate(crew, in_query)
    async with mate.client.get(crew.site.url / "moved") as response:
        assert SECRET not in "".join(map(shown, (response, *response.history)))
        assert response.url == crew.site.url / "x" % ASKED
    assert [seen.target for seen in crew.site.seen] == [
        f"/moved?token={SECRET}-t1",
        f"/x?page=2&token={SECRET}-t1",
    ]


async def test_a_second_sending_has_the_second_token_only_and_hides_it_too(crew: Crew) -> None:
    mate = await a_mate(crew, in_query)
    async with mate.client.get(crew.site.url / "no") as response:
        assert SECRET not in shown(response)
    assert [seen.target for seen in crew.site.seen] == [f"/no?token={SECRET}-t{n}" for n in (1, 2)]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("failing", aiohttp.ContentTypeError),
        ("around", aiohttp.TooManyRedirects),
        ("cut", aiohttp.ServerDisconnectedError),
    ],
)
async def test_no_error_of_aiohttp_shows_a_token_of_the_query(
    crew: Crew, path: str, kind: type[Exception]
) -> None:
    mate = await a_mate(crew, in_query)
    with pytest.raises(kind) as raised:
        async with mate.client.get(crew.site.url / path) as response:
            await response.json()
    assert SECRET not in f"{raised.value} {raised.value!r} {raised.value.args}"


async def test_a_status_that_is_raised_shows_no_token(crew: Crew) -> None:
    mate = await a_mate(crew, in_query)
    with pytest.raises(aiohttp.ClientResponseError) as raised:
        await mate.client.get(crew.site.url / "failing", raise_for_status=True)
    assert SECRET not in f"{raised.value} {raised.value!r}"
    assert raised.value.status == 500


@asynccontextmanager
async def babbling() -> AsyncIterator[URL]:
    """Answer what is no HTTP."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 nonsense\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield URL.build(scheme="http", host=host, port=port)


class Slow(aiohttp.TCPConnector):
    """Connects to nobody in time."""

    async def connect(self, *args: Any, **options: Any) -> Any:
        raise TimeoutError


async def failing_body() -> AsyncIterator[bytes]:
    yield b"some"
    raise OSError(5, "the disk is gone")


Failing = Callable[[aiohttp.ClientSession, URL], Awaitable[aiohttp.ClientResponse]]
NO_RESPONSE: dict[str, tuple[type[aiohttp.TCPConnector], Failing, type[Exception]]] = {
    "no HTTP": (aiohttp.TCPConnector, lambda client, url: client.get(url), aiohttp.ClientResponseError),
    "no connection": (Slow, lambda client, url: client.get(url), aiohttp.ConnectionTimeoutError),
    "no body": (
        aiohttp.TCPConnector,
        lambda client, url: client.post(url, data=failing_body()),
        aiohttp.ClientOSError,
    ),
}


@pytest.mark.parametrize("case", NO_RESPONSE)
async def test_an_error_in_place_of_a_response_shows_no_token(case: str) -> None:
    connector, failing, kind = NO_RESPONSE[case]
    clock = ManualClock()
    requests: list[aiohttp.ClientRequest] = []

    async def keeping(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        requests.append(request)
        return await handler(request)

    async with babbling() as url, MemoryTokenStore(clock=clock) as store:
        middleware = AuthMiddleware(Scripted(base=url, place=in_query), TokenManager(store, clock=clock))
        async with aiohttp.ClientSession(connector=connector(), middlewares=[keeping, middleware]) as client:
            with pytest.raises(kind) as raised:
                await failing(client, url / "x")
    assert SECRET not in f"{raised.value} {raised.value!r} {raised.value.args} {vars(raised.value)}"
    assert "/x" in f"{raised.value!r}"
    assert [request.url for request in requests] == [url / "x"]


async def test_a_middleware_that_repeats_a_request_is_given_it_without_the_token(crew: Crew) -> None:
    seen: list[URL] = []

    async def twice(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        (await handler(request)).release()
        seen.append(request.url)
        return await handler(request)

    mate = await a_mate(crew, in_query)
    middleware = AuthMiddleware(mate.scheme, mate.manager)
    url = crew.site.url / "x" % ASKED
    async with mate.client.get(url, middlewares=[twice, middleware]) as response:
        assert SECRET not in shown(response)
    assert seen == [url]
    assert [each.target for each in crew.site.seen] == [f"/x?page=2&token={SECRET}-t1"] * 2


async def test_cookies_of_the_shared_session_stay_out_of_the_callers_jar_and_of_the_response(
    crew: Crew,
) -> None:
    mate = await a_mate(crew, in_cookies)
    async with mate.client.get(crew.site.url / "baking") as response:
        assert set(response.cookies) == {"language"}
    assert {cookie.key for cookie in mate.client.cookie_jar} == {"language"}
    await mate.ask()
    assert crew.site.seen[-1].headers["Cookie"] in (
        f"language=fr; sid={SECRET}-t1",
        f"sid={SECRET}-t1; language=fr",
    )


async def test_a_callers_own_cookie_of_that_name_gives_way_on_the_wire_and_is_kept_in_the_jar(
    crew: Crew,
) -> None:
    mate = await a_mate(crew, in_cookies)
    mate.client.cookie_jar.update_cookies({"sid": "mine"}, crew.site.url)
    await mate.ask("baking")
    assert crew.site.seen[-1].headers["Cookie"] == f"sid={SECRET}-t1"
    assert {cookie.key: cookie.value for cookie in mate.client.cookie_jar}["sid"] == "mine"


async def test_a_scheme_without_cookies_leaves_all_cookies_to_the_caller(crew: Crew) -> None:
    mate = await a_mate(crew, in_query)
    async with mate.client.get(crew.site.url / "baking") as response:
        assert set(response.cookies) == {"sid", "language"}


@pytest.mark.parametrize("place", [in_query, in_cookies])
async def test_a_token_goes_to_no_other_origin_and_leaves_with_no_redirect(
    crew: Crew, place: Callable[[str], Placement]
) -> None:
    async with a_site() as abroad:

        async def leaving(request: web.BaseRequest) -> web.Response:
            target = str(abroad.url / "x").replace("127.0.0.1", "localhost")
            return web.Response(status=302, headers={"Location": target})

        crew.site.paths["/leaving"] = leaving
        mate = await a_mate(crew, place)
        assert await mate.ask("leaving") == 200
        (seen,) = abroad.seen
        assert SECRET not in f"{seen.target} {dict(seen.headers)}"


@pytest.mark.parametrize("place", [in_query, in_cookies])
async def test_nothing_of_it_is_logged(
    crew: Crew, place: Callable[[str], Placement], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mate = await a_mate(crew, place)
    await mate.ask("no")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await mate.ask("cut")
    ours = [record for record in caplog.records if record.name.startswith(("asyncauth", "aiohttp.client"))]
    assert SECRET not in " ".join(record.getMessage() for record in ours)


def test_a_placement_names_what_it_carries_and_shows_no_value() -> None:
    assert repr(in_query("t1")) == "Placement(token)"
    assert SECRET not in repr(Scripted(base=BASE, place=in_cookies))
