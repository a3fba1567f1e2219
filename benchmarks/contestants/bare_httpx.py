# pyright: reportMissingImports=false
"""No authentication at all: one token, asked for at the start, and `headers=` per call of httpx."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import final

import attrs
import httpx

from benchmarks.contestants import Place

NAME = "httpx, headers="
BASE = "bare_httpx"
SHARED = ()
REFRESHES = False
EARLY = None
LACKS = "never renews"


@final
@attrs.frozen
class _User:
    client: httpx.AsyncClient
    url: str
    headers: Mapping[str, str]

    async def token(self) -> str:
        return self.headers["Authorization"].removeprefix("Bearer ")

    async def send(self) -> int:
        return int((await self.client.get(self.url, headers=self.headers)).status_code)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with httpx.AsyncClient() as client:
        form, secret = {"grant_type": "client_credentials"}, (place.client_id, place.client_secret)
        answer = (await client.post(place.token_url, data=form, auth=secret)).json()
        yield _User(client, place.api_url, {"Authorization": f"Bearer {answer['access_token']}"})
