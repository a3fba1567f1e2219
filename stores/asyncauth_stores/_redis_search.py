"""Finding out where a key's server is now: by asking several servers, once for all who want to know."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar, final

from asyncauth._errors import ClosedError, StoreError, StoreUnavailableError
from asyncauth_stores._redis_server import Server
from asyncauth_stores._redis_url import Address

_T = TypeVar("_T")
_HEAD_START: Final = 0.03
"""Seconds that a server has before the next one is asked too: a dead one may never refuse."""


@final
class Search(Generic[_T]):
    """Asks servers until one answers. For one event loop.

    A task of its own does it: an operation whose patience is short does not start all over with each try.

    Args:
        ask: Asks one server.
        what: What nobody could tell, for the error message.
    """

    def __init__(self, ask: Callable[[Address], Awaitable[_T]], what: str) -> None:
        self._ask = ask
        self._what = what
        self._task: asyncio.Task[_T] | None = None
        self._closed = False

    async def __call__(self, addresses: Sequence[Address]) -> _T:
        """Return the first answer; joins a search that is under way.

        Raises:
            StoreUnavailableError: Nobody answers; with everybody's reason.
            ClosedError: The search was closed.
        """
        self.check_open()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._search(addresses), name="asyncauth-redis-search")
            self._task.add_done_callback(_heeded)
        task = self._task
        await asyncio.wait([task])
        self.check_open()
        return task.result()

    def check_open(self) -> None:
        """Tell whoever is about to connect that it is too late.

        Raises:
            ClosedError: The search was closed.
        """
        if self._closed:
            raise ClosedError("the Redis store was closed")

    async def aclose(self) -> None:
        """End a search that is under way, and refuse others."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _search(self, addresses: Sequence[Address]) -> _T:
        asked = [asyncio.create_task(self._asked(*each)) for each in enumerate(addresses)]
        reasons = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    return await answer
                except StoreError as error:
                    reasons.append(str(error))
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        raise StoreUnavailableError(f"{self._what}: {'; '.join(reasons)}")

    async def _asked(self, number: int, address: Address) -> _T:
        await asyncio.sleep(number * _HEAD_START)
        return await self._ask(address)


@final
class Farewell:
    """Closes servers that are not needed any more, in the background."""

    def __init__(self) -> None:
        self._closing: set[asyncio.Task[None]] = set()

    def bid(self, servers: Iterable[Server]) -> None:
        """Close servers; whoever waits for their channels is woken."""
        for server in servers:
            task = asyncio.create_task(server.aclose(), name="asyncauth-redis-farewell")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Wait until they are closed."""
        # Whoever is cancelled here leaves it to them, and may wait again.
        if self._closing:
            await asyncio.wait(self._closing)


def _heeded(task: asyncio.Task[_T]) -> None:
    """Take note of how a search ended, for nobody may be left who wants to know."""
    if not task.cancelled():
        task.exception()
