"""Small files that only their owner may read: written whole or not at all, checked when read."""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._errors import ConfigurationError
from asyncauth_stores._file_disk import make_folder, replace, sync_folder, write_new
from asyncauth_stores._file_trust import check_file, check_parents, resolved

_OLD = 60.0
# A named pipe would keep a reader waiting for ever. Python itself sees that no child inherits the file.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def create_private(path: Path, data: bytes) -> bool:
    """Write a new file with mode 0600; one that is there already stays as it is.

    Returns:
        Whether this call made it.

    Raises:
        InsecureStoreError: Somebody else could put another file in its place.
        OSError: It cannot be made.
    """
    _check_place(path)
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
        InsecureStoreError: It belongs to, or is open to, somebody else, or they could put another file
            in its place.
        ConfigurationError: It is a folder, a pipe or a device.
        OSError: It cannot be read.
    """
    _check_place(path)
    return read_regular(path, _check_own)


def read_regular(path: Path, check: Callable[[Path, int], None] = lambda *_: None) -> bytes:
    """Return the content of a file, if it is one.

    Args:
        path: The file.
        check: Looks at the open file first.

    Raises:
        ConfigurationError: It is a folder, a pipe or a device.
        OSError: It cannot be read.
    """
    handle = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ConfigurationError(
                f"{path} is a folder, a pipe or a device, and keys are read from regular files: write them"
                " to one, or pass the text as key= or in ASYNCAUTH_KEY"
            )
        check(path, handle)
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _check_own(path: Path, handle: int) -> None:
    check_file(path, handle)
    if os.fstat(handle).st_nlink > 1:
        _sweep_twins(path)


def _check_place(path: Path) -> None:
    """See that no stranger decides which file lies at a path, even if it is one of this user's."""
    check_parents(resolved(path.absolute()))


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
