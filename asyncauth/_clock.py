"""The only place that reads a clock.

Every other module takes a `Clock`, so tests move time by hand
(`asyncauth.testing.ManualClock`) and nothing sleeps in them.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import final


class Clock(ABC):
    """Time for one process: a monotonic reading, a wall reading, and two ways to wait."""

    __slots__ = ()

    @abstractmethod
    def monotonic(self) -> float:
        """Return seconds that only go forward, also while the machine is suspended."""

    @abstractmethod
    def wall(self) -> float:
        """Return UTC seconds since 1970. It may step; no deadline is computed from it."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait. Cancellation leaves nothing behind."""

    @abstractmethod
    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Return an async context manager that cancels its body after `seconds`, as `asyncio.timeout`."""


# CLOCK_MONOTONIC stands still while a laptop or a virtual machine sleeps; tokens do not.
_MONOTONIC: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@final
class SystemClock(Clock):
    """The machine's clocks: `CLOCK_BOOTTIME` where there is one, else `CLOCK_MONOTONIC`."""

    __slots__ = ()

    # Each request asks: no frame of Python's own for it.
    monotonic = staticmethod(partial(time.clock_gettime, _MONOTONIC))  # pyright: ignore[reportAssignmentType]

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(None) if seconds is None else _timeout(seconds)


_LATE = 0.1
"""Seconds after which a timer that fires is one of a process that stood still."""
_SECOND_CHANCE = 0.25
"""Seconds for what arrived meanwhile to be read."""


@asynccontextmanager
async def _timeout(seconds: float) -> AsyncIterator[None]:
    """Bound the body as `asyncio.timeout` does, but let a process that stood still look first.

    Stopped for longer than its time-out, it finds on waking both its timer due and its answer in the
    socket. asyncio lets the timer win; the answer may be the token that nobody else has.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    async with asyncio.timeout(None) as scope:
        running = True

        def expire() -> None:
            if running:
                scope.reschedule(loop.time())

        def fire() -> None:
            if loop.time() - due > _LATE:
                loop.call_later(_SECOND_CHANCE, expire)
            else:
                expire()

        timer = loop.call_at(due, fire)
        try:
            yield
        finally:
            running = False
            timer.cancel()


SYSTEM_CLOCK = SystemClock()
