"""`AuthMiddleware` and what a request carries: a body that goes twice whole, or once."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from asyncauth import AuthMiddleware, TokenManager
from asyncauth.abc import Snapshot
from asyncauth.testing import ManualClock
from asyncauth_stores.memory import MemoryTokenStore
from http_places import Answering, Ready, Site, a_site

LARGE = 5_000_000


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def manager(clock: ManualClock) -> AsyncIterator[TokenManager]:
    async with MemoryTokenStore(clock=clock) as store:
        yield TokenManager(store, clock=clock)


async def refusing_client(
    site: Site, manager: TokenManager, clock: ManualClock, limit: int = 1
) -> aiohttp.ClientSession:
    """Return a client of few connections, whose first token `t1` the site refuses."""
    scheme = Ready(base_url=site.url)
    await manager.token(scheme)
    clock.step(11)
    site.refused.add("t1")
    middleware = AuthMiddleware(scheme, manager)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit), middlewares=[middleware])


def an_open_file(path: Path) -> Any:
    path.write_bytes(b"from a file")
    return path.open("rb")


def a_form_with_a_file(path: Path) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("name", "value")
    form.add_field("upload", an_open_file(path), filename="x.bin")
    return form


BODIES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "nothing": lambda path: {},
    "bytes": lambda path: {"data": b"from bytes"},
    "text": lambda path: {"data": "from text"},
    "json": lambda path: {"json": {"from": "json"}},
    "form": lambda path: {"data": {"from": "form"}},
    "file": lambda path: {"data": an_open_file(path)},
    "memory": lambda path: {"data": io.BytesIO(b"from memory")},
    "compressed": lambda path: {"data": b"from bytes" * 100, "compress": True},
    "multipart": lambda path: {"data": a_form_with_a_file(path)},
}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_that_can_be_sent_again_arrives_whole_both_times(
    kind: str, tmp_path: Path, clock: ManualClock, manager: TokenManager
) -> None:
    async with a_site() as site, await refusing_client(site, manager, clock) as client:
        options = await asyncio.to_thread(BODIES[kind], tmp_path / "body")
        async with asyncio.timeout(5), client.post(site.url, **options) as response:
            assert response.status == 200
    first, second = site.seen
    assert (first.token, second.token) == ("Bearer t1", "Bearer t2")
    assert first.body == second.body
    assert bool(first.body) is (kind != "nothing")
    assert first.headers.get("Content-Type") == second.headers.get("Content-Type")


async def test_a_body_that_cannot_be_sent_again_is_sent_once_and_the_token_renewed_for_the_next(
    clock: ManualClock, manager: TokenManager
) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"once "
        yield b"only"

    async with a_site() as site, await refusing_client(site, manager, clock) as client:
        async with client.post(site.url, data=stream()) as response:
            assert response.status == 401
            assert await response.json() == {"why": "refused"}
        async with client.post(site.url, data=stream()) as response:
            assert response.status == 200
    assert [(each.token, each.body) for each in site.seen] == [
        ("Bearer t1", b"once only"),
        ("Bearer t2", b"once only"),
    ]


async def test_a_stream_that_was_never_asked_for_is_sent_with_the_next_token(
    clock: ManualClock, manager: TokenManager
) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"once"

    async with (
        expecting_site() as site,
        await refusing_client(site, manager, clock) as client,
        asyncio.timeout(5),
        client.post(site.url / "up", data=stream(), expect100=True) as response,
    ):
        assert (response.status, await response.text()) == (200, "once")
    assert site.tokens == ["Bearer t1", "Bearer t2"]


def expecting_site() -> AbstractAsyncContextManager[Site]:
    """Refuse `t1` without asking for the body, as `Expect: 100-continue` allows (RFC 9110, 10.1.1)."""

    async def up(request: web.BaseRequest) -> web.Response:
        if request.headers["Authorization"] == "Bearer t1":
            return web.Response(status=401, headers={"Connection": "close"})
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return web.Response(body=await request.read())

    return a_site(up=up)


async def large(request: web.BaseRequest) -> web.StreamResponse:
    await _drain(request)
    return _judged(request, body=b"x" * LARGE)


async def unread(request: web.BaseRequest) -> web.StreamResponse:
    return _judged(request)


async def unread_and_wordy(request: web.BaseRequest) -> web.StreamResponse:
    return _judged(request, body=b"x" * LARGE)


async def chunked(request: web.BaseRequest) -> web.StreamResponse:
    await _drain(request)
    if request.headers["Authorization"] == "Bearer t2":
        return web.Response()
    response = web.StreamResponse(status=401)
    response.enable_chunked_encoding()
    await response.prepare(request)
    for _ in range(50):
        await response.write(b"x" * 100_000)
    return response


async def _get(client: aiohttp.ClientSession, site: Site) -> int:
    async with client.get(site.url / "up") as response:
        return response.status


async def _drain(request: web.BaseRequest) -> int:
    return sum([len(chunk) async for chunk in request.content.iter_any()])


def _judged(request: web.BaseRequest, body: bytes = b"why") -> web.Response:
    if request.headers["Authorization"] == "Bearer t2":
        return web.Response(text="fine")
    return web.Response(status=401, body=body)


@pytest.mark.parametrize("answer", [large, chunked, unread])
@pytest.mark.parametrize("size", [0, 10, LARGE])
async def test_a_refused_response_is_released_before_the_retry(
    answer: Answering, size: int, clock: ManualClock, manager: TokenManager
) -> None:
    async with (
        a_site(up=answer) as site,
        await refusing_client(site, manager, clock) as client,
        asyncio.timeout(10),
        client.post(site.url / "up", data=io.BytesIO(b"u" * size)) as response,
    ):
        assert response.status == 200
    assert site.tokens == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize("size", [10, LARGE])
async def test_a_file_whose_upload_was_refused_early_is_sent_whole_with_the_next_token(
    size: int, tmp_path: Path, clock: ManualClock, manager: TokenManager
) -> None:
    async def up(request: web.BaseRequest) -> web.Response:
        if request.headers["Authorization"] == "Bearer t1":
            return web.Response(status=401, headers={"Connection": "close"})
        return web.Response(text=str(await _drain(request)))

    path = tmp_path / "upload"
    path.write_bytes(b"u" * size)
    file = await asyncio.to_thread(path.open, "rb")
    async with (
        a_site(up=up) as site,
        await refusing_client(site, manager, clock) as client,
        asyncio.timeout(10),
        client.put(site.url / "up", data=file) as response,
    ):
        assert (response.status, await response.text()) == (200, str(size))


class Settling(aiohttp.BytesIOPayload):
    """Takes its time to stop, as a file that is read in a thread does."""

    writes = 0

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        assert self.writes == 0, "two writers read one body"
        self.writes += 1
        try:
            await super().write_with_length(writer, content_length)
        finally:
            await asyncio.sleep(0.02)
            self.writes -= 1


@pytest.mark.parametrize("answer", [unread, unread_and_wordy])
async def test_a_body_is_not_read_by_two_senders_at_once(
    answer: Answering, clock: ManualClock, manager: TokenManager
) -> None:
    async with a_site(up=answer) as site, await refusing_client(site, manager, clock, limit=2) as client:
        body = Settling(io.BytesIO(b"u" * LARGE))
        async with asyncio.timeout(10), client.post(site.url / "up", data=body) as response:
            assert response.status == 200
    assert site.tokens == ["Bearer t1", "Bearer t2"]


async def test_the_connection_of_a_small_refusal_is_used_again(
    clock: ManualClock, manager: TokenManager
) -> None:
    ports = []

    async def up(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        answer = _judged(request)
        await answer.prepare(request)
        # The words come after the head.
        await asyncio.sleep(0.01)
        return answer

    async with (
        a_site(up=up) as site,
        await refusing_client(site, manager, clock) as client,
        client.get(site.url / "up") as response,
    ):
        assert await response.text() == "fine"
    assert len(ports) == 2
    assert len(set(ports)) == 1


async def test_a_cancelled_wait_for_another_token_frees_the_connection(
    clock: ManualClock, manager: TokenManager
) -> None:
    read = MemoryTokenStore.read
    looked = asyncio.Event()
    go_on = asyncio.Event()

    async def slow_read(store: MemoryTokenStore, name: str) -> Snapshot:
        looked.set()
        await go_on.wait()
        return await read(store, name)

    async with a_site(up=large) as site, await refusing_client(site, manager, clock) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MemoryTokenStore, "read", slow_read)
            asking = asyncio.create_task(_get(client, site))
            await looked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await asking
            go_on.set()
        # The traceback still holds the frames, and with them the refused response.
        assert cancelled.tb is not None
        async with asyncio.timeout(5), client.get(site.url / "up") as response:
            assert response.status == 200
