# pyright: reportMissingImports=false
"""httpx-auth: its client credentials for an httpx client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import urlsplit

import attrs
import httpx
from httpx_auth import JsonTokenFileCache, OAuth2, OAuth2ClientCredentials, TokenMemoryCache

from benchmarks.contestants import Place

NAME = "httpx-auth"
BASE = "bare_httpx"
SHARED = ("file",)
REFRESHES = False
EARLY = None
LACKS = (
    "blocks the event loop while it asks the vendor; its file has no lock and no seal;"
    " keeps users' refresh tokens of its own logins in a browser only; nothing is done about a 401"
)

_NOT_EARLY: Final = 1e-6
"""It says 0, and takes 0 for its default of 30."""


@final
@attrs.frozen
class _User:
    client: httpx.AsyncClient
    auth: Any
    url: str

    async def token(self) -> str:
        """Ask its cache as it does itself for each request: it hands out its token to requests only."""
        cache, auth = OAuth2.token_cache, self.auth
        new = auth.request_new_token
        return str(cache.get_token(auth.state, early_expiry=auth.early_expiry, on_missing_token=new))

    async def send(self) -> int:
        return int((await self.client.get(self.url)).status_code)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    where = urlsplit(place.store_url)
    folder = Path(where.path)
    memory: Any = TokenMemoryCache
    OAuth2.token_cache = JsonTokenFileCache(folder / "tokens.json") if where.scheme == "file" else memory()
    auth = OAuth2ClientCredentials(
        place.token_url, place.client_id, place.client_secret, early_expiry=place.early or _NOT_EARLY
    )
    async with httpx.AsyncClient(auth=auth) as client:
        yield _User(client, auth, place.api_url)
