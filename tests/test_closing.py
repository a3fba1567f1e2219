"""Ending workers, stores and loops: what is under way is drained, once, and nothing stays open."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncauth import AuthSession, ClosedError, RefreshPolicy, TokenGivenUp, TokenManager
from asyncauth._worker import Worker
from asyncauth.testing import ManualClock, settle
from asyncauth.testing.emulators import Hold
from asyncauth_stores.file import PlainFileStore
from asyncauth_stores.memory import MemoryTokenStore
from scripted import Gate, Scripted, Troubled, issued
from worlds import Fleet, Handle, handle_of, text_of, worker_of

HASTY = RefreshPolicy(request_timeout=0.2, store_timeout=0.1)


@pytest.fixture
async def hold(fleet: Fleet) -> AsyncIterator[Hold]:
    """The vendor's token endpoint hangs until it is released."""
    hold = Hold()
    fleet.vendor.faults.add(hold, on="token")
    yield hold
    hold.release()


async def test_closing_twice_waits_twice_for_what_was_sent(fleet: Fleet, hold: Hold) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    renewing = asyncio.create_task(manager.token(scheme))
    await hold.arrived.wait()
    closing = [asyncio.create_task(worker_of(manager).aclose()) for _ in range(2)]
    await settle()
    assert not any(task.done() for task in closing)
    hold.release()
    await asyncio.gather(*closing)
    assert await renewing == await other.token(scheme)
    assert fleet.vendor.stats.token_calls == 1


async def test_closing_a_store_twice_waits_twice_for_what_was_sent(fleet: Fleet, hold: Hold) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    renewing = asyncio.create_task(manager.token(scheme))
    await hold.arrived.wait()
    closing = [asyncio.create_task(handle_of(manager).aclose()) for _ in range(2)]
    await settle()
    assert not any(task.done() for task in closing)
    hold.release()
    await asyncio.gather(*closing)
    assert text_of(await renewing)


async def test_a_closing_that_is_cancelled_goes_on_and_can_be_waited_for(fleet: Fleet, hold: Hold) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    renewing = asyncio.create_task(manager.token(scheme))
    await hold.arrived.wait()
    store, client = handle_of(manager), worker_of(manager).means.client()
    closing = asyncio.create_task(store.aclose())
    await settle()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert not client.closed
    again = asyncio.create_task(store.aclose())
    await settle()
    assert not again.done()
    hold.release()
    await again
    assert client.closed
    assert renewing.done()
    assert await renewing == await other.token(scheme)


async def test_a_closing_that_the_end_of_its_loop_interrupts_is_finished_there(
    fleet: Fleet, hold: Hold
) -> None:
    place, scheme, sent, workers = MemoryTokenStore(), fleet.service(), threading.Event(), list[Worker]()

    async def leave() -> None:
        manager = TokenManager(place)
        renewing = asyncio.create_task(manager.token(scheme))
        await asyncio.to_thread(sent.wait)
        workers.append(manager.worker)
        closing = asyncio.create_task(place.aclose())
        await settle()
        assert not closing.done()
        assert not renewing.done()

    leaving = asyncio.create_task(asyncio.to_thread(asyncio.run, leave()))
    await hold.arrived.wait()
    sent.set()
    await asyncio.wait([leaving], timeout=0.05)
    assert not leaving.done()
    hold.release()
    await leaving
    assert workers[0]._client is not None
    assert workers[0]._client.closed
    assert (await place.read(place.name(scheme.key))).value is not None


@pytest.mark.parametrize("replicas", [True, False], ids=["its answer is awaited", "it awaits replicas"])
async def test_closing_gives_back_a_lease_that_was_not_used_yet(fleet: Fleet, *, replicas: bool) -> None:
    store = Troubled(fleet.place, fleet.clock)
    manager, scheme, gate = TokenManager(store, clock=fleet.clock), fleet.user(), Gate()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    fleet.clock.step(3600)
    if replicas:
        store.write_gate = gate
    else:
        store.alone, store.after_write = True, gate.arrived.set
    renewing = asyncio.create_task(manager.token(scheme))
    await gate.arrived.wait()
    await settle()
    record = await fleet.record(scheme)
    assert record is not None
    assert record.lease is not None
    await store.aclose()
    with pytest.raises(ClosedError):
        await renewing
    record = await fleet.record(scheme)
    assert record is not None
    assert (record.lease, record.intent) == (None, None)
    assert fleet.vendor.stats.token_calls == 0


async def test_a_put_that_a_closing_overtakes_leaves_no_watch(fleet: Fleet) -> None:
    store = Troubled(fleet.place, fleet.clock)
    manager, scheme = TokenManager(store, clock=fleet.clock), Scripted()
    worker, store.write_gate = manager.worker, Gate()
    gate = store.write_gate
    putting = asyncio.create_task(manager.put(scheme, issued(1)))
    await gate.arrived.wait()
    await worker.aclose()
    gate.opened.set()
    await putting
    assert worker.slot(scheme).watch is None


async def test_a_session_that_outlives_its_store_says_so_and_leaves_no_task_that_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = PlainFileStore(tmp_path)
    scheme = Scripted()
    manager = TokenManager(store)
    await manager.token(scheme)
    await store.aclose()
    with pytest.raises(ClosedError, match="file store was closed"):
        await TokenManager(store).token(scheme)
    await settle()
    gc.collect()
    assert not [record.getMessage() for record in caplog.records if record.name == "asyncio"]


async def test_a_commit_that_is_cancelled_in_its_pause_is_told_of(fleet: Fleet, hold: Hold) -> None:
    manager, scheme = fleet.manager(HASTY), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    fleet.clock.step(3600)
    renewing = asyncio.create_task(manager.token(scheme))
    await hold.arrived.wait()
    handle = handle_of(manager)
    handle.away = True
    before = handle.calls["write"]
    hold.release()
    while handle.calls["write"] == before:
        await asyncio.sleep(0.001)
    await settle()  # it pauses now
    await worker_of(manager).aclose()
    assert [type(event) for event in fleet.events].count(TokenGivenUp) == 1
    assert renewing.done()
    await asyncio.gather(renewing, return_exceptions=True)


async def test_fifty_short_sessions_leave_nothing_on_their_store() -> None:
    async with MemoryTokenStore() as store:
        workers: list[Worker] = []
        for _ in range(50):
            async with TokenManager(store) as manager, AuthSession(Scripted(), manager):
                workers.append(worker_of(manager))
                await manager.token(Scripted())
        kept = vars(store)["_asyncauth_workers"]
        assert len(kept) <= 1
        assert len(vars(store)["_closers"]) <= 1
        assert all(worker.closed for worker in workers[:-1])
    assert all(worker.closed for worker in workers)


@contextmanager
def a_running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        if loop.is_running():
            loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(settle())
        loop.close()


async def _use(manager: TokenManager, scheme: Scripted) -> Worker:
    await manager.token(scheme)
    return worker_of(manager)


def _in(loop: asyncio.AbstractEventLoop, manager: TokenManager, scheme: Scripted) -> Worker:
    running: Future[Worker] = asyncio.run_coroutine_threadsafe(_use(manager, scheme), loop)
    return running.result(5)


def test_one_manager_serves_two_loops_and_the_store_ends_the_workers_of_both() -> None:
    store = MemoryTokenStore()
    manager, scheme = TokenManager(store), Scripted()
    with a_running_loop() as one, a_running_loop() as other:
        workers = [_in(loop, manager, scheme) for loop in (one, other, one)]
        assert workers[0] is workers[2]
        assert workers[0] is not workers[1]
        assert scheme.calls == 1
        asyncio.run_coroutine_threadsafe(store.aclose(), one).result(5)
        assert all(worker.closed for worker in workers)


def test_a_loop_that_stopped_does_not_hold_up_the_end_of_the_store() -> None:
    store = MemoryTokenStore()
    manager = TokenManager(store, policy=HASTY)
    with a_running_loop() as one, a_running_loop() as other:
        workers = [_in(loop, manager, Scripted()) for loop in (one, other)]
        other.call_soon_threadsafe(other.stop)
        asyncio.run_coroutine_threadsafe(store.aclose(), one).result(5)
        assert workers[0].closed
        assert not other.is_running()


async def test_a_clock_of_its_own_needs_no_store_of_its_own() -> None:
    clock = ManualClock()
    async with MemoryTokenStore(clock=clock) as store:
        assert TokenManager(store, clock=clock).worker is TokenManager(store).worker


class Pooled(Handle):
    """A store as somebody writes one, whose waits give a connection back in the end."""

    lent = 0

    async def changed(self, name: str, since: str, timeout: float) -> None:
        self.lent += 1
        try:
            await super().changed(name, since, timeout)
        finally:
            await asyncio.sleep(0.01)
            self.lent -= 1


async def test_closing_a_store_waits_until_its_followings_have_given_back_what_is_its() -> None:
    clock = ManualClock()
    store = Pooled(MemoryTokenStore(clock=clock), clock)
    await TokenManager(store, clock=clock).token(Scripted())
    await settle()
    assert store.lent == 1
    await store.aclose()
    assert store.lent == 0
