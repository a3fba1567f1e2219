"""Stores and managers that are made, and used, before their process forks: both sides go on."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from os import kill
from pathlib import Path

import attrs
import pytest

from asyncauth import TokenManager, open_store
from asyncauth.abc import Liveness
from asyncauth.schemes import RefreshToken
from asyncauth.testing.emulators import Hold, OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from redis_servers import RedisServer

pytestmark = pytest.mark.processes

_PROGRAM = Path(__file__).with_name("fork_program.py")
_EVERYWHERE = ["file", pytest.param("redis", marks=pytest.mark.servers)]

_BOTH_SIDES = """
import asyncio, os, sys
from contextlib import nullcontext
from asyncauth import open_store
from asyncauth.testing._promise import draw_name
from asyncauth_stores.sealed import KeyRing

name = draw_name()
store = open_store(sys.argv[1], key=KeyRing.generate())

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


def test_a_file_store_works_on_both_sides_of_a_fork(tmp_path: Path) -> None:
    _run(_BOTH_SIDES, f"file://{tmp_path}/tokens")


@pytest.mark.servers
def test_a_redis_store_works_on_both_sides_of_a_fork(any_redis: RedisServer) -> None:
    _run(_BOTH_SIDES, any_redis.url)


@pytest.mark.servers
def test_a_ready_made_client_is_refused_behind_a_fork(any_redis: RedisServer) -> None:
    _run(_CLIENT, any_redis.url)


@attrs.frozen
class Service:
    """A program that forks, and what the test needs to be its vendor and another worker."""

    process: asyncio.subprocess.Process
    vendor: OAuth2Emulator
    key: KeyRing

    def tell(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def line(self) -> list[str]:
        """Return the next line that it prints, as words."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().split(maxsplit=1)

    async def rest(self) -> list[str]:
        """Wait for its end, which has to be a good one, and return what it printed until then."""
        output, _ = await self.process.communicate()
        assert self.process.returncode == 0, output.decode()
        return output.decode().splitlines()


@pytest.fixture(params=_EVERYWHERE)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/tokens"
    server: RedisServer = request.getfixturevalue("any_redis")
    return server.url


@asynccontextmanager
async def a_service(plan: str, url: str) -> AsyncIterator[Service]:
    """Start the program, with a one-time refresh token stored for it where another process can."""
    key = KeyRing.generate()
    async with asyncio.timeout(40), OAuth2Emulator() as vendor:
        if not url.startswith("memory"):
            async with open_store(url, key=key) as store:
                scheme = RefreshToken(
                    vendor.token_url, client_id="app", client_secret="app-secret", subject="ada"
                )
                token = attrs.evolve(vendor.authorize("ada"), access_token=None, expires_in=0)
                await TokenManager(store).put(scheme, token)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-W", "ignore::DeprecationWarning", str(_PROGRAM)),
            *(plan, url, key.dump(), str(vendor.token_url)),
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield Service(process, vendor, key)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # which a child that waits for it takes for its end
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()  # its children have the pipe, too


@pytest.mark.parametrize("plan", ["in_the_middle_of_a_renewal", "in_a_thread"])
async def test_a_child_forked_during_a_renewal_leaves_it_to_its_parent(url: str, plan: str) -> None:
    async with a_service(plan, url) as service:
        hold = Hold()
        service.vendor.faults.add(hold, on="token")
        await hold.arrived.wait()
        service.tell()
        await asyncio.sleep(0.5)  # the child asks the store, and finds its parent's lease
        hold.release()
        lines = await service.rest()
        assert lines[-1] == "exit 0"
        tokens = dict(line.split() for line in lines)
        assert tokens["child"] == tokens["parent"]
        assert service.vendor.stats.token_calls == 1


async def test_a_lock_held_at_the_fork_stops_nobody_and_the_parent_hears_on(url: str) -> None:
    async with a_service("with_a_lock_held", url) as service:
        lines = await service.rest()
        assert [line.split()[0] for line in lines] == ["parent", "child", "exit", "exit", "parent"]
        assert len({line.split()[1] for line in lines if not line.startswith("exit")}) == 1
        assert lines.count("exit 0") == 2
        assert service.vendor.stats.token_calls == 1


async def test_the_parents_loop_is_refused_in_a_child(url: str) -> None:
    async with a_service("in_the_parents_loop", url) as service:
        before, child, after = await service.rest()
        assert "is the parent's: run a new one in the child" in child
        assert before == after


async def test_a_killed_parents_mark_does_not_live_on_in_its_child(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/tokens"
    async with a_service("with_a_mark_held", url) as service, open_store(url, key=service.key) as store:
        _, pid = await service.line()
        assert await store.is_held("5e" * 32, "attempt") is Liveness.ALIVE
        kill(int(pid), signal.SIGKILL)
        async with asyncio.timeout(5):
            while await store.is_held("5e" * 32, "attempt") is Liveness.ALIVE:
                await asyncio.sleep(0.01)
        assert await store.is_held("5e" * 32, "attempt") is Liveness.DEAD
        service.tell()
        assert await service.line() == ["child"]  # it was there all the time


async def test_a_memory_store_that_held_tokens_is_refused_in_a_child() -> None:
    async with a_service("memory_used", "memory://") as service:
        lines = await service.rest()
        assert any("held tokens when its process was forked" in line for line in lines)
        assert any("open_store('file:///...')" in line for line in lines)
        assert lines[-1] == "exit 1"


async def test_a_memory_store_without_tokens_begins_anew_in_a_child_and_says_so() -> None:
    async with a_service("memory_unused", "memory://") as service:
        lines = await service.rest()
        assert [line for line in lines if "each process has tokens of its own" in line]
        assert lines[-1] == "exit 0"
