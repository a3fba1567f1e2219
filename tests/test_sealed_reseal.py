"""Sealing all records again: what it changes, what it leaves, and who may write meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from asyncauth._errors import NotReplicatedError, StoreUnavailableError, UnknownKeyError, WriteConflictError
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing import ManualClock
from asyncauth.testing._promise import create, listed
from asyncauth_stores._envelope import Sealer
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing, Resealed, SealedTokenStore

_DAY = 86_400.0
_RING = KeyRing.generate()
_ROTATED = _RING.rotate()
_NEW_ONLY = _ROTATED.drop(_RING.ids[0])
_NAMES = [f"{number:064x}" for number in range(5)]


class Wrapped(TokenStore):
    """A store whose reads let others in, and whose replicas may be silent.

    Attributes:
        meanwhile: Writes once, after the next read.
        always: Whether somebody writes before every write.
        alone: Whether nothing is replicated.
        wakes: The `wake` of each write.
    """

    def __init__(self, inner: TokenStore) -> None:
        super().__init__()
        self.meanwhile: SealedTokenStore | None = None
        self.always = False
        self.alone = False
        self.wakes: list[bool] = []
        self._inner = inner

    async def read(self, name: str) -> Snapshot:
        found = await self._inner.read(name)
        writer, self.meanwhile = self.meanwhile, None
        if writer is not None:
            await writer.write(_NAMES[0], b"meanwhile", await writer.read(_NAMES[0]))
        return found

    async def write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None = None,
        wake: bool = True,
        replicated: bool = False,
    ) -> Snapshot:
        self.wakes.append(wake)
        if self.always:
            found = await self._inner.read(name)
            await self._inner.write(name, found.value, found)
        written = await self._inner.write(name, value, expected, keep=keep, wake=wake)
        if replicated and self.alone:
            raise NotReplicatedError("0 of 1", written)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self._inner.changed(name, since, timeout)

    def keys(self) -> AsyncIterator[str]:
        return self._inner.keys()


async def _filled(inner: TokenStore) -> None:
    store = SealedTokenStore(inner, _RING)
    for name in _NAMES:
        await create(store, name, name.encode())


async def test_every_record_is_sealed_with_the_first_key_and_keeps_its_value() -> None:
    inner = MemoryTokenStore()
    await _filled(inner)
    store = SealedTokenStore(inner, _ROTATED)
    await store.write(_NAMES[0], b"renewed", await store.read(_NAMES[0]))
    assert await store.key_ids() == {_ROTATED.ids[0]: 1, _RING.ids[0]: 4}
    done = await store.reseal()
    assert done == Resealed(_ROTATED.ids[0], resealed=4, current=1)
    assert done.complete
    assert await store.reseal() == Resealed(_ROTATED.ids[0], current=5)
    left = SealedTokenStore(inner, _NEW_ONLY)
    values = [(await left.read(name)).value for name in _NAMES]
    assert values == [b"renewed", *(name.encode() for name in _NAMES[1:])]


async def test_nobody_is_woken() -> None:
    inner = Wrapped(MemoryTokenStore())
    await _filled(inner)
    inner.wakes.clear()
    await SealedTokenStore(inner, _ROTATED).reseal()
    assert inner.wakes == [False] * 5


async def test_a_record_is_dropped_no_earlier_than_before_and_a_day_later_at_most() -> None:
    clock = ManualClock()
    inner = MemoryTokenStore(clock=clock)
    old = SealedTokenStore(inner, _RING)
    for name, keep in ((_NAMES[0], 10 * _DAY), (_NAMES[1], None)):
        await old.write(name, b"value", await old.read(name), keep=keep)
    for ring in (_ROTATED, _ROTATED.rotate()):  # resealing twice does not prolong it twice
        await clock.advance(3 * _DAY)
        await SealedTokenStore(inner, ring).reseal()
    await clock.advance(4 * _DAY - 1)
    assert len(await listed(old)) == 2
    await clock.advance(_DAY + 1)
    assert await listed(old) == [_NAMES[1]]
    await clock.advance(10_000 * _DAY)
    assert await listed(old) == [_NAMES[1]]


async def test_what_somebody_writes_meanwhile_stands() -> None:
    for ring in (_RING, _ROTATED):
        inner = Wrapped(MemoryTokenStore())
        await _filled(inner)
        store = SealedTokenStore(inner, _ROTATED)
        await store.read(_NAMES[0])
        writer = SealedTokenStore(inner, ring)
        await writer.read(_NAMES[0])
        inner.meanwhile = writer
        assert (await store.reseal()).complete
        values = {(await SealedTokenStore(inner, _NEW_ONLY).read(name)).value for name in _NAMES}
        assert values == {b"meanwhile", *(name.encode() for name in _NAMES[1:])}


async def test_a_writer_that_is_always_faster_ends_it_with_an_error() -> None:
    inner = Wrapped(MemoryTokenStore())
    await _filled(inner)
    inner.always = True
    with pytest.raises(StoreUnavailableError, match="other writers were faster"):
        await SealedTokenStore(inner, _ROTATED).reseal()


async def test_workers_may_write_all_the_while() -> None:
    inner = MemoryTokenStore()
    await _filled(inner)
    stores = [SealedTokenStore(inner, _ROTATED) for _ in range(2)]

    async def renew(store: SealedTokenStore) -> None:
        for number in range(100):
            name = _NAMES[number % 3]
            found = await store.read(name)
            await asyncio.sleep(0)
            with suppress(WriteConflictError):
                await store.write(name, (found.value or b"") + b".", found)

    async with asyncio.TaskGroup() as group:
        resealing = group.create_task(stores[0].reseal())
        for store in stores:
            group.create_task(renew(store))
    assert resealing.result().complete
    assert await stores[0].key_ids() == {_ROTATED.ids[0]: 5}


async def test_records_that_cannot_be_opened_are_counted_and_left() -> None:
    inner = MemoryTokenStore()
    await _filled(inner)
    sealer = Sealer(_RING, "asyncauth")
    damaged = {_NAMES[0]: b"plain", _NAMES[1]: b"asyncauth-sealed\x63" + bytes(80)}
    for name, value in damaged.items():
        place = sealer.place(name)
        await inner.write(place, value, await inner.read(place))
    stranger = SealedTokenStore(inner, KeyRing(KeyRing.generate().keys, _RING.names))
    with pytest.raises(UnknownKeyError) as caught:
        await stranger.read(_NAMES[2])
    await stranger.write(_NAMES[2], b"theirs", caught.value.snapshot)
    store = SealedTokenStore(inner, _ROTATED)
    done = await store.reseal()
    assert done == Resealed(_ROTATED.ids[0], resealed=2, unreadable=3)
    assert not done.complete
    for name, value in damaged.items():
        assert (await inner.read(sealer.place(name))).value == value
    assert (await stranger.read(_NAMES[2])).value == b"theirs"
    assert (await store.key_ids()).total() == 3


async def test_what_too_few_replicas_have_is_no_reason_to_drop_the_old_key() -> None:
    inner = Wrapped(MemoryTokenStore())
    await _filled(inner)
    inner.alone = True
    done = await SealedTokenStore(inner, _ROTATED).reseal()
    assert done == Resealed(_ROTATED.ids[0], unconfirmed=5)
    assert not done.complete
