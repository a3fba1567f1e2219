"""What is known of one channel of a server, and those who follow it."""

import asyncio
from collections.abc import Callable
from typing import Final, final

import attrs

from asyncauth_stores._few import Few, each, few

_REMOVED: Final = "removed"
"""What is published instead of a version where there is none (`lua/write.lua`)."""
POLL: Final = 1.0
"""Seconds between looks while the channel is down (PROTOCOL.md, section 8)."""


@final
@attrs.define(eq=False, weakref_slot=False)
class Channel:
    """What is known of one channel.

    Attributes:
        name: Its name.
        live: Whether the server has confirmed the subscription.
        settled: Set once it is known whether the channel is live; none since then.
        rings: How often it rang.
        heard: The version that the last message named, until somebody was rung for it.
        seen: The version that is stored, as far as is known; none if it may be any, since it rang.
    """

    name: bytes
    _idle: Callable[[bytes], object]
    live: bool = False
    settled: asyncio.Event | None = attrs.field(factory=asyncio.Event)
    _followers: "Few[Follower]" = ()
    rings: int = 0
    heard: str = ""
    seen: str | None = None

    @property
    def followers(self) -> "tuple[Follower, ...]":
        """Those whom it rings."""
        return each(self._followers)

    def join(self, follower: "Follower") -> None:
        """Ring for one more."""
        self._followers = few((*self.followers, follower))

    def leave(self, follower: "Follower") -> None:
        """Forget a follower, if it is there."""
        if follower in self.followers:
            self._followers = few(tuple(one for one in self.followers if one is not follower))
            self._idle(self.name)

    def settle(self, *, live: bool) -> None:
        self.live = live
        if self.settled is not None:
            self.settled.set()
            self.settled = None
        self.ring("")

    def ring(self, version: str) -> None:
        self.rings += 1
        self.heard = version
        if not version or self.seen != version:
            self.seen = None
        for follower in self.followers:
            follower.ring()

    def knows(self, version: str) -> bool:
        """Tell whether this version is stored, for all that is known."""
        return self.live and self.seen == version

    def told_of_another(self, version: str) -> bool:
        """Tell once whether the last message named another version: the reading is left to who is rung.

        Once, for the message may have been older than what is stored: who comes back then reads.
        """
        another = self.live and self.heard not in {"", version or _REMOVED}
        if another:
            self.heard = ""
        return another

    def share(self, version: str) -> None:
        """Keep one string, where there are two of the same version."""
        if self.seen == version:
            self.seen = version

    def saw(self, version: str, rings: int) -> None:
        """Remember what was stored, for an answer to a question of when there had been so many rings."""
        # A write's own message may be faster than its answer.
        own = self.rings == rings + 1 and self.heard == (version or _REMOVED)
        if self.live and (self.rings == rings or own):
            self.seen = version
            self.heard = version if own else self.heard  # one string is enough


@final
@attrs.define(eq=False, weakref_slot=False)
class Follower:
    """One who follows a channel: `ready`, then `arm`, then read. Called, it does so no more."""

    channel: Channel
    _ring: Callable[[], object] | None = None

    def __attrs_post_init__(self) -> None:
        self.channel.join(self)

    async def ready(self) -> None:
        """Wait until no later message is missed, or it is known that messages do not come."""
        if self.channel.settled is not None:
            await within(POLL, self.channel.settled)

    def arm(self, ring: Callable[[], object]) -> None:
        """Ring once: at a message, when the channel goes or comes back, or soon if it is down."""
        self._ring = ring
        if not self.channel.live:
            asyncio.get_running_loop().call_later(POLL, self.ring)

    def ring(self) -> None:
        """Ring, and end."""
        ring = self._ring
        if ring is not None:
            self()
            ring()

    def __call__(self) -> None:
        self._ring = None
        self.channel.leave(self)


async def within(seconds: float | None, event: asyncio.Event) -> bool:
    """Wait for an event; false if it did not come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
