"""Looks at a record that tasks share: one question to the store, and no answer from before what was done."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from asyncauth import RefreshPolicy, StoreUnavailableError, TokenManager
from asyncauth._answers import Done, Step
from asyncauth._ledger import Ledger
from asyncauth._record import Record
from asyncauth.testing import ManualClock, settle
from asyncauth_stores.memory import MemoryTokenStore
from scripted import Gate, Scripted, Troubled, issued
from worlds import Fleet

NAME = "a" * 64


@pytest.fixture
async def store() -> AsyncIterator[Troubled]:
    clock = ManualClock()
    async with Troubled(MemoryTokenStore(clock=clock), clock) as store:
        store.read_gate = Gate()
        yield store


@pytest.fixture
def ledger(store: Troubled) -> Ledger:
    return Ledger(store, store._clock, RefreshPolicy())


async def looks_at(ledger: Ledger, store: Troubled, count: int) -> list[asyncio.Task[object]]:
    """Begin looks, and return once the first one's answer is held back."""
    gate = store.read_gate
    assert gate is not None
    looks: list[asyncio.Task[object]] = [asyncio.create_task(ledger.look(NAME)) for _ in range(count)]
    await gate.arrived.wait()
    await settle()
    return looks


async def test_who_asks_while_another_asks_gets_the_same_answer(ledger: Ledger, store: Troubled) -> None:
    gate = store.read_gate
    looks = await looks_at(ledger, store, 5)
    assert gate is not None
    gate.opened.set()
    assert len({id(sighting) for sighting in await asyncio.gather(*looks)}) == 1
    assert store.calls["read"] == 1


async def test_when_who_asked_first_is_cancelled_the_others_ask(ledger: Ledger, store: Troubled) -> None:
    first, *others = await looks_at(ledger, store, 3)
    first.cancel()
    await settle()
    assert first.cancelled()
    assert all(look.done() and look.exception() is None for look in others)


async def test_each_of_those_who_share_a_failure_asks_for_itself(ledger: Ledger, store: Troubled) -> None:
    gate = store.read_gate
    assert gate is not None
    gate.wait = _fail  # type: ignore[method-assign]
    looks = [asyncio.create_task(ledger.look(NAME)) for _ in range(3)]
    first, *others = await asyncio.gather(*looks, return_exceptions=True)
    assert isinstance(first, StoreUnavailableError)
    assert not any(isinstance(other, BaseException) for other in others)


async def _fail() -> None:
    raise StoreUnavailableError("cut")


async def test_who_asks_after_a_write_gets_no_answer_from_before_it(ledger: Ledger, store: Troubled) -> None:
    gate = store.read_gate
    (early,) = await looks_at(ledger, store, 1)
    await ledger.run(NAME, lambda view: Step(answer=Done(), record=Record(era=7, written_at=view.now)))
    late = asyncio.create_task(ledger.look(NAME))
    await settle()
    assert gate is not None
    gate.opened.set()
    await early
    record = (await late).record
    assert record is not None
    assert record.era == 7


async def test_a_logout_ends_what_another_worker_stored_after_a_look_that_is_still_under_way(
    fleet: Fleet,
) -> None:
    other, scheme = fleet.manager(), Scripted()
    async with Troubled(fleet.place, fleet.clock) as store:
        manager = TokenManager(store, clock=fleet.clock)
        await manager.put(scheme, issued(1))
        await settle()
        store.read_gate = gate = Gate()
        await other.put(scheme, issued(2))  # wakes the watch, whose look is answered late
        await gate.arrived.wait()
        await fleet.clock.advance(0.01)
        await other.put(scheme, issued(3))
        forgetting = asyncio.create_task(manager.forget(scheme))
        await settle()
        gate.opened.set()
        await forgetting
    record = await fleet.record(scheme)
    assert record is not None
    assert record.entry is None
