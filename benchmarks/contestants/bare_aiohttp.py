"""No authentication at all: one token, asked for at the start, and `headers=` per call of aiohttp."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import final

import aiohttp
import attrs

from benchmarks.contestants import Place
from benchmarks.contestants.asking import ask

NAME = "aiohttp, headers="
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
    headers: Mapping[str, str]

    async def token(self) -> str:
        return self.headers["Authorization"].removeprefix("Bearer ")

    async def send(self) -> int:
        async with self.client.get(self.url, headers=self.headers) as response:
            await response.read()
            return response.status


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with aiohttp.ClientSession() as client:
        answer = await ask(client, place, None)
        yield _User(client, place.api_url, {"Authorization": f"Bearer {answer['access_token']}"})
