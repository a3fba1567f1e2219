"""Sources of keys that are slow or fail: what waits for them, what goes on, and what is raised."""

import asyncio

import pytest

from asyncauth import Token, TokenManager
from asyncauth._errors import ClosedError, ConfigurationError, StoreUnavailableError, UnknownKeyError
from asyncauth.testing import settle
from asyncauth.testing._promise import create
from asyncauth_stores._live_ring import FRESH, STALE
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import SealedTokenStore
from key_world import NAME, World, write
from scripted import Scripted
from worlds import text_of


async def _rotated_behind(world: World, store: SealedTokenStore) -> None:
    """Have a worker sleep through a whole rotation."""
    await store.read(NAME)
    await world.clock.advance(10 * STALE)
    old, world.source.ring = world.source.ring, world.source.ring.rotate()
    world.source.ring = world.source.ring.drop(old.ids[0])


# Resealing


async def test_resealing_waits_for_a_slow_source() -> None:
    world = World()
    store = world.store()
    await write(store)
    world.source.ring = world.source.ring.rotate()
    world.source.gate.clear()
    resealing = asyncio.create_task(store.reseal())
    await world.clock.advance(20)
    assert not resealing.done()
    world.source.gate.set()
    done = await resealing
    assert (done.key_id, done.resealed, done.complete) == (world.source.ring.ids[0], 1, True)


@pytest.mark.parametrize("began", ["with a ring", "without"])
async def test_resealing_with_a_source_that_fails_says_so_and_reseals_nothing(began: str) -> None:
    world = World()
    await write(world.store())
    store = world.store()
    if began == "with a ring":
        await store.read(NAME)
    old = world.source.ring.ids[0]
    world.source.ring, world.source.trouble = world.source.ring.rotate(), OSError("topsecret")
    with pytest.raises(StoreUnavailableError, match="the key source failed: OSError"):
        await store.reseal()
    world.source.trouble = None
    assert await world.store().key_ids() == {old: 1}
    assert (await store.reseal()).resealed == 1


async def test_resealing_does_not_take_what_was_loaded_before_it_was_asked_for() -> None:
    world = World()
    store = world.store()
    await write(store)
    world.source.gate.clear()
    await world.clock.advance(FRESH)
    writing = asyncio.create_task(write(store))
    await world.clock.advance(0.1)
    resealing = asyncio.create_task(store.reseal())
    await world.clock.advance(0)
    assert world.source.loads == 2  # one load, which gives the earlier ring
    world.source.before, world.source.ring = [world.source.ring], world.source.ring.rotate()
    world.source.gate.set()
    await writing
    assert (await resealing).key_id == world.source.ring.ids[0]


async def test_a_ring_that_is_given_is_resealed_with_as_it_is() -> None:
    world = World()
    await write(world.store())
    store = SealedTokenStore(world.inner, world.source.ring.rotate(), clock=world.clock)
    assert (await store.reseal()).resealed == 1


async def test_closing_ends_a_resealing_that_waits_for_its_keys() -> None:
    world = World()
    store = world.store()
    await write(store)
    world.source.gate.clear()
    resealing = asyncio.create_task(store.reseal())
    await world.clock.advance(0)
    await store.aclose()
    with pytest.raises(ClosedError):
        await resealing


# Sealing


async def test_a_worker_that_was_idle_seals_with_no_ring_of_old_while_the_source_is_slow() -> None:
    world = World()
    store = world.store()
    await _rotated_behind(world, store)
    world.source.gate.clear()
    writings = [asyncio.create_task(create(store, f"{number:064x}")) for number in range(3)]
    await world.clock.advance(1.9)
    assert not any(writing.done() for writing in writings)
    world.source.gate.set()
    await asyncio.gather(*writings)
    assert await store.key_ids() == {world.source.ring.ids[0]: 3}


async def test_a_worker_with_a_ring_of_half_a_minute_waits_a_moment_only() -> None:
    world = World()
    store = world.store()
    await write(store)
    await world.clock.advance(STALE - 1)
    world.source.gate.clear()
    writing = asyncio.create_task(write(store))
    await world.clock.advance(0.21)
    assert writing.done()


async def test_a_source_that_hangs_is_waited_for_once_and_by_nobody_who_comes_later() -> None:
    world = World()
    store = world.store()
    await _rotated_behind(world, store)
    world.source.gate.clear()
    first = asyncio.create_task(write(store))
    await world.clock.advance(1.5)
    second = asyncio.create_task(create(store, "0b" * 32))
    await world.clock.advance(0.51)
    assert first.done()
    assert second.done()
    for _ in range(4):  # past the load's own limit, and into the next one
        third = asyncio.create_task(write(store))
        await world.clock.advance(0.21)
        assert third.done()
        await world.clock.advance(10)
    assert world.source.loads == 3


async def test_a_source_that_failed_is_tried_again_a_second_later() -> None:
    world = World()
    store = world.store()
    await _rotated_behind(world, store)
    world.source.trouble = StoreUnavailableError("down")
    await write(store)
    await write(store)
    assert world.source.loads == 2
    world.source.trouble = None
    await world.clock.advance(1)
    await write(store)
    assert await world.store().key_ids() == {world.source.ring.ids[0]: 1}


# Meeting a key


async def test_a_key_that_the_ring_lacks_is_not_said_to_be_unknown_while_the_source_fails() -> None:
    world = World()
    store = world.store()
    await write(store)
    world.source.ring = world.source.ring.rotate()
    await write(world.store(), b"under the new key")
    loads, world.source.trouble = world.source.loads, ConfigurationError("somebody has to mend it")
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="somebody has to mend it"):
            await store.read(NAME)
    assert world.source.loads == loads + 1
    world.source.trouble = None
    await world.clock.advance(1)
    assert (await store.read(NAME)).value == b"under the new key"


async def test_a_key_that_no_source_has_is_unknown() -> None:
    world = World()
    store = world.store()
    await write(store)
    await write(SealedTokenStore(world.inner, world.source.ring.rotate()))
    with pytest.raises(UnknownKeyError):
        await store.read(NAME)


# What errors say


async def test_what_a_source_raised_is_not_even_the_context_of_the_error() -> None:
    world = World()
    world.source.trouble = OSError("topsecret")
    with pytest.raises(StoreUnavailableError) as caught:
        await SealedTokenStore(MemoryTokenStore(), world.source).read(NAME)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# Tokens at rest


async def test_records_are_followed_again_after_their_key_could_not_be_loaded() -> None:
    world = World()
    store, scheme = world.store(), Scripted(answer=lambda number: Token(access_token=f"t{number}"))
    manager = TokenManager(store, clock=world.clock)
    assert text_of(await manager.token(scheme)) == "t1"
    await settle()
    ring = world.source.ring.rotate()
    other = SealedTokenStore(world.inner, ring, clock=world.clock)
    world.source.trouble = ConfigurationError("half of a key file")
    await TokenManager(other, clock=world.clock).put(scheme, Token(access_token="stored"))
    await settle()
    assert text_of(await manager.token(scheme)) == "t1"
    world.source.trouble, world.source.ring = None, ring
    await world.clock.advance(3)
    await settle()
    assert text_of(await manager.token(scheme)) == "stored"
    await store.aclose()
    await other.aclose()
