"""What `MemoryTokenStore` does beyond the conformance suite: a manual clock, threads, several loops."""

import asyncio
import threading

import pytest

from asyncauth._errors import WriteConflictError
from asyncauth.testing import ManualClock, settle
from asyncauth.testing._promise import create, listed
from asyncauth_stores.memory import MemoryTokenStore


async def put(store: MemoryTokenStore, value: bytes, keep: float | None = None) -> str:
    written = await store.write("name", value, await store.read("name"), keep=keep)
    return written.version


async def test_its_clock_is_the_given_one() -> None:
    clock = ManualClock(start=1_700_000_000.25)
    store = MemoryTokenStore(clock=clock)
    assert (await store.read("name")).now == 1_700_000_000_250
    await clock.advance(1.5)
    assert (await store.read("name")).now == 1_700_000_001_750


async def test_a_wait_ends_when_its_clock_has_moved_past_the_timeout() -> None:
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    wait = asyncio.create_task(store.changed("name", "", 5))
    await clock.advance(4.9)
    assert not wait.done()
    await clock.advance(0.2)
    assert wait.done()
    await wait


async def test_a_value_is_kept_to_the_end_of_its_time_and_no_longer() -> None:
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    version = await put(store, b"value", keep=10)
    clock.step(9.999)
    assert (await store.read("name")).version == version
    clock.step(0.001)
    assert await listed(store) == []
    assert (await store.read("name")).value is None


async def test_a_wall_clock_that_steps_drops_nothing() -> None:
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    await put(store, b"value", keep=10)
    clock.step_wall(3600)
    assert (await store.read("name")).value == b"value"


async def test_a_write_wakes_those_who_wait_for_its_name_and_nobody_else() -> None:
    store = MemoryTokenStore(clock=ManualClock())
    waits = {name: asyncio.create_task(store.changed(name, "", 5)) for name in ("name", "other")}
    await settle()
    await put(store, b"value")
    await settle()
    assert waits["name"].done()
    assert not waits["other"].done()
    waits["other"].cancel()


async def test_a_silent_write_wakes_nobody() -> None:
    store = MemoryTokenStore(clock=ManualClock())
    wait = asyncio.create_task(store.changed("name", "", 5))
    await settle()
    await store.write("name", b"value", await store.read("name"), wake=False)
    await settle()
    assert not wait.done()
    wait.cancel()


async def test_no_value_is_shown() -> None:
    store = MemoryTokenStore()
    await put(store, b"secret")
    assert "secret" not in repr(vars(store))


def test_it_is_made_without_a_loop_and_used_in_several_one_after_the_other() -> None:
    store = MemoryTokenStore()
    version = asyncio.run(put(store, b"value"))
    assert asyncio.run(store.read("name")).version == version


def test_a_write_in_one_loop_wakes_a_wait_in_another_loop_of_another_thread() -> None:
    store = MemoryTokenStore()
    waiting = threading.Event()

    async def wait() -> None:
        async with asyncio.timeout(10):
            task = asyncio.create_task(store.changed("name", "", 60))
            await asyncio.sleep(0)
            waiting.set()
            await task

    thread = threading.Thread(target=asyncio.run, args=(wait(),))
    thread.start()
    assert waiting.wait(10)
    asyncio.run(put(store, b"value"))
    thread.join(10)
    assert not thread.is_alive()


def test_a_wait_that_its_loop_abandoned_disturbs_no_write() -> None:
    store = MemoryTokenStore()
    loop = asyncio.new_event_loop()
    wait = loop.create_task(store.changed("name", "", 60))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert asyncio.run(put(store, b"value"))
    wait._log_destroy_pending = False  # type: ignore[attr-defined]  # the abandoned task is the case


@pytest.mark.parametrize("threads", [2, 4])
def test_no_update_of_several_threads_is_lost(threads: int) -> None:
    store = MemoryTokenStore()

    async def increment(left: int) -> None:
        while left:
            found = await store.read("name")
            try:
                await store.write("name", b"%d" % (int(found.value or 0) + 1), found)
                left -= 1
            except WriteConflictError:
                await asyncio.sleep(0)

    workers = [threading.Thread(target=lambda: asyncio.run(increment(50))) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert asyncio.run(store.read("name")).value == b"%d" % (50 * threads)


def test_who_waited_in_a_loop_that_was_closed_is_forgotten_at_the_next_change() -> None:
    store = MemoryTokenStore()
    closed = asyncio.new_event_loop()
    end = closed.run_until_complete(store.follow("aa", "", lambda: None))
    closed.close()
    with asyncio.Runner() as runner:
        runner.run(create(store, "aa"))
    assert not store._waiters.names()
    end()
