"""`AuthSession`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import attrs
from yarl import URL

from asyncauth import AuthSession, TokenManager
from asyncauth.abc import AuthScheme
from benchmarks.contestants import Place, shared_token

NAME = "AuthSession"
BASE = "bare_aiohttp"
SHARED = shared_token.SHARED
REFRESHES = True
EARLY = None
LACKS = ""


@final
@attrs.frozen
class _User:
    manager: TokenManager
    scheme: AuthScheme
    session: AuthSession
    path: str

    async def token(self) -> str:
        return await shared_token.text_of(self.manager, self.scheme)

    async def send(self) -> int:
        async with self.session.get(self.path) as response:
            await response.read()
            return response.status


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with (
        shared_token.opened_manager(place) as (manager, scheme),
        AuthSession(scheme, manager) as session,
    ):
        yield _User(manager, scheme, session, URL(place.api_url).path)
