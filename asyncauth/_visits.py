"""One timer for many records: who is due at about the same time is visited together."""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from math import ceil, inf
from typing import Any, Protocol, final

import attrs

from asyncauth._clock import Clock

_GRID = 0.25
"""Seconds between visits, which are never too early."""


class Visited(Protocol):
    """What a timer comes by at.

    Attributes:
        due: When that is to be.
        visit: When it will be, to see whether it is due.
    """

    due: float
    visit: "Visit | None"


@final
@attrs.frozen(eq=False)
class Visit:
    """A time at which the timer comes by at some."""

    at: float
    whom: list[Any] = attrs.field(factory=list)


@final
class Visits:
    """Calls back for each who is due.

    Args:
        clock: Measures the time.
        start: Starts the task that keeps the time, while there is anything to wait for.
        come: Called with who is due.
    """

    def __init__(
        self,
        clock: Clock,
        start: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        come: Callable[[Any], object],
    ) -> None:
        self._clock = clock
        self._start = start
        self._come = come
        self._visits: dict[float, Visit] = {}
        self._times: list[float] = []
        self._timer: asyncio.Task[None] | None = None

    def plan(self, one: Visited) -> None:
        """Come by when one is due; an earlier visit stays, and finds out that it is too early."""
        if one.due == inf:
            return
        at = ceil(one.due / _GRID) * _GRID
        if one.visit is None or at < one.visit.at:
            one.visit = self._visits.get(at) or self._planned(at)
            one.visit.whom.append(one)

    def _planned(self, at: float) -> Visit:
        visit = self._visits[at] = Visit(at)
        heapq.heappush(self._times, at)
        if self._times[0] == at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._start(self._keep_time())
        return visit

    async def _keep_time(self) -> None:
        while self._times:
            await self._clock.sleep(self._times[0] - self._clock.monotonic())
            if self._times[0] <= self._clock.monotonic():
                self._come_by(self._visits.pop(heapq.heappop(self._times)))

    def _come_by(self, visit: Visit) -> None:
        now = self._clock.monotonic()
        for one in visit.whom:
            if one.visit is not visit:
                continue  # there was an earlier one
            one.visit = None
            if one.due <= now:
                self._come(one)
            else:
                self.plan(one)
