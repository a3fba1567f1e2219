# pyright: reportMissingImports=false
"""azure-core: its bearer policy over aiohttp, with a credential as its users write one."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

import aiohttp
import attrs
from azure.core import AsyncPipelineClient
from azure.core.credentials import AccessTokenInfo
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy
from azure.core.rest import HttpRequest

from benchmarks.contestants import Place
from benchmarks.contestants.asking import ask

NAME = "azure-core bearer policy"
BASE = "bare_azure"
SHARED = ()
REFRESHES = True
EARLY = None
LACKS = "each process has a token of its own; what is renewed early is put off by a random minute"


@final
class _Credential:
    def __init__(self, client: aiohttp.ClientSession, place: Place) -> None:
        self._client = client
        self._place = place
        self._refresh_token = place.refresh_token

    async def get_token_info(self, *scopes: str, **options: Any) -> AccessTokenInfo:
        del scopes, options
        answer = await ask(self._client, self._place, self._refresh_token)
        self._refresh_token = answer.get("refresh_token", self._refresh_token)
        ends = int(time.time() + answer["expires_in"])
        return AccessTokenInfo(answer["access_token"], ends, refresh_on=ends - int(self._place.early))


@final
@attrs.frozen
class _User:
    client: Any
    policy: Any
    url: str
    sample: Any

    async def token(self) -> str:
        """Let the policy dress a request: it has no other way to hand out its token."""
        await self.policy.on_request(self.sample)
        return str(self.sample.http_request.headers["Authorization"]).removeprefix("Bearer ")

    async def send(self) -> int:
        response = await self.client.send_request(HttpRequest("GET", self.url), enforce_https=False)
        return int(response.status_code)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[_User]:
    """Open it."""
    async with aiohttp.ClientSession() as asking:
        credential: Any = _Credential(asking, place)
        policy: Any = AsyncBearerTokenCredentialPolicy(credential, "things")
        client: Any = AsyncPipelineClient(place.api_url, per_retry_policies=[policy])
        sample = PipelineRequest(
            HttpRequest("GET", place.api_url), PipelineContext(None, enforce_https=False)
        )
        async with client:
            yield _User(client, policy, place.api_url, sample)
