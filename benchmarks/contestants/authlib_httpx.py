# pyright: reportMissingImports=false
"""Authlib's asynchronous client, which is httpx's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

import attrs
from authlib.integrations.httpx_client import AsyncOAuth2Client

from benchmarks.contestants import Place

NAME = "Authlib over httpx"
BASE = "bare_httpx"
SHARED = ()
REFRESHES = True
EARLY = None
LACKS = "each process has a token of its own; nothing is done about a 401"


@final
@attrs.frozen
class _User:
    client: Any
    url: str

    async def token(self) -> str:
        await self.client.ensure_active_token(self.client.token)
        return str(self.client.token["access_token"])

    async def send(self) -> int:
        return int((await self.client.get(self.url)).status_code)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it: with its first token, which it does not ask for by itself."""
    options = {"token_endpoint": place.token_url, "leeway": place.early}
    if place.refresh_token is None:
        options["grant_type"] = "client_credentials"
    client: Any = AsyncOAuth2Client(place.client_id, place.client_secret, **options)
    async with client:
        if place.refresh_token is None:
            await client.fetch_token(place.token_url, grant_type="client_credentials")
        else:
            await client.refresh_token(place.token_url, refresh_token=place.refresh_token)
        yield _User(client, place.api_url)
