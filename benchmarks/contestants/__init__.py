"""Who is compared: one small module for each, written as its own documentation would have it.

A contestant is a module with

- `NAME`: as tables have it; `SHARED`: whether processes share its token;
- `opened(place)`: an asynchronous context manager that yields a `User`.

`of(name)` imports one. A module is imported only when it is wanted: rivals come with the extra `bench`.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Protocol, cast, final

import attrs


@final
@attrs.frozen
class Place:
    """Where a contestant works.

    Attributes:
        token_url: The vendor's token endpoint: client credentials with Basic, and the refresh grant.
        api_url: What requests go to; answers 401 to a token that is not valid.
        store_url: Where processes may share a token, as `asyncauth.open_store` takes it.
        refresh_token: The user's first refresh token; without one, client credentials are used.
        early: Seconds before its expiry from which a token is renewed, as far as a contestant can be told.
    """

    token_url: str
    api_url: str
    store_url: str = "memory://"
    refresh_token: str | None = None
    early: float = 0
    client_id: str = "app"
    client_secret: str = "app-secret"


class User(Protocol):
    """What a contestant can do, once it is opened."""

    async def token(self) -> str:
        """Return a valid token."""
        ...

    async def send(self) -> int:
        """Send one authenticated request, read the answer, and return its status."""
        ...


class Contestant(Protocol):
    """A contestant's module."""

    NAME: str
    SHARED: bool
    opened: Callable[[Place], AbstractAsyncContextManager[User]]


def of(name: str) -> Contestant:
    """Import a contestant.

    Raises:
        ImportError: It is a rival that is not installed.
    """
    return cast("Contestant", import_module(f"benchmarks.contestants.{name}"))
