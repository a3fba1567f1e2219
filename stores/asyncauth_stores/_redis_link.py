"""What one store has in one event loop: its servers, and the scripts that it runs on them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, final
from weakref import WeakSet

import attrs
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import AskError, NoScriptError

from asyncauth._errors import AuthError, ClosedError, ConfigurationError
from asyncauth.abc import Snapshot
from asyncauth_stores._redis_channel import Subscriber
from asyncauth_stores._redis_cluster import ClusterServers
from asyncauth_stores._redis_errors import Place
from asyncauth_stores._redis_follower import Follower
from asyncauth_stores._redis_script import Script
from asyncauth_stores._redis_sentinel import SentinelServers
from asyncauth_stores._redis_server import FirstLook, Maker, OneServer, Server, Servers, Talk
from asyncauth_stores._redis_url import Target, connection_settings, named

_CONNECTIONS: Final = 8
"""Commands under way at once. More do not help: a server runs one script after the other."""
_FEWEST: Final = 2
"""Connections of a ready-made client: one listens all the time."""
_PAGE: Final = 1000
_SETTINGS: Final = (
    "credential_provider",
    "username",
    "password",
    "client_name",
    "encoding",
    "encoding_errors",
    "socket_keepalive_options",
    "protocol",
    "connection_class",
)
"""What is taken over from a ready-made client of a Cluster, besides what its TLS needs."""


@final
@attrs.define(eq=False)
class Link:
    """What one store has in one event loop.

    Attributes:
        servers: Connections belong to the event loop that made them.
        sharded: Whether channels belong to the server of their slot.
        width: Commands under way at once.
    """

    servers: Servers
    sharded: bool = False
    width: int = _CONNECTIONS
    _subscribers: WeakSet[Subscriber] = attrs.field(init=False, factory=WeakSet)
    _gate: asyncio.Semaphore = attrs.field(init=False)
    _closed: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._gate = asyncio.Semaphore(self.width)

    async def call(self, script: Script, key: str, *args: str | bytes) -> Any:
        """Run a script on one key.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
            ClosedError: The store was closed before its turn came.
        """
        async with self._turn():
            return await self.servers.run(key, partial(_evaluated, script, key, args))

    async def call_replicated(
        self, replicas: int, timeout_ms: int, channel: str, script: Script, key: str, *args: str | bytes
    ) -> tuple[Any, int]:
        """Run a script that rings a channel, then wait on its connection until replicas have what it wrote.

        Returns:
            The script's result, and how many replicas have it, if any were asked for.
        """
        on_its_way = False

        async def job(talk: Talk) -> tuple[Any, int]:
            nonlocal on_its_way
            on_its_way = talk.asking
            answer = await _evaluated(script, key, args, talk)
            if not replicas:
                return answer, 0
            # Nobody may run the script again elsewhere because this is refused.
            with talk.place.translated(done=True):
                return answer, await talk.say("WAIT", replicas, timeout_ms, patience=timeout_ms / 1000)

        async with self._turn():
            done = await self.servers.run(key, job)
            if on_its_way:
                await self._ring_at_home(key, channel)
            return done

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with self._gate:
            if self._closed:
                raise ClosedError("the Redis store was closed")
            yield

    async def _ring_at_home(self, key: str, channel: str) -> None:
        """Ring at the server that a key is about to leave: waiters listen where its slot still is."""
        with suppress(AuthError, AskError):
            server = await self.servers.server_of(key)
            await server.run(partial(_rung, channel))

    async def follow(
        self,
        key: str,
        channel: str,
        since: str,
        ring: Callable[[], object],
        read: Callable[[], Awaitable[Snapshot]],
    ) -> Follower:
        """Have `ring` called once the version of a key may differ from `since`.

        Subscribe, read, wait: what is written before the read is seen, and what is written after it
        rings. What was read while subscribed need not be read again, nor what a message told of.
        """
        subscriber = (await self.servers.server_of(key)).subscriber
        self._subscribers.add(subscriber)
        follower = subscriber.follow(channel.encode())
        try:
            await follower.ready()
            follower.arm(ring)
            if not follower.channel.knows(since) and (
                follower.channel.told_of_another(since) or (await read()).version != since
            ):
                follower.ring()
            follower.channel.share(since)
        except BaseException:
            follower()
            raise
        return follower

    def noting(self, channel: str) -> Callable[[str], None]:
        """Return what remembers the version that a command found or wrote; call this before sending."""
        name = channel.encode()
        followed = next((found for each in self._subscribers if (found := each.channel(name))), None)
        if followed is None or not followed.live:
            return lambda _: None
        return partial(followed.saw, rings=followed.rings)

    async def scan(self, pattern: bytes) -> AsyncIterator[bytes]:
        """Iterate over the keys of a pattern on all servers; one may come twice."""
        for server in await self.servers.all():
            cursor = b"0"
            while True:
                async with self._turn():
                    cursor, keys = await server.run(partial(_scanned, cursor, pattern))
                for key in keys:
                    yield key
                if cursor == b"0":
                    break

    async def aclose(self) -> None:
        """Close what is not somebody else's, and let nobody begin who still waits for a turn."""
        self._closed = True
        await self.servers.aclose()


async def _evaluated(script: Script, key: str, args: tuple[str | bytes, ...], talk: Talk) -> Any:
    try:
        return await talk.say("EVALSHA", script.sha, 1, key, *args)
    except NoScriptError:
        return await talk.say("EVAL", script.text, 1, key, *args)


async def _rung(channel: str, talk: Talk) -> None:
    await talk.say("SPUBLISH", channel, "")


async def _scanned(cursor: bytes, pattern: bytes, talk: Talk) -> tuple[bytes, list[bytes]]:
    found, keys = await talk.say("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE)
    return found, keys


def link_to(target: Target, namespace: str, look: FirstLook) -> Link:
    """Return what a URL describes, for the running event loop. Nothing is connected yet."""
    sharded = target.kind == "cluster"
    maker = Maker(target.settings, namespace, look, sharded)
    if sharded:
        return Link(ClusterServers(target.addresses, maker), sharded=True)
    if target.kind == "sentinel":
        return Link(SentinelServers(target, maker, Maker(target.sentinel, namespace, look)))
    return Link(OneServer(maker.server(next(iter(target.addresses), None)), owned=True))


def checked_client(client: Redis | RedisCluster) -> Redis | RedisCluster:
    """Return a ready-made client that can be used.

    Raises:
        ConfigurationError: It cannot.
    """
    if client.get_encoder().decode_responses:
        raise ConfigurationError("a Redis client with decode_responses=False is needed")
    if isinstance(client, Redis) and client.connection_pool.max_connections < _FEWEST:
        raise ConfigurationError(
            f"a Redis client with max_connections of at least {_FEWEST} is needed: one connection listens"
        )
    return client


def link_over(client: Redis | RedisCluster, namespace: str, look: FirstLook) -> Link:
    """Return the same for a ready-made client, whose connections stay its own."""
    if isinstance(client, RedisCluster):
        return _link_like(client, namespace, look)
    pool = client.connection_pool
    server = Server(pool, Place(place_of(client), namespace), look)
    return Link(OneServer(server, owned=False), width=min(_CONNECTIONS, pool.max_connections - 1))


def _link_like(client: RedisCluster, namespace: str, look: FirstLook) -> Link:
    """Return connections of our own, made like a client's: its own send writes again, and cannot WAIT."""
    facts = {
        name: value
        for name, value in client.connection_kwargs.items()
        if value is not None and (name in _SETTINGS or name.startswith("ssl_"))
    }
    seeds = [(node.host, int(node.port)) for node in client.startup_nodes]
    maker = Maker(connection_settings(facts), namespace, look, sharded=True)
    return Link(ClusterServers(seeds, maker, client.nodes_manager.remap_host_port), sharded=True)


def place_of(client: Redis | RedisCluster) -> str:
    """Return how messages name a client's server: host and port, the socket's path, or the service."""
    if isinstance(client, RedisCluster):
        return ",".join(named((node.host, int(node.port))) for node in client.startup_nodes)
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return f"{pool.service_name} (found by Sentinels)"
    facts = pool.connection_kwargs
    return str(facts.get("path") or named((facts.get("host", "localhost"), facts.get("port", 6379))))
