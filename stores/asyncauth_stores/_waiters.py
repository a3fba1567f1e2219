"""Who waits for a change, in any event loop of any thread of the process."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import final

import attrs

from asyncauth_stores._few import Few, each, few


@final
@attrs.define(eq=False, weakref_slot=False)
class Waiter:
    """One who waits. Called, it waits no more: what `TokenStore.follow` returns."""

    _waiters: "Waiters"
    name: str
    since: str
    _ring: Callable[[], object] | None
    _loop: asyncio.AbstractEventLoop

    def __call__(self) -> None:
        self._ring = None
        self._waiters.remove(self)

    def wake(self) -> None:
        """Have it rung in its event loop, and wait no more. May be called from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            self()  # a loop that was closed has nobody left to wake

    def _wake(self) -> None:
        ring = self._ring
        self()
        if ring is not None:
            ring()


@final
class Waiters:
    """Who waits for which name to leave which version. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In the order of their coming, which is also that of their waking.
        self._waiting: dict[str, Few[Waiter]] = {}
        self._heard: dict[str, str] = {}

    def add(self, name: str, since: str, ring: Callable[[], object]) -> Waiter:
        """Have `ring` called at a change; add it before comparing with what is stored."""
        waiter = Waiter(self, name, since, ring, asyncio.get_running_loop())
        with self._lock:
            self._waiting[name] = few((*self._of(name), waiter))
        return waiter

    async def follow(
        self, name: str, since: str, ring: Callable[[], object], version: Callable[[], Awaitable[str]]
    ) -> Waiter:
        """Have `ring` called at a change, or now if what is stored is another `version` already."""
        waiter = self.add(name, since, ring)
        with self._lock:
            heard = self._heard.pop(name, None)
        try:
            stands = heard == since or await version() == since
        except BaseException:
            waiter()
            raise
        if not stands:
            waiter.wake()
        return waiter

    @contextmanager
    def waiting(self, name: str, since: str) -> Iterator[asyncio.Event]:
        """Be woken while the context lasts; enter it before comparing with what is stored."""
        woken = asyncio.Event()
        waiter = self.add(name, since, woken.set)
        try:
            yield woken
        finally:
            waiter()

    def remove(self, waiter: Waiter) -> None:
        """Forget one, if it is there."""
        with self._lock:
            left = tuple(other for other in self._of(waiter.name) if other is not waiter)
            if left:
                self._waiting[waiter.name] = few(left)
            else:
                self._waiting.pop(waiter.name, None)

    def _of(self, name: str) -> tuple[Waiter, ...]:
        return each(self._waiting.get(name, ()))

    def names(self) -> list[str]:
        """Return the names that somebody waits for."""
        with self._lock:
            return list(self._waiting)

    def wake(self, name: str, version: str) -> None:
        """Wake those who wait for the name to leave another version than this."""
        with self._lock:
            waiters = [waiter for waiter in self._of(name) if waiter.since != version]
        for waiter in waiters:
            waiter.wake()

    def hear(self, name: str, version: str) -> None:
        """Wake as `wake` does, for one who hears of every change: who comes back need not compare.

        Kept only until they do, or another change comes: most names that one hears of are others'.
        """
        with self._lock:
            if name in self._waiting or name in self._heard:
                self._heard[name] = version
        self.wake(name, version)

    def miss(self) -> None:
        """Forget what was heard: there may have been changes of which nobody heard."""
        with self._lock:
            self._heard.clear()

    def wake_all(self) -> None:
        """Wake everybody, whatever they wait for."""
        with self._lock:
            waiters = [waiter for some in self._waiting.values() for waiter in each(some)]
        for waiter in waiters:
            waiter.wake()
