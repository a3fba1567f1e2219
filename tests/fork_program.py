"""A service that forks: `python fork_program.py PLAN STORE KEY TOKEN_URL`, told when by standard input.

Each plan prints what its test looks at, one line at a time; a child that goes wrong prints its error.
"""

import asyncio
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from asyncauth import ConfigurationError, TokenManager, _registry, open_store
from asyncauth.schemes import RefreshToken
from asyncauth_stores.sealed import KeyRing

PLAN, URL, KEY, TOKEN_URL = sys.argv[1:]
NAME = "5e" * 32

store = open_store(URL, **({} if URL.startswith("memory") else {"key": KeyRing.parse(KEY)}))
manager = TokenManager(store)
scheme = RefreshToken(TOKEN_URL, client_id="app", client_secret="app-secret", subject="ada")


def say(*words: object) -> None:
    # At once: parent and child write to the same pipe.
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


async def told() -> None:
    """Wait for a line from the test."""
    await asyncio.to_thread(sys.stdin.readline)


def fork(be: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Fork a child that runs something in an event loop of its own, and ends with 0 if it went well."""
    child = os.fork()
    if child:
        return child
    try:
        asyncio.run(asyncio.wait_for(be(), 15))
    except BaseException:  # noqa: BLE001 - whatever it is, the test has to see it
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        os._exit(1)
    os._exit(0)


async def ended(child: int) -> int:
    """Return a child's exit code."""
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    return os.waitstatus_to_exitcode(status)


async def access() -> str:
    token = (await manager.token(scheme)).access_token
    assert token is not None
    return token.reveal()


async def use_and_close(who: str) -> None:
    say(who, await access())
    async with asyncio.timeout(2):  # nothing of the parent's is waited for
        await store.aclose()


async def in_the_middle_of_a_renewal() -> None:
    renewing = asyncio.create_task(access())
    await told()
    child = fork(partial(use_and_close, "child"))
    say("parent", await renewing)
    say("exit", await ended(child))
    await store.aclose()


async def with_a_lock_held() -> None:
    say("parent", await access())
    with _registry._lock:
        child = fork(partial(use_and_close, "child"))
    say("exit", await ended(child))
    # The child's leaving took nothing from the parent: it still hears of changes.
    heard = asyncio.create_task(store.changed(NAME, (await store.read(NAME)).version, 10))
    await asyncio.sleep(0.05)
    say("exit", await ended(fork(write)))
    async with asyncio.timeout(5):
        await heard
    await use_and_close("parent")


async def write() -> None:
    await store.write(NAME, b"the child's", await store.read(NAME))
    await store.aclose()


async def with_a_mark_held() -> None:
    async with store.hold(NAME, "attempt"):
        if not os.fork():
            sys.stdin.readline()  # it lives for as long as the test wants
            say("child")
            os._exit(0)
        say("held", os.getpid())
        await asyncio.Event().wait()


async def memory_used() -> None:
    await store.write(NAME, b"a one-time token", await store.read(NAME))
    say("exit", await ended(fork(write)))


async def memory_unused() -> None:
    say("exit", await ended(fork(write)))


def in_the_parents_loop() -> None:
    loop = asyncio.new_event_loop()
    say("parent", loop.run_until_complete(access()))
    if not os.fork():
        try:
            loop.run_until_complete(access())
        except ConfigurationError as error:
            say("child", error)
        os._exit(0)
    os.wait()
    say("parent", loop.run_until_complete(access()))
    loop.run_until_complete(store.aclose())
    loop.close()


def in_a_thread() -> None:
    """Fork in the main thread while another thread's loop has a renewal under way."""
    parent = threading.Thread(target=asyncio.run, args=(use_and_close("parent"),))
    parent.start()
    sys.stdin.readline()
    child = fork(partial(use_and_close, "child"))
    parent.join(30)
    _, status = os.waitpid(child, 0)
    say("exit", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    plan = globals()[PLAN]
    if inspect.iscoroutinefunction(plan):
        asyncio.run(plan())
    else:
        plan()
