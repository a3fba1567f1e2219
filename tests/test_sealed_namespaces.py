"""Which key rings may share a namespace: those with one `names` key; any other is refused at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from asyncauth._errors import StoreUnavailableError, UnknownKeyError
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing._promise import create, listed
from asyncauth_stores._envelope import Sealer
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore

_RING, _OTHER = KeyRing.generate(), KeyRing.generate()
_NAME = "0a" * 32


class _Counting(TokenStore):
    """Counts operations, and refuses writes on demand."""

    def __init__(self, inner: TokenStore) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.writable = True
        self._inner = inner

    async def read(self, name: str) -> Snapshot:
        self.calls["read"] += 1
        return await self._inner.read(name)

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
        self.calls["write"] += 1
        if not self.writable:
            raise StoreUnavailableError("the file system is read-only")
        return await self._inner.write(name, value, expected, keep=keep, wake=wake)

    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self._inner.changed(name, since, timeout)

    def keys(self) -> AsyncIterator[str]:
        return self._inner.keys()


async def test_another_ring_is_refused_by_every_operation_before_it_finds_nothing() -> None:
    inner = MemoryTokenStore()
    stored = await create(SealedTokenStore(inner, _RING), _NAME)
    store = SealedTokenStore(inner, _OTHER)
    for operation in (
        store.read(_NAME),
        store.write(_NAME, b"value", stored),
        store.changed(_NAME, "", 5),
        store.is_held(_NAME, "attempt"),
        listed(store),
    ):
        with pytest.raises(
            UnknownKeyError, match="begun with another key ring.*give all workers one"
        ) as caught:
            await operation
        assert caught.value.snapshot.value is None
        assert caught.value.snapshot.version
        assert _OTHER.ids[0] in str(caught.value)
    assert await listed(SealedTokenStore(inner, _RING)) == [_NAME]


async def test_rotated_rings_share_the_namespace_also_without_the_first_key() -> None:
    inner = MemoryTokenStore()
    await create(SealedTokenStore(inner, _RING), _NAME)
    rotated = _RING.rotate().drop(_RING.ids[0])
    store = SealedTokenStore(inner, rotated)
    assert await listed(store) == [_NAME]
    await create(store, "0b" * 32)


async def test_namespaces_may_have_rings_of_their_own() -> None:
    for ring, namespace in ((_RING, "one"), (_OTHER, "two")):
        await create(SealedTokenStore(MemoryTokenStore(namespace), ring), _NAME)
    assert Sealer(_RING, "one").ring_mark() != Sealer(_RING, "two").ring_mark()


async def test_the_mark_costs_one_read_and_one_write_of_each_store_object() -> None:
    inner = _Counting(MemoryTokenStore())
    store = SealedTokenStore(inner, _RING)
    stored = await create(store, _NAME)
    assert inner.calls == {"read": 2, "write": 2}
    for _ in range(5):
        stored = await store.write(_NAME, b"value", stored)
        await store.read(_NAME)
    assert inner.calls == {"read": 7, "write": 7}
    inner.calls.clear()
    again = SealedTokenStore(inner, _RING)
    await again.write(_NAME, b"again", await again.read(_NAME))
    assert inner.calls == {"read": 2, "write": 1}


async def test_reading_writes_nothing() -> None:
    inner = _Counting(MemoryTokenStore())
    inner.writable = False
    store = SealedTokenStore(inner, _RING)
    assert (await store.read(_NAME)).value is None
    assert await listed(store) == []
    assert "write" not in inner.calls
    with pytest.raises(StoreUnavailableError, match="read-only"):
        await create(store, _NAME)
    inner.writable = True
    await create(store, _NAME)
    with pytest.raises(UnknownKeyError):
        await SealedTokenStore(inner, _OTHER).read(_NAME)


async def test_of_two_rings_that_begin_at_once_one_is_refused_at_its_first_write() -> None:
    inner = MemoryTokenStore()
    stores = [SealedTokenStore(inner, ring) for ring in (_RING, _OTHER)]
    first, late = [await store.read(_NAME) for store in stores]
    await stores[0].write(_NAME, b"first", first)
    with pytest.raises(UnknownKeyError):
        await stores[1].write(_NAME, b"late", late)


async def test_workers_of_one_ring_may_begin_at_once() -> None:
    inner = MemoryTokenStore()
    stores = [SealedTokenStore(inner, _RING) for _ in range(5)]
    names = [f"{number:064x}" for number in range(20)]
    await asyncio.gather(*(create(store, name) for store, name in zip(stores * 4, names, strict=True)))
    assert sorted(await listed(stores[0])) == names
