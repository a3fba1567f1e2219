"""What gunicorn serves in its tests: all of it is made at import, before the fork (`--preload`)."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from asyncauth import TokenManager, open_store
from asyncauth.schemes import ClientCredentials

scheme = ClientCredentials(os.environ["TOKEN_URL"], client_id="app", client_secret="app-secret")
store = open_store(os.environ["STORE"])
manager = TokenManager(store)


async def answer() -> str:
    """Return the process' id and the token that it has."""
    token = (await manager.token(scheme)).access_token
    assert token is not None
    return f"{os.getpid()} {token.reveal()}"


# A token is used before the fork, too, in a loop that ends then.
asyncio.run(answer())


async def _get(request: web.Request) -> web.Response:
    return web.Response(text=await answer())


async def _close(application: web.Application) -> None:
    await store.aclose()


aiohttp_app = web.Application()
aiohttp_app.router.add_get("/", _get)
aiohttp_app.on_cleanup.append(_close)


async def asgi_app(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    """Do the same behind ASGI, with a lifespan that closes the store."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await store.aclose()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await answer()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
