"""A store that goes wrong as a test says, and keeps every promise as long as no test says anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest

from asyncauth import NotReplicatedError, StoreUnavailableError, WriteConflictError
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing import (
    STORE_CHECKS,
    FaultyTokenStore,
    ManualClock,
    StoreAnswerLost,
    StoreChangeMissed,
    StoreCheck,
    StoreDelay,
    StoreFreeze,
    StoreRefusal,
    StoreReplicaMissing,
    settle,
)
from asyncauth_stores.memory import MemoryTokenStore

NAME = "0" * 64


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> FaultyTokenStore:
    return FaultyTokenStore(MemoryTokenStore(clock=clock), clock=clock)


async def _write(store: TokenStore, *values: bytes | None) -> None:
    for value in values:
        await store.write(NAME, value, await store.read(NAME))


def _timeless(snapshot: Snapshot) -> Snapshot:
    return attrs.evolve(snapshot, now=0)


@pytest.mark.slow
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_without_faults_it_keeps_every_promise(check: StoreCheck) -> None:
    places: dict[str, FaultyTokenStore] = {}

    @asynccontextmanager
    async def open_twin(namespace: str = "asyncauth") -> AsyncIterator[TokenStore]:
        place = places.setdefault(namespace, FaultyTokenStore(MemoryTokenStore(namespace)))
        async with place.twin() as twin:
            yield twin

    await check(open_twin)


@pytest.mark.slow
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_after_a_fail_over_it_keeps_every_promise(check: StoreCheck) -> None:
    places: dict[str, FaultyTokenStore] = {}

    @asynccontextmanager
    async def open_twin(namespace: str = "asyncauth") -> AsyncIterator[TokenStore]:
        place = places.get(namespace)
        if place is None:
            place = places[namespace] = FaultyTokenStore(MemoryTokenStore(namespace))
            await place.roll_back()
        async with place.twin() as twin:
            yield twin

    await check(open_twin)


async def test_a_refused_write_does_not_take_effect_and_the_next_one_does(store: FaultyTokenStore) -> None:
    store.faults.add(StoreRefusal(), on="write")
    with pytest.raises(StoreUnavailableError, match="refused"):
        await _write(store, b"one")
    assert (await store.read(NAME)).value is None

    await _write(store, b"one")
    assert (await store.read(NAME)).value == b"one"
    assert store.faults.struck == 1


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_write_whose_answer_is_lost_took_effect(store: FaultyTokenStore, *, hangs: bool) -> None:
    store.faults.add(StoreAnswerLost(hangs=hangs), on="write")
    task = asyncio.create_task(_write(store, b"one"))
    await settle()

    assert task.done() is not hangs
    assert (await store.read(NAME)).value == b"one"
    task.cancel()
    with pytest.raises(asyncio.CancelledError if hangs else StoreUnavailableError):
        await task


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_delay_is_before_or_after_the_effect(
    store: FaultyTokenStore, clock: ManualClock, when: str
) -> None:
    store.faults.add(StoreDelay(2.0, when="before" if when == "before" else "after"), on="write")
    task = asyncio.create_task(_write(store, b"one"))
    await clock.advance(1.9)
    assert not task.done()
    assert ((await store.read(NAME)).value is None) == (when == "before")

    await clock.advance(0.2)
    assert task.done()


async def test_a_frozen_store_goes_on_when_it_is_released(store: FaultyTokenStore) -> None:
    freeze = StoreFreeze()
    store.faults.add(freeze, times=None)
    tasks = [asyncio.create_task(store.read(NAME)) for _ in range(3)]
    await freeze.arrived.wait()
    await settle()
    assert not any(task.done() for task in tasks)

    freeze.release()
    assert [snapshot.value for snapshot in await asyncio.gather(*tasks)] == [None] * 3


async def test_a_missed_change_is_found_when_the_wait_is_over(
    store: FaultyTokenStore, clock: ManualClock
) -> None:
    store.faults.add(StoreChangeMissed(), on="changed")
    waiting = asyncio.create_task(store.changed(NAME, "", 10.0))
    await settle()
    await _write(store, b"one")
    await clock.advance(9)
    assert not waiting.done()

    await clock.advance(1)
    await waiting


async def test_only_writes_that_are_to_be_replicated_miss_their_replica(store: FaultyTokenStore) -> None:
    store.faults.add(StoreReplicaMissing(), on="write", times=2)
    await _write(store, b"one")
    with pytest.raises(NotReplicatedError) as missing:
        await store.write(NAME, b"two", await store.read(NAME), replicated=True)

    assert missing.value.snapshot == await store.read(NAME)
    assert missing.value.snapshot.value == b"two"


async def test_a_roll_back_brings_older_values_back_with_their_own_versions(store: FaultyTokenStore) -> None:
    await _write(store, b"one")
    one = await store.read(NAME)
    await _write(store, b"two", b"three")
    three = await store.read(NAME)
    await store.roll_back(2, new_incarnation=False)

    assert _timeless(await store.read(NAME)) == _timeless(one)
    with pytest.raises(WriteConflictError):
        await store.write(NAME, b"four", three)
    assert (await store.write(NAME, b"four", one)).value == b"four"


async def test_what_was_written_first_can_be_lost_too(store: FaultyTokenStore) -> None:
    await _write(store, b"one")
    await store.roll_back(5)

    assert (await store.read(NAME)).value is None


async def test_a_fail_over_is_seen_by_all_twins_wakes_them_and_ends_their_writes(
    store: FaultyTokenStore,
) -> None:
    one, other = store.twin(), store.twin()
    await _write(one, b"one")
    before = await other.read(NAME)
    waiting = asyncio.create_task(other.changed(NAME, before.version, 3600))
    await settle()
    await one.roll_back(0)
    await waiting

    after = await other.read(NAME)
    assert (after.value, after.version) == (before.value, before.version)
    assert after.incarnation != before.incarnation
    with pytest.raises(WriteConflictError) as conflict:
        await other.write(NAME, b"two", before)
    assert _timeless(conflict.value.snapshot) == _timeless(after)
    await other.write(NAME, b"two", after)


async def test_a_store_that_keeps_its_word_loses_no_replicated_write(store: FaultyTokenStore) -> None:
    await store.write(NAME, b"safe", await store.read(NAME), replicated=True)
    await _write(store, b"one", b"two")
    await store.roll_back(3, spare_replicated=True)

    assert (await store.read(NAME)).value == b"safe"


async def test_standing_faults_with_a_chance_are_drawn_from_the_seed() -> None:
    async def refusals(seed: int) -> list[int]:
        store = FaultyTokenStore(MemoryTokenStore(), seed=seed)
        store.faults.add(StoreRefusal(), on="read", times=None, chance=0.3)
        results = await asyncio.gather(*(store.read(NAME) for _ in range(100)), return_exceptions=True)
        return [at for at, result in enumerate(results) if isinstance(result, StoreUnavailableError)]

    assert await refusals(7) == await refusals(7) != await refusals(8)
    assert 15 < len(await refusals(7)) < 45


async def test_faults_are_of_one_handle_and_end_when_they_are_cleared(store: FaultyTokenStore) -> None:
    twin = store.twin()
    twin.faults.add(StoreRefusal(), times=None)
    await store.read(NAME)
    with pytest.raises(StoreUnavailableError):
        await twin.read(NAME)
    with pytest.raises(StoreUnavailableError):
        await anext(twin.keys())
    twin.faults.clear()

    with pytest.raises(StopAsyncIteration):
        await anext(twin.keys())
