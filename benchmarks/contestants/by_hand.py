"""What services write: a variable with its expiry, a lock, and `headers=` per call."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import aiohttp

from benchmarks.contestants import Place
from benchmarks.contestants.asking import ask, get

NAME = "by hand: variable and lock"
BASE = "bare_aiohttp"
SHARED = ()
REFRESHES = True
EARLY = None
LACKS = "each process has a token of its own; nothing is done about a 401"


@final
class _User:
    def __init__(self, client: aiohttp.ClientSession, place: Place) -> None:
        self._client = client
        self._place = place
        self._lock = asyncio.Lock()
        self._token = ""
        self._refresh_token = place.refresh_token
        self._ends = 0.0

    async def token(self) -> str:
        if time.monotonic() < self._ends:
            return self._token
        async with self._lock:
            if time.monotonic() >= self._ends:
                await self._renew()
            return self._token

    async def _renew(self) -> None:
        asked_at = time.monotonic()
        answer = await ask(self._client, self._place, self._refresh_token)
        self._token = answer["access_token"]
        self._refresh_token = answer.get("refresh_token", self._refresh_token)
        self._ends = asked_at + answer["expires_in"] - self._place.early

    async def send(self) -> int:
        return await get(self._client, self._place, await self.token())


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with aiohttp.ClientSession() as client:
        yield _User(client, place)
