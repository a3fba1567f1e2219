"""Tasks that wait for a change, in any event loop of any thread of the process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import final

import attrs


@final
@attrs.frozen(eq=False)
class _Waiter:
    since: str
    woken: asyncio.Event = attrs.field(factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop)

    def wake(self) -> None:
        # A loop that was closed has nobody left to wake.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.woken.set)


@final
class Waiters:
    """Who waits for which name to leave which version. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In the order of their coming, which is also that of their waking.
        self._waiting: dict[str, dict[_Waiter, None]] = {}

    @contextmanager
    def waiting(self, name: str, since: str) -> Iterator[asyncio.Event]:
        """Be woken while the context lasts; enter it before comparing with what is stored."""
        waiter = _Waiter(since)
        with self._lock:
            self._waiting.setdefault(name, {})[waiter] = None
        try:
            yield waiter.woken
        finally:
            with self._lock:
                self._remove(name, waiter)

    def _remove(self, name: str, waiter: _Waiter) -> None:
        waiters = self._waiting[name]
        del waiters[waiter]
        if not waiters:
            del self._waiting[name]

    def names(self) -> list[str]:
        """Return the names that somebody waits for."""
        with self._lock:
            return list(self._waiting)

    def wake(self, name: str, version: str) -> None:
        """Wake those who wait for the name to leave another version than this."""
        with self._lock:
            waiters = [waiter for waiter in self._waiting.get(name, ()) if waiter.since != version]
        for waiter in waiters:
            waiter.wake()

    def wake_all(self) -> None:
        """Wake everybody, whatever they wait for."""
        with self._lock:
            waiters = [waiter for some in self._waiting.values() for waiter in some]
        for waiter in waiters:
            waiter.wake()
