"""One Redis server, as one event loop uses it: its connections, and what a first look at it tells."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar, final

import attrs
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import AskError, NoPermissionError
from redis.exceptions import ConnectionError as RedisConnectionError

from asyncauth._errors import ConfigurationError, StoreUnavailableError
from asyncauth_stores._redis_channel import Subscriber
from asyncauth_stores._redis_connection import taken_from
from asyncauth_stores._redis_errors import Place, UndoneError
from asyncauth_stores._redis_url import Address, named

_T = TypeVar("_T")
_ANSWER: Final = 5.0
"""Seconds after which a server that does not answer is taken for dead; callers have bounds of their own."""
_CLOSE: Final = 2.0
"""Seconds for a server's connections to be closed."""
_OLDEST: Final = (6, 2)

_log = logging.getLogger("asyncauth.stores.redis")


@final
@attrs.frozen
class Talk:
    """One connection, for as long as one job takes.

    Attributes:
        place: How messages name the server.
        asking: Whether the key is only on its way to this server: each command has to say so.
    """

    connection: AbstractConnection
    place: Place
    asking: bool = False

    async def say(self, *command: str | bytes | int, patience: float = 0.0) -> Any:
        """Send a command and return the answer. A command that is cut off ends the connection.

        Args:
            command: Its words.
            patience: Seconds that the server may take beyond an answer's usual time.
        """
        async with asyncio.timeout(_ANSWER + patience):
            if self.asking:
                await self._send("ASKING")
                await self.connection.read_response()
            await self._send(*command)
            return await self.connection.read_response()

    async def _send(self, *command: str | bytes | int) -> None:
        try:
            await self.connection.send_command(*command)
        except TypeError as error:
            # One that is being closed: CPython 3.12.1's transports do not look before they write.
            raise RedisConnectionError from error


Job = Callable[[Talk], Awaitable[_T]]
"""What is done on one connection, without another command in between."""


class Servers(Protocol):
    """Knows which server has a key."""

    async def run(self, key: str, job: Job[_T]) -> _T:
        """Do a job on the server that has a key.

        Raises:
            StoreUnavailableError: It cannot be found or reached, or refuses.
        """
        ...

    async def server_of(self, key: str) -> "Server":
        """Return the server that has a key, as far as is known."""
        ...

    async def all(self) -> "list[Server]":
        """Return the servers that have all keys between them."""
        ...

    async def aclose(self) -> None:
        """Close the connections that are not somebody else's."""
        ...


@final
class FirstLook:
    """Looks at each server once, before its first command: is it one to keep tokens in? One for a store."""

    def __init__(self) -> None:
        self._warned = False

    async def __call__(self, talk: Talk) -> None:
        """Ask a server what it is.

        Raises:
            ConfigurationError: It is too old, or a Sentinel.
        """
        try:
            facts = _facts(await talk.say("INFO"))
        # Nothing depends on it, and that the permission is missing is warned of elsewhere.
        except NoPermissionError:
            return
        place = talk.place
        if facts.get("redis_mode", facts.get("server_mode")) == "sentinel":
            raise ConfigurationError(
                f"{place.name} is a Sentinel: redis+sentinel://{place.name}/<the primary's name>"
            )
        _check_version(facts.get("redis_version", ""), place)
        self._heed_eviction(facts.get("maxmemory_policy", ""), place)

    def _heed_eviction(self, policy: str, place: Place) -> None:
        if policy.startswith(("allkeys-", "volatile-")) and not self._warned:
            self._warned = True
            _log.warning(
                "Redis at %s may drop tokens when its memory is full (maxmemory-policy %s): set it to"
                " noeviction, or give tokens a server of their own",
                place.name,
                policy,
            )


def _facts(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, _, value in lines}


def _check_version(text: str, place: Place) -> None:
    parts = text.split(".")[:2]
    if all(part.isdecimal() for part in parts) and tuple(map(int, parts)) < _OLDEST:
        raise ConfigurationError(f"Redis at {place.name} is version {text}; 6.2 or later is needed")


@final
class Server:
    """One server, for one event loop.

    Args:
        pool: Its connections.
        place: How messages name it.
        look: Taken before its first command.
        lost: Called when something shows that it may not be the primary any more.
        sharded: Whether it is one of a Cluster.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        place: Place,
        look: FirstLook,
        lost: Callable[[], None] = lambda: None,
        *,
        sharded: bool = False,
    ) -> None:
        self.place = place
        self.subscriber = Subscriber(pool, place, lost, sharded=sharded)
        self._lost = lost
        self._pool = pool
        self._look = look
        self._looked = False
        self._closed = False
        self._through = (AskError,) if sharded else ()

    async def run(self, job: Job[_T], *, asking: bool = False) -> _T:
        """Do a job on a connection of its own; one in which it failed is not used again.

        Raises:
            UndoneError: The server cannot be reached, or refuses, or was closed.
            StoreUnavailableError: Nobody knows whether it did the job.
            ConfigurationError: It is no server to keep tokens in.
            AskError: The key is another server's of the Cluster.
        """
        if self._closed:
            raise UndoneError(f"Redis at {self.place.name} is not the one to ask any more")
        try:
            with self.place.translated(*self._through, sent=False):
                async with taken_from(self._pool, _ANSWER) as connection:
                    with self.place.translated(*self._through):
                        return await self._talked(Talk(connection, self.place, asking), job)
        except AskError:
            raise
        except BaseException:
            self._lost()
            raise

    async def _talked(self, talk: Talk, job: Job[_T]) -> _T:
        try:
            if not self._looked:
                await self._look(talk)
                self._looked = True
            return await job(talk)
        except AskError:
            raise
        except BaseException:
            # Whatever it was: the next one asks anew where the primary is.
            await talk.connection.disconnect(nowait=True)
            raise
        finally:
            # One that came about while the server was being closed is not among those that were.
            if self._closed:
                await talk.connection.disconnect(nowait=True)

    async def aclose(self, *, owned: bool = True) -> None:
        """End the subscriber, and the connections if they are nobody else's."""
        self._closed = True
        await self.subscriber.aclose()
        if owned:
            # A frozen peer of a TLS connection does not say goodbye.
            with suppress(StoreUnavailableError), self.place.translated():
                async with asyncio.timeout(_CLOSE):
                    await self._pool.aclose()


@final
@attrs.frozen
class OneServer:
    """A single server, or whatever a ready-made client connects to."""

    server: Server
    owned: bool

    async def run(self, key: str, job: Job[_T]) -> _T:
        """Do a job; see `Servers`."""
        del key
        return await self.server.run(job)

    async def server_of(self, key: str) -> Server:
        """Return the one."""
        del key
        return self.server

    async def all(self) -> list[Server]:
        """Return the one."""
        return [self.server]

    async def aclose(self) -> None:
        """Close it."""
        await self.server.aclose(owned=self.owned)


@final
@attrs.frozen
class Maker:
    """Makes the connections of one store in one event loop.

    Attributes:
        settings: What redis-py's connections are made with.
        namespace: The store's, for messages.
        look: The store's.
        sharded: Whether the servers are a Cluster.
    """

    settings: Mapping[str, Any] = attrs.field(repr=False)
    namespace: str
    look: FirstLook
    sharded: bool = False

    def server(self, address: Address | None, lost: Callable[[], None] = lambda: None) -> Server:
        """Return a server; nothing is connected yet."""
        pool = ConnectionPool(**self.settings, **_where(address))
        return Server(pool, self.place(address), self.look, lost, sharded=self.sharded)

    async def ask(self, address: Address, *command: str) -> Any:
        """Ask one server one thing, over a connection of its own.

        Raises:
            StoreUnavailableError: It cannot be reached, or refuses.
        """
        settings = dict(self.settings)
        kind = settings.pop("connection_class", Connection)
        connection = kind(**settings, **_where(address))
        place = self.place(address)
        with place.translated():
            try:
                async with asyncio.timeout(_ANSWER):
                    await connection.connect()
                return await Talk(connection, place).say(*command)
            finally:
                await connection.disconnect(nowait=True)

    def place(self, address: Address | None) -> Place:
        """Return how messages name a server."""
        name = str(self.settings.get("path", "")) if address is None else named(address)
        return Place(name, self.namespace)


def _where(address: Address | None) -> dict[str, Any]:
    return {} if address is None else {"host": address[0], "port": address[1]}
