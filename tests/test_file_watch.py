"""How the plain file store notices the writes of other processes, and stops looking for them."""

import asyncio
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

import pytest

from asyncauth import ClosedError
from asyncauth.testing import ManualClock
from asyncauth_stores import _file_watch
from asyncauth_stores._file_folder import Folder
from asyncauth_stores._file_format import Record
from asyncauth_stores._file_inotify import KernelNotes
from asyncauth_stores._file_notes import Looks
from asyncauth_stores._file_watch import FolderWatch
from asyncauth_stores._files import PlainFileStore
from asyncauth_stores._waiters import Standing, Waiters
from file_samples import NAME, put, record_of, watched, watchers
from store_places import forget

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture(params=["told", "looking"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have changes noticed by the kernel's word, where it gives it, and by looks."""
    if request.param == "looking":
        monkeypatch.setattr(_file_watch, "notes_of", lambda folder, poll, remote: Looks(folder, poll))
    elif sys.platform != "linux":
        pytest.skip("only Linux tells")
    return str(request.param)


async def test_one_thread_watches_for_all_who_wait_and_ends_with_the_store(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
        assert watchers() == []
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(store.changed(os.urandom(8).hex(), "", 0.1))
        assert [thread.daemon for thread in watchers()] == [True]
    assert watchers() == []


def test_a_watch_that_is_being_started_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, may_start = threading.Event(), threading.Event()

    class Slow(threading.Thread):
        def start(self) -> None:
            starting.set()
            may_start.wait(5)
            super().start()

    watch = FolderWatch(Folder(tmp_path, "asyncauth"), Waiters(), 0.01)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(2):  # its threads are to be ordinary ones
            threads.submit(starting.wait, 0.05)
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Thread", Slow)
            started = threads.submit(watch.start)
            starting.wait(5)
            stopped = threads.submit(watch.stop)
            with pytest.raises(FutureTimeoutError):
                stopped.result(0.05)
            may_start.set()
            started.result(5)
            stopped.result(5)
    watch.start()
    assert watchers() == []


async def test_a_wait_ends_when_its_clock_has_moved_past_the_timeout(folder: Path) -> None:
    clock = ManualClock()
    async with PlainFileStore(folder, clock=clock) as store:
        wait = asyncio.create_task(store.changed(NAME, "", 5))
        await watched()
        await clock.advance(5.1)
        await wait


@pytest.mark.parametrize("seconds", [0, 1_700_000_000])
async def test_a_change_within_one_tick_of_the_folders_stamp_is_noticed(
    folder: Path, way: str, seconds: int
) -> None:
    """Some file systems stamp in steps of a second or two: the stamp then stays as it is."""
    async with PlainFileStore(folder) as reader, PlainFileStore(folder) as writer:
        stored = await put(writer)
        records = record_of(folder).parent
        os.utime(records, (seconds, seconds))
        wait = asyncio.create_task(reader.changed(NAME, stored.version, 60))
        await asyncio.sleep(0.1)
        await writer.write(NAME, b"second", stored)
        os.utime(records, (seconds, seconds))
        async with asyncio.timeout(5):
            await wait


async def test_a_write_that_nobody_is_to_hear_of_wakes_nobody_and_the_next_one_does(folder: Path) -> None:
    async with PlainFileStore(folder) as reader, PlainFileStore(folder) as writer:
        stored = await put(writer)
        before, between = asyncio.Event(), asyncio.Event()
        await reader.follow(NAME, stored.version, before.set)
        lease = await writer.write(NAME, b"a lease", stored, wake=False)
        await reader.follow(NAME, lease.version, between.set)
        await asyncio.sleep(0.1)
        assert not before.is_set()
        assert not between.is_set()
        told = await writer.write(NAME, b"a token", lease)
        await writer.write(NAME, b"another lease", told, wake=False)  # perhaps before anybody looked
        async with asyncio.timeout(5):
            await before.wait()
            await between.wait()


async def test_after_changes_that_nobody_heard_of_who_comes_back_compares(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf, names = False, KernelNotes._names

    def lossy(notes: KernelNotes) -> set[str]:
        found = names(notes)
        return {""} if found and deaf else found  # as after an overflow of the kernel's queue

    monkeypatch.setattr(KernelNotes, "_names", lossy)
    async with PlainFileStore(folder) as reader, PlainFileStore(folder) as writer:
        stored, rung = await put(writer), asyncio.Event()
        await reader.follow(NAME, stored.version, rung.set)
        stored = await writer.write(NAME, b"heard of", stored)
        await asyncio.wait_for(rung.wait(), 5)
        deaf = True
        await writer.write(NAME, b"not heard of", stored)
        await asyncio.sleep(0.1)
        deaf = False
        rung.clear()
        await reader.follow(NAME, stored.version, rung.set)
        await asyncio.wait_for(rung.wait(), 5)


async def test_who_comes_back_to_a_store_that_was_closed_is_told_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing, other = _file_watch._standing, "b2" * 32

    def slow(records: str, name: str) -> Standing:
        time.sleep(0.2 if name == other else 0)
        return standing(records, name)

    monkeypatch.setattr(_file_watch, "_standing", slow)
    async with PlainFileStore(folder) as writer:
        reader = PlainFileStore(folder)
        stored, rung = await put(writer), asyncio.Event()
        await reader.follow(NAME, stored.version, rung.set)
        stored = await writer.write(NAME, b"heard of", stored)
        await asyncio.wait_for(rung.wait(), 5)
        await put(writer, name=other)
        await asyncio.sleep(0.05)
        await reader.aclose()
        with pytest.raises(ClosedError):
            await reader.changed(NAME, stored.version, 5)


def test_two_loops_in_two_threads_share_one_store(folder: Path) -> None:
    store = PlainFileStore(folder)
    failures: list[BaseException] = []

    async def rally(mine: int) -> None:
        found = await store.read(NAME)
        for turn in range(mine, 10, 2):
            while int(found.value or 0) != turn:
                await store.changed(NAME, found.version, 10)
                found = await store.read(NAME)
            found = await store.write(NAME, b"%d" % (turn + 1), found)

    def play(mine: int) -> None:
        try:
            asyncio.run(rally(mine))
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=play, args=(mine,)) for mine in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    asyncio.run(store.aclose())
    assert failures == []
    assert Record.unpack(record_of(folder).read_bytes()).value == b"10"


def test_a_store_that_is_forgotten_unclosed_is_warned_of_and_watches_no_more(folder: Path) -> None:
    stores = [PlainFileStore(folder)]
    while not watchers():
        asyncio.run(stores[0].changed(NAME, "", 0.05))
    (thread,) = watchers()
    with pytest.warns(
        ResourceWarning, match=r"PlainFileStore\(.*tokens', namespace='asyncauth'\) was not closed"
    ):
        forget(stores)
    thread.join(5)
    assert not thread.is_alive()
