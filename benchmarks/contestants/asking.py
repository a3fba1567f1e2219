"""What those write who ask the vendor by hand."""

from typing import Any

import aiohttp

from benchmarks.contestants import Place


async def ask(client: aiohttp.ClientSession, place: Place, refresh_token: str | None) -> dict[str, Any]:
    """Return the vendor's answer to a refresh, or without a refresh token to client credentials."""
    form = {"grant_type": "client_credentials"}
    if refresh_token is not None:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    headers = {"Authorization": aiohttp.encode_basic_auth(place.client_id, place.client_secret)}
    async with client.post(place.token_url, data=form, headers=headers) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer


async def get(client: aiohttp.ClientSession, place: Place, token: str) -> int:
    """Send one request with a token, read the answer, and return its status."""
    async with client.get(place.api_url, headers={"Authorization": f"Bearer {token}"}) as response:
        await response.read()
        return response.status
