"""The file store with thousands of records: listed at once, read alone, waited for without looking at all."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from asyncauth.testing._promise import listed
from asyncauth_stores import _file_watch
from asyncauth_stores._file_folder import Folder
from asyncauth_stores._file_format import Record
from asyncauth_stores._files import PlainFileStore
from asyncauth_stores._waiters import Standing

pytestmark = pytest.mark.slow
_COUNT = 10_000
_WAITED = 2_000


def name_of(number: int) -> str:
    return f"{number:064x}"


def fill(folder: Path, count: int, expires: int = 0) -> None:
    """Store records as files, without the ten seconds that it takes to have each on the disk."""
    opened = Folder(folder, "asyncauth")
    opened.open()
    for number in range(count):
        version = f"{number:032x}"
        opened.record(name_of(number)).write_bytes(Record(bytes(1500), version, version, expires).pack())


async def test_ten_thousand_records_are_listed_in_a_moment_and_one_is_read_as_if_alone(
    tmp_path: Path,
) -> None:
    await asyncio.to_thread(fill, tmp_path / "tokens", _COUNT)
    async with PlainFileStore(tmp_path / "tokens") as store:
        start = time.monotonic()
        assert len(await listed(store)) == _COUNT
        middle = time.monotonic()
        assert (await store.read(name_of(_COUNT // 2))).value == bytes(1500)
        # 0.4 s and 0.3 ms on an idle machine.
        assert middle - start < 5
        assert time.monotonic() - middle < 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each name that is waited for is looked at")
async def test_one_change_among_thousands_that_are_waited_for_costs_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real = _file_watch._standing

    def counted(records: str, name: str) -> Standing:
        looked.append(name)
        return real(records, name)

    monkeypatch.setattr(_file_watch, "_standing", counted)
    await asyncio.to_thread(fill, tmp_path / "tokens", _COUNT)
    async with PlainFileStore(tmp_path / "tokens") as store, PlainFileStore(tmp_path / "tokens") as writer:
        waits = [
            asyncio.create_task(store.changed(name_of(number), f"{number:032x}", 60))
            for number in range(_WAITED)
        ]
        while len(store._waiters.names()) < _WAITED or store._threads._work_queue.qsize():
            await asyncio.sleep(0.01)
        await writer.write(name_of(7), b"changed", await writer.read(name_of(7)))
        async with asyncio.timeout(5):
            await waits[7]
        assert sum(wait.done() for wait in waits) == 1
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    assert set(looked) == {name_of(7)}


async def test_records_that_have_run_out_are_removed_without_a_word_to_the_disk_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(fill, tmp_path / "tokens", 500, expires=1)
    async with PlainFileStore(tmp_path / "tokens") as store:
        await store.read(name_of(0))
        monkeypatch.setattr(os, "fsync", None)
        assert await listed(store) == []
    assert list((tmp_path / "tokens" / "asyncauth" / "records").iterdir()) == []
