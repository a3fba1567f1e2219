"""Who waits for a change, in any event loop of any thread of the process."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import final

import attrs

from asyncauth_stores._few import Few, each, few

_KEPT = 1024
"""Names of which is kept what was heard: whoever comes back too late compares."""


@final
@attrs.frozen
class Standing:
    """How a record stands, for those who wait for a change.

    Attributes:
        version: Of what is stored; empty if nothing is.
        told: The version of the last write that they are to hear of. Others, such as a lease, keep it.
    """

    version: str = ""
    told: str = ""


@final
@attrs.define(eq=False, weakref_slot=False)
class Waiter:
    """One who waits. Called, it waits no more: what `TokenStore.follow` returns.

    Attributes:
        name: Whose change it waits for.
        told: What was told of last, as far as it knows; until that is looked up, the version that it knows.
    """

    _waiters: "Waiters"
    name: str
    told: str
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
    """Who waits for a change of which name. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In the order of their coming, which is also that of their waking.
        self._waiting: dict[str, Few[Waiter]] = {}
        self._heard: dict[str, Standing] = {}

    def add(self, name: str, since: str, ring: Callable[[], object]) -> Waiter:
        """Have `ring` called at a change; add it before comparing with what is stored."""
        waiter = Waiter(self, name, since, ring, asyncio.get_running_loop())
        with self._lock:
            self._waiting[name] = few((*self._of(name), waiter))
        return waiter

    async def follow(
        self,
        name: str,
        since: str,
        ring: Callable[[], object],
        standing: Callable[[], Awaitable[Standing]],
    ) -> Waiter:
        """Have `ring` called at a change, or now if what is stored is another version already."""
        waiter = self.add(name, since, ring)
        with self._lock:
            heard = self._heard.pop(name, None)
        try:
            found = heard if heard is not None and heard.version == since else await standing()
        except BaseException:
            waiter()
            raise
        if found.version == since:
            waiter.told = since if found.told == since else found.told  # one string is enough
        else:
            waiter.wake()
        return waiter

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

    def wake(self, name: str, told: str) -> None:
        """Wake those who wait for the name, and have not been told of this version."""
        with self._lock:
            waiters = self._uninformed(name, told)
        for waiter in waiters:
            waiter.wake()

    def hear(self, name: str, standing: Standing) -> None:
        """Wake as `wake` does, for one who hears of every change: who comes back need not compare.

        Kept only until they do, and not for many: most names that one hears of are others'.
        """
        with self._lock:
            waiters = self._uninformed(name, standing.told)
            if waiters or name in self._heard:
                self._heard.pop(name, None)
                self._heard[name] = standing
                if len(self._heard) > _KEPT:
                    del self._heard[next(iter(self._heard))]
        for waiter in waiters:
            waiter.wake()

    def _uninformed(self, name: str, told: str) -> list[Waiter]:
        return [waiter for waiter in self._of(name) if waiter.told != told]

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


async def wait(
    follow: Callable[[Callable[[], object]], Awaitable[Callable[[], object]]],
    bound: AbstractAsyncContextManager[object],
) -> None:
    """Wait for a ring, within a time-out."""
    rung = asyncio.Event()
    with suppress(TimeoutError):
        async with bound:
            end = await follow(rung.set)
            try:
                await rung.wait()
            finally:
                end()
