"""What the checks of the store conformance suite are written with."""

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from asyncauth._errors import WriteConflictError
from asyncauth.abc import Snapshot, TokenStore

PATIENCE = 10.0
"""Seconds after which a check that has not ended is taken for one that hangs."""


class StoreFactory(Protocol):
    """Opens handles on one and the same place; two handles are two workers.

    Each call returns a context manager that gives a handle and closes it. A store that is shared as
    an object, such as one in memory, may give the same object each time. The place may hold other
    records: every check uses names of its own.
    """

    def __call__(self, namespace: str = "asyncauth") -> AbstractAsyncContextManager[TokenStore]:
        """Return the context of a handle on the place, for one namespace of it."""
        ...


class StoreCheck(Protocol):
    """One promise of `TokenStore`, checked on handles of one place. Its name and docstring state it."""

    __name__: str
    __doc__: str | None

    async def __call__(self, factory: StoreFactory) -> None:
        """Check the promise.

        Raises:
            AssertionError: It is broken; the message names it and says how.
        """


def promise(check: StoreCheck) -> StoreCheck:
    """Bound a check in time, and have whatever goes wrong name the promise that it breaks."""
    text = (check.__doc__ or "").partition("\n")[0]

    async def bounded(factory: StoreFactory) -> None:
        limit = asyncio.timeout(PATIENCE)
        try:
            async with limit:
                await check(factory)
        except Exception as error:
            reason = f"it hangs for {PATIENCE:g} s" if limit.expired() else _reason(error)
            raise AssertionError(f"{check.__name__}: {reason}. The promise: {text}") from error

    bounded.__name__ = bounded.__qualname__ = check.__name__
    bounded.__doc__ = check.__doc__
    return bounded


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


def require(kept: bool, broken: str) -> None:  # noqa: FBT001 - reads as the sentence it is
    """Fail with a sentence unless the promise was kept."""
    if not kept:
        raise AssertionError(broken)


def draw_name() -> str:
    """Return a name that nobody used before, as `TokenStore.name` makes them."""
    return secrets.token_hex(32)


async def create(store: TokenStore, name: str, value: bytes = b"first") -> Snapshot:
    """Write the first value under a name."""
    return await store.write(name, value, await store.read(name))


async def conflict(
    store: TokenStore,
    name: str,
    value: bytes | None,
    expected: Snapshot,
    broken: str = "a write took effect although another value was stored than it expected",
) -> Snapshot:
    """Require that a write conflicts, and return the snapshot that the conflict carries."""
    try:
        await store.write(name, value, expected)
    except WriteConflictError as error:
        return error.snapshot
    raise AssertionError(broken)


async def require_stored(store: TokenStore, name: str, expected: Snapshot, broken: str) -> None:
    """Require that a value and its version are what is stored."""
    found = await store.read(name)
    require((found.value, found.version) == (expected.value, expected.version), broken)


async def listed(store: TokenStore) -> list[str]:
    """Return all names that a store lists."""
    return [name async for name in store.keys()]  # noqa: SIM118 - a store is no mapping
