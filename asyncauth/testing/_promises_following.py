"""The conformance suite's checks of callbacks at changes."""

import asyncio
import threading

from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing._promise import StoreCheck, StoreFactory, create, draw_name, promise, require
from asyncauth.testing._promises_waiting import MOMENT, SEVERAL, cancelled, require_end


@promise
async def changes_ring(factory: StoreFactory) -> None:
    """`follow` rings soon after another handle, or the same, creates, replaces or removes the value."""
    async with factory() as reader, factory() as other:
        for writer in (other, reader):
            name = draw_name()
            stored = await writer.read(name)
            for value in (b"created", b"replaced", None):
                looks = [asyncio.create_task(_look(reader, name, stored.version)) for _ in range(SEVERAL)]
                await asyncio.sleep(MOMENT)
                stored = await writer.write(name, value, stored)
                await require_end(looks, "a follower was not rung after a write")


@promise
async def following_misses_no_change(factory: StoreFactory) -> None:
    """A change between a read and `follow` rings at once: it compares when it is called.

    So does one that woke nobody (`wake=False`), and one right after `follow` returned.
    """
    async with factory() as reader, factory() as writer:
        name = draw_name()
        empty = await reader.read(name)
        first = await create(writer, name)
        second = await writer.write(name, b"second", first, wake=False)
        for since in (empty, first):
            await _require_ring(reader, name, since, "a change before the call of `follow` was missed")
        bell = _Bell()
        end = await reader.follow(name, second.version, bell)
        await writer.write(name, None, second)
        await require_end([bell.rings()], "a change right after `follow` returned was missed")
        end()
        await _require_ring(reader, name, second, "a removal before the call of `follow` was missed")


@promise
async def silent_writes_hide_no_later_ring(factory: StoreFactory) -> None:
    """A write with `wake=False` need not ring; the next one with `wake=True` does."""
    async with factory() as reader, factory() as writer:
        name = draw_name()
        stored = await create(writer, name)
        look = asyncio.create_task(_look(reader, name, stored.version))
        await asyncio.sleep(MOMENT)
        silent = await writer.write(name, b"silent", stored, wake=False)
        await writer.write(name, b"loud", silent)
        await require_end([look], "a follower was not rung after a write that followed a silent one")


@promise
async def a_following_rings_once(factory: StoreFactory) -> None:
    """`follow` rings at most once, in the event loop that it was called in; and not after its end."""
    async with factory() as reader, factory() as writer:
        name = draw_name()
        stored = await create(writer, name)
        ended, bell = _Bell(), _Bell()
        end_early = await reader.follow(name, stored.version, ended)
        end = await reader.follow(name, stored.version, bell)
        early = ended.count
        end_early()
        end_early()
        for value in (b"second", b"third"):
            stored = await writer.write(name, value, stored)
            await require_end([bell.rings()], "a follower was not rung after another one had ended")
            await asyncio.sleep(MOMENT)
        end()
        end()
        require(bell.count == 1, f"one following rang {bell.count} times")
        require(ended.count == early, "a following rang after its end")
        require(bell.is_here, "a following rang in another thread")


@promise
async def cancelled_followings_leave_nothing(factory: StoreFactory) -> None:
    """A cancelled `follow` ends at once, and everything works after it."""
    async with factory() as store, factory() as writer:
        name = draw_name()
        stored = await create(store, name)
        for step in range(SEVERAL):
            bell = _Bell()
            follow = asyncio.create_task(store.follow(name, stored.version, bell))
            for _ in range(step):
                await asyncio.sleep(0)
            if not await cancelled(follow):
                raise AssertionError("a call of `follow` swallowed its cancellation")
            if not follow.cancelled():
                follow.result()()
        look = asyncio.create_task(_look(store, name, stored.version))
        await asyncio.sleep(MOMENT)
        await writer.write(name, b"later", stored)
        await require_end([look], "nobody was rung any more after calls of `follow` were cancelled")


class _Bell:
    """Counts its rings."""

    def __init__(self) -> None:
        self.count = 0
        self.is_here = True
        self._rung = asyncio.Event()
        self._home = threading.get_ident()

    def __call__(self) -> None:
        self.count += 1
        self.is_here = threading.get_ident() == self._home
        self._rung.set()

    def rings(self) -> "asyncio.Task[bool]":
        return asyncio.create_task(self._rung.wait())


async def _look(store: TokenStore, name: str, since: str) -> None:
    # As every user of a store does, for it may ring for no reason.
    while (await store.read(name)).version == since:
        bell = _Bell()
        end = await store.follow(name, since, bell)
        try:
            await bell.rings()
        finally:
            end()


async def _require_ring(store: TokenStore, name: str, since: Snapshot, broken: str) -> None:
    bell = _Bell()
    end = await store.follow(name, since.version, bell)
    await require_end([bell.rings()], broken)
    end()


FOLLOWING_CHECKS: tuple[StoreCheck, ...] = (
    changes_ring,
    following_misses_no_change,
    silent_writes_hide_no_later_ring,
    a_following_rings_once,
    cancelled_followings_leave_nothing,
)
