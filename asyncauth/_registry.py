"""One worker per store and event loop, found again through the store."""

import asyncio
import threading
from functools import partial

import aiohttp

from asyncauth._clock import Clock
from asyncauth._errors import ConfigurationError
from asyncauth._policy import RefreshPolicy
from asyncauth._worker import Worker
from asyncauth.abc import TokenStore

_lock = threading.Lock()
_PLACE = "_asyncauth_workers"
"""The store's attribute that keeps its workers, so that they live no longer than it."""


def shared_worker(
    store: TokenStore,
    policy: RefreshPolicy | None,
    clock: Clock,
    client: aiohttp.ClientSession | None,
) -> Worker:
    """Return the worker of a store in the running event loop, making it at first use.

    Raises:
        ConfigurationError: It was made with another policy: the first one stands.
    """
    loop = asyncio.get_running_loop()
    with _lock:
        workers: dict[asyncio.AbstractEventLoop, Worker] = vars(store).setdefault(_PLACE, {})
        for ended in [other for other in workers if other.is_closed()]:
            del workers[ended]
        worker = workers.get(loop)
        if worker is None or worker.closed:
            worker = Worker(store, policy or RefreshPolicy(), clock, client)
            workers[loop] = worker
            store.on_close(partial(_close, worker, loop))
        elif policy is not None and policy != worker.means.policy:
            raise ConfigurationError(
                "this store is in use in this event loop with another RefreshPolicy: make it once, and"
                " give it to whoever uses the store first"
            )
        return worker


async def _close(worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
    if loop is asyncio.get_running_loop():
        await worker.aclose()
    elif loop.is_running():
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(worker.aclose(), loop))
