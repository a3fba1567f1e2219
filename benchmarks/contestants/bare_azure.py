# pyright: reportMissingImports=false
"""azure-core's client over aiohttp without its bearer policy: the header is set on each request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

import aiohttp
import attrs
from azure.core import AsyncPipelineClient
from azure.core.rest import HttpRequest

from benchmarks.contestants import Place
from benchmarks.contestants.asking import ask

NAME = "azure-core, a header per request"
BASE = "bare_azure"
SHARED = ()
REFRESHES = False
EARLY = None
LACKS = "never renews"


@final
@attrs.frozen
class _User:
    client: Any
    url: str
    headers: dict[str, str]

    async def token(self) -> str:
        return self.headers["Authorization"].removeprefix("Bearer ")

    async def send(self) -> int:
        response = await self.client.send_request(HttpRequest("GET", self.url, headers=self.headers))
        return int(response.status_code)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with aiohttp.ClientSession() as client:
        answer = await ask(client, place, None)
    pipeline: Any = AsyncPipelineClient(place.api_url)
    async with pipeline:
        yield _User(pipeline, place.api_url, {"Authorization": f"Bearer {answer['access_token']}"})
