"""What has to be closed in the event loop that it was made in, also where nobody closes it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
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
