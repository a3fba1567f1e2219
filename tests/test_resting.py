"""Resting on many keys: no task for each, and no storm when a connection breaks or the store is dead."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from asyncauth import Token, TokenManager, open_store
from asyncauth._resting import _AT_ONCE
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing import FaultyTokenStore, ManualClock, settle
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore
from redis_servers import RedisServer
from scripted import Scripted, issued
from worlds import Handle, text_of

_MANY = 200


def schemes(count: int = _MANY) -> Sequence[Scripted]:
    return [Scripted(account=f"{number}") for number in range(count)]


class Bells(Handle):
    """A handle that rings when a test says so, and counts the reads under way.

    Attributes:
        rings: Of who follows, by name.
        at_once: The most reads that were under way together.
        hasty: Whether it rings for no reason as soon as somebody follows.
    """

    def __init__(self, place: MemoryTokenStore, clock: ManualClock) -> None:
        super().__init__(place, clock)
        self.clock = clock
        self.rings: dict[str, Callable[[], object]] = {}
        self.at_once = self.reading = 0
        self.hasty = False

    async def _reach(self, operation: str) -> None:
        self.reading += 1
        self.at_once = max(self.at_once, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        await super()._reach(operation)

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        self.calls["follow"] += 1
        self.rings[name] = ring
        if self.hasty:
            ring()
        return lambda: self.rings.pop(name, None)

    def break_down(self) -> None:
        """Ring for all, as a connection that breaks."""
        for ring in tuple(self.rings.values()):
            ring()


@pytest.fixture
async def bells() -> AsyncIterator[Bells]:
    clock = ManualClock()
    store = Bells(MemoryTokenStore(clock=clock), clock)
    yield store
    await store.aclose()


async def in_use(store: Bells, count: int = _MANY) -> TokenManager:
    """Use some keys, and have them at rest, each with what is stored."""
    manager = TokenManager(store, clock=store.clock)
    for scheme in schemes(count):
        await manager.token(scheme)
    while len(store.rings) < count:
        await settle()
    store.calls.clear()
    store.break_down()
    while store.calls["follow"] < count:
        await settle()
    await store.clock.advance(2)  # what rings sooner than this rings for nothing
    store.calls.clear()
    store.at_once = 0
    return manager


async def require_no_task_for_each(store: TokenStore) -> None:
    """Require that keys at rest leave but a handful of tasks, and that a change is still adopted."""
    before = len(asyncio.all_tasks())
    some = schemes()
    async with TokenManager(store) as manager:
        for scheme in some:
            await manager.token(scheme)
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > before + 5:
                await asyncio.sleep(0.01)


async def test_keys_at_rest_in_memory_have_no_task_each() -> None:
    await require_no_task_for_each(MemoryTokenStore())


@pytest.mark.slow
async def test_keys_at_rest_in_sealed_files_have_no_task_each(tmp_path: Path) -> None:
    async with open_store(f"file://{tmp_path}", key=KeyRing.generate().dump()) as store:
        await require_no_task_for_each(store)


async def test_keys_at_rest_behind_faults_have_no_task_each() -> None:
    async with FaultyTokenStore(SealedTokenStore(MemoryTokenStore(), KeyRing.generate())) as store:
        await require_no_task_for_each(store)


@pytest.mark.servers
async def test_keys_at_rest_in_redis_have_no_task_each(redis_server: RedisServer) -> None:
    async with open_store(redis_server.url, key=KeyRing.generate().dump()) as store:
        await require_no_task_for_each(store)


async def test_when_all_keys_ring_at_once_a_few_are_looked_at_at_the_same_time(bells: Bells) -> None:
    await in_use(bells)
    tasks = len(asyncio.all_tasks())
    bells.break_down()
    assert len(asyncio.all_tasks()) <= tasks + _AT_ONCE
    while bells.calls["follow"] < _MANY:
        await settle()
    assert 1 < bells.at_once <= _AT_ONCE
    assert bells.calls["read"] == _MANY


async def test_a_dead_store_is_asked_for_a_few_keys_a_second_and_back_all_are_followed(bells: Bells) -> None:
    manager = await in_use(bells)
    bells.away = True
    bells.break_down()
    await settle()
    bells.calls.clear()
    await bells.clock.advance(10)
    assert 10 <= bells.calls["read"] <= 10 * _AT_ONCE
    assert not bells.rings
    bells.away = False
    await bells.clock.advance(1.1)
    while len(bells.rings) < _MANY:
        await settle()
    await manager.put(Scripted(account="7"), issued(9))
    assert text_of(await manager.token(Scripted(account="7"))) == "t9"


async def test_a_store_that_rings_for_nothing_is_asked_once_a_second(bells: Bells) -> None:
    await in_use(bells, 1)
    bells.hasty = True
    bells.break_down()
    await settle()
    bells.calls.clear()
    await bells.clock.advance(10)
    assert 5 <= bells.calls["read"] <= 22


async def test_after_one_ring_for_nothing_a_record_is_followed_at_once(bells: Bells) -> None:
    manager = await in_use(bells, 1)
    await manager.put(schemes(1)[0], Token(access_token="another"))
    for is_followed in (True, True, False):  # a change, a message that came late, and a store that is broken
        bells.break_down()
        await settle()
        assert bool(bells.rings) is is_followed


async def test_a_look_that_was_due_is_no_ring_for_nothing(bells: Bells) -> None:
    manager = await in_use(bells, 1)
    await manager.put(schemes(1)[0], Token(access_token="another"))
    bells.break_down()
    await settle()
    bells.calls.clear()
    await bells.clock.advance(3599.5)
    await bells.clock.advance(1)
    assert bells.calls["read"] == 1
    bells.break_down()  # a message that came late
    await settle()
    assert bells.rings


async def test_an_unreadable_record_that_rings_for_nothing_is_read_a_few_times_a_second(bells: Bells) -> None:
    await in_use(bells, 1)
    [name] = bells.rings
    await bells.write(name, b"garbage", await bells.read(name))
    bells.hasty = True
    async with asyncio.timeout(5):
        bells.break_down()
        await settle()
        bells.calls.clear()
        await bells.clock.advance(10)
    assert 5 <= bells.calls["read"] <= 22


async def test_what_is_at_rest_is_looked_at_once_an_hour(bells: Bells) -> None:
    await in_use(bells, 1)
    await bells.clock.advance(3590)
    assert bells.calls["read"] == 0
    await bells.clock.advance(20)
    assert bells.calls["read"] == 1


async def test_closing_ends_all_followings(bells: Bells) -> None:
    await in_use(bells)
    await bells.aclose()
    assert not bells.rings


async def test_a_bug_of_a_store_is_logged_and_interrupts_the_following_of_that_key_alone(
    bells: Bells, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await in_use(bells)
    read = bells.read

    async def once_wrong(name: str) -> Snapshot:
        monkeypatch.setattr(bells, "read", read)
        raise LookupError("a bug")

    monkeypatch.setattr(bells, "read", once_wrong)
    bells.break_down()
    while bells.calls["follow"] < _MANY - 1:
        await settle()
    assert [record.message for record in caplog.records] == ["following the record of a scripted token"]
    await settle()
    assert len(bells.rings) == _MANY - 1
    await bells.clock.advance(61)
    await settle()
    assert len(bells.rings) == _MANY


class RingsAtTheEnd(Handle):
    """Rings when what it waits in is cancelled, as a connection does whose loop ends."""

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ring()

        return asyncio.get_running_loop().create_task(wait()).cancel


def test_a_ring_of_the_loops_end_begins_nothing_that_the_end_would_cut_off() -> None:
    store, scheme = RingsAtTheEnd(MemoryTokenStore(), ManualClock()), Scripted()

    async def use() -> None:
        await TokenManager(store).token(scheme)
        await settle()

    with asyncio.Runner() as runner:
        runner.run(use())
        before = store.calls.copy()
    assert store.calls == before
