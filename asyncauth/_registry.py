"""One worker per store and event loop, found again through the store."""

import asyncio
import os
import threading
import weakref
from functools import partial

import aiohttp

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._errors import ConfigurationError
from asyncauth._policy import RefreshPolicy
from asyncauth._worker import Worker
from asyncauth.abc import TokenStore

_lock = threading.Lock()
_PLACE = "_asyncauth_workers"
"""The store's attribute that keeps its workers, so that they live no longer than it."""
_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_inherited: list[Worker] = []
"""What a forked child has of its parent. Collected, a connection would be taken off the selector that the
parent's event loop waits with: both processes have the same one."""


def shared_worker(
    store: TokenStore,
    policy: RefreshPolicy | None,
    clock: Clock,
    client: aiohttp.ClientSession | None,
) -> Worker:
    """Return the worker of a store in the running event loop, making it at first use.

    Raises:
        ConfigurationError: It was made with another policy, clock or client: the first ones stand. Or the
            loop is the parent process', which forked this one.
    """
    loop = asyncio.get_running_loop()
    with _lock:
        if _PLACE not in vars(store):
            store.on_close(partial(_close_all, store))
        workers: dict[asyncio.AbstractEventLoop, Worker] = vars(store).setdefault(_PLACE, {})
        for ended in [other for other in workers if other.is_closed()]:
            del workers[ended]
        worker = workers.get(loop)
        if worker is not None and worker.is_parents:
            raise ConfigurationError(
                "this event loop was in use before the process was forked, and is the parent's: run a new one"
                " in the child, such as with asyncio.run"
            )
        if worker is None or worker.closed:
            worker = workers[loop] = Worker(store, policy or RefreshPolicy(), clock, client)
            _workers.add(worker)
        _check_alike(worker, policy, clock, client)
        return worker


def _check_alike(
    worker: Worker, policy: RefreshPolicy | None, clock: Clock, client: aiohttp.ClientSession | None
) -> None:
    other = "RefreshPolicy" if policy is not None and policy != worker.means.policy else None
    if clock is not SYSTEM_CLOCK and clock is not worker.means.clock:
        other = "clock"
    if client is not None and client is not worker.given_client:
        other = "client"
    if other is not None:
        raise ConfigurationError(
            f"this store is in use in this event loop with another {other}: make one TokenManager with"
            " it, and give that to sessions and middlewares"
        )


async def _close_all(store: TokenStore) -> None:
    workers: dict[asyncio.AbstractEventLoop, Worker] = vars(store).get(_PLACE, {})
    for loop, worker in iter(partial(_any_of, store), None):
        await _close(worker, loop)
        if workers.get(loop) is worker:
            del workers[loop]


def _any_of(store: TokenStore) -> tuple[asyncio.AbstractEventLoop, Worker] | None:
    """Return a worker that is left to close; once there is none, the store begins anew."""
    with _lock:
        workers: dict[asyncio.AbstractEventLoop, Worker] = vars(store).get(_PLACE, {})
        left = next(iter(workers.items()), None)
        if left is None:
            vars(store).pop(_PLACE, None)
        return left


async def _close(worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
    if loop is asyncio.get_running_loop() or worker.is_parents:
        await worker.aclose()
    elif loop.is_running():
        closing = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(worker.aclose(), loop))
        policy = worker.means.policy
        # A loop that stops meanwhile never answers.
        await asyncio.wait({closing}, timeout=policy.request_timeout + policy.store_timeout)


def _leave_to_parent() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it, and is not there to let it go
    _lock = threading.Lock()
    _inherited.extend(_workers)
    for worker in _inherited:
        worker.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
