"""One subscriber connection to a server, which rings for any number of those who follow."""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable
from typing import Final, final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.backoff import ExponentialWithJitterBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, RedisError, ResponseError

from asyncauth_stores._redis_connection import taken_from
from asyncauth_stores._redis_errors import Place
from asyncauth_stores._redis_follower import POLL, Channel, Follower, within

_GRACE: Final = 5.0
"""Seconds that a channel stays subscribed without a follower, at least: most come back at once."""
_CONNECT: Final = 5.0
"""Seconds for a connection to come about."""
_PROBE: Final = 5.0
"""Seconds between questions whether the server is still there. A frozen one, or a cut line, says nothing."""

_log = logging.getLogger("asyncauth.stores.redis")


@final
class Subscriber:
    """Keeps one connection subscribed to exactly the channels that somebody follows.

    Followers say what they want, and a task of the subscriber's own speaks to the server: a follower's
    cancellation never cuts a command in half. There is a connection only while it is needed. It is not
    a `PubSub` of redis-py's, which connects again behind one's back, and subscribes to channels of
    several slots in one command.

    Args:
        pool: Gives the connection. For one event loop.
        place: How messages name the server.
        lost: Called when the connection broke, or a channel went to another server.
        sharded: Whether channels belong to the server of their slot, where servers know that (Redis 7).
    """

    def __init__(
        self, pool: ConnectionPool, place: Place, lost: Callable[[], None], *, sharded: bool = False
    ) -> None:
        self._pool = pool
        self._place = place
        self._lost = lost
        self._sharded = sharded
        self._channels: dict[bytes, Channel] = {}
        self._unsaid: set[bytes] = set()
        self._left: list[bytes] = []
        self._sweeping = False
        self._idle = self._leave  # one for all channels
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._answered = True

    def follow(self, name: bytes) -> Follower:
        """Return a follower of a channel, which is kept subscribed until it has ended."""
        channel = self._channels.get(name) or self._opened(name)
        follower = Follower(channel)
        self._start()
        return follower

    def channel(self, name: bytes) -> Channel | None:
        """Return what is known of a channel that somebody follows, or did lately."""
        return self._channels.get(name)

    async def aclose(self) -> None:
        """End the connection, and wake whoever waits."""
        # First, for a connection that breaks in the same moment may swallow the cancellation.
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.settle(live=False)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _opened(self, name: bytes) -> Channel:
        channel = self._channels[name] = Channel(name, self._idle)
        self._unsaid.add(name)
        self._wanted.set()
        return channel

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="asyncauth-redis-subscriber")

    def _leave(self, name: bytes) -> None:
        """Give a channel up later, unless somebody comes back: one timer for all of them."""
        self._left.append(name)
        if not self._sweeping:
            self._sweeping = True
            self._sweep([])

    def _sweep(self, names: Collection[bytes]) -> None:
        for name in names:
            self._forget(name)
        if names or self._left:
            asyncio.get_running_loop().call_later(_GRACE, self._sweep, self._left)
            self._left = []
        else:
            self._sweeping = False

    def _forget(self, name: bytes) -> None:
        channel = self._channels.get(name)
        if channel is not None and not channel.followers:
            del self._channels[name]
            self._unsaid.add(name)
            self._wanted.set()

    async def _run(self) -> None:
        backoff = ExponentialWithJitterBackoff(cap=POLL, base=POLL / 20)
        while self._channels:
            try:
                async with taken_from(self._pool, _CONNECT) as connection:
                    await self._serve(connection)
            # Whatever broke, the next connection starts from nothing: there is no half-known state.
            except* (RedisError, OSError) as errors:
                self._note_failure(errors)
            finally:
                # Messages may be lost from here on: everybody looks again.
                for channel in self._channels.values():
                    channel.settle(live=False)
            if self._failures and self._channels:
                await asyncio.sleep(backoff.compute(self._failures))

    async def _serve(self, connection: AbstractConnection) -> None:
        self._answered = True
        try:
            async with asyncio.TaskGroup() as both:
                hearing = both.create_task(self._hear(connection))
                await self._ask(connection)
                hearing.cancel()
        finally:
            await connection.disconnect(nowait=True)

    async def _ask(self, connection: AbstractConnection) -> None:
        """Keep the server's subscriptions equal to the channels, until there are none."""
        loop = asyncio.get_running_loop()
        probe_at = loop.time() + _PROBE
        self._unsaid = set(self._channels)
        while self._channels:
            names, self._unsaid = self._unsaid, set()
            # One that was forgotten and came back is a channel that waits for its confirmation.
            new = [name for name in names if name in self._channels]
            await self._say(connection, "UNSUBSCRIBE", names.difference(new))
            await self._say(connection, "SUBSCRIBE", new)
            await within(probe_at - loop.time(), self._wanted)
            self._wanted.clear()
            if loop.time() >= probe_at:
                probe_at = loop.time() + _PROBE
                await self._probe(connection)

    async def _say(self, connection: AbstractConnection, verb: str, names: Collection[bytes]) -> None:
        """Send what concerns some channels; of sharded ones each for itself: their slots may differ."""
        if names:
            commands: list[list[str | bytes]] = [[verb, *names]]
            if self._sharded:
                commands = [[f"S{verb}", name] for name in names]
            packed = connection.pack_commands(commands)
            await connection.send_packed_command(packed, check_health=False)

    async def _probe(self, connection: AbstractConnection) -> None:
        if not self._answered:
            raise RedisConnectionError from TimeoutError()
        self._answered = False
        await connection.send_command("PING", check_health=False)

    async def _hear(self, connection: AbstractConnection) -> None:
        while True:
            try:
                heard = await connection.read_response(
                    timeout=math.inf, disconnect_on_error=False, push_request=True
                )
            except MovedError as error:
                self._lose(error.slot_id)
            except ResponseError as error:
                if "unknown command" not in str(error):
                    raise
                await self._go_unsharded(connection)
            else:
                self._answered = True
                if isinstance(heard, list):
                    self._heed(*heard)

    def _heed(self, kind: bytes, name: bytes, told: object = None) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        if kind in {b"message", b"smessage"}:
            channel.ring(told.decode("latin-1") if isinstance(told, bytes) else "")
        elif kind in {b"subscribe", b"ssubscribe"}:
            channel.settle(live=True)
            self._failures = 0
        elif channel.live:
            # Not asked for: its slot went to another server.
            self._lose(key_slot(name))

    def _lose(self, slot: int) -> None:
        """Let go of channels that are another server's now; who waits for them looks there."""
        self._lost()
        for name in [name for name in self._channels if key_slot(name) == slot]:
            self._channels.pop(name).settle(live=False)

    async def _go_unsharded(self, connection: AbstractConnection) -> None:
        if self._sharded:
            self._sharded = False
            await self._say(connection, "SUBSCRIBE", list(self._channels))

    def _note_failure(self, errors: BaseExceptionGroup[Exception]) -> None:
        if not self._failures and self._channels:
            reason = next(self._place.explained(error) for error in _leaves(errors))
            _log.warning("no wake-up channel, looking every %g s until it is back: %s", POLL, reason)
        self._failures += 1
        self._lost()


def _leaves(errors: BaseExceptionGroup[Exception]) -> Iterable[Exception]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
