"""What a sealed store refuses: records that were changed, cut, moved, or are not sealed at all."""

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._errors import (
    PlaintextRecordError,
    TamperedRecordError,
    UnknownKeyError,
    UnreadableRecordError,
)
from asyncauth.abc import Snapshot, TokenStore
from asyncauth_stores._envelope import Content, Sealer
from asyncauth_stores.file import FileTokenStore, PlainFileStore
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore

_RING = KeyRing.generate()
_NAME, _OTHER = "0a" * 32, "0b" * 32
_SECRET = b"the refresh token"


async def _create(store: TokenStore, name: str = _NAME, value: bytes = _SECRET) -> Snapshot:
    return await store.write(name, value, await store.read(name))


async def _only(store: TokenStore) -> str:
    mark = Sealer(_RING, store.namespace).ring_place
    (place,) = [name async for name in store.keys() if name != mark]  # noqa: SIM118 - a store is no mapping
    return place


async def _replace(inner: TokenStore, place: str, value: bytes) -> Snapshot:
    return await inner.write(place, value, await inner.read(place))


async def _refused(
    store: TokenStore, inner: TokenStore, place: str, kind: type[UnreadableRecordError]
) -> UnreadableRecordError:
    """Require an error of exactly this kind, that leaves the record, and whose snapshot can be put over."""
    before = await inner.read(place)
    with pytest.raises(UnreadableRecordError) as caught:
        await store.read(_NAME)
    with pytest.raises(UnreadableRecordError):
        await store.write(_NAME, b"new", attrs.evolve(before, version="another"))
    error = caught.value
    after = await inner.read(place)
    assert type(error) is kind
    assert (after.value, after.version) == (before.value, before.version)
    assert error.snapshot.value is None
    assert error.snapshot.version == before.version
    assert error.snapshot.incarnation == before.incarnation
    await store.write(_NAME, b"put", error.snapshot)
    assert (await store.read(_NAME)).value == b"put"
    return error


async def test_plaintext_is_refused() -> None:
    inner = MemoryTokenStore()
    store = SealedTokenStore(inner, _RING)
    await _create(store)
    place = await _only(inner)
    for plain in (b"", b"{}", b"asyncauth"):
        await _replace(inner, place, plain)
        await _refused(store, inner, place, PlaintextRecordError)


async def test_an_unknown_key_is_named() -> None:
    inner = MemoryTokenStore()
    other = KeyRing((("gone-2024", bytes(32)),), _RING.names)
    await _create(SealedTokenStore(inner, other))
    store = SealedTokenStore(inner, _RING)
    error = await _refused(store, inner, await _only(inner), UnknownKeyError)
    assert "'gone-2024'" in str(error)
    assert _RING.ids[0] in str(error)


async def test_a_later_format_asks_for_an_update() -> None:
    inner = MemoryTokenStore()
    store = SealedTokenStore(inner, _RING)
    await _create(store)
    place = await _only(inner)
    await _replace(inner, place, b"asyncauth-sealed\x03" + bytes(60))
    error = await _refused(store, inner, place, UnreadableRecordError)
    assert "update asyncauth" in str(error)


async def test_a_record_moved_to_another_place_is_refused() -> None:
    inner = MemoryTokenStore()
    store = SealedTokenStore(inner, _RING)
    await _create(store)
    stolen = (await inner.read(await _only(inner))).value
    assert stolen is not None
    sealer = Sealer(_RING, "asyncauth")
    await _replace(inner, sealer.place(_OTHER), stolen)
    with pytest.raises(TamperedRecordError):
        await store.read(_OTHER)
    assert (await store.read(_NAME)).value == _SECRET


async def test_swapped_records_are_refused() -> None:
    inner = MemoryTokenStore()
    store = SealedTokenStore(inner, _RING)
    await _create(store)
    await _create(store, _OTHER, b"another")
    sealer = Sealer(_RING, "asyncauth")
    places = sealer.place(_NAME), sealer.place(_OTHER)
    values = [(await inner.read(place)).value or b"" for place in places]
    for place, value in zip(places, reversed(values), strict=True):
        await _replace(inner, place, value)
    for name in (_NAME, _OTHER):
        with pytest.raises(TamperedRecordError):
            await store.read(name)


async def test_a_record_of_another_namespace_is_refused() -> None:
    theirs = Sealer(_RING, "theirs").seal(_NAME, Content(_SECRET))
    inner = MemoryTokenStore("mine")
    store = SealedTokenStore(inner, _RING)
    await _create(store)
    place = await _only(inner)
    await _replace(inner, place, theirs)
    await _refused(store, inner, place, TamperedRecordError)


async def test_a_truncated_record_is_refused() -> None:
    inner = MemoryTokenStore()
    store = SealedTokenStore(inner, _RING)
    await _create(store)
    place = await _only(inner)
    sealed = (await inner.read(place)).value or b""
    for size in range(len(b"asyncauth-sealed"), len(sealed)):
        await _replace(inner, place, sealed[:size])
        with pytest.raises(TamperedRecordError):
            await store.read(_NAME)


_SEALED = Sealer(_RING, "asyncauth").seal(_NAME, Content(_SECRET, 1_750_000_000_000))


def _refuses(changed: bytes) -> None:
    found = Snapshot(value=changed, version="v", now=0)
    with pytest.raises(UnreadableRecordError) as caught:
        Sealer(_RING, "asyncauth").open(_NAME, found)
    assert caught.value.snapshot == attrs.evolve(found, value=None)
    assert caught.value.__cause__ is None


def test_every_changed_bit_of_every_byte_is_refused() -> None:
    for place in range(len(_SEALED) * 8):
        changed = bytearray(_SEALED)
        changed[place // 8] ^= 1 << place % 8
        _refuses(bytes(changed))


def test_every_length_but_its_own_is_refused() -> None:
    for size in range(len(_SEALED)):
        _refuses(_SEALED[:size])
        _refuses(_SEALED[size + 1 :])
    _refuses(_SEALED + b"\0")


@given(
    start=st.integers(0, len(_SEALED) - 1), piece=st.binary(min_size=1, max_size=40), kept=st.integers(0, 40)
)
def test_no_splice_is_taken_for_a_record(start: int, piece: bytes, kept: int) -> None:
    changed = _SEALED[:start] + piece + _SEALED[start + kept :]
    if changed != _SEALED:
        _refuses(changed)


@given(junk=st.binary(max_size=80))
def test_junk_behind_the_magic_is_refused(junk: bytes) -> None:
    found = Snapshot(value=b"asyncauth-sealed" + junk, version="v", now=0)
    with pytest.raises(UnreadableRecordError):
        Sealer(_RING, "asyncauth").open(_NAME, found)


async def test_the_plain_store_of_the_same_folder_is_told_apart(tmp_path: Path) -> None:
    async with PlainFileStore(tmp_path) as plain, FileTokenStore(tmp_path, key=_RING) as store:
        place = Sealer(_RING, "asyncauth").place(_NAME)
        await _replace(plain, place, _SECRET)
        await _refused(store, plain, place, PlaintextRecordError)
