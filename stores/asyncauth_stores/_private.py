"""Small files that only their owner may read: written whole or not at all, checked when read."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth_stores._file_disk import make_folder, replace, sync_folder, write_new
from asyncauth_stores._file_trust import check_file

_OLD = 60.0


def create_private(path: Path, data: bytes) -> bool:
    """Write a new file with mode 0600; one that is there already stays as it is.

    Returns:
        Whether this call made it.

    Raises:
        OSError: It cannot be made.
    """
    make_folder(path.parent)
    draft = _new_draft(path)
    try:
        write_new(draft, data)
        # A link, unlike a rename, never replaces: of several processes the first wins, and
        # nobody can read half a file.
        made = _linked(draft, path)
        # Or the machine may forget, at a loss of power, a key that already sealed something.
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return made


def _linked(draft: Path, path: Path) -> bool:
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    return True


def replace_private(path: Path, data: bytes) -> None:
    """Replace a file, at once; who reads meanwhile finds the old content or the new.

    Raises:
        OSError: It cannot be replaced; the old content is still there.
    """
    replace(path, _new_draft(path), data)


def read_private(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        InsecureStoreError: It belongs to, or is open to, somebody else.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        check_file(path, file.fileno())
        if os.fstat(file.fileno()).st_nlink > 1:
            _sweep_twins(path)
        return file.read()


def _sweep_twins(path: Path) -> None:
    """Remove the second name that a process left which was killed as it made the file."""
    with suppress(OSError):  # it may be somebody else's link, in a folder that is not listed
        for draft in _drafts(path):
            if draft.samefile(path):
                draft.unlink()


def _new_draft(path: Path) -> Path:
    for left in _drafts(path):
        if _is_old(left):  # of a process that was killed
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _is_old(draft: Path) -> bool:
    try:
        return SYSTEM_CLOCK.wall() - draft.lstat().st_mtime > _OLD
    except FileNotFoundError:
        return False


def _drafts(path: Path) -> list[Path]:
    return [
        found
        for found in path.parent.iterdir()
        if found.name.startswith(f".{path.name}.") and len(found.name) == len(path.name) + 18
    ]
