"""One subscriber connection that wakes any number of waiting tasks."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, final

import attrs
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

_POLL: Final = 1.0
"""Seconds between looks while the channel is down (PROTOCOL.md, section 8)."""
_GRACE: Final = 5.0
"""Seconds that a channel stays subscribed without a waiter: most waiters come back at once."""
_CONNECT: Final = 5.0
"""Seconds for a connection to come about."""

_log = logging.getLogger("asyncauth.stores.redis")


@final
@attrs.define(eq=False)
class _Channel:
    """What is known of one channel.

    Attributes:
        live: Whether the server has confirmed the subscription.
        settled: Set once it is known whether the channel is live.
        bells: One for each waiter.
    """

    live: bool = False
    settled: asyncio.Event = attrs.field(factory=asyncio.Event)
    bells: set[asyncio.Event] = attrs.field(factory=set)

    def settle(self, *, live: bool) -> None:
        self.live = live
        self.settled.set()
        self.ring()

    def ring(self) -> None:
        for bell in self.bells:
            bell.set()


@final
@attrs.frozen(eq=False)
class Listener:
    """One waiter on one channel: `ready`, then read, then `rung`."""

    _channel: _Channel
    bell: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def ready(self) -> None:
        """Wait until no later message is missed, or it is known that messages do not come."""
        await _within(_POLL, self._channel.settled)
        self.bell.clear()

    async def rung(self) -> bool:
        """Wait for a message, or for the channel to go or come back: it is time to look.

        Returns:
            False if it is time to look because the channel is down.
        """
        return await _within(None if self._channel.live else _POLL, self.bell)


@final
class Subscriber:
    """Keeps one connection subscribed to exactly the channels that somebody listens to.

    Waiters say what they want, and a task of the subscriber's own speaks to the server: a waiter's
    cancellation never cuts a command in half. There is a connection only while it is needed.

    Args:
        client: Gives the connection. For one event loop.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._channels: dict[bytes, _Channel] = {}
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncIterator[Listener]:
        """Return a listener on a channel, which is kept subscribed until the context ends."""
        channel = self._channels.setdefault(name.encode(), _Channel())
        listener = Listener(channel)
        channel.bells.add(listener.bell)
        self._start()
        try:
            yield listener
        finally:
            channel.bells.discard(listener.bell)
            asyncio.get_running_loop().call_later(_GRACE, self._forget, name.encode())

    async def aclose(self) -> None:
        """End the connection, and wake whoever waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _start(self) -> None:
        self._wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="asyncauth-redis-subscriber")

    def _forget(self, name: bytes) -> None:
        channel = self._channels.get(name)
        if channel is not None and not channel.bells:
            del self._channels[name]
            self._wanted.set()

    async def _run(self) -> None:
        backoff = ExponentialWithJitterBackoff(cap=_POLL, base=_POLL / 20)
        while self._channels:
            try:
                async with self._client.pubsub() as connection:
                    await self._serve(connection)
            # Whatever broke, the next connection starts from nothing: there is no half-known state.
            except* (RedisError, OSError):
                self._note_failure()
            finally:
                # Messages may be lost from here on: everybody looks again.
                for channel in self._channels.values():
                    channel.settle(live=False)
            if self._failures:
                await asyncio.sleep(backoff.compute(self._failures))

    async def _serve(self, connection: PubSub) -> None:
        asked = dict(self._channels)
        async with asyncio.timeout(_CONNECT):
            await connection.subscribe(*asked)
        async with asyncio.TaskGroup() as both:
            hearing = both.create_task(self._hear(connection))
            await self._ask(connection, asked)
            hearing.cancel()

    async def _ask(self, connection: PubSub, asked: dict[bytes, _Channel]) -> None:
        """Keep the server's subscriptions equal to the channels, until there are none."""
        while self._channels:
            await self._wanted.wait()
            self._wanted.clear()
            # A channel that was forgotten and came back is another object, and asked for again.
            new = [name for name, channel in self._channels.items() if asked.get(name) is not channel]
            gone = asked.keys() - self._channels.keys()
            asked = dict(self._channels)
            if gone:
                await connection.unsubscribe(*gone)
            if new:
                await connection.subscribe(*new)

    async def _hear(self, connection: PubSub) -> None:
        while True:
            message = await connection.get_message(timeout=None)
            channel = None if message is None else self._channels.get(message["channel"])
            if message is None or channel is None:
                continue
            if message["type"] == "message":
                channel.ring()
            else:
                # Also when a ready-made client has reconnected by itself: all are confirmed again.
                channel.settle(live=message["type"] == "subscribe")
                self._failures = 0

    def _note_failure(self) -> None:
        if not self._failures:
            _log.warning("no wake-up channel to Redis: looking every %g s until it is back", _POLL)
        self._failures += 1


async def _within(seconds: float | None, event: asyncio.Event) -> bool:
    """Wait for an event; false if it did not come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
