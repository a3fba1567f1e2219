"""The only place that reads a clock.

Every other module takes a `Clock`, so tests move time by hand
(`asyncauth.testing.ManualClock`) and nothing sleeps in them.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
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
        return asyncio.timeout(None) if seconds is None else _Timeout(seconds)


_LATE = 0.1
"""Seconds after which a timer that fires is one of a process that stood still."""
_SECOND_CHANCE = 0.25
"""Seconds for what arrived meanwhile to be read."""


@final
class _Timeout:
    """Bound the body as `asyncio.timeout` does, but let a process that stood still look first.

    Stopped for longer than its time-out, it finds on waking both its timer due and its answer in the
    socket. asyncio lets the timer win; the answer may be the token that nobody else has.
    """

    __slots__ = ("_due", "_loop", "_running", "_scope", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self._seconds
        self._scope = asyncio.timeout(None)
        await self._scope.__aenter__()
        self._running = True
        self._timer = self._loop.call_at(self._due, self._fire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _fire(self) -> None:
        if self._loop.time() - self._due > _LATE:
            self._loop.call_later(_SECOND_CHANCE, self._expire)
        else:
            self._expire()

    def _expire(self) -> None:
        if self._running:
            self._scope.reschedule(self._loop.time())


SYSTEM_CLOCK = SystemClock()
