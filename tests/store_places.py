"""Places for the conformance suite and the tests of the stores: where two handles meet."""

import gc
from collections.abc import AsyncIterator, MutableSequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from asyncauth.abc import TokenStore
from asyncauth_stores._files import PlainFileStore
from asyncauth_stores.memory import MemoryTokenStore
from sqlite_store import SQLiteStore


class MemoryPlace:
    """Hands out one store in memory per namespace: its handles are the object itself."""

    def __init__(self) -> None:
        self._stores: dict[str, MemoryTokenStore] = {}

    @asynccontextmanager
    async def __call__(self, namespace: str = "asyncauth") -> AsyncIterator[TokenStore]:
        yield self._stores.setdefault(namespace, MemoryTokenStore(namespace))


class FilePlace:
    """Hands out stores on one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, namespace: str = "asyncauth") -> AbstractAsyncContextManager[TokenStore]:
        return PlainFileStore(self._folder, namespace=namespace)


class SQLitePlace:
    """Hands out stores on one database."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, namespace: str = "asyncauth") -> AbstractAsyncContextManager[TokenStore]:
        return SQLiteStore(self._path, namespace=namespace)


def forget(stores: MutableSequence[Any]) -> None:
    """Let go of stores, also of those that are part of a circle."""
    stores.clear()
    gc.collect()
