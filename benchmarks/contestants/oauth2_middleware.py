# pyright: reportMissingImports=false
"""aiohttp-oauth2-client: its middleware."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import aiohttp
import attrs
from aiohttp_oauth2_client.grant.client_credentials import ClientCredentialsGrant
from aiohttp_oauth2_client.grant.common import OAuth2Grant
from aiohttp_oauth2_client.grant.resource_owner_password_credentials import (
    ResourceOwnerPasswordCredentialsGrant,
)
from aiohttp_oauth2_client.middleware import OAuth2Middleware

from benchmarks.contestants import Place

NAME = "aiohttp-oauth2-client"
BASE = "bare_aiohttp"
SHARED = ()
REFRESHES = True
EARLY = 30.0
LACKS = "each process has a token of its own; nothing is done about a 401"


@final
@attrs.frozen
class _User:
    grant: OAuth2Grant
    client: aiohttp.ClientSession
    url: str

    async def token(self) -> str:
        headers = await self.grant.prepare_headers()
        return str(headers["Authorization"]).removeprefix("Bearer ")

    async def send(self) -> int:
        async with self.client.get(self.url) as response:
            await response.read()
            return response.status


def _grant(place: Place) -> OAuth2Grant:
    if place.refresh_token is None:
        return ClientCredentialsGrant(place.token_url, place.client_id, place.client_secret)
    # The one grant for a user that sends the client's name and secret with a refresh, if they are given so.
    ended = {
        "access_token": "ended",
        "token_type": "Bearer",
        "expires_in": 0,
        "refresh_token": place.refresh_token,
    }
    client = {"client_id": place.client_id, "client_secret": place.client_secret}
    return ResourceOwnerPasswordCredentialsGrant(place.token_url, "ada", "secret", token=ended, **client)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with (
        _grant(place) as grant,
        aiohttp.ClientSession(middlewares=[OAuth2Middleware(grant)]) as client,
    ):
        yield _User(grant, client, place.api_url)
