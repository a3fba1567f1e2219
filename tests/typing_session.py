"""What type checkers see of session and middleware: checked, never run."""

from collections.abc import Sequence
from typing import Any, assert_type

import aiohttp
from yarl import URL

from asyncauth import AuthMiddleware, AuthScheme, AuthSession, RefreshPolicy, TokenManager, TokenStore


async def sessions(scheme: AuthScheme, store: TokenStore) -> None:
    manager = TokenManager(store, policy=RefreshPolicy())
    async with AuthSession(scheme, manager, timeout=aiohttp.ClientTimeout(total=5)) as session:
        assert_type(session, AuthSession)
        assert_type(session.client, aiohttp.ClientSession)
        assert_type(session.closed, bool)
    assert_type(await AuthSession(scheme, store, policy=RefreshPolicy()).aclose(), None)


async def requests(session: AuthSession, middlewares: Sequence[aiohttp.ClientMiddlewareType]) -> None:
    async with session.get("/x", params={"a": 1}, headers={"A": "b"}, middlewares=middlewares) as response:
        assert_type(response, aiohttp.ClientResponse)
    assert_type(await session.request("POST", URL("/x"), json={}), aiohttp.ClientResponse)
    assert_type(await session.head("/x", allow_redirects=True), aiohttp.ClientResponse)
    assert_type(await session.options("/x"), aiohttp.ClientResponse)
    assert_type(await session.put("/x", data=b""), aiohttp.ClientResponse)
    assert_type(await session.patch("/x", data={"a": "b"}), aiohttp.ClientResponse)
    assert_type(await session.delete("/x", raise_for_status=True), aiohttp.ClientResponse)
    await session.get("/x", no_such_option=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await session.get("/x", allow_redirects="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def websockets(session: AuthSession) -> None:
    async with session.ws_connect("/ws", heartbeat=30) as socket:
        assert_type(socket, "aiohttp.ClientWebSocketResponse[bool]")
        assert_type(await socket.receive_json(), Any)


def middlewares(scheme: AuthScheme, store: TokenStore) -> aiohttp.ClientMiddlewareType:
    return AuthMiddleware(scheme, store, policy=RefreshPolicy())
