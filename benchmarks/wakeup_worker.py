"""One process of `benchmarks.wakeup`: waits for a token, or bare word of one, and tells when it came.

`python -m benchmarks.wakeup_worker` is told what to do by `benchmarks.processes`.
"""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, final

import aiohttp
import attrs
import redis.asyncio

from asyncauth import AuthScheme, RefreshPolicy, TokenEvent, TokenManager, open_store
from asyncauth.schemes import ClientCredentials
from asyncauth_stores._file_inotify import KernelNotes
from benchmarks.processes import obey

# Renewed at its end only, so that all wait; the store's time-out is for busy machines.
_POLICY: Final = RefreshPolicy(store_timeout=2, early_share=1e-9, early_min=1e-9)
_VALUE: Final = os.urandom(1024)
_PATIENCE: Final = 10.0


class Floor(ABC):
    """How a place tells of a change, by hand."""

    @abstractmethod
    async def listen(self) -> None:
        """Be ready to hear of the next change."""

    @abstractmethod
    async def heard(self) -> float:
        """Wait for the next change, and return when it was heard of."""

    @abstractmethod
    async def tell(self) -> tuple[float, float]:
        """Store something and tell of it; return when storing began, and when telling did."""


@final
@attrs.define(eq=False)
class RedisFloor(Floor):
    """SET and PUBLISH by redis-py; listens on a connection of its own."""

    client: redis.asyncio.Redis
    _subscriber: Any = None

    async def listen(self) -> None:
        """Subscribe, if it is not done yet."""
        if self._subscriber is None:
            self._subscriber = self.client.pubsub(ignore_subscribe_messages=True)
            await self._subscriber.subscribe("floor")
            await self._subscriber.get_message(timeout=_PATIENCE)

    async def heard(self) -> float:
        """Wait for a message."""
        while await self._subscriber.get_message(timeout=_PATIENCE) is None:
            pass
        return time.time()

    async def tell(self) -> tuple[float, float]:
        """SET, then PUBLISH."""
        began_at = time.time()
        await self.client.set("floor", _VALUE)
        told_at = time.time()
        await self.client.publish("floor", b"")
        return began_at, told_at


@final
@attrs.define(eq=False)
class FileFloor(Floor):
    """Another file, fsync and rename; listens by inotify, in a thread."""

    folder: Path
    _notes: KernelNotes | None = None

    async def listen(self) -> None:
        """Watch the folder, if it is not done yet."""
        if self._notes is None:
            self._notes = KernelNotes(str(self.folder))

    async def heard(self) -> float:
        """Wait in a thread, and tell when the thread heard of it."""
        return await asyncio.to_thread(self._heard)

    def _heard(self) -> float:
        assert self._notes is not None
        while "record" not in (self._notes.wait() or ()):
            pass
        return time.time()

    async def tell(self) -> tuple[float, float]:
        """Replace the file so that it survives a loss of power."""
        return await asyncio.to_thread(self._tell)

    def _tell(self) -> tuple[float, float]:
        began_at, place = time.time(), self.folder / "record"
        # Beside the folder that is watched, as a store has it.
        draft = self.folder.with_name("draft")
        with draft.open("wb", buffering=0) as file:
            file.write(_VALUE)
            os.fsync(file.fileno())
        told_at = time.time()
        draft.replace(place)
        names = os.open(self.folder, os.O_RDONLY)
        os.fsync(names)
        os.close(names)
        return began_at, told_at


@final
@attrs.frozen
class Worker:
    """A service that needs a token, and a bare listener."""

    manager: TokenManager
    scheme: AuthScheme
    floor: Floor
    happened: dict[str, float]

    async def token(self, at: float) -> dict[str, Any]:
        """Want a token from a moment on: when it was there, and what happened to it here."""
        self.happened.clear()
        await asyncio.sleep(at - time.time())
        await self.manager.token(self.scheme)
        return {"had_at": time.time(), **self.happened}

    async def listen(self) -> dict[str, Any]:
        """Be ready for `heard`."""
        await self.floor.listen()
        return {}

    async def heard(self) -> dict[str, Any]:
        """Wait for bare word."""
        return {"heard_at": await self.floor.heard()}

    async def tell(self, at: float) -> dict[str, Any]:
        """Give bare word at a moment."""
        await asyncio.sleep(at - time.time())
        began_at, told_at = await self.floor.tell()
        return {"began_at": began_at, "told_at": told_at, "done_at": time.time()}


def _floor(store: str) -> Floor:
    if store.startswith("file://"):
        folder = Path(store.removeprefix("file://")).with_name("floor") / "records"
        folder.mkdir(parents=True, exist_ok=True)
        return FileFloor(folder)
    return RedisFloor(redis.asyncio.Redis.from_url(store))


@asynccontextmanager
async def _working(store: str, key: str, token_url: str) -> AsyncIterator[Worker]:
    happened, trace = dict[str, float](), aiohttp.TraceConfig()

    async def answered(*_: object) -> None:
        happened["answered_at"] = time.time()

    def hear(event: TokenEvent) -> None:
        happened[type(event).__name__] = time.time()

    trace.on_request_end.append(answered)
    async with (
        aiohttp.ClientSession(trace_configs=[trace], cookie_jar=aiohttp.DummyCookieJar()) as client,
        open_store(store, key=key) as opened,
        TokenManager(opened, policy=_POLICY, client=client, listener=hear) as manager,
    ):
        scheme = ClientCredentials(token_url, client_id="app", client_secret="app-secret")
        yield Worker(manager, scheme, _floor(store), happened)


if __name__ == "__main__":
    asyncio.run(obey(_working))
