"""Stores that are made, and used, before their process forks: both sides go on."""

import subprocess
import sys
from pathlib import Path

import pytest

from redis_servers import RedisServer

_BOTH_SIDES = """
import asyncio, os, sys
from contextlib import nullcontext
from asyncauth import open_store
from asyncauth.testing._promise import draw_name
from asyncauth_stores.sealed import KeyRing

name = draw_name()
options = {} if sys.argv[1].startswith("memory") else {"key": KeyRing.generate()}
store = open_store(sys.argv[1], **options)

async def use():
    found = await store.read(name)
    wait = asyncio.create_task(store.changed(name, found.version, 10))
    await asyncio.sleep(0.05)
    written = await store.write(name, b"value", found)
    await asyncio.wait_for(wait, 5)
    assert (await store.read(name)).version == written.version

def be_child():
    try:
        asyncio.run(asyncio.wait_for(use(), 10))
        asyncio.run(asyncio.wait_for(store.aclose(), 1))
        os._exit(0)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)

async def main():
    await use()
    inner = getattr(store, "_inner", store)
    # Another thread may hold a lock at the moment of the fork, and is not there to let it go.
    with getattr(getattr(inner, "_waiters", None), "_lock", nullcontext()):
        child = os.fork()
        if not child:
            be_child()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    await use()
    await store.aclose()

asyncio.run(main())
"""

_CLIENT = """
import asyncio, os, sys
from redis.asyncio import Redis
from asyncauth import ConfigurationError
from asyncauth_stores.redis import PlainRedisStore

store = PlainRedisStore(Redis.from_url(sys.argv[1], driver_info=None))
loop = asyncio.new_event_loop()
loop.run_until_complete(store.read("0a"))
child = os.fork()
if not child:
    try:
        asyncio.run(store.read("0a"))
    except ConfigurationError as error:
        os._exit(0 if "used before a fork" in str(error) else 2)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
loop.run_until_complete(store.read("0a"))
"""


def _run(program: str, url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.processes
def test_a_file_store_works_on_both_sides_of_a_fork(tmp_path: Path) -> None:
    _run(_BOTH_SIDES, f"file://{tmp_path}/tokens")


@pytest.mark.processes
def test_a_memory_store_works_on_both_sides_of_a_fork() -> None:
    _run(_BOTH_SIDES, "memory://")


@pytest.mark.processes
@pytest.mark.servers
def test_a_redis_store_works_on_both_sides_of_a_fork(redis_server: RedisServer) -> None:
    _run(_BOTH_SIDES, redis_server.url)


@pytest.mark.processes
@pytest.mark.servers
def test_a_ready_made_client_is_refused_behind_a_fork(redis_server: RedisServer) -> None:
    _run(_CLIENT, redis_server.url)
