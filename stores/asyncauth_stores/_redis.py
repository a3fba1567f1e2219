"""`PlainRedisStore`: records in one Redis or Valkey server, as they are given."""

import asyncio
import logging
import math
import re
import secrets
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, final

from redis.asyncio import Redis, RedisCluster

from asyncauth._errors import (
    ClosedError,
    ConfigurationError,
    NotReplicatedError,
    StoreUnavailableError,
    WriteConflictError,
)
from asyncauth._loop_end import LoopEnd
from asyncauth.abc import Snapshot, TokenStore
from asyncauth_stores._forks import renew_in_children
from asyncauth_stores._redis_link import Link, checked_client, link_over, link_to, place_of
from asyncauth_stores._redis_script import READ, WRITE
from asyncauth_stores._redis_server import FirstLook
from asyncauth_stores._redis_url import Target, target_of
from asyncauth_stores._waiters import wait

_VERSION_SIZE = 32
_CLOSE = 2.0
"""Seconds for another event loop to close its connections."""
_NAMESPACE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_RECORD = re.compile(rb"[0-9a-f]{1,128}")
"""A record's name. Other keys of the namespace are somebody else's."""

# What a child got from its parent: a connection that is collected closes itself.
_inherited: list[object] = []

_log = logging.getLogger("asyncauth.stores.redis")


@final
class PlainRedisStore(TokenStore):
    """Keeps each record under one Redis key, as it is given: seal what must not be read.

    The key is `<namespace>:{<name>}`, and its channel `<namespace>:{<name>}:changed`. Waiting tasks are woken
    by the server, through one connection for all of them (of a Cluster, to each server that has such a key).

    Made from a URL, one object may be used from several event loops and threads at once, and on both
    sides of a fork, and needs no loop to be made. So may one made from a `RedisCluster`, whose settings are
    taken over. Any other ready-made client belongs to the loop that first uses it, stays the caller's to
    close, and should have `socket_timeout=None`: with a time-out, redis-py may swallow cancellations.

    Without permission for `INFO` it is not noticed when a fail-over lost writes; a warning says so.

    Args:
        server: A URL (see `asyncauth_stores.redis`), or a client that does not decode responses.
        namespace: One application's part of the server: letters, digits and `_.:/-`.
        replicas: How many replicas a write that asks for it must have reached.
        replica_timeout: Seconds to wait for them; less than the policy's `store_timeout`.

    Raises:
        ConfigurationError: The URL is none, or an argument is out of range.
    """

    def __init__(
        self,
        server: str | Redis | RedisCluster,
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
        self._server: Target | Redis | RedisCluster = (
            target_of(server) if isinstance(server, str) else checked_client(server)
        )
        self._replicas = replicas
        self._replica_timeout = math.ceil(replica_timeout * 1000)
        self._links: dict[asyncio.AbstractEventLoop, Link] = {}
        self._ends: dict[asyncio.AbstractEventLoop, LoopEnd] = {}
        self._home: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._look = FirstLook()
        self._warned = False
        self._orphaned = False
        renew_in_children(self)

    def forget_parent(self) -> None:
        """Have connections of the child's own, after a fork; the parent's are left alone.

        Not even closed: that would take them off the event loop's selector, which both processes share.
        """
        _inherited.extend((self._links, self._ends))
        self._orphaned = self._home is not None
        self._links, self._ends = {}, {}

    def __del__(self) -> None:
        # Without an attribute, the arguments were refused.
        if getattr(self, "_links", None):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=1, source=self)

    def __reduce__(self) -> "str | tuple[Any, ...]":
        if not isinstance(self._server, Target):
            raise TypeError("a ready-made Redis client stays in its process: make the store from a URL")
        return super().__reduce__()

    def __repr__(self) -> str:
        place = self._server.shown if isinstance(self._server, Target) else place_of(self._server)
        return f"PlainRedisStore({place!r}, namespace={self.namespace!r})"

    async def read(self, name: str) -> Snapshot:
        """Read a record, in one round trip. Idempotent; cancellation leaves nothing behind.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
        """
        note = self._link().noting(self._channel(name))
        stored, now, history = await self._link().call(READ, self._key(name))
        found = self._snapshot(stored, now, history)
        note(found.version)
        return found

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
            "1" if self._link().sharded else "",
        )
        wanted = self._replicas if replicated else 0
        note = self._link().noting(self._channel(name))
        answer, reached = await self._link().call_replicated(
            wanted, self._replica_timeout, self._channel(name), WRITE, self._key(name), *arguments
        )
        done, stored, now, history = answer
        if not done:
            self._believe(reached, wanted)
            found = self._snapshot(stored, now, history)
            note(found.version)
            raise WriteConflictError(found)
        written = Snapshot(value=value, version=version, now=now, incarnation=self._incarnation(history))
        note(version)
        if reached < wanted:
            raise NotReplicatedError(f"{reached} of {wanted} replicas have the write", written)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait until the version may differ, at most `timeout` seconds. Cancellation leaves nothing behind.

        It also returns when the server's connection breaks.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
        """
        await wait(partial(self.follow, name, since), asyncio.timeout(timeout))

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        """Have `ring` called once the version may differ. Cancellation leaves nothing behind.

        Also when the server's connection breaks or comes back, and a second later while there is none.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
        """
        key, channel = self._key(name), self._channel(name)
        return await self._link().follow(key, channel, since, ring, partial(self.read, name))

    async def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of all records of the namespace.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
        """
        prefix = f"{self.namespace}:{{".encode()
        seen: set[bytes] = set()
        async for key in self._link().scan(prefix + b"*}"):
            name = key[len(prefix) : -1]
            # SCAN may name a key twice, and so may two servers while its slot moves.
            if name not in seen and _RECORD.fullmatch(name):
                seen.add(name)
                yield name.decode()

    async def aclose(self) -> None:
        """Close the connections of all event loops. A ready-made client stays open."""
        await super().aclose()
        self._closed = True
        here = asyncio.get_running_loop()
        while self._links:
            loop = next(iter(self._links))
            if loop is here:
                await self._end(loop)
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(self._end(loop), loop)
                # A loop that is about to end may never run it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE):
                        await asyncio.wrap_future(closing)
            self._links.pop(loop, None)

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        link, end = self._links.get(loop), self._ends.get(loop)
        if link is not None and end is not None:
            await link.aclose()
            # Only now: a closing that is cancelled can be repeated.
            self._links.pop(loop, None)
            self._ends.pop(loop, None)
            end.over()

    def _link(self) -> Link:
        if self._closed:
            raise ClosedError("the Redis store was closed")
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        return self._new_link(loop) if link is None else link

    def _new_link(self, loop: asyncio.AbstractEventLoop) -> Link:
        for other in list(self._links):
            if other.is_closed():
                # Another thread's loop may do the same.
                self._links.pop(other, None)
                self._ends.pop(other, None)
        self._links[loop] = self._linked(loop)
        self._ends[loop] = LoopEnd(partial(self._end, loop))
        return self._links[loop]

    def _linked(self, loop: asyncio.AbstractEventLoop) -> Link:
        if isinstance(self._server, Target):
            return link_to(self._server, self.namespace, self._look)
        if self._orphaned:
            raise ConfigurationError(
                "this Redis client was used before a fork: make the client and the store in the child, or the"
                " store from a URL"
            )
        if self._home not in {None, loop}:
            raise ConfigurationError(
                "a ready-made Redis client works in one event loop only: make the store from a URL"
            )
        self._home = loop
        return link_over(self._server, self.namespace, self._look)

    def _believe(self, reached: int, wanted: int) -> None:
        # PROTOCOL.md, 7: one that was cut off from its replicas may have been replaced, what it holds undone.
        if reached < wanted:
            raise StoreUnavailableError(
                f"Redis has another record, but reaches {reached} of its {wanted} replicas: it may not be the"
                " primary any more"
            )

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
