"""`converse`: a scheme's conversation over a real connection, and every way in which it fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from asyncauth import (
    AnswerLostError,
    AuthError,
    AuthSession,
    UnreadableAnswerError,
    VendorUnreachableError,
)
from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._flow import bare_session, converse
from asyncauth.testing import ManualClock
from bad_lines import HIDDEN, a_port, a_tls_context, asking, cut, failure
from http_places import a_site, a_world


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with bare_session(5) as client:
        yield client


async def test_an_answer_comes_back_whole(client: aiohttp.ClientSession) -> None:
    async with a_site() as site:
        flow = asking(site.url / "a", site.url / "b")
        response = await converse(flow, client, SYSTEM_CLOCK, 5)
    assert (response.status, response.json_object(), response.content_type) == (
        200,
        {"path": "/b"},
        "application/json",
    )
    assert abs(response.received_at - SYSTEM_CLOCK.wall()) < 5
    assert [each.body for each in site.seen] == [f"refresh_token={HIDDEN}".encode()] * 2
    assert [each.headers["Connection"] for each in site.seen] == ["close"] * 2


async def test_a_closed_port_was_sent_nothing(client: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    error = await failure(client, f"http://127.0.0.1:{unused_tcp_port}/token")
    assert type(error) is VendorUnreachableError
    assert f"http://127.0.0.1:{unused_tcp_port}/token" in str(error)


async def test_an_unknown_host_was_sent_nothing() -> None:
    class Resolver(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
            raise OSError(-2, "Name or service not known")

        async def close(self) -> None:
            pass

    connector = aiohttp.TCPConnector(resolver=Resolver())
    async with aiohttp.ClientSession(connector=connector) as client:
        error = await failure(client, "https://id.example/token")
    assert type(error) is VendorUnreachableError
    assert str(error) == (
        "no connection to https://id.example/token: ClientConnectorDNSError (Name or service not known)"
    )


async def test_tls_to_a_plain_port_was_sent_nothing(client: aiohttp.ClientSession) -> None:
    async with a_site() as site:
        error = await failure(client, site.url.with_scheme("https"))
    assert type(error) is VendorUnreachableError
    assert site.seen == []


async def test_a_certificate_that_nobody_vouches_for_is_named(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with a_port(context=a_tls_context(tmp_path / "pem")) as port:
        error = await failure(client, f"https://127.0.0.1:{port}/token")
    assert type(error) is VendorUnreachableError
    assert "self-signed certificate" in str(error)


async def test_a_connection_that_takes_too_long_was_sent_nothing() -> None:
    async with a_port() as port, bare_session(0.05) as client:
        # Nobody answers the TLS greeting.
        error = await failure(client, f"https://127.0.0.1:{port}/token")
    assert type(error) is VendorUnreachableError
    assert "ConnectionTimeoutError" in str(error)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"]
)
async def test_a_cut_answer_is_lost_and_the_request_is_not_sent_again(
    method: str, sent: bytes, client: aiohttp.ClientSession
) -> None:
    async with a_site(token=cut(after=sent)) as site:
        error = await failure(client, site.url / "token", method=method)
        assert type(error) is AnswerLostError
        assert len(site.seen) == 1


async def test_garbage_instead_of_http_is_a_lost_answer(client: aiohttp.ClientSession) -> None:
    async with a_site(token=cut(after=b"SSH-2.0-OpenSSH\r\n\r\n")) as site:
        assert type(await failure(client, site.url / "token")) is AnswerLostError


async def test_an_answer_that_does_not_come_in_time_is_lost(client: aiohttp.ClientSession) -> None:
    clock, arrived = ManualClock(), asyncio.Event()

    async def hang(request: web.BaseRequest) -> web.Response:
        arrived.set()
        await asyncio.sleep(30)
        return web.Response()

    async with a_site(token=hang) as site:
        talking = asyncio.create_task(converse(asking(site.url / "token"), client, clock, 10))
        await arrived.wait()
        await clock.advance(9.9)
        assert not talking.done()
        await clock.advance(0.2)
        with pytest.raises(AnswerLostError, match="10 s"):
            await talking


async def test_an_answer_that_trickles_is_bounded_too(client: aiohttp.ClientSession) -> None:
    clock, arrived = ManualClock(), asyncio.Event()

    async def trickle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        arrived.set()
        await asyncio.sleep(30)
        return response

    async with a_site(token=trickle) as site:
        talking = asyncio.create_task(converse(asking(site.url / "token"), client, clock, 10))
        await arrived.wait()
        await clock.advance(10.1)
        with pytest.raises(AnswerLostError):
            await talking


async def test_a_later_step_that_cannot_connect_is_a_lost_answer(
    client: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    async with a_site() as site:
        error = await failure(client, site.url / "first", f"http://127.0.0.1:{unused_tcp_port}/second")
    assert type(error) is AnswerLostError
    assert isinstance(error.__cause__, VendorUnreachableError)


@pytest.mark.parametrize("size", [1 << 20, 50_000_000])
async def test_an_answer_without_end_is_no_answer(size: int, client: aiohttp.ClientSession) -> None:
    async def huge(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(size // 65_536):
            await response.write(b"x" * 65_536)
        return response

    async with a_site(token=huge) as site:
        assert type(await failure(client, site.url / "token")) is UnreadableAnswerError


async def test_a_long_answer_is_read_whole(client: aiohttp.ClientSession) -> None:
    async def long(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x" * ((1 << 20) - 1))

    async with a_site(token=long) as site:
        response = await converse(asking(site.url / "token"), client, SYSTEM_CLOCK, 5)
    assert len(response.body) == (1 << 20) - 1


async def test_redirects_and_errors_are_answers_for_the_scheme(client: aiohttp.ClientSession) -> None:
    async def go(request: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": "/x"})

    async def no(request: web.BaseRequest) -> web.Response:
        return web.Response(status=400)

    async with a_site(go=go, no=no) as site, aiohttp.ClientSession(raise_for_status=True) as strict:
        statuses = [
            (await converse(asking(site.url / path), strict, SYSTEM_CLOCK, 5)).status for path in ("go", "no")
        ]
    assert statuses == [307, 400]
    assert [each.target.partition("?")[0] for each in site.seen] == ["/go", "/no"]


async def test_a_callers_client_runs_none_of_its_middlewares_for_a_login() -> None:
    async def stray(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        raise AssertionError(request)

    async with a_site() as site, aiohttp.ClientSession(middlewares=[stray]) as client:
        response = await converse(asking(site.url), client, SYSTEM_CLOCK, 5)
    assert response.status == 200


async def test_a_bare_session_keeps_no_cookie(client: aiohttp.ClientSession) -> None:
    async def cookie(request: web.BaseRequest) -> web.Response:
        return web.Response(headers={"Set-Cookie": "sid=1"})

    async with a_site(token=cookie) as site:
        await converse(asking(site.url / "token", site.url / "token"), client, SYSTEM_CLOCK, 5)
    assert ["Cookie" in each.headers for each in site.seen] == [False, False]


async def test_a_closed_client_was_sent_nothing(client: aiohttp.ClientSession) -> None:
    await client.close()
    error = await failure(client, "https://id.example/token")
    assert type(error) is VendorUnreachableError
    assert "closed" in str(error)


async def test_a_proxy_that_refuses_to_connect_keeps_the_request_from_the_vendor() -> None:
    words = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with a_port(words) as port, aiohttp.ClientSession(proxy=f"http://127.0.0.1:{port}") as client:
        error = await failure(client, "https://id.example/token")
    assert type(error) is VendorUnreachableError


@pytest.mark.parametrize("kind", [AuthError, KeyError])
async def test_what_a_scheme_or_the_fence_raises_is_handed_on_and_ends_the_conversation(
    kind: Callable[[], Exception], client: aiohttp.ClientSession
) -> None:
    def fence() -> None:
        raise kind()

    flow = asking("https://id.example/token")
    with pytest.raises((AuthError, KeyError)):
        await converse(flow, client, SYSTEM_CLOCK, 5, before_send=fence)
    with pytest.raises(StopIteration):
        next(flow)


async def test_logins_pass_neither_the_callers_middlewares_nor_its_cookie_jar() -> None:
    async with a_world() as world:

        async def named(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            paths.append(request.url.path)
            return await handler(request)

        paths: list[str] = []
        async with AuthSession(world.scheme, world.manager, middlewares=[named]) as session:
            session.client.cookie_jar.update_cookies({"own": "1"}, world.vendor.url)
            await session.get("/x")
            await world.manager.logout(world.scheme)
        assert paths == ["/api/x"]
        assert all("Cookie" not in each.headers for each in world.vendor.requests if "token" in each.path)
