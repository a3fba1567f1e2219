"""`AuthMiddleware`, in a client session that a service has already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import aiohttp
import attrs

from asyncauth import AuthMiddleware, TokenManager
from asyncauth.abc import AuthScheme
from benchmarks.contestants import Place, shared_token

NAME = "AuthMiddleware"
BASE = "bare_aiohttp"
SHARED = shared_token.SHARED
REFRESHES = True
EARLY = None
LACKS = ""


@final
@attrs.frozen
class _User:
    manager: TokenManager
    scheme: AuthScheme
    client: aiohttp.ClientSession
    url: str

    async def token(self) -> str:
        return await shared_token.text_of(self.manager, self.scheme)

    async def send(self) -> int:
        async with self.client.get(self.url) as response:
            await response.read()
            return response.status


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with (
        shared_token.opened_manager(place) as (manager, scheme),
        aiohttp.ClientSession(middlewares=[AuthMiddleware(scheme, manager)]) as client,
    ):
        yield _User(manager, scheme, client, place.api_url)
