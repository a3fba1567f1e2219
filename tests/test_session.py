"""`AuthSession`: URLs, methods, options, WebSockets, closing."""

import asyncio
import warnings
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from asyncauth import (
    AuthSession,
    ClosedError,
    ConfigurationError,
    RefreshPolicy,
    TokenManager,
)
from asyncauth.schemes import ClientCredentials
from asyncauth.testing import settle
from asyncauth.testing.emulators import Hold
from asyncauth_stores.memory import MemoryTokenStore
from http_places import PATIENT, Ready, Site, a_site, a_world

METHODS = ["get", "head", "options", "post", "put", "patch", "delete"]


@pytest.fixture
async def store() -> AsyncIterator[MemoryTokenStore]:
    async with MemoryTokenStore() as store:
        yield store


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with a_site() as site:
        yield site


@pytest.mark.parametrize("base", ["/api", "/api/"])
@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/rest/Customer", "/api/rest/Customer"),
        ("rest/Customer", "/api/rest/Customer"),
        ("rest/Customer/", "/api/rest/Customer/"),
        ("rest?a=1&b=%2B#part", "/api/rest?a=1&b=%2B"),
        ("?a=1", "/api?a=1"),
        ("#part", "/api"),
        ("", "/api"),
        ("/", "/api/"),
        ("./rest", "/api/rest"),
        ("../other", "/other"),
        ("a/../b", "/api/b"),
        ("rest/a b/é", "/api/rest/a%20b/%C3%A9"),
        ("a:b/c", "/api/a:b/c"),
        ("http:/x", "/api/http:/x"),
        ("rest?to=http://evil.example/", "/api/rest?to=http://evil.example/"),
        ("//evil.example/x", "/api//evil.example/x"),
        (URL("/rest"), "/api/rest"),
        (URL("rest?a=1"), "/api/rest?a=1"),
        (URL("rest/a%2Bb?c=%2F", encoded=True), "/api/rest/a%2Bb?c=%2F"),
        (URL("//evil.example/x"), "/api//evil.example/x"),
    ],
)
async def test_a_url_without_a_host_is_relative_to_the_base_url(
    base: str, url: str | URL, target: str, site: Site, store: MemoryTokenStore
) -> None:
    scheme = Ready(base_url=URL(f"{site.url}{base}"))
    async with (
        AuthSession(scheme, store) as session,
        session.get(url) as response,
    ):
        assert response.status == 200
    assert [(each.target, each.token) for each in site.seen] == [(target, "Bearer t1")]


@pytest.mark.parametrize("kind", [str, URL])
async def test_an_absolute_url_is_taken_as_it_is(
    kind: type[str] | type[URL], site: Site, store: MemoryTokenStore
) -> None:
    async with a_site() as stranger, AuthSession(Ready(base_url=site.url / "api"), store) as session:
        await session.get(kind(f"{site.url}/x"))
        await session.get(kind(f"{stranger.url}/x"))
        await session.get(kind(f"HTTP://{stranger.url.authority}/y"))
        with pytest.raises(aiohttp.NonHttpUrlClientError):
            await session.get(kind(f"ftp://{site.url.authority}/x"))
    assert [(each.target, each.token) for each in site.seen] == [("/x", "Bearer t1")]
    assert [(each.target, each.token) for each in stranger.seen] == [("/x", None), ("/y", None)]


async def test_a_relative_url_needs_a_base_url(store: MemoryTokenStore) -> None:
    scheme = ClientCredentials(
        "https://a.example/t", client_id="c", client_secret="s", origins=["https://api.example"]
    )
    async with AuthSession(scheme, store) as session:
        with pytest.raises(ConfigurationError, match="base_url"):
            await session.get("/x")
        with pytest.raises(ConfigurationError, match="base_url"):
            await session.ws_connect("/x")


@pytest.mark.parametrize("method", METHODS)
async def test_each_method_carries_the_token_and_the_options(
    method: str, site: Site, store: MemoryTokenStore
) -> None:
    async with (
        AuthSession(Ready(base_url=site.url), store, headers={"X-All": "a"}) as session,
        getattr(session, method)("/x", params={"a": "1"}, headers={"X-One": "o"}) as response,
    ):
        assert response.status == 200
    (seen,) = site.seen
    assert (seen.method, seen.target, seen.token) == (method.upper(), "/x?a=1", "Bearer t1")
    assert (seen.headers["X-All"], seen.headers["X-One"]) == ("a", "o")


@pytest.mark.parametrize("method", METHODS)
async def test_redirects_are_followed_as_aiohttp_does(
    method: str, site: Site, store: MemoryTokenStore
) -> None:
    async def go(request: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": "/x"})

    site.paths["/go"] = go
    async with AuthSession(Ready(base_url=site.url), store) as session:
        async with (
            getattr(session, method)("/go") as ours,
            getattr(session.client, method)(site.url / "go") as theirs,
        ):
            assert ours.status == theirs.status
        async with getattr(session, method)("/go", allow_redirects=method == "head") as turned:
            assert turned.status == (200 if method == "head" else 307)


async def test_refused_statuses_raise_where_the_caller_asked_for_it(
    site: Site, store: MemoryTokenStore
) -> None:
    async def gone(request: web.BaseRequest) -> web.Response:
        return web.Response(status=410)

    site.paths["/gone"] = gone
    async with AuthSession(Ready(base_url=site.url), store, raise_for_status=True) as session:
        with pytest.raises(aiohttp.ClientResponseError, match="410"):
            await session.get("/gone")
        async with session.get("/gone", raise_for_status=False) as response:
            assert response.status == 410


@pytest.mark.parametrize("scheme", ["", "ws", "http"])
async def test_a_websocket_carries_the_token(scheme: str, site: Site, store: MemoryTokenStore) -> None:
    async def echo(request: web.BaseRequest) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    site.paths["/ws"] = echo
    url = site.url.with_scheme(scheme) / "ws" if scheme else "/ws"
    async with (
        AuthSession(Ready(base_url=site.url), store) as session,
        session.ws_connect(url) as socket,
    ):
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
    assert site.tokens == ["Bearer t1"]


async def test_closing_ends_the_client_and_may_be_repeated(site: Site, store: MemoryTokenStore) -> None:
    async with AuthSession(Ready(base_url=site.url), store) as session:
        await session.get("/x")
        assert not session.closed
    assert session.closed
    assert session.client.closed
    await session.aclose()
    for use in (session.get, session.ws_connect):
        with pytest.raises(ClosedError):
            use("/x")


async def test_sessions_of_one_store_share_the_token_until_the_last_is_closed(
    site: Site, store: MemoryTokenStore
) -> None:
    scheme = Ready(base_url=site.url)
    one, other = AuthSession(scheme, store), AuthSession(scheme, store)
    await one.get("/x")
    await one.aclose()
    await other.get("/x")
    await other.aclose()
    async with AuthSession(scheme, store) as late:
        await late.get("/x")
    assert site.tokens == ["Bearer t1"] * 3


async def test_a_manager_that_was_given_is_not_closed(site: Site, store: MemoryTokenStore) -> None:
    async with TokenManager(store) as manager:
        worker = manager.worker
        async with AuthSession(Ready(base_url=site.url), manager) as session:
            await session.get("/x")
        assert not worker.closed


async def test_closing_ends_requests_under_way() -> None:
    async with a_world() as world:
        session = AuthSession(world.scheme, world.manager)
        await session.get("/x")
        hold = Hold()
        world.vendor.faults.add(hold, on="api")

        async def ask() -> int:
            async with session.get("/x") as response:
                return response.status

        asking = asyncio.create_task(ask())
        await hold.arrived.wait()
        async with asyncio.timeout(5):
            await session.aclose()
            with pytest.raises(aiohttp.ClientConnectionError):
                await asking
        hold.drop()


async def test_a_closed_session_leaves_a_renewal_that_others_wait_for_alone() -> None:
    async with a_world() as world, TokenManager(world.store, clock=world.clock) as others:
        hold = Hold()
        world.vendor.faults.add(hold, on="token")
        session = AuthSession(world.scheme, world.store)
        asking = asyncio.create_task(session.get("/x").__aenter__())
        await hold.arrived.wait()
        waiting = asyncio.create_task(others.token(world.scheme))
        await settle()
        await session.aclose()
        hold.release()
        assert (await waiting).access_token is not None
        with pytest.raises(ClosedError):
            await asking
        assert world.vendor.stats.api_calls == 0


async def test_a_session_that_is_closed_during_a_renewal_hands_the_refusal_over() -> None:
    async with a_world() as world:
        world.vendor.revoke_access(await world.have_old_token())
        hold = Hold()
        world.vendor.faults.add(hold, on="token")
        session = AuthSession(world.scheme, world.manager)
        asking = asyncio.create_task(session.get("/x").__aenter__())
        await hold.arrived.wait()
        await session.aclose()
        hold.release()
        assert (await asking).status == 401
        assert world.vendor.stats.api_calls == 1


async def test_a_requests_own_timeout_ends_its_wait_and_not_the_renewal() -> None:
    async with a_world() as world, AuthSession(world.scheme, world.manager) as session:
        hold = Hold()
        world.vendor.faults.add(hold, on="token")
        with pytest.raises(TimeoutError):
            await session.get("/x", timeout=aiohttp.ClientTimeout(total=0.05))
        hold.release()
        async with session.get("/x") as response:
            assert (await response.json())["serial"] == 1
        assert world.vendor.stats.token_calls == 1


@pytest.mark.parametrize("phase", ["token", "api"])
async def test_a_cancelled_request_ends_alone(phase: str) -> None:
    async with a_world() as world, AuthSession(world.scheme, world.manager) as session:
        hold = Hold()
        world.vendor.faults.add(hold, on="token" if phase == "token" else "api")
        asking = asyncio.create_task(session.get("/x").__aenter__())
        await hold.arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        hold.release()
        async with session.get("/x") as response:
            assert (await response.json())["serial"] == 1
        assert world.vendor.stats.token_calls == 1


async def test_a_policy_that_cannot_be_used_leaves_nothing_to_close(site: Site) -> None:
    async with MemoryTokenStore() as store, TokenManager(store, policy=PATIENT) as manager:
        scheme = Ready(base_url=site.url)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ConfigurationError, match="TokenManager"):
                AuthSession(scheme, manager, policy=PATIENT)
            with pytest.raises(ConfigurationError, match="another RefreshPolicy"):
                AuthSession(scheme, store, policy=RefreshPolicy(retries=1))
            with pytest.raises(TypeError):
                AuthSession(scheme, store, no_such_option=1)
        assert manager.worker.users == 1


async def test_it_shows_its_scheme_and_state(site: Site, store: MemoryTokenStore) -> None:
    async with AuthSession(Ready(base_url=URL("https://erp.example/api")), store) as session:
        assert repr(session) == "AuthSession(ready, https://erp.example/api, open)"
    assert repr(session) == "AuthSession(ready, https://erp.example/api, closed)"
