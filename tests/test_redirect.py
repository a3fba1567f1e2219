"""The loopback receiver with real sockets: a plain aiohttp client stands for the browser."""

import asyncio
import logging
import socket
from typing import Any

import aiohttp
import pytest
from yarl import URL

from asyncauth._errors import AuthorizationRequiredError, ClosedError, ConfigurationError
from asyncauth.redirect import LoopbackRedirect
from asyncauth.testing import ManualClock
from asyncauth.testing._clock import settle

CODE = "SplxlOBeZQQYbYS6WxSbIA"


async def visit(url: URL, method: str = "GET") -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as browser, browser.request(method, url) as response:
        return response.status, await response.text(), dict(response.headers)


async def test_the_answer_is_the_url_that_the_browser_came_back_to() -> None:
    async with LoopbackRedirect() as redirect:
        assert (redirect.redirect_uri.scheme, redirect.redirect_uri.host) == ("http", "127.0.0.1")
        waiting = asyncio.create_task(redirect.answer())
        status, text, headers = await visit(redirect.redirect_uri.with_query(code=CODE, state="a/b+c"))
        assert (await waiting).query == {"code": CODE, "state": "a/b+c"}
        assert (await redirect.answer()).with_query(None) == redirect.redirect_uri
    assert (status, CODE in text, headers["Content-Type"]) == (200, False, "text/plain; charset=utf-8")
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")


async def test_a_refusal_is_an_answer_too() -> None:
    async with LoopbackRedirect() as redirect:
        await visit(redirect.redirect_uri.with_query(error="access_denied", state="s"))
        assert (await redirect.answer()).query["error"] == "access_denied"


@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", "/favicon.ico"), ("GET", "/"), ("GET", "/?state=s"), ("POST", "/?code=c"), ("GET", "/x?code=c")],
)
async def test_what_is_no_answer_is_turned_away(method: str, rest: str) -> None:
    async with LoopbackRedirect() as redirect:
        assert (await visit(redirect.redirect_uri.join(URL(rest)), method))[0] == 404
        assert (await visit(redirect.redirect_uri.with_query(code=CODE)))[0] == 200
        assert (await redirect.answer()).query == {"code": CODE}


async def test_a_second_answer_is_turned_away() -> None:
    async with LoopbackRedirect() as redirect:
        await visit(redirect.redirect_uri.with_query(code="first"))
        assert (await visit(redirect.redirect_uri.with_query(code="second")))[0] == 410
        assert (await redirect.answer()).query["code"] == "first"


async def test_port_and_path_can_be_those_that_are_registered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            async with LoopbackRedirect(port=port):
                pass
    async with LoopbackRedirect(port=port, path="/cb") as redirect:
        assert str(redirect.redirect_uri) == f"http://127.0.0.1:{port}/cb"
        assert (await visit(redirect.redirect_uri.with_query(code=CODE)))[0] == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "authorized"}, "path has to begin with a slash"),
        ({"path": ""}, "path has to begin with a slash"),
        ({"port": -1}, "port must be one of 0 to 65535, not -1"),
        ({"port": 65_536}, "port must be one of 0 to 65535, not 65536"),
    ],
)
def test_a_place_that_cannot_be_come_back_to_is_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        LoopbackRedirect(**options)


async def test_it_can_be_entered_again_for_another_answer() -> None:
    redirect = LoopbackRedirect()
    for code in ("first", "second"):
        async with redirect:
            assert (await visit(redirect.redirect_uri.with_query(code=code)))[0] == 200
            assert (await redirect.answer()).query["code"] == code


async def test_nobody_is_waited_for_without_end() -> None:
    clock = ManualClock()
    async with LoopbackRedirect(clock=clock) as redirect:
        waiting = asyncio.create_task(redirect.answer(timeout=60))
        await settle()
        await clock.advance(59)
        assert not waiting.done()
        await clock.advance(1)
        with pytest.raises(AuthorizationRequiredError, match=r"within 60 s: begin again"):
            await waiting


async def test_a_cancelled_wait_loses_no_answer() -> None:
    async with LoopbackRedirect() as redirect:
        waiting = asyncio.create_task(redirect.answer())
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await visit(redirect.redirect_uri.with_query(code=CODE))
        assert (await redirect.answer()).query["code"] == CODE


async def test_leaving_it_ends_the_wait_and_the_server() -> None:
    async with LoopbackRedirect() as redirect:
        place = redirect.redirect_uri
        waiting = asyncio.create_task(redirect.answer())
        await settle()
    with pytest.raises(ClosedError, match="left"):
        await waiting
    with pytest.raises(ClosedError):
        await redirect.answer()
    with pytest.raises(aiohttp.ClientConnectionError):
        await visit(place)


async def test_the_page_arrives_although_the_program_leaves_at_once() -> None:
    async with LoopbackRedirect() as redirect:
        browser = asyncio.create_task(visit(redirect.redirect_uri.with_query(code=CODE)))
        await redirect.answer()
    assert (await browser)[0] == 200


async def test_a_connection_that_says_nothing_keeps_nobody() -> None:
    async with asyncio.timeout(5):
        async with LoopbackRedirect() as redirect:
            assert redirect.redirect_uri.port is not None
            reader, writer = await asyncio.open_connection("127.0.0.1", redirect.redirect_uri.port)
            writer.write(b"GET /?code=")
            await writer.drain()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_no_answer_is_logged_not_even_one_that_cannot_be_parsed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with LoopbackRedirect() as redirect:
        assert redirect.redirect_uri.port is not None
        for line in (f"GET /?code={CODE} HTTP/9.x", f"GET /?code={CODE}{'x' * 20_000} HTTP/1.1", CODE):
            reader, writer = await asyncio.open_connection("127.0.0.1", redirect.redirect_uri.port)
            writer.write(f"{line}\r\n\r\n".encode())
            # It is refused, and what is refused is not repeated to whoever sent it.
            assert (await reader.read(12)).startswith(b"HTTP/1.")
            writer.close()
            await writer.wait_closed()
        assert (await visit(redirect.redirect_uri.with_query(code=CODE)))[0] == 200
        await redirect.answer()
    assert CODE not in caplog.text
    assert CODE not in repr(redirect)
