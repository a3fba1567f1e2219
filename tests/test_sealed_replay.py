"""An older record of the same name that is put back: who notices, and what becomes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest

from asyncauth import RefreshPolicy, Token, TokenManager
from asyncauth._errors import UnreadableRecordError
from asyncauth._token import Secret
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.schemes import ClientCredentials
from asyncauth.testing import ManualClock
from asyncauth.testing._promise import create, listed
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores import _newest
from asyncauth_stores._envelope import Sealer
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore

_RING = KeyRing.generate()
_NAME = "0a" * 32
_PLACE = Sealer(_RING, "asyncauth").place(_NAME)


async def _raw(inner: TokenStore) -> bytes:
    value = (await inner.read(_PLACE)).value
    assert value is not None
    return value


async def _put_back(inner: TokenStore, value: bytes) -> None:
    await inner.write(_PLACE, value, await inner.read(_PLACE))


async def _replayed() -> tuple[ManualClock, MemoryTokenStore, SealedTokenStore]:
    """Return a store that has seen a second value, and has the first one in it again."""
    clock = ManualClock()
    inner = MemoryTokenStore(clock=clock)
    store = SealedTokenStore(inner, _RING)
    first = await create(store, _NAME, b"first")
    old = await _raw(inner)
    clock.step(5)
    await store.write(_NAME, b"second", attrs.evolve(first, now=first.now + 5000))
    await _put_back(inner, old)
    return clock, inner, store


async def test_a_process_that_has_seen_a_later_one_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    _, _, store = await _replayed()
    for _ in range(3):
        assert (await store.read(_NAME)).value == b"first"
    (warning,) = caplog.records
    assert "went back to an earlier one (by 5000 ms)" in warning.getMessage()


async def test_a_second_replay_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, inner, store = await _replayed()
    old = await _raw(inner)
    found = await store.read(_NAME)
    clock.step(5)
    await store.write(_NAME, b"third", found)
    await _put_back(inner, old)
    await store.read(_NAME)
    assert len(caplog.records) == 2


async def test_a_later_write_on_what_was_put_back_is_nothing_strange(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, _, store = await _replayed()
    other = SealedTokenStore(store._inner, _RING)
    caplog.clear()
    await store.write(_NAME, b"third", await store.read(_NAME))
    await other.read(_NAME)
    await store.read(_NAME)
    assert len(caplog.records) == 1


async def test_a_process_that_starts_afterwards_cannot_know(caplog: pytest.LogCaptureFixture) -> None:
    _, inner, _ = await _replayed()
    assert (await SealedTokenStore(inner, _RING).read(_NAME)).value == b"first"
    assert caplog.records == []


async def test_a_removed_record_is_not_told_from_a_dropped_one(caplog: pytest.LogCaptureFixture) -> None:
    _, inner, store = await _replayed()
    await inner.write(_PLACE, None, await inner.read(_PLACE))
    assert (await store.read(_NAME)).value is None
    assert caplog.records == []


class FailedOver(TokenStore):
    """A store that says of itself that it may have lost writes."""

    def __init__(self, inner: TokenStore) -> None:
        super().__init__()
        self.incarnation = "first"
        self._inner = inner

    async def read(self, name: str) -> Snapshot:
        return attrs.evolve(await self._inner.read(name), incarnation=self.incarnation)

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
        written = await self._inner.write(name, value, attrs.evolve(expected, incarnation=""), keep=keep)
        return attrs.evolve(written, incarnation=self.incarnation)

    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self._inner.changed(name, since, timeout)

    def keys(self) -> AsyncIterator[str]:
        return self._inner.keys()


async def test_writes_that_a_fail_over_lost_are_no_replay(caplog: pytest.LogCaptureFixture) -> None:
    inner = FailedOver(MemoryTokenStore())
    store = SealedTokenStore(inner, _RING)
    first = await create(store, _NAME, b"first")
    old = await _raw(inner)
    await store.write(_NAME, b"second", attrs.evolve(first, now=first.now + 5000))
    await _put_back(inner, old)
    inner.incarnation = "second"
    assert (await store.read(_NAME)).value == b"first"
    assert caplog.records == []


async def test_a_clock_of_the_store_that_goes_back_is_no_replay(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    inner = MemoryTokenStore(clock=clock)
    stores = [SealedTokenStore(inner, _RING) for _ in range(2)]
    await create(stores[0], _NAME, b"value")
    for number in range(4):
        clock.step_wall(-3600)
        store = stores[number % 2]
        await store.write(_NAME, b"value", await store.read(_NAME))
    assert caplog.records == []


@asynccontextmanager
async def _a_worker(inner: TokenStore, clock: ManualClock) -> AsyncIterator[TokenManager]:
    store = SealedTokenStore(inner, _RING, clock=clock)
    async with TokenManager(
        store, policy=RefreshPolicy(early_share=0.001, early_min=0.001), clock=clock
    ) as one:
        yield one


async def test_an_older_token_that_is_put_back_is_replaced_by_the_worker_with_the_newer_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    inner = MemoryTokenStore(clock=clock)
    async with OAuth2Emulator() as vendor, _a_worker(inner, clock) as worker:
        scheme = ClientCredentials(
            token_url=str(vendor.token_url),
            base_url=str(vendor.api_url),
            client_id="app",
            client_secret="app-secret",
        )
        await worker.put(scheme, Token(access_token="first"))
        (place,) = [name for name in await listed(inner) if len(name) == 96]
        old = (await inner.read(place)).value
        clock.step(5)
        await worker.put(scheme, Token(access_token="second"))
        await inner.write(place, old, await inner.read(place))
        await clock.advance(1)
        async with _a_worker(inner, clock) as other:
            assert (await other.token(scheme)).access_token == Secret("second")
    assert "went back to an earlier one" in caplog.text


async def test_a_record_of_a_later_version_asks_for_an_update_and_stays() -> None:
    clock = ManualClock()
    inner = MemoryTokenStore(clock=clock)
    async with OAuth2Emulator() as vendor, _a_worker(inner, clock) as worker:
        scheme = ClientCredentials(
            token_url=str(vendor.token_url),
            base_url=str(vendor.api_url),
            client_id="app",
            client_secret="app-secret",
        )
        store = SealedTokenStore(inner, _RING)
        name = store.name(scheme.key)
        written = await create(store, name, b'{"format":2,"token":"topsecret"}')
        with pytest.raises(UnreadableRecordError, match="newer asyncauth: upgrade this worker") as caught:
            await worker.token(scheme)
        assert "topsecret" not in str(caught.value)
        assert (await store.read(name)).version == written.version
        assert vendor.stats.token_calls == 0


async def test_what_is_remembered_is_bounded_and_the_records_used_last_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_newest, "REMEMBERED", 3)
    clock, names = ManualClock(), [f"{number:08x}".ljust(64, "0") for number in range(4)]
    inner = MemoryTokenStore(clock=clock)
    store = SealedTokenStore(inner, _RING, clock=clock)
    places = [Sealer(_RING, "asyncauth").place(name) for name in names]
    old = []
    for name, place in zip(names, places, strict=True):
        await store.read(names[0])  # in use all the time
        await create(store, name, b"first")
        old.append((await inner.read(place)).value)
        clock.step(5)
        await store.write(name, b"second", await store.read(name))
    assert len(vars(vars(store)["_newest"])["_seen"]) == 3
    for place, value in zip(places, old, strict=True):
        await inner.write(place, value, await inner.read(place))
    for number in (0, 3, 2, 1):
        assert (await store.read(names[number])).value == b"first"
    told = [record.getMessage().split()[2][:8] for record in caplog.records]
    assert told == [names[number][:8] for number in (0, 3, 2)]
