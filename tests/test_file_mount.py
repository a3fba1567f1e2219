"""Which folders are found to lie on another machine, and what the store does about it."""

import logging
import os
import sys
from pathlib import Path

import pytest

from asyncauth_stores import _file_folder, _file_mount
from asyncauth_stores._file_inotify import KernelNotes
from asyncauth_stores._file_notes import Looks, notes_of
from asyncauth_stores._files import PlainFileStore
from file_samples import put, record_of

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@linux_only
@pytest.mark.parametrize(
    ("kind", "remote"),
    [
        ("nfs4", "nfs4"),
        ("cifs", "cifs"),
        ("fuse.sshfs", "fuse.sshfs"),
        ("9p", "9p"),
        ("ext4", ""),
        ("tmpfs", ""),
    ],
)
def test_a_network_file_system_is_known_by_the_type_of_its_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, remote: str
) -> None:
    device = tmp_path.stat().st_dev
    here = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"22 1 0:1 / /proc rw,nosuid shared:5 - nfs proc rw\n"
        f"36 35 {here} /mnt1 /mnt2 rw,noatime master:1 - {kind} server:/root rw,errors=continue\n"
    )
    monkeypatch.setattr(_file_mount, "_MOUNTS", mounts)
    assert _file_mount.remote_kind(tmp_path) == remote


def test_where_nobody_tells_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_file_mount, "_MOUNTS", tmp_path / "missing")
    assert _file_mount.remote_kind(tmp_path) == ""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _file_mount.remote_kind(tmp_path) == ""


def test_this_very_folder_is_local(tmp_path: Path) -> None:
    assert _file_mount.remote_kind(tmp_path) == ""


async def test_a_store_on_one_is_warned_of_once_and_looks_for_changes_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_file_folder, "remote_kind", lambda _: "nfs4")
    with caplog.at_level(logging.WARNING, "asyncauth"):
        async with PlainFileStore(folder, poll=0.01) as store:
            stored = await put(store)
            await store.changed(stored.version, "", 0.01)
            assert isinstance(store._watch._notes, Looks)
    (record,) = caplog.records
    assert f"{folder}/asyncauth is on a network file system (nfs4)" in record.getMessage()


@linux_only
def test_the_kernel_is_asked_for_changes_where_it_knows_them(folder: Path, tmp_path: Path) -> None:
    notes = notes_of(str(tmp_path), 1, remote=False)
    assert isinstance(notes, KernelNotes)
    notes.close()
    assert isinstance(notes_of(str(tmp_path), 1, remote=True), Looks)
    assert isinstance(notes_of(str(folder), 1, remote=False), Looks)
    assert not record_of(folder).exists()
