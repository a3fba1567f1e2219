"""What has to be closed in the event loop that it was made in, also where nobody closes it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, final


@final
class LoopEnd:
    """Has something closed when the running event loop ends, unless `over` is called before.

    `asyncio.run`, and whatever else ends a loop in order, closes the loop's asynchronous generators while
    it still runs, after the tasks have ended. One that waits here is the only way to be called by then.

    Args:
        closer: What to await.
    """

    def __init__(self, closer: Callable[[], Awaitable[None]]) -> None:
        self._waiting = _wait(closer)
        _step(self._waiting)

    def over(self) -> None:
        """Forget it: it was closed."""
        with suppress(RuntimeError):  # it is the end of the loop that closed it
            _step(self._waiting)


@final
class LoopsTask(asyncio.Task[None]):
    """A task that hears when its event loop ends: what is left is cancelled then while the loop stands still.

    Args:
        work: What it does.
        context: Its context.
        at_end: Called at once.
    """

    def __init__(self, work: Coroutine[Any, Any, None], context: Context, at_end: Callable[[], None]) -> None:
        super().__init__(work, loop=asyncio.get_running_loop(), context=context)
        self._at_end = at_end

    def cancel(self, msg: object = None) -> bool:
        """Cancel it, and tell if that is the loop's end."""
        if not self.get_loop().is_running():
            self._at_end()
        return super().cancel(msg)


async def _wait(closer: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    try:
        yield
    except GeneratorExit:
        await closer()
        raise


def _step(waiting: AsyncGenerator[None]) -> None:
    """Go on to the next `yield` or the end; nothing is awaited in between."""
    step: Any = waiting.asend(None)
    with suppress(StopIteration, StopAsyncIteration):
        step.send(None)
