"""Sealing over any store: what comes back, what the inner store sees, where the key is from."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._errors import (
    ConfigurationError,
    InsecureStoreError,
    NotReplicatedError,
    UnknownKeyError,
    WriteConflictError,
)
from asyncauth._key import TokenKey
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing import ManualClock
from asyncauth.testing._conformance import STORE_CHECKS
from asyncauth.testing._promise import StoreCheck, StoreFactory
from asyncauth_stores._envelope import Content, Sealer
from asyncauth_stores.file import FileTokenStore
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyFile, KeyRing, SealedTokenStore
from store_places import FilePlace, MemoryPlace

_RING = KeyRing.generate()
_NAME, _OTHER = "0a" * 32, "0b" * 32
_SECRET = b"the refresh token"


class SealedPlace:
    """Hands out sealed stores over what another place hands out."""

    def __init__(self, place: StoreFactory) -> None:
        self._place = place

    @asynccontextmanager
    async def __call__(self, namespace: str = "asyncauth") -> AsyncIterator[TokenStore]:
        async with self._place(namespace) as inner:
            yield SealedTokenStore(inner, _RING)


class SealedFilePlace:
    """Hands out stores as an application makes them, with a key file that the first one makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, namespace: str = "asyncauth") -> AbstractAsyncContextManager[TokenStore]:
        return FileTokenStore(
            self._folder / "tokens", key_file=self._folder / "key", create_key=True, namespace=namespace
        )


@pytest.mark.slow
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_sealed_memory_keeps_the_promises(check: StoreCheck) -> None:
    await check(SealedPlace(MemoryPlace()))


@pytest.mark.slow
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_sealed_files_keep_the_promises(check: StoreCheck, tmp_path: Path) -> None:
    await check(SealedPlace(FilePlace(tmp_path / "tokens")))


@pytest.mark.slow
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_file_token_store_keeps_the_promises(check: StoreCheck, tmp_path: Path) -> None:
    await check(SealedFilePlace(tmp_path))


async def _create(store: TokenStore, name: str = _NAME, value: bytes = _SECRET) -> Snapshot:
    return await store.write(name, value, await store.read(name))


async def _only(store: TokenStore) -> str:
    mark = Sealer(_RING, store.namespace).ring_place
    (place,) = [name async for name in store.keys() if name != mark]  # noqa: SIM118 - a store is no mapping
    return place


async def _replace(inner: TokenStore, place: str, value: bytes) -> Snapshot:
    return await inner.write(place, value, await inner.read(place))


async def test_the_inner_store_sees_neither_value_nor_name() -> None:
    inner = MemoryTokenStore()
    store = SealedTokenStore(inner, _RING)
    name = store.name(TokenKey(scheme="s", issuer="https://vendor.example", client="jane@example.com"))
    await _create(store, name)
    place = await _only(inner)
    sealed = (await inner.read(place)).value
    assert sealed is not None
    assert _SECRET not in sealed
    assert name not in place
    assert [name async for name in store.keys()] == [name]  # noqa: SIM118 - a store is no mapping


async def test_equal_values_are_sealed_differently() -> None:
    sealer = Sealer(_RING, "asyncauth")
    assert sealer.seal(_NAME, Content(_SECRET)) != sealer.seal(_NAME, Content(_SECRET))


@given(
    content=st.builds(Content, st.binary(max_size=2000), st.integers(0, 2**63), st.integers(0, 2**63)),
    name=st.binary(min_size=32, max_size=32).map(bytes.hex),
    namespace=st.text(max_size=20),
    rotations=st.integers(0, 2),
)
def test_what_is_sealed_opens_with_every_later_ring(
    content: Content, name: str, namespace: str, rotations: int
) -> None:
    ring = _RING
    sealed = Snapshot(value=Sealer(ring, namespace).seal(name, content), version="v", now=1)
    for _ in range(rotations):
        ring = ring.rotate()
    sealer = Sealer(ring, namespace)
    assert sealer.open(name, sealed) == content
    assert sealer.name(sealer.place(name)) == name
    assert sealer.place(name) == Sealer(_RING, namespace).place(name)


async def test_the_first_key_seals_and_a_dropped_one_opens_no_more() -> None:
    inner = MemoryTokenStore()
    rotated = _RING.rotate()
    await _create(SealedTokenStore(inner, _RING))
    renewed = SealedTokenStore(inner, rotated)
    assert (await renewed.read(_NAME)).value == _SECRET
    await renewed.write(_NAME, b"again", await renewed.read(_NAME))
    assert (await SealedTokenStore(inner, rotated.drop(_RING.ids[0])).read(_NAME)).value == b"again"
    with pytest.raises(UnknownKeyError):
        await SealedTokenStore(inner, _RING).read(_NAME)


async def test_foreign_names_are_not_listed() -> None:
    inner = MemoryTokenStore()
    store = SealedTokenStore(inner, _RING)
    await _create(store)
    for place in (_OTHER, "no hexadecimal digits", "00" * 48):
        await _replace(inner, place, b"foreign")
    assert await _only(store) == _NAME


async def test_a_conflict_carries_the_opened_value() -> None:
    store = SealedTokenStore(MemoryTokenStore(), _RING)
    empty = await store.read(_NAME)
    written = await _create(store)
    with pytest.raises(WriteConflictError) as caught:
        await store.write(_NAME, b"late", empty)
    assert caught.value.snapshot.value == _SECRET
    assert caught.value.snapshot.version == written.version


class _Alone(TokenStore):
    """A store whose replicas never answer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MemoryTokenStore(clock=ManualClock())

    async def read(self, name: str) -> Snapshot:
        return await self.inner.read(name)

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
        written = await self.inner.write(name, value, expected)
        if replicated:
            raise NotReplicatedError("0 of 1", written)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self.inner.changed(name, since, timeout)

    def keys(self) -> AsyncIterator[str]:
        return self.inner.keys()


async def test_a_write_that_is_not_replicated_carries_the_opened_value() -> None:
    store = SealedTokenStore(_Alone(), _RING)
    empty = await store.read(_NAME)
    with pytest.raises(NotReplicatedError, match="0 of 1") as caught:
        await store.write(_NAME, _SECRET, empty, replicated=True)
    assert caught.value.snapshot == await store.read(_NAME)
    assert caught.value.snapshot.value == _SECRET


async def test_without_any_key_the_error_names_the_ways_to_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASYNCAUTH_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    async with FileTokenStore(tmp_path / "tokens") as store:
        with pytest.raises(ConfigurationError, match=r"key=.*key_file=.*ASYNCAUTH_KEY.*create_key=True"):
            await store.read(_NAME)


async def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    await KeyFile(tmp_path / "key", create=True).load()
    (tmp_path / "key").chmod(0o644)
    async with FileTokenStore(tmp_path / "tokens", key_file=tmp_path / "key") as store:
        with pytest.raises(InsecureStoreError, match="chmod 600"):
            await store.read(_NAME)


async def test_files_hold_no_secret(tmp_path: Path) -> None:
    async with FileTokenStore(tmp_path / "tokens", key=_RING) as store:
        await _create(store)
    assert _SECRET not in _everything(tmp_path)


def _everything(folder: Path) -> bytes:
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert content
    return content
