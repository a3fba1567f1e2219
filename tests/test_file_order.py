"""What the file store tells the disk, and when: the order that a loss of power needs."""

import errno
import fcntl
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth_stores import _file_disk
from asyncauth_stores._file_folder import Folder
from asyncauth_stores._file_records import Records
from asyncauth_stores._private import create_private, replace_private
from file_samples import NAME, NOTHING

Calls = list[tuple[str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "tokens"


@pytest.fixture
def records(folder: Path) -> Records:
    """Return the records of an opened store, and the folder."""
    opened = Folder(folder, "asyncauth")
    opened.open()
    return Records(opened, SYSTEM_CLOCK)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Record what is done to which path, as the system sees it."""
    made: Calls = []

    def record(name: str, which: int = 0) -> None:
        real = getattr(os, name)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            place = args[which]
            path = Path(f"/proc/self/fd/{place}").resolve() if isinstance(place, int) else Path(place)
            if path.is_relative_to(tmp_path) and path.parent.name != "locks":
                made.append((name, str(path.relative_to(tmp_path))))
            return result

        monkeypatch.setattr(os, name, recorded)

    for name in ("mkdir", "write", "fsync", "unlink"):
        record(name)
    for name in ("replace", "link"):
        record(name, 1)
    return made


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file a handle is of")
_BASE = "deep/tokens/asyncauth"
_DRAFT, _RECORD = f"{_BASE}/temporary/{NAME}", f"{_BASE}/records/{NAME}"


@needs_proc
def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_answer(
    records: Records, calls: Calls
) -> None:
    records.write(NAME, b"value", NOTHING, None)
    assert [call for call in calls if call[0] != "unlink"] == [
        ("write", _DRAFT),
        ("fsync", _DRAFT),
        ("replace", _RECORD),
        ("fsync", f"{_BASE}/records"),
    ]


@needs_proc
def test_a_removal_is_on_the_disk_before_the_answer(records: Records, calls: Calls) -> None:
    stored = records.write(NAME, b"value", NOTHING, None)
    calls.clear()
    records.write(NAME, None, stored, None)
    assert calls == [("unlink", _RECORD), ("fsync", f"{_BASE}/records")]


@needs_proc
def test_each_new_folder_is_on_the_disk_before_anything_is_put_in_it(folder: Path, calls: Calls) -> None:
    Folder(folder, "asyncauth").open()
    made = [path for name, path in calls if name == "mkdir"]
    assert made[:3] == ["deep", "deep/tokens", _BASE]
    assert set(made[3:]) == {f"{_BASE}/{part}" for part in ("records", "locks", "holds", "temporary")}
    for path in made:
        after = calls[calls.index(("mkdir", path)) + 1]
        assert after == ("fsync", os.path.dirname(path) or ".")  # noqa: PTH120 - text, as recorded


@needs_proc
def test_folders_of_a_process_that_was_killed_too_early_are_told_to_the_disk_by_the_next(
    records: Records, folder: Path, calls: Calls
) -> None:
    Folder(folder, "asyncauth").open()
    assert [("fsync", path) for path in ("deep/tokens", _BASE, "deep")] == calls


@needs_proc
def test_a_key_file_is_on_the_disk_before_its_name_and_the_name_before_its_use(
    tmp_path: Path, calls: Calls
) -> None:
    create_private(tmp_path / "key", b"first")
    replace_private(tmp_path / "key", b"second")
    kinds = [
        (name, "draft" if path.startswith(".key.") else path) for name, path in calls if name != "unlink"
    ]
    draft = [("write", "draft"), ("fsync", "draft")]
    assert kinds == [*draft, ("link", "key"), ("fsync", "."), *draft, ("replace", "key"), ("fsync", ".")]


def test_a_short_write_is_continued(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data[:7])))
    records.write(NAME, bytes(100), NOTHING, None)
    assert records.read(NAME).value == bytes(100)


def test_macos_is_told_to_empty_the_memory_of_the_drive_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fsync alone leaves the content in there: fsync(2) of macOS."""
    flushed: list[str] = []

    def full(_: int, command: int) -> None:
        assert command == 51
        flushed.append("full")

    def refuse(_: int, command: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(os, "fsync", lambda _: flushed.append("plain"))
    for able in (full, refuse):
        monkeypatch.setattr(fcntl, "fcntl", able)
        _file_disk.write_new(tmp_path / "file", b"value")
    assert flushed == ["full", "plain"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_folders_is_used_all_the_same(
    records: Records, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.fsync

    def refuse(handle: int) -> None:
        if os.path.isdir(f"/dev/fd/{handle}"):  # noqa: PTH112 - a handle, not a path
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    records.write(NAME, b"value", NOTHING, None)
    assert records.read(NAME).value == b"value"


def test_windows_gets_the_moments_that_a_reader_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It replaces no file that somebody has open. Only this loop was run here, not Windows."""
    tries = 0
    monkeypatch.setattr(_file_disk, "_MOMENTS", (0.0, 0.0))

    def busy() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return "done"

    with pytest.raises(PermissionError):
        _file_disk.patiently(busy)
    monkeypatch.setattr(sys, "platform", "win32")
    assert _file_disk.patiently(busy) == "done"
