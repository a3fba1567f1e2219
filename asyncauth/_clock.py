"""The only place that reads a clock.

Every other module takes a `Clock`, so tests move time by hand
(`asyncauth.testing.ManualClock`) and nothing sleeps in them.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
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

    def monotonic(self) -> float:
        return time.clock_gettime(_MONOTONIC)

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)


SYSTEM_CLOCK = SystemClock()
