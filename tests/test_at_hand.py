"""What a manager hands out without asking anybody: only what would be handed out if it asked."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from asyncauth import Token, TokenManager
from asyncauth_stores.memory import MemoryTokenStore
from scripted import Scripted
from worlds import Fleet, a_held_renewal, handle_of, text_of, worker_of

_T = TypeVar("_T")


async def test_another_loops_token_is_not_at_hand_once_this_one_has_stored_or_dropped_it() -> None:
    manager, scheme = TokenManager(MemoryTokenStore()), Scripted()
    other = asyncio.Runner()
    with ThreadPoolExecutor(1) as thread:
        await manager.__aenter__()

        def elsewhere(job: Coroutine[Any, Any, _T]) -> _T:
            # This loop stands still meanwhile: nothing tells it of what is done there.
            return thread.submit(other.run, job).result()

        elsewhere(manager.__aenter__())
        assert text_of(await manager.token(scheme)) == "t1"
        elsewhere(manager.put(scheme, Token(access_token="stored", expires_in=3600)))
        assert text_of(await manager.token(scheme)) == "t1"
        assert text_of(elsewhere(manager.token(scheme))) == "stored"
        elsewhere(manager.forget(scheme))
        assert text_of(elsewhere(manager.token(scheme))) == "t2"
        elsewhere(manager.aclose())
        thread.submit(other.close).result()
    await manager.aclose()


async def test_a_token_at_hand_that_lives_too_short_is_renewed(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    first = await manager.token(scheme)
    assert await manager.token(scheme) is first
    await fleet.clock.advance(1800)
    assert await manager.token(scheme, min_ttl=600) is first
    assert await manager.token(scheme, min_ttl=3000) != first


async def test_a_token_at_hand_that_is_over_is_renewed_also_for_a_deadline_in_the_past(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    first = await manager.token(scheme)
    await fleet.clock.advance(4000)
    assert await manager.token(scheme, min_ttl=-1000) != first


async def test_a_token_at_hand_is_gone_once_it_is_refused_forgotten_or_replaced(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    first = await manager.token(scheme)
    await fleet.clock.advance(1800)
    worker = worker_of(manager)
    used = worker.slot(scheme).held
    assert used is not None
    worker.refuse(worker.slot(scheme), used)
    second = await manager.token(scheme)
    assert second != first
    await manager.put(scheme, Token(access_token="third", expires_in=3600))
    assert text_of(await manager.token(scheme)) == "third"
    await manager.forget(scheme)
    assert text_of(await manager.token(scheme)) not in {"third", text_of(first), text_of(second)}


async def test_a_closed_managers_token_is_not_at_hand(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    async with manager:
        await manager.token(scheme)
    await other.forget(scheme)
    new = await other.token(scheme)

    assert await manager.token(scheme) == new


async def test_what_lands_while_its_worker_closes_is_not_at_hand_afterwards(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    closing = asyncio.create_task(handle_of(manager).aclose())
    await asyncio.sleep(0.01)
    assert not closing.done()
    hold.release()
    assert text_of(await renewing)
    await closing
    await other.put(scheme, Token(access_token="stored", expires_in=3600))
    assert text_of(await manager.token(scheme)) == "stored"


def test_a_token_of_a_loop_that_stands_still_is_not_at_hand_in_another_one() -> None:
    store, scheme = MemoryTokenStore(), Scripted()
    manager, other = TokenManager(store), TokenManager(store)
    with asyncio.Runner() as ended, asyncio.Runner() as runner:
        assert text_of(ended.run(manager.token(scheme))) == "t1"
        runner.run(other.put(scheme, Token(access_token="stored", expires_in=3600)))
        assert text_of(runner.run(manager.token(scheme))) == "stored"
