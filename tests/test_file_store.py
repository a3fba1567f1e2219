"""What the plain file store does beyond the conformance suite, in one process."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._errors import (
    ClosedError,
    StoreUnavailableError,
    UnreadableRecordError,
    WriteConflictError,
)
from asyncauth.abc import Liveness
from asyncauth.testing import ManualClock
from asyncauth.testing._promise import listed
from asyncauth_stores import _file_disk, _file_folder, _file_hold
from asyncauth_stores._file_format import GLANCE, Record, glance, has_run_out
from asyncauth_stores._files import PlainFileStore
from asyncauth_stores._waiters import Standing
from file_samples import NAME, NOTHING, put, record_of, watched


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def made(folder: Path) -> Path:
    """Return a store's folder that exists."""
    folder.mkdir(mode=0o700)
    return folder


# Records


@given(
    value=st.binary(max_size=300),
    version=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    told=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    expires=st.integers(0, 10**15),
)
def test_a_record_comes_back_from_its_bytes(value: bytes, version: str, told: str, expires: int) -> None:
    record = Record(value, version, told, expires)
    data = record.pack()
    assert Record.unpack(data) == record
    assert glance(data[:GLANCE]) == Standing(version, told)
    assert has_run_out(data[:GLANCE], expires) is bool(expires)


@given(value=st.binary(min_size=1, max_size=50), data=st.data())
def test_a_record_that_was_cut_or_changed_is_noticed(value: bytes, data: st.DataObject) -> None:
    whole = Record(value, "0" * 32, "1" * 32, 7).pack()
    place = data.draw(st.integers(0, len(whole) - 1))
    cut, changed = whole[:place], bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    for damaged in (cut, bytes(changed)):
        with pytest.raises(ValueError, match=r"^it(s format)? "):
            Record.unpack(damaged)


@pytest.mark.parametrize(
    "garbage", [b"", b"{}", b"asyncauth-record 2 ", b"asyncauth-record 3 x 0 y\nsecret", bytes(500)]
)
async def test_garbage_is_an_error_until_something_is_put_in_its_place(folder: Path, garbage: bytes) -> None:
    async with PlainFileStore(folder) as store, PlainFileStore(folder) as other:
        old = await put(store)
        record_of(folder).write_bytes(garbage)
        with pytest.raises(UnreadableRecordError, match="store a new token with `put`") as caught:
            await store.read(NAME)
        for expected in (old, NOTHING):
            with pytest.raises(UnreadableRecordError):
                await store.write(NAME, b"new", expected)
        assert record_of(folder).read_bytes() == garbage
        assert "secret" not in str(caught.value)
        assert await listed(store) == [NAME]
        written = await store.write(NAME, b"new", caught.value.snapshot)
        found = await other.read(NAME)
        assert (found.value, found.version) == (b"new", written.version)


async def test_a_record_of_a_newer_version_is_named_as_such_and_stays(folder: Path) -> None:
    newer = b"asyncauth-record 3 7 whatever comes then\nsecret"
    async with PlainFileStore(folder) as store:
        old = await put(store)
        record_of(folder).write_bytes(newer)
        with pytest.raises(UnreadableRecordError, match="update it, if a newer one wrote that") as caught:
            await store.read(NAME)
        for expected in (old, NOTHING):
            with pytest.raises(UnreadableRecordError):
                await store.write(NAME, b"new", expected, keep=1)
        assert await listed(store) == [NAME]
    assert record_of(folder).read_bytes() == newer
    assert "secret" not in str(caught.value)


async def test_a_value_is_gone_for_everybody_when_its_time_is_over(folder: Path) -> None:
    clock = ManualClock()
    async with PlainFileStore(folder, clock=clock) as store:
        kept = await store.write(NAME, b"value", NOTHING, keep=10)
        clock.step(9.9)
        assert (await store.read(NAME)).version == kept.version
        clock.step(0.2)
        assert (await store.read(NAME)).version == ""
        with pytest.raises(WriteConflictError):
            await store.write(NAME, b"late", kept)
        assert record_of(folder).exists()
        assert await listed(store) == []
        assert not record_of(folder).exists()


async def test_files_that_are_no_records_are_not_listed(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
        (record_of(folder).parent / ".DS_Store").touch()
        assert await listed(store) == [NAME]


# What the operating system refuses


async def test_a_file_in_the_place_of_the_folder_is_an_error(made: Path) -> None:
    file = made / "file"
    file.write_text("not a folder")
    for place in (file, file / "tokens", file / "deep" / "tokens"):
        async with PlainFileStore(place) as store:
            with pytest.raises(StoreUnavailableError, match="is no folder"):
                await store.read(NAME)


async def test_a_lock_that_is_never_let_go_is_an_error_in_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_file_disk, "PATIENCE", 0.05)
    async with PlainFileStore(folder) as store:
        stored = await put(store)
        with await asyncio.to_thread(_file_folder.Folder(folder, "asyncauth").lock, NAME):
            with pytest.raises(StoreUnavailableError, match=r"held a record's lock for 0\.05 s"):
                await store.write(NAME, b"second", stored)
            assert (await store.read(NAME)).value == b"value"
        await store.write(NAME, b"second", stored)


async def test_a_folder_that_vanished_is_made_again_by_a_write(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
        await asyncio.to_thread(folder.rename, folder.with_name("moved"))
        assert (await store.read(NAME)).value is None
        await put(store, b"second")
        assert (await store.read(NAME)).value == b"second"


async def test_a_closed_store_says_so_and_wakes_who_waits(folder: Path) -> None:
    store = PlainFileStore(folder)
    wait = asyncio.create_task(store.changed(NAME, "", 60))
    await watched()
    await store.aclose()
    async with asyncio.timeout(5):
        await wait
    with pytest.raises(ClosedError):
        await store.read(NAME)


# Holding


def mark_of(folder: Path, attempt: str = "attempt") -> Path:
    return folder / "asyncauth" / "holds" / f"{NAME}.{attempt}"


async def test_a_mark_is_removed_at_the_end_also_of_a_closed_store(folder: Path) -> None:
    store = PlainFileStore(folder)
    async with store.hold(NAME, "attempt"):
        assert mark_of(folder).read_bytes() == b"held"
        await store.aclose()
    assert not mark_of(folder).exists()


async def test_a_mark_that_is_not_filled_yet_or_any_more_is_unknown(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
        mark_of(folder).touch(mode=0o600)
        assert await store.is_held(NAME, "attempt") is Liveness.UNKNOWN
        mark_of(folder).write_bytes(b"held")
        assert await store.is_held(NAME, "attempt") is Liveness.DEAD


async def test_marks_of_the_dead_are_swept_when_they_are_old(folder: Path) -> None:
    async with PlainFileStore(folder) as store, store.hold(NAME, "living"):
        for attempt in ("old", "new"):
            mark_of(folder, attempt).write_bytes(b"held")
        for attempt in ("old", "living"):
            os.utime(mark_of(folder, attempt), (0, 0))
        async with PlainFileStore(folder) as other:
            assert await other.is_held(NAME, "living") is Liveness.ALIVE
            assert await other.is_held(NAME, "new") is Liveness.DEAD
            assert await other.is_held(NAME, "old") is Liveness.UNKNOWN


def test_a_mark_that_is_dropped_before_it_is_taken_is_never_made(tmp_path: Path) -> None:
    mark = _file_hold.Mark(tmp_path / "mark")
    mark.drop()
    mark.take()
    assert not (tmp_path / "mark").exists()
