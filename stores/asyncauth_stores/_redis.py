"""`PlainRedisStore`: records in one Redis or Valkey server, as they are given."""

import asyncio
import logging
import math
import re
import secrets
import warnings
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, final

from redis.asyncio import Redis

from asyncauth._errors import (
    ClosedError,
    ConfigurationError,
    NotReplicatedError,
    WriteConflictError,
)
from asyncauth.abc import Snapshot, TokenStore
from asyncauth_stores._forks import renew_in_children
from asyncauth_stores._redis_link import Link, Script, checked_url, client_for, place_of, shown, translated

_READ = Script.load("read.lua")
_WRITE = Script.load("write.lua")
_VERSION_SIZE = 32
_CLOSE = 2.0
"""Seconds for another event loop to close its connections."""
_NAMESPACE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")

# What a child got from its parent: a connection that is collected closes itself.
_inherited: list[object] = []

_log = logging.getLogger("asyncauth.stores.redis")


@final
class PlainRedisStore(TokenStore):
    """Keeps each record under one Redis key, as it is given: seal what must not be read.

    For one server, Redis 6.2 or Valkey 7.2 and later. The key is `<namespace>:{<name>}`, and its channel
    `<namespace>:{<name>}:changed`. Waiting tasks are woken by the server, through one connection for
    all of them.

    Made from a URL, one object may be used from several event loops and threads at once, and on both
    sides of a fork, and needs no loop to be made. A ready-made client belongs to the loop that first uses
    it, stays the caller's to close, and should have `socket_timeout=None`: with a time-out, redis-py may
    swallow cancellations.

    Without permission for `INFO` it is not noticed when a fail-over lost writes; a warning says so.

    Args:
        server: A URL (`redis://`, `rediss://`, `unix://`), or a client that does not decode responses.
        namespace: One application's part of the server: letters, digits and `_.:/-`.
        replicas: How many replicas a write that asks for it must have reached.
        replica_timeout: Seconds to wait for them; less than the policy's `store_timeout`.

    Raises:
        ConfigurationError: The URL is none, or an argument is out of range.
    """

    def __init__(
        self,
        server: str | Redis,
        *,
        namespace: str = "asyncauth",
        replicas: int = 0,
        replica_timeout: float = 0.25,
    ) -> None:
        super().__init__()
        if not _NAMESPACE.fullmatch(namespace):
            raise ConfigurationError("a Redis namespace is 1 to 64 of A-Z a-z 0-9 _ . : / -")
        if replicas < 0 or not replica_timeout > 0:
            raise ConfigurationError(
                f"replicas={replicas} must be >= 0 and replica_timeout={replica_timeout:g} s more than 0 s"
            )
        self.namespace = namespace
        self._server = checked_url(server) if isinstance(server, str) else _checked_client(server)
        self._replicas = replicas
        self._replica_timeout = math.ceil(replica_timeout * 1000)
        self._links: dict[asyncio.AbstractEventLoop, Link] = {}
        self._closed = False
        self._warned = False
        self._orphaned = False
        renew_in_children(self)

    def forget_parent(self) -> None:
        """Have connections of the child's own, after a fork; the parent's are left alone.

        Not even closed: that would take them off the event loop's selector, which both processes share.
        """
        _inherited.append(self._links)
        self._orphaned = self._orphaned or (bool(self._links) and not isinstance(self._server, str))
        self._links = {}

    def __del__(self) -> None:
        # Without an attribute, the arguments were refused.
        if getattr(self, "_links", None):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=1, source=self)

    def __repr__(self) -> str:
        place = shown(self._server) if isinstance(self._server, str) else place_of(self._server)
        return f"PlainRedisStore({place!r}, namespace={self.namespace!r})"

    async def read(self, name: str) -> Snapshot:
        """Read a record, in one round trip. Idempotent; cancellation leaves nothing behind.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
        """
        stored, now, history = await self._link().call(_READ, self._key(name))
        return self._snapshot(stored, now, history)

    async def write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None = None,
        wake: bool = True,
        replicated: bool = False,
    ) -> Snapshot:
        """Compare and set in one script, in one round trip. Cancellation leaves the old or the new value.

        Raises:
            WriteConflictError: Nothing was written; it carries the snapshot found instead.
            NotReplicatedError: Written, but fewer replicas than asked for have it.
            StoreUnavailableError: Nobody knows whether it was written.
        """
        version = "" if value is None else secrets.token_hex(_VERSION_SIZE // 2)
        arguments = (
            expected.version.encode("latin-1"),
            expected.incarnation,
            b"" if value is None else version.encode("ascii") + value,
            "" if keep is None else str(max(math.ceil(keep * 1000), 1)),
            self._channel(name) if wake else "",
        )
        wanted = self._replicas if replicated else 0
        answer, reached = await self._write(self._key(name), arguments, wanted)
        done, stored, now, history = answer
        if not done:
            raise WriteConflictError(self._snapshot(stored, now, history))
        written = Snapshot(value=value, version=version, now=now, incarnation=self._incarnation(history))
        if reached < wanted:
            raise NotReplicatedError(f"{reached} of {wanted} replicas have the write", written)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait until the version may differ, at most `timeout` seconds. Cancellation leaves nothing behind.

        It also returns when the server's connection breaks.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
        """
        link = self._link()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout), link.subscriber.listen(self._channel(name)) as listener:
                # Subscribe, then read, then wait: what is written before the read is seen by it, and
                # what is written after it rings.
                await listener.ready()
                while (await self.read(name)).version == since:
                    if await listener.rung():
                        return

    async def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of all records of the namespace.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
        """
        link = self._link()
        prefix = f"{self.namespace}:{{".encode()
        seen: set[bytes] = set()
        found = link.client.scan_iter(match=prefix + b"*}", count=1000)
        with translated(link.place):
            async for key in found:
                # SCAN may name a key twice.
                if key not in seen:
                    seen.add(key)
                    yield key[len(prefix) : -1].decode()

    async def aclose(self) -> None:
        """Close the connections of all event loops. A ready-made client stays open."""
        await super().aclose()
        self._closed = True
        here = asyncio.get_running_loop()
        while self._links:
            loop, link = self._links.popitem()
            if loop is here:
                await link.aclose()
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(link.aclose(), loop)
                # A loop that is about to end may never run it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE):
                        await asyncio.wrap_future(closing)

    async def _write(self, key: str, arguments: tuple[str | bytes, ...], wanted: int) -> tuple[Any, int]:
        if not wanted:
            return await self._link().call(_WRITE, key, *arguments), 0
        return await self._link().call_replicated(wanted, self._replica_timeout, _WRITE, key, *arguments)

    def _link(self) -> Link:
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        return self._new_link(loop) if link is None else link

    def _new_link(self, loop: asyncio.AbstractEventLoop) -> Link:
        if self._closed:
            raise ClosedError("the Redis store was closed")
        for other in list(self._links):
            if other.is_closed():
                del self._links[other]
        link = self._links[loop] = self._linked()
        return link

    def _linked(self) -> Link:
        if isinstance(self._server, str):
            client = client_for(self._server)
            return Link(client, owned=True, place=place_of(client))
        if self._orphaned:
            raise ConfigurationError(
                "this Redis client was used before a fork: make the client and the store in the child, or the"
                " store from a URL"
            )
        if self._links:
            raise ConfigurationError(
                "a ready-made Redis client works in one event loop only: make the store from a URL"
            )
        return Link(self._server, owned=False, place=place_of(self._server))

    def _key(self, name: str) -> str:
        # The braces make a record and whatever else bears its name share a slot.
        return f"{self.namespace}:{{{name}}}"

    def _channel(self, name: str) -> str:
        return f"{self._key(name)}:changed"

    def _snapshot(self, stored: bytes | None, now: int, history: bytes | None) -> Snapshot:
        incarnation = self._incarnation(history)
        if stored is None:
            return Snapshot(value=None, version="", now=now, incarnation=incarnation)
        # Latin-1 takes any byte: what somebody else wrote has a version too, and can be replaced.
        version = stored[:_VERSION_SIZE].decode("latin-1")
        return Snapshot(value=stored[_VERSION_SIZE:], version=version, now=now, incarnation=incarnation)

    def _incarnation(self, history: bytes | None) -> str:
        if history is None and not self._warned:
            self._warned = True
            _log.warning(
                "the Redis user may not call INFO (+info): a fail-over that loses writes is not noticed"
            )
        return "" if history is None else history.decode("ascii")


def _checked_client(client: Redis) -> Redis:
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        raise ConfigurationError("a Redis client with decode_responses=False is needed")
    return client
