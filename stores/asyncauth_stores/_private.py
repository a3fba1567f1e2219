"""Small files that only their owner may read: written whole or not at all, checked when read."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from asyncauth._errors import InsecureStoreError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def create_private(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600; one that is there already stays as it is."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, data)
        # A link, unlike a rename, never replaces: of several processes the first wins, and
        # nobody can read half a file.
        with suppress(FileExistsError):
            os.link(draft, path)
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def read_private(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        InsecureStoreError: It belongs to, or is open to, somebody else.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        # Of the open file: the path may name another one by now.
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid():
            raise InsecureStoreError(f"{path} belongs to another user: chown {os.geteuid()} {path}")
        if facts.st_mode & _OTHERS:
            mode = stat.S_IMODE(facts.st_mode)
            raise InsecureStoreError(f"{path} is open to other users (mode {mode:04o}): chmod 600 {path}")
        return file.read()


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(path: Path) -> None:
    # Or the machine may forget, at a loss of power, a key that already sealed something.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
