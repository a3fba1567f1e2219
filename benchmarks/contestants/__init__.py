"""Who is compared: one small module for each, written as its own documentation would have it.

A contestant is a module with the names of `Contestant`; `opened(place)` is an asynchronous context manager
that yields a `User`. `of(name)` imports one, `found(names)` those that can be imported: rivals come with the
extra `bench`.
"""

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        api_url: What requests go to, with its path; answers 401 to a token that is not valid.
        store_url: Where processes may share a token, as `asyncauth.open_store` takes it. One that seals
            names a key that all processes have (`key_file`, `create_key`), or says `sealed=0`.
        refresh_token: The user's first refresh token; without one, client credentials are used.
        begun: Whether another process has put the first refresh token into what they share already.
        early: Seconds before its expiry from which a token is renewed, as far as a contestant can be told.
    """

    token_url: str
    api_url: str
    store_url: str = "memory://"
    refresh_token: str | None = None
    begun: bool = False
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
    """A contestant's module.

    Attributes:
        NAME: As tables have it.
        BASE: The contestant that is its own client's bare request.
        SHARED: Through which kinds of store processes share its token, by their URLs' schemes.
        REFRESHES: Whether it can keep a user's authorization alive that begins with a refresh token.
        EARLY: Seconds before its expiry at which it takes a token for expired, whatever it is told: a
            token that lives less is renewed at each use. None: as it is told.
        LACKS: What it cannot do, in words.
        opened: Opens one.
    """

    NAME: str
    BASE: str
    SHARED: Sequence[str]
    REFRESHES: bool
    EARLY: float | None
    LACKS: str
    opened: Callable[[Place], AbstractAsyncContextManager[User]]


ALL = (
    "asyncauth_session",
    "asyncauth_middleware",
    "by_hand",
    "redis_recipe",
    "oauth2_middleware",
    "azure_core",
    "msal_app",
    "authlib_httpx",
    "httpx_auth_flow",
)
"""Who takes part, and in which order tables have them."""


def of(name: str) -> Contestant:
    """Import a contestant.

    Raises:
        ImportError: It is a rival that is not installed.
    """
    return cast("Contestant", import_module(f"benchmarks.contestants.{name}"))


def found(names: Sequence[str]) -> Iterator[tuple[str, Contestant]]:
    """Import contestants; those that are not installed are left out, with a note on stderr."""
    for name in names:
        try:
            yield name, of(name)
        except ImportError as error:
            print(f"without {name}: no module {error.name}; pip install 'asyncauth[bench]'", file=sys.stderr)


def in_turn(names: Iterable[str], number: int) -> list[str]:
    """Return names in the order of one round, which is drawn, and the same in each run.

    Not in rotation: who always comes after one that does nearly the same finds the processor's caches warm.
    """
    ordered = list(names)
    random.Random(number).shuffle(ordered)  # noqa: S311 - nothing secret
    return ordered
