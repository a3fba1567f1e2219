"""Any number of tasks that wait for one moment."""

import asyncio
from typing import final


@final
class Crowd:
    """Tasks that wait for the same moment, and of which each may leave at no cost to the others.

    A future that all of them wait for looks through all of its callbacks for each one that leaves.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    async def released(self) -> None:
        """Wait for the next `release`. Cancellation leaves nothing behind."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def release(self) -> None:
        """Have all of them go on."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
