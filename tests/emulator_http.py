"""A plain aiohttp client for the emulators' tests: one call, read whole."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
from multidict import CIMultiDictProxy
from yarl import URL

from asyncauth._exchange import basic_auth


@attrs.frozen
class Got:
    """A response, read whole."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, error and description of an OAuth 2 error."""
        assert self.headers["Content-Type"] == "application/json"
        assert set(self.data) == {"error", "error_description"}
        return self.status, self.data["error"], self.data["error_description"]


@attrs.frozen
class Client:
    """Calls without cookies and without following redirects."""

    session: aiohttp.ClientSession

    async def call(self, method: str, url: URL, **options: Any) -> Got:
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            return Got(response.status, response.headers, await response.read())

    async def get(self, url: URL, token: str | None = None, **headers: str) -> Got:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.call("GET", url, headers=headers)

    async def form(
        self, url: URL, fields: Mapping[str, str], basic: tuple[str, str] | None = None, **headers: str
    ) -> Got:
        if basic is not None:
            headers["Authorization"] = basic_auth(*basic)
        return await self.call("POST", url, data=dict(fields), headers=headers)


@asynccontextmanager
async def open_client() -> AsyncIterator[Client]:
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(5)) as session:
        yield Client(session)
