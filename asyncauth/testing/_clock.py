"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import final

from asyncauth._clock import Clock

_START = 1_750_000_000.0


@final
class ManualClock(Clock):
    """Time that moves only by `advance`.

    Sleeps and timeouts of the code under test end when the clock is moved past them, in the order
    of their deadlines. For one event loop.

    Args:
        start: The first wall reading, in UTC seconds since 1970.
    """

    def __init__(self, start: float = _START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self._elapsed

    def wall(self) -> float:
        return self._start + self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        self.call_later(seconds, woken.set)
        await woken.wait()

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[None]:
        async with asyncio.timeout(None) as scope:
            running = True

            def fire() -> None:
                if running:
                    scope.reschedule(asyncio.get_running_loop().time())

            if seconds is not None:
                self.call_later(seconds, fire)
            try:
                yield
            finally:
                running = False

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call back, in the task that advances, once the clock has moved so far."""
        heapq.heappush(self._timers, (self._elapsed + seconds, next(self._order), callback))

    def step(self, seconds: float) -> None:
        """Move the clock without running anything in between: what a suspended machine sees."""
        self._elapsed += seconds

    def step_wall(self, seconds: float) -> None:
        """Move the wall reading alone, forward or back: what a clock correction does."""
        self._start += seconds

    async def advance(self, seconds: float) -> None:
        """Move the clock, stopping at every deadline on the way until the tasks have settled."""
        end = self._elapsed + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            when, _, callback = heapq.heappop(self._timers)
            self._elapsed = max(self._elapsed, when)
            callback()
            await settle()
        self._elapsed = max(self._elapsed, end)
        await settle()


async def settle(rounds: int = 50) -> None:
    """Let all tasks that can run without I/O do so."""
    for _ in range(rounds):
        await asyncio.sleep(0)
