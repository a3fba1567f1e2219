"""The recipe: GET, else redis-py's lock, GET again, ask the vendor, SET with an expiry."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, final

import aiohttp
import attrs
from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.contestants import Place
from benchmarks.contestants.asking import ask, get

NAME = "redis-py lock recipe"
BASE = "bare_aiohttp"
SHARED = ("redis",)
REFRESHES = True
EARLY = None
LACKS = "asks Redis for each request; tokens lie in it unsealed; what a killed worker was given is lost"

_LOCKED: Final = 30
"""Seconds that the lock lasts: longer than the vendor may take."""


@final
@attrs.frozen
class _User:
    redis: Redis
    client: aiohttp.ClientSession
    place: Place

    async def token(self) -> str:
        if token := await self.redis.get("token"):
            return str(token)
        async with self.redis.lock("token-lock", timeout=_LOCKED):
            if token := await self.redis.get("token"):
                return str(token)
            return await self._renew()

    async def _renew(self) -> str:
        refresh_token: Any = await self.redis.get("refresh-token")
        answer = await ask(self.client, self.place, refresh_token)
        if "refresh_token" in answer:
            await self.redis.set("refresh-token", answer["refresh_token"])
        life = round((answer["expires_in"] - self.place.early) * 1000)
        await self.redis.set("token", answer["access_token"], px=max(life, 1))
        return str(answer["access_token"])

    async def send(self) -> int:
        return await get(self.client, self.place, await self.token())


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    url = place.store_url.partition("?")[0]
    # The default pool refuses the hundred-and-first task that asks at once.
    pool = BlockingConnectionPool.from_url(url, decode_responses=True)
    async with Redis.from_pool(pool) as redis, aiohttp.ClientSession() as client:
        if place.refresh_token is not None and not place.begun:
            await redis.set("refresh-token", place.refresh_token)
        yield _User(redis, client, place)
