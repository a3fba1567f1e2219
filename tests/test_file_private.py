"""Key files: what killed processes leave beside them, and what Windows is not asked for."""

import os
import stat
import sys
from pathlib import Path

import pytest

from asyncauth_stores import _file_trust
from asyncauth_stores._private import create_private, read_private


def test_a_key_that_a_killed_process_left_under_two_names_has_one_again(tmp_path: Path) -> None:
    key, draft, other = (tmp_path / name for name in ("key", f".key.{'0' * 16}", f".key.{'1' * 16}"))
    create_private(key, b"key")
    draft.hardlink_to(key)
    other.write_bytes(b"of a process that is at work")
    assert read_private(key) == b"key"
    assert set(tmp_path.iterdir()) == {key, other}


def test_drafts_of_keys_are_swept_when_they_are_old(tmp_path: Path) -> None:
    old, new = (tmp_path / f".key.{digit * 16}" for digit in "01")
    for draft in (old, new):
        draft.touch()
    os.utime(old, (0, 0))
    assert create_private(tmp_path / "key", b"key")
    assert not create_private(tmp_path / "key", b"another")
    assert set(tmp_path.iterdir()) == {tmp_path / "key", new}


def test_windows_is_not_asked_for_owners_and_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows that no call is made that Windows lacks; Windows itself was not run."""
    tmp_path.chmod(0o777)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delattr(os, "geteuid")
    monkeypatch.setattr(stat, "S_IMODE", None)
    _file_trust.check_folder(tmp_path)
    _file_trust.check_parents(tmp_path / "tokens")
    assert _file_trust.resolved(tmp_path) == tmp_path
    create_private(tmp_path / "key", b"key")
    assert read_private(tmp_path / "key") == b"key"
