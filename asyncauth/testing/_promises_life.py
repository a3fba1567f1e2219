"""The conformance suite's checks of holding and of closing."""

import asyncio

from asyncauth.abc import Liveness, TokenStore
from asyncauth.testing._promise import StoreCheck, StoreFactory, create, draw_name, promise, require

_LIVING = (Liveness.ALIVE, Liveness.UNKNOWN)
_SEVERAL = 20


@promise
async def holders_are_alive(factory: StoreFactory) -> None:
    """A held attempt is alive for every handle, always or (where the store cannot tell) never.

    An attempt that nobody holds, has held or holds any more is unknown: only a process that has gone is dead.
    """
    async with factory() as holder, factory() as other:
        name = draw_name()
        attempts = [draw_name()[:32] for _ in range(_SEVERAL)]
        before = await _liveness(other, name, attempts)
        async with asyncio.TaskGroup() as group:
            entered, ended = asyncio.Semaphore(0), asyncio.Event()
            for attempt in attempts:
                group.create_task(_hold(holder, name, attempt, entered, ended))
            for _ in attempts:
                await entered.acquire()
            during = [await _liveness(store, name, attempts) for store in (holder, other)]
            ended.set()
        after = await _liveness(other, name, attempts)
    require(before == after == {Liveness.UNKNOWN}, "an attempt that nobody holds is not unknown")
    require(during[0] == during[1], "two handles disagree about who is held")
    require(len(during[0]) == 1, "some held attempts are alive and some are not")
    require(during[0] <= set(_LIVING), "a held attempt is dead")


@promise
async def holds_end_with_their_context(factory: StoreFactory) -> None:
    """An attempt is not held any more after an error or a cancellation in its context."""
    async with factory() as store:
        name, failed, cancelled = draw_name(), draw_name()[:32], draw_name()[:32]
        try:
            async with store.hold(name, failed):
                raise InterruptedError  # noqa: TRY301 - the error is the case
        except InterruptedError:
            pass
        for step in range(_SEVERAL):
            hold = asyncio.create_task(_hold(store, name, cancelled, asyncio.Semaphore(0), asyncio.Event()))
            await asyncio.sleep(step * 0.0005)
            hold.cancel()
            await asyncio.wait([hold])
        left = await _liveness(store, name, [failed, cancelled])
    require(left == {Liveness.UNKNOWN}, "an attempt is held although its context has ended")


@promise
async def closing_ends_its_users_first(factory: StoreFactory) -> None:
    """`aclose` awaits what `on_close` was given, while the store still works; again, it does nothing."""
    async with factory() as store:
        name = draw_name()
        stored = await create(store, name)
        seen: list[bool] = []

        async def closer() -> None:
            seen.append((await store.read(name)).version == stored.version)

        store.on_close(closer)
        await store.aclose()
        await store.aclose()
    require(bool(seen), "`aclose` did not await what `on_close` was given")
    require(seen == [True], "the store did not work until its users had ended, or they were ended twice")


@promise
async def closing_disturbs_nobody_else(factory: StoreFactory) -> None:
    """What was written stays when its handle is closed, and other handles go on working."""
    async with factory() as other:
        name = draw_name()
        async with factory() as store:
            stored = await create(store, name)
        found = await other.read(name)
        require(found.version == stored.version, "a value went with the handle that wrote it")
        await other.write(name, b"second", found)


async def _hold(
    store: TokenStore, name: str, attempt: str, entered: asyncio.Semaphore, ended: asyncio.Event
) -> None:
    async with store.hold(name, attempt):
        entered.release()
        await ended.wait()


async def _liveness(store: TokenStore, name: str, attempts: list[str]) -> set[Liveness]:
    return {await store.is_held(name, attempt) for attempt in attempts}


LIFE_CHECKS: tuple[StoreCheck, ...] = (
    holders_are_alive,
    holds_end_with_their_context,
    closing_ends_its_users_first,
    closing_disturbs_nobody_else,
)
