"""An event loop without sockets or real time: several processes in one, in an order that a seed decides.

Each process has a queue of its own that runs in its order, as a real loop does; which process runs next
is drawn. Time moves only when no process has anything to do. A process that is stopped runs nothing, a
killed one never again: without any clean-up, as `kill -9` leaves it.
"""

import asyncio
import heapq
import itertools
import sys
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar, TypeVarTuple

from asyncauth._clock import Clock

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_PROCESS: ContextVar[str] = ContextVar("process", default="fate")


class DeadlockError(AssertionError):
    """Nobody has anything to do, and no time will change that."""


def process_name() -> str:
    """Return the process that runs now."""
    return _PROCESS.get()


class SimLoop(asyncio.AbstractEventLoop):
    """Runs everything in virtual time.

    Args:
        random: Draws which process runs next.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._now = 0.0
        self._queues: dict[str, deque[asyncio.Handle]] = {}
        self._timers: list[tuple[float, int, str, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self._stopped: dict[str, float] = {}
        self._killed: set[str] = set()
        self._running = False
        self._generators = weakref.WeakSet[AsyncGenerator[Any, Any]]()
        self._started: set[asyncio.Task[Any]] = set()
        self.errors: list[dict[str, Any]] = []

    def start(self, process: str, coro: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run something in a process, which begins with the first that is run in it."""
        context = copy_context()
        context.run(_PROCESS.set, process)
        task: asyncio.Task[_T] = self.create_task(coro, context=context)
        self._started.add(task)  # a loop itself keeps no task alive
        task.add_done_callback(self._started.discard)
        return task

    def stop_process(self, process: str, seconds: float) -> None:
        """Let a process stand still (SIGSTOP); what it waits for queues up meanwhile."""
        self._stopped[process] = max(self._now + seconds, self._stopped.get(process, 0.0))

    def stopped_until(self, process: str) -> float:
        """Return when a process goes on, which is 0 if it never stood still."""
        return self._stopped.get(process, 0.0)

    def kill_process(self, process: str) -> None:
        """End a process (SIGKILL)."""
        self._killed.add(process)

    def is_killed(self, process: str) -> bool:
        """Tell whether it was killed."""
        return process in self._killed

    def revive_all(self) -> None:
        """Let all of them run again, so that a test can end their tasks."""
        self._killed.clear()
        self._stopped.clear()

    def run_until_complete(self, future: Any) -> Any:
        task = asyncio.ensure_future(future, loop=self)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._generators.add, finalizer=self._generators.discard)
        asyncio.events._set_running_loop(self)
        self._running = True
        try:
            while not task.done():
                self._step()
        finally:
            self._running = False
            asyncio.events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
        return task.result()

    async def shutdown_asyncgens(self) -> None:
        await asyncio.gather(*(one.aclose() for one in list(self._generators)), return_exceptions=True)

    def _step(self) -> None:
        while self._timers and self._timers[0][0] <= self._now:
            _, _, process, timer = heapq.heappop(self._timers)
            self._queues.setdefault(process, deque()).append(timer)
        ready = [name for name, queue in self._queues.items() if queue and self._runs(name)]
        if not ready:
            self._pass_time()
            return
        handle = self._queues[ready[int(self._random.random() * len(ready))]].popleft()
        if not handle.cancelled():
            handle._run()

    def _runs(self, process: str) -> bool:
        return process not in self._killed and self._stopped.get(process, 0.0) <= self._now

    def _pass_time(self) -> None:
        while self._timers and (self._timers[0][3].cancelled() or self._timers[0][2] in self._killed):
            heapq.heappop(self._timers)
        times = [until for until in self._stopped.values() if until > self._now]
        times += [self._timers[0][0]] if self._timers else []
        if not times:
            raise DeadlockError("everybody waits for ever")
        self._now = min(times)

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._queues.setdefault(_process_of(context), deque()).append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), _process_of(context), timer))
        return timer

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(coro, loop=self, **options)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: cancelled timers are passed over."""


def _process_of(context: Context | None) -> str:
    return _PROCESS.get() if context is None else context.get(_PROCESS, "fate")


class SimClock(Clock):
    """One machine's clocks, which are wrong in their own way.

    Attributes:
        started: What the monotonic clock showed at the beginning.
        date: What the wall clock showed then.
    """

    def __init__(self, loop: SimLoop, *, started: float, date: float) -> None:
        self._loop = loop
        self.started = started
        self.date = date

    def monotonic(self) -> float:
        return self.started + self._loop.time()

    def wall(self) -> float:
        return self.date + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        return asyncio.timeout(seconds)
