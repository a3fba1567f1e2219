"""What both ways of asyncauth share: the store, the scheme, the policy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from yarl import URL

from asyncauth import AuthScheme, RefreshPolicy, TokenManager, open_store
from asyncauth.schemes import ClientCredentials, RefreshToken
from benchmarks.contestants import Place

SHARED: Final = ("file", "redis")
_NOT_EARLY: Final = 1e-9


@asynccontextmanager
async def opened_manager(
    place: Place,
) -> AsyncIterator[tuple[TokenManager, ClientCredentials | RefreshToken]]:
    """Open the store, and store the user's first refresh token if there is one."""
    early = place.early or _NOT_EARLY
    policy = RefreshPolicy(early_share=min(early, 0.5), early_min=early, early_max=early)
    async with open_store(place.store_url) as store, TokenManager(store, policy=policy) as manager:
        scheme = scheme_of(place)
        if isinstance(scheme, RefreshToken) and place.refresh_token and not place.begun:
            await manager.put(scheme, scheme.token(refresh_token=place.refresh_token))
        yield manager, scheme


def scheme_of(place: Place) -> ClientCredentials | RefreshToken:
    """Return the scheme: client credentials, or a user's authorization."""
    base_url = str(URL(place.api_url).origin())
    client: dict[str, Any] = {
        "client_id": place.client_id,
        "client_secret": place.client_secret,
        "base_url": base_url,
    }
    if place.refresh_token is None:
        return ClientCredentials(place.token_url, **client)
    return RefreshToken(place.token_url, subject="ada", **client)


async def text_of(manager: TokenManager, scheme: AuthScheme) -> str:
    """Return a valid token's text."""
    token = (await manager.token(scheme)).access_token
    assert token is not None
    return token.reveal()
