"""One store object in several event loops: one after the other, and in threads at the same time."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import attrs
import pytest

from asyncauth import AuthSession, ConfigurationError, RefreshPolicy, TokenManager, open_store
from asyncauth.abc import TokenStore
from asyncauth.schemes import ClientCredentials, RefreshToken
from asyncauth.testing.emulators import Hold, OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from redis_servers import RedisServer
from scripted import Scripted
from worlds import text_of

pytestmark = pytest.mark.slow

EVERYWHERE = ["memory", "file", pytest.param("redis", marks=pytest.mark.servers)]
# After a lost answer a renewal is quiet for longer than the end of a loop may take.
HASTY = RefreshPolicy(request_timeout=0.3, quiet=8)


@pytest.fixture(params=EVERYWHERE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TokenStore]:
    """A store that was made without a loop, as at import time, and is closed by a loop of its own."""
    urls = {"memory": "memory://", "file": f"file://{tmp_path}/tokens"}
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("any_redis")
        urls["redis"] = server.url
    store = open_store(
        urls[request.param], **({} if request.param == "memory" else {"key": KeyRing.generate()})
    )
    yield store
    closing = threading.Thread(target=asyncio.run, args=(store.aclose(),))
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    gc.collect()  # what was not closed would say so now


@pytest.fixture
async def vendor() -> AsyncIterator[OAuth2Emulator]:
    async with OAuth2Emulator() as vendor:
        yield vendor


def service(vendor: OAuth2Emulator) -> ClientCredentials:
    return ClientCredentials(vendor.token_url, client_id="app", client_secret="app-secret")


def user(vendor: OAuth2Emulator) -> RefreshToken:
    return RefreshToken(vendor.token_url, client_id="app", client_secret="app-secret", subject="ada")


def test_a_store_serves_one_loop_after_the_other(store: TokenStore) -> None:
    manager, scheme = TokenManager(store), Scripted()
    for _ in range(3):
        assert text_of(asyncio.run(manager.token(scheme))) == "t1"
        gc.collect()
    assert len(vars(store)["_asyncauth_workers"]) == 1
    assert scheme.calls == 1


def _new_loop(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    return asyncio.new_event_loop if kind == "asyncio" else pytest.importorskip("uvloop").new_event_loop


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
async def test_loops_of_four_threads_share_one_renewal(
    store: TokenStore, vendor: OAuth2Emulator, kind: str
) -> None:
    manager, scheme, hold = TokenManager(store), service(vendor), Hold()
    vendor.faults.add(hold, on="token")

    def ask() -> str:
        with asyncio.Runner(loop_factory=_new_loop(kind)) as runner:
            return text_of(runner.run(manager.token(scheme)))

    threads = [asyncio.create_task(asyncio.to_thread(ask)) for _ in range(4)]
    async with asyncio.timeout(10):
        await hold.arrived.wait()
        await asyncio.sleep(0.1)  # the others have found the lease by now, as a rule
        hold.release()
        assert len(set(await asyncio.gather(*threads))) == 1
    assert vendor.stats.token_calls == 1


async def test_a_write_in_one_thread_wakes_the_loop_of_another(store: TokenStore) -> None:
    name = "5e" * 32
    listening = threading.Event()

    async def wait() -> bytes | None:
        found = await store.read(name)
        listening.set()
        while found.value is None:
            await store.changed(name, found.version, 5)
            found = await store.read(name)
        return found.value

    async with asyncio.timeout(10):
        waiting = asyncio.create_task(asyncio.to_thread(asyncio.run, wait()))
        await asyncio.to_thread(listening.wait)
        await store.write(name, b"news", await store.read(name))
        async with asyncio.timeout(2):
            assert await waiting == b"news"
    await store.aclose()


async def test_a_manager_that_is_closed_in_one_loop_goes_on_in_another(store: TokenStore) -> None:
    manager, scheme = TokenManager(store), Scripted()

    async def visit() -> None:
        async with manager:
            await manager.token(scheme)

    async with manager:
        worker = manager.worker
        await manager.token(scheme)
        await asyncio.to_thread(asyncio.run, visit())
        assert not worker.closed
        assert manager.worker is worker
    assert worker.closed
    assert scheme.calls == 1
    await store.aclose()


async def test_a_session_of_another_loop_is_refused_by_name() -> None:
    async with open_store("memory://") as store, AuthSession(Scripted(), store) as session:

        async def stray() -> None:
            async with session.get("/x"):
                pass

        with pytest.raises(ConfigurationError, match="another event loop, .* make one here"):
            await asyncio.to_thread(asyncio.run, stray())


async def test_a_client_of_another_loop_is_refused_by_name() -> None:
    async with open_store("memory://") as store, aiohttp.ClientSession() as client:
        manager = TokenManager(store, client=client)
        await manager.token(Scripted())
        with pytest.raises(ConfigurationError, match="client session is one event loop's"):
            await asyncio.to_thread(asyncio.run, manager.token(Scripted()))


async def _leave(manager: TokenManager, scheme: RefreshToken, sent: threading.Event) -> None:
    """Begin a renewal, and end without waiting for it once it was sent."""
    renewing = asyncio.create_task(manager.token(scheme))
    await asyncio.to_thread(sent.wait)
    assert not renewing.done()


@asynccontextmanager
async def _a_loop_that_leaves(
    vendor: OAuth2Emulator, policy: RefreshPolicy
) -> AsyncIterator[tuple[TokenManager, Hold, asyncio.Task[None]]]:
    """Have a loop end in another thread while a one-time refresh token is with the vendor."""
    async with asyncio.timeout(10), open_store("memory://") as store:
        manager, sent, hold = TokenManager(store, policy=policy), threading.Event(), Hold()
        await manager.put(
            user(vendor), attrs.evolve(vendor.authorize("ada"), access_token=None, expires_in=0)
        )
        vendor.faults.add(hold, on="token")
        leave = _leave(manager, user(vendor), sent)
        leaving = asyncio.create_task(asyncio.to_thread(asyncio.run, leave))
        await hold.arrived.wait()
        sent.set()
        try:
            yield manager, hold, leaving
        finally:
            hold.release()


async def test_a_loop_that_ends_stores_what_the_vendor_still_issues(vendor: OAuth2Emulator) -> None:
    async with _a_loop_that_leaves(vendor, RefreshPolicy()) as (manager, hold, leaving):
        await asyncio.wait([leaving], timeout=0.05)
        assert not leaving.done()
        hold.release()
        await leaving
        assert text_of(await manager.token(user(vendor)))
    assert (vendor.stats.token_calls, vendor.stats.families_revoked) == (1, 0)


async def test_a_loop_that_ends_waits_no_longer_than_for_one_request(vendor: OAuth2Emulator) -> None:
    async with _a_loop_that_leaves(vendor, HASTY) as (_, _, leaving):
        async with asyncio.timeout(HASTY.request_timeout + 1):
            await leaving
