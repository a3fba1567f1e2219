"""The least that an aiohttp middleware can do: it sets a header in place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import aiohttp
import attrs

from benchmarks.contestants import Place
from benchmarks.contestants.asking import ask

NAME = "aiohttp, a middleware that sets it"
BASE = "bare_aiohttp"
SHARED = ()
REFRESHES = False
EARLY = None
LACKS = "never renews"


@final
@attrs.frozen
class _User:
    client: aiohttp.ClientSession
    url: str
    value: str

    async def token(self) -> str:
        return self.value.removeprefix("Bearer ")

    async def send(self) -> int:
        async with self.client.get(self.url) as response:
            await response.read()
            return response.status


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with aiohttp.ClientSession() as client:
        value = f"Bearer {(await ask(client, place, None))['access_token']}"

    async def setting(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["Authorization"] = value
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=[setting]) as client:
        yield _User(client, place.api_url, value)
