# pyright: reportMissingImports=false
"""Authlib's asynchronous client with a user's token in a database: `token=` and `update_token=`.

As its guide has it ("Auto Update Token"): what `update_token` is given is stored, here under a Redis key. An
expired token is loaded anew, because another process may have refreshed it; tasks of one process take turns
for that. Between processes nothing locks: the guide has no lock either.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, final

import attrs
from authlib.integrations.httpx_client import AsyncOAuth2Client
from redis.asyncio import Redis

from benchmarks.contestants import Place

NAME = "Authlib, update_token in Redis"
BASE = "bare_httpx"
SHARED = ("redis",)
REFRESHES = True
EARLY = None
LACKS = "processes do not take turns: two of them may spend one refresh token"
_KEY: Final = "authlib-token"


@final
@attrs.frozen
class _User:
    client: Any
    redis: Redis
    url: str
    turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    async def token(self) -> str:
        async with self.turn:
            if self.client.token.is_expired(leeway=self.client.leeway):
                self.client.token = _parsed(await self.redis.get(_KEY))
                await self.client.ensure_active_token(self.client.token)
        return str(self.client.token["access_token"])

    async def send(self) -> int:
        await self.token()
        return int((await self.client.get(self.url)).status_code)


def _parsed(stored: Any) -> dict[str, Any]:
    token: dict[str, Any] = json.loads(stored)
    return token


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it; the first process stores the user's first token."""
    redis = Redis.from_url(place.store_url.partition("?")[0])

    async def update_token(token: dict[str, Any], **_: str) -> None:
        await redis.set(_KEY, json.dumps(token))

    options: dict[str, Any] = {"token_endpoint": place.token_url, "leeway": place.early}
    client: Any = AsyncOAuth2Client(
        place.client_id, place.client_secret, update_token=update_token, **options
    )
    async with redis, client:
        if not place.begun:
            await client.refresh_token(place.token_url, refresh_token=place.refresh_token)
        client.token = _parsed(await redis.get(_KEY))
        yield _User(client, redis, place.api_url)
