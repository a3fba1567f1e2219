"""Blocking work in a thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


async def apart(work: Callable[[], _T]) -> _T:
    """Run blocking work in a new thread, for what happens seldom.

    Not in the event loop's own threads, which may all be busy with something that waits for a token.
    Cancellation ends the waiting, not the work.
    """
    threads = ThreadPoolExecutor(1, thread_name_prefix="asyncauth-keys")
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
    finally:
        threads.shutdown(wait=False)
