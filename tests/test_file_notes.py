"""How changes in a folder are noticed: the kernel's word, and what is done where it says nothing."""

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncauth_stores import _file_inotify
from asyncauth_stores._file_folder import Folder
from asyncauth_stores._file_inotify import KernelNotes
from asyncauth_stores._file_notes import Looks, notes_of
from asyncauth_stores._file_watch import FolderWatch
from asyncauth_stores._waiters import Waiters

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    return folder


@pytest.fixture
def notes(records: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelNotes]:
    monkeypatch.setattr(KernelNotes, "_NET", 20)
    opened = KernelNotes(str(records))
    yield opened
    opened.close()


def rename_into(folder: Path, name: str) -> None:
    draft = folder.with_name("draft")
    draft.touch()
    draft.replace(folder / name)


def test_the_kernel_names_what_was_renamed_into_the_folder_removed_and_written(
    notes: KernelNotes, records: Path
) -> None:
    for name in ("one", "two", "one"):
        rename_into(records, name)
    (records / "two").unlink()
    (records / "restored").write_bytes(b"from a backup")
    assert notes.wait() == {"one", "two", "restored"}
    assert notes.wait() == set()


def test_another_folder_in_the_same_place_is_watched_from_then_on(notes: KernelNotes, records: Path) -> None:
    records.rename(records.with_name("moved"))
    assert notes.wait() is None
    records.mkdir()
    assert notes.wait() is None
    rename_into(records, "one")
    assert notes.wait() == {"one"}


def test_a_folder_that_is_removed_and_made_again_is_watched_from_then_on(
    notes: KernelNotes, records: Path
) -> None:
    records.rmdir()
    assert notes.wait() is None
    records.mkdir()
    assert notes.wait() is None
    rename_into(records, "one")
    assert notes.wait() == {"one"}


def test_a_change_of_which_the_kernel_does_not_tell_is_seen_by_the_folders_stamp(
    notes: KernelNotes, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another machine writes, and nobody knows that the file system is its own."""
    monkeypatch.setattr(notes, "_names", set)
    assert notes.wait() == set()
    rename_into(records, "one")
    assert notes.wait() is None
    assert notes.wait() == set()


def test_more_than_the_kernel_can_tell_may_be_anything(
    notes: KernelNotes, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow = _file_inotify._EVENT.pack(-1, 0x4000, 0, 0)
    rename_into(records, "one")
    monkeypatch.setattr(notes, "_read", lambda: overflow)
    assert notes.wait() is None


def test_a_wait_ends_when_it_is_told_to(records: Path) -> None:
    notes = KernelNotes(str(records))
    notes.end()
    assert notes.wait() is None
    notes.close()
    notes.end()


def test_a_kernel_that_lends_no_more_is_done_without(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(result: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(_file_inotify, "_succeeded", refuse)
        assert isinstance(notes_of(str(records), 1, remote=False), Looks)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert isinstance(notes_of(str(records), 1, remote=False), Looks)


def test_nothing_that_was_lent_is_kept_when_there_is_no_folder(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert isinstance(notes_of(str(tmp_path / "missing"), 1, remote=False), Looks)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_forked_child_lets_go_of_what_its_parent_hears_through(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "tokens", "asyncauth")
    folder.open()
    watch = FolderWatch(folder, Waiters(), 0.01)
    watch.forget_parent()
    watch._notes = notes = KernelNotes(str(folder.records))
    handle = notes._handle
    watch.forget_parent()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(handle)
