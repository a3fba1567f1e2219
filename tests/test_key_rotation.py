"""Keys that change while stores work: when they are loaded again, and what a source in trouble does."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._errors import (
    AuthError,
    ClosedError,
    ConfigurationError,
    InsecureStoreError,
    StoreUnavailableError,
    UnknownKeyError,
    WriteConflictError,
)
from asyncauth.testing import ManualClock
from asyncauth.testing._promise import create
from asyncauth_stores._key_file import change_key_file, new_key_file
from asyncauth_stores._live_ring import FRESH
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyFile, KeyRing, SealedTokenStore
from key_world import NAME, World, write


async def _sealed_with(world: World) -> set[str]:
    return set(await SealedTokenStore(world.inner, world.source.ring).key_ids())


async def test_a_store_seals_with_the_new_first_key_half_a_minute_later_at_most() -> None:
    world = World()
    store = world.store()
    await write(store)
    old, world.source.ring = world.source.ring, world.source.ring.rotate()
    await world.clock.advance(FRESH - 1)
    await write(store)
    assert await _sealed_with(world) == {old.ids[0]}
    await world.clock.advance(1)
    await write(store)
    assert await _sealed_with(world) == {world.source.ring.ids[0]}


async def test_reading_and_waiting_load_nothing_again() -> None:
    world = World()
    store = world.store()
    await write(store)
    for _ in range(3):
        await world.clock.advance(10 * FRESH)
        await store.read(NAME)
        await store.changed(NAME, "", 1)
    assert world.source.loads == 1


async def test_a_store_that_meets_an_unknown_key_finds_it_at_once() -> None:
    world = World()
    late = world.store()
    await write(late)
    world.source.ring = world.source.ring.rotate()
    await write(world.store(), b"under the new key")
    assert (await late.read(NAME)).value == b"under the new key"
    assert world.source.loads == 3


async def test_a_conflict_under_an_unknown_key_is_opened_too() -> None:
    world = World()
    late = world.store()
    seen = await write(late)
    world.source.ring = world.source.ring.rotate()
    await write(world.store(), b"under the new key")
    with pytest.raises(WriteConflictError) as caught:
        await late.write(NAME, b"late", seen)
    assert caught.value.snapshot.value == b"under the new key"


async def test_a_key_that_is_nowhere_is_asked_for_once_a_second() -> None:
    world = World()
    store = world.store()
    await write(store)
    stranger = SealedTokenStore(world.inner, world.source.ring.rotate())
    await write(stranger)
    for _ in range(5):
        with pytest.raises(UnknownKeyError, match="not on the key ring"):
            await store.read(NAME)
    assert world.source.loads == 2
    await world.clock.advance(1)
    with pytest.raises(UnknownKeyError):
        await store.read(NAME)
    assert world.source.loads == 3


async def test_many_who_meet_an_unknown_key_at_once_load_once() -> None:
    world = World()
    late, names = world.store(), [f"{number:064x}" for number in range(20)]
    await late.read(NAME)
    world.source.ring = world.source.ring.rotate()
    early = world.store()
    for name in names:
        await create(early, name)
    loads = world.source.loads
    await asyncio.gather(*(late.read(name) for name in names))
    assert world.source.loads == loads + 1


async def test_the_first_load_outlives_the_operation_that_needed_it() -> None:
    world = World()
    world.source.gate.clear()
    store = world.store()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await store.read(NAME)
    world.source.gate.set()
    await store.read(NAME)
    assert world.source.loads == 1


async def test_a_source_that_hangs_holds_no_write_up_for_long() -> None:
    world = World()
    store = world.store()
    await write(store)
    await world.clock.advance(FRESH)
    world.source.gate.clear()
    writing = asyncio.create_task(write(store))
    await world.clock.advance(0.19)
    assert not writing.done()
    await world.clock.advance(0.02)
    await writing
    world.source.ring = world.source.ring.rotate()
    world.source.gate.set()
    await write(store)
    assert await _sealed_with(world) == {world.source.ring.ids[0]}


async def test_a_source_that_never_answers_is_an_unavailable_store() -> None:
    world = World()
    world.source.gate.clear()
    reading = asyncio.create_task(world.store().read(NAME))
    await world.clock.advance(31)
    with pytest.raises(StoreUnavailableError, match="did not answer in time"):
        await reading


async def test_closing_ends_a_load_and_those_who_wait_for_it() -> None:
    world = World()
    world.source.gate.clear()
    store = world.store()
    reading = asyncio.create_task(store.read(NAME))
    await world.clock.advance(0)
    await store.aclose()
    with pytest.raises(ClosedError, match="closed while its key ring"):
        await reading


@pytest.mark.parametrize(
    "trouble",
    [StoreUnavailableError("the service is down"), ConfigurationError("no key ring"), OSError("topsecret")],
    ids=["down", "wrong", "foreign"],
)
async def test_a_source_in_trouble_stops_only_those_that_have_no_ring(
    trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    store = world.store()
    await write(store)
    world.source.trouble = trouble
    for _ in range(3):
        await world.clock.advance(FRESH)
        await write(store)
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "those at hand go on" in warning.getMessage()
    assert "topsecret" not in warning.getMessage()
    new = world.store()
    for _ in range(3):
        with pytest.raises(AuthError) as caught:
            await new.read(NAME)
        assert "topsecret" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert world.source.loads == 5
    world.source.trouble = None
    await world.clock.advance(1)
    assert (await new.read(NAME)).value == b"value"


async def test_a_ring_with_another_names_key_is_not_taken_over(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    store = world.store()
    await write(store)
    world.source.ring = KeyRing.generate()
    await world.clock.advance(FRESH)
    await write(store, b"still the old ring")
    assert (await store.read(NAME)).value == b"still the old ring"
    assert "'names' entry was changed" in caplog.text


async def test_a_worker_with_the_wrong_ring_works_once_its_source_is_mended() -> None:
    world = World()
    await write(world.store())
    right, world.source.ring = world.source.ring, KeyRing.generate()
    store = world.store()
    with pytest.raises(UnknownKeyError, match="begun with another key ring"):
        await store.read(NAME)
    world.source.ring = right
    assert (await store.read(NAME)).value == b"value"


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00topsecret")


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _open_to_all(path: Path) -> None:
    path.chmod(0o644)


def _remove(path: Path) -> None:
    path.unlink()


DAMAGE = {
    "garbage": (_garbage, ConfigurationError, "entry 1"),
    "half": (_halve, ConfigurationError, "entry"),
    "empty": (_empty, ConfigurationError, "entry 1"),
    "open to others": (_open_to_all, InsecureStoreError, "chmod 600"),
    "gone": (_remove, ConfigurationError, "there is no key file"),
}


@pytest.mark.parametrize(("damage", "kind", "says"), DAMAGE.values(), ids=DAMAGE)
async def test_a_key_file_damaged_while_workers_run_stops_only_those_that_start(
    damage: Callable[[Path], None],
    kind: type[AuthError],
    says: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "key"
    whole = (await asyncio.to_thread(new_key_file, path)).dump()
    inner, clock = MemoryTokenStore(), ManualClock()
    store = SealedTokenStore(inner, KeyFile(path, create=True), clock=clock)
    await write(store)
    damage(path)
    clock.step(FRESH)
    await write(store, b"goes on")
    assert (await store.read(NAME)).value == b"goes on"
    assert len(caplog.records) == 1
    assert says in caplog.text
    assert "topsecret" not in caplog.text
    starting = SealedTokenStore(inner, KeyFile(path), clock=clock)
    with pytest.raises(kind, match=says):
        await starting.read(NAME)
    path.unlink(missing_ok=True)
    path.write_text(whole)
    path.chmod(0o600)
    clock.step(FRESH)
    await write(store, b"mended")
    assert (await starting.read(NAME)).value == b"mended"
    assert len(caplog.records) == 1


async def test_a_real_key_file_is_loaded_again_off_the_loop(tmp_path: Path) -> None:
    path, inner, clock = tmp_path / "key", MemoryTokenStore(), ManualClock()
    await asyncio.to_thread(new_key_file, path)
    store = SealedTokenStore(inner, KeyFile(path), clock=clock)
    await write(store)
    rotated = await asyncio.to_thread(change_key_file, path, KeyRing.rotate)
    clock.step(FRESH)
    await write(store)
    assert await store.key_ids() == {rotated.ids[0]: 1}


class _Rotation:
    """A rotation in its four steps, as an operator takes them: each a minute after the one before."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._old = world.source.ring.ids[0]
        self._steps = iter((self._add, self._promote, self._reseal, self._drop))

    async def step(self) -> None:
        await self._world.clock.advance(2 * FRESH)
        await next(self._steps, self._rest)()

    async def _add(self) -> None:
        self._world.source.ring = self._world.source.ring.add()

    async def _promote(self) -> None:
        self._world.source.ring = self._world.source.ring.promote(self._world.source.ring.ids[-1])

    async def _reseal(self) -> None:
        assert (await self._world.store().reseal()).complete

    async def _drop(self) -> None:
        self._world.source.ring = self._world.source.ring.drop(self._old)

    async def _rest(self) -> None:
        pass


@pytest.mark.slow
@settings(max_examples=60)
@given(
    acts=st.lists(
        st.one_of(
            st.just("step"), st.tuples(st.integers(0, 3), st.booleans()), st.floats(0.1, 200).map(round)
        ),
        max_size=40,
    )
)
async def test_in_no_order_of_events_does_a_rotation_show_anybody_an_unreadable_record(
    acts: list[object],
) -> None:
    world = World()
    stores = [world.store() for _ in range(4)]
    await write(stores[0])
    rotation = _Rotation(world)
    for act in acts:
        match act:
            case "step":
                await rotation.step()
            case (int() as number, True):
                await write(stores[number])
            case (int() as number, False):
                assert (await stores[number].read(NAME)).value == b"value"
            case int(seconds):
                await world.clock.advance(seconds)
            case _:
                raise AssertionError(act)
    assert (await world.store().read(NAME)).value == b"value"


async def test_stores_of_several_event_loops_load_for_themselves(tmp_path: Path) -> None:
    path = tmp_path / "key"
    await asyncio.to_thread(new_key_file, path)
    store = SealedTokenStore(MemoryTokenStore(), KeyFile(path), clock=SYSTEM_CLOCK)

    def elsewhere() -> bytes | None:
        return asyncio.run(store.read(NAME)).value

    await asyncio.gather(store.read(NAME), asyncio.to_thread(elsewhere))
    await write(store, b"seen by both")
    assert await asyncio.to_thread(elsewhere) == b"seen by both"
