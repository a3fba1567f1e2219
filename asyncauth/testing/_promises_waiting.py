"""The conformance suite's checks of the clock, of waiting and of cancellation."""

import asyncio
from collections.abc import Iterable
from typing import Any

from asyncauth._errors import WriteConflictError
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing._promise import (
    PATIENCE,
    StoreCheck,
    StoreFactory,
    create,
    draw_name,
    listed,
    promise,
    require,
    require_stored,
)

# A store pushes, or looks every 20 to 50 ms (PROTOCOL 8); the rest is for a machine that is busy.
_PROMPT = 2.0
_LONG = 60.0
MOMENT = 0.05
SEVERAL = 20
_EARLIEST, _LATEST = 1_000_000_000_000, 10_000_000_000_000


@promise
async def the_clock_goes_forward(factory: StoreFactory) -> None:
    """Every snapshot has the store's clock, in milliseconds since 1970, the same for all handles."""
    async with factory() as store, factory() as other:
        name = draw_name()
        times = [(await store.read(name)).now, (await create(store, name)).now, (await other.read(name)).now]
        await asyncio.sleep(MOMENT)
        times += [(await other.read(name)).now, (await store.read(name)).now]
    require(all(_EARLIEST < now < _LATEST for now in times), "the clock is not in milliseconds since 1970")
    require(times == sorted(times), "the clock went back between two operations")
    passed = times[3] - times[2]
    require(MOMENT * 900 <= passed <= PATIENCE * 1000, f"{MOMENT * 1000:g} ms are {passed} on the clock")


@promise
async def changes_wake(factory: StoreFactory) -> None:
    """`changed` returns soon after another handle creates, replaces or removes the value."""
    async with factory() as reader, factory() as writer:
        name = draw_name()
        stored = await writer.read(name)
        for value in (b"created", b"replaced", None):
            waits = [asyncio.create_task(_wait(reader, name, stored.version)) for _ in range(SEVERAL)]
            await asyncio.sleep(MOMENT)
            stored = await writer.write(name, value, stored)
            await require_end(waits, "a waiter slept on after another handle's write")


@promise
async def own_changes_wake(factory: StoreFactory) -> None:
    """`changed` returns soon after a write on the same handle, too."""
    async with factory() as store:
        name = draw_name()
        stored = await create(store, name)
        wait = asyncio.create_task(_wait(store, name, stored.version))
        await asyncio.sleep(MOMENT)
        await store.write(name, b"second", stored)
        await require_end([wait], "a waiter slept on after a write on its own handle")


@promise
async def no_change_is_missed(factory: StoreFactory) -> None:
    """A change between a read and `changed` ends the wait at once: it compares when it is called.

    So does one that woke nobody (`wake=False`).
    """
    async with factory() as reader, factory() as writer:
        name = draw_name()
        empty = await reader.read(name)
        first = await create(writer, name)
        second = await writer.write(name, b"second", first, wake=False)
        for since in (empty, first):
            wait = asyncio.create_task(reader.changed(name, since.version, _LONG))
            await require_end([wait], "a change before the call of `changed` was missed")
        third = await writer.write(name, None, second)
        wait = asyncio.create_task(reader.changed(name, second.version, _LONG))
        await require_end([wait], "a removal before the call of `changed` was missed")
        require(third.version == "", "a removal has a version")


@promise
async def silent_writes_hide_no_loud_one(factory: StoreFactory) -> None:
    """A write with `wake=False` need not end a wait; the next one with `wake=True` does."""
    async with factory() as reader, factory() as writer:
        name = draw_name()
        stored = await create(writer, name)
        wait = asyncio.create_task(_wait(reader, name, stored.version))
        await asyncio.sleep(MOMENT)
        silent = await writer.write(name, b"silent", stored, wake=False)
        await writer.write(name, b"loud", silent)
        await require_end([wait], "a waiter slept on after a write that followed a silent one")


@promise
async def waits_end(factory: StoreFactory) -> None:
    """`changed` returns without an error when its time is over, also for nothing and for no time."""
    async with factory() as store:
        name = draw_name()
        for stored in (await store.read(name), await create(store, name)):
            for timeout in (0.0, MOMENT):
                wait = asyncio.create_task(store.changed(name, stored.version, timeout))
                await require_end([wait], f"a wait of {timeout:g} s did not end")


@promise
async def cancelled_waits_leave_nothing(factory: StoreFactory) -> None:
    """A cancelled `changed` ends at once, and everything works after it."""
    async with factory() as store, factory() as writer:
        name = draw_name()
        stored = await create(store, name)
        for pause in (0.0, MOMENT):
            waits = [asyncio.create_task(_wait(store, name, stored.version)) for _ in range(SEVERAL)]
            await asyncio.sleep(pause)
            require(all([await cancelled(wait) for wait in waits]), "a wait swallowed its cancellation")
            wait = asyncio.create_task(_wait(store, name, stored.version))
            await asyncio.sleep(MOMENT)
            stored = await writer.write(name, b"later", stored)
            await require_end([wait], "nobody was woken any more after waits were cancelled")
            await require_stored(store, name, stored, "a read after a cancelled wait is wrong")


@promise
async def cancelled_writes_are_whole(factory: StoreFactory) -> None:
    """Cancellation at a write leaves the old value or the new one, never half, and nothing locked."""
    async with factory() as store, factory() as other:
        name = draw_name()
        old = await create(store, name)
        for step in range(SEVERAL):
            value = b"%d " % step * 10_000
            write = asyncio.create_task(store.write(name, value, old))
            await _steps(step)
            await cancelled(write)
            found = await other.read(name)
            wanted = old.value if found.version == old.version else value
            require(found.value == wanted, "a cancelled write left a value that is neither old nor new")
            old = await _settled_write(other, name, value)


@promise
async def cancelled_reads_leave_nothing(factory: StoreFactory) -> None:
    """Cancellation at a read or a listing leaves a handle that works."""
    async with factory() as store:
        name = draw_name()
        stored = await create(store, name)
        for step in range(SEVERAL):
            read = asyncio.create_task(store.read(name))
            names = asyncio.create_task(listed(store))
            await _steps(step)
            await cancelled(read)
            await cancelled(names)
            await require_stored(store, name, stored, "a read after a cancelled one is wrong")


async def _wait(store: TokenStore, name: str, since: str) -> None:
    # As every user of a store does, for `changed` may return too early.
    while (await store.read(name)).version == since:
        await store.changed(name, since, _LONG)
        await asyncio.sleep(0)


async def require_end(waits: Iterable[asyncio.Task[Any]], broken: str) -> None:
    """Require that all of them end soon."""
    try:
        async with asyncio.timeout(_PROMPT):
            await asyncio.gather(*waits)
    except TimeoutError:
        raise AssertionError(f"{broken} (for {_PROMPT:g} s)") from None


async def cancelled(task: asyncio.Task[Any]) -> bool:
    """Cancel a task, and tell whether that was the end of it."""
    finished = task.done()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=_PROMPT)
    require(bool(done), f"a cancelled operation went on for {_PROMPT:g} s")
    return finished or task.cancelled()


async def _steps(count: int) -> None:
    # First at each switch between tasks, then in the middle of what threads and servers do.
    for _ in range(count):
        await asyncio.sleep(0 if count < SEVERAL // 2 else 0.0002)


async def _settled_write(store: TokenStore, name: str, value: bytes) -> Snapshot:
    # A cancelled write may still take effect for a moment: a thread or a server has it.
    await asyncio.sleep(MOMENT / 10)
    snapshot = await store.read(name)
    while True:
        try:
            return await store.write(name, value, snapshot)
        except WriteConflictError as error:
            snapshot = error.snapshot


WAITING_CHECKS: tuple[StoreCheck, ...] = (
    the_clock_goes_forward,
    changes_wake,
    own_changes_wake,
    no_change_is_missed,
    silent_writes_hide_no_loud_one,
    waits_end,
    cancelled_waits_leave_nothing,
    cancelled_writes_are_whole,
    cancelled_reads_leave_nothing,
)
