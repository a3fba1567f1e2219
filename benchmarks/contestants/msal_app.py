# pyright: reportMissingImports=false
"""MSAL with its cache: its call blocks, so that services make it in a thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final
from urllib.parse import urlsplit

import aiohttp
import attrs
import requests
from msal import ConfidentialClientApplication

from benchmarks.contestants import Place
from benchmarks.contestants.asking import get

NAME = "MSAL in a thread"
BASE = "bare_aiohttp"
SHARED = ()
REFRESHES = False
EARLY = 300.0
LACKS = (
    "has no asynchronous calls; each process has a token of its own;"
    " renews users' tokens only with the ID tokens and accounts of OpenID Connect"
)


@final
@attrs.frozen
class _InTheClear:
    """MSAL insists on https, and takes an HTTP client of ours: this one sends without TLS."""

    session: requests.Session

    def post(self, url: str, **options: Any) -> Any:
        return self.session.post(_without_tls(url), **options)

    def get(self, url: str, **options: Any) -> Any:
        return self.session.get(_without_tls(url), **options)


def _without_tls(url: str) -> str:
    return url.replace("https://", "http://", 1)


@final
@attrs.frozen
class _User:
    application: ConfidentialClientApplication
    client: aiohttp.ClientSession
    place: Place

    async def token(self) -> str:
        answer: Any = await asyncio.to_thread(self.application.acquire_token_for_client, ["things"])
        return str(answer["access_token"])

    async def send(self) -> int:
        return await get(self.client, self.place, await self.token())


def _application(place: Place, session: requests.Session) -> ConfidentialClientApplication:
    return ConfidentialClientApplication(
        place.client_id,
        client_credential=place.client_secret,
        oidc_authority=f"https://{urlsplit(place.token_url).netloc}/tenant",
        http_client=_InTheClear(session),
    )


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    with requests.Session() as session:
        application = await asyncio.to_thread(_application, place, session)
        async with aiohttp.ClientSession() as client:
            yield _User(application, client, place)
