"""The folders of a file store: made private, refused when open to others, written atomically.

```
<folder>/<namespace>/records/<name>           one record
                     locks/<name>.lock        held while that record is compared and replaced
                     holds/<name>.<attempt>   held while a process works on an attempt
                     temporary/<name>         the next record, until it is renamed
```

Everything here blocks, and is called in threads only.
"""

import errno
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import final

from filelock import FileLock, Timeout

from asyncauth._errors import ConfigurationError, InsecureStoreError, StoreUnavailableError

_PARTS = ("records", "locks", "holds", "temporary")
_PART = re.compile(r"[A-Za-z0-9_-]+")
_PATIENCE = 5.0

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the quota is used up: free some space",
    errno.EROFS: "the file system is read-only: mount it writable, or choose another folder",
    errno.EACCES: "this user may not use it: give the folder to the user that runs the service",
    errno.EPERM: "this user may not use it: give the folder to the user that runs the service",
    errno.EEXIST: "a part of the path is no folder: remove it, or choose another folder",
    errno.ENOTDIR: "a part of the path is no folder: remove it, or choose another folder",
    errno.EMFILE: "this process has too many files open: raise its limit (ulimit -n)",
    errno.ENFILE: "the system has too many files open",
    errno.ENOSYS: "the file system has no locks: choose a folder on a local disk",
}


def checked(part: str, longest: int = 128) -> str:
    """Return a namespace, name or attempt that can be part of a path.

    Raises:
        ConfigurationError: It could name another place, or it is too long.
    """
    if len(part) > longest or not _PART.fullmatch(part):
        raise ConfigurationError(
            f"{part[:40]!r} cannot be part of a file's name: use 1 to {longest} of A-Z a-z 0-9 _ -"
        )
    return part


@contextmanager
def translated(place: os.PathLike[str] | str) -> Iterator[None]:
    """Turn the operating system's errors into `StoreUnavailableError`, with what to do about them."""
    try:
        yield
    except Timeout as error:
        raise StoreUnavailableError(
            f"token store {os.fspath(place)}: another process has held a record's lock for {_PATIENCE:g} s; "
            "look for one that is stopped"
        ) from error
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or type(error).__name__)
        raise StoreUnavailableError(f"token store {os.fspath(place)}: {advice}") from error


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a loss of power."""
    if sys.platform == "win32":
        return  # Windows opens no folder, and keeps its names without being told.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_file(path: Path, on_acquired: Callable[[int], None] | None = None) -> FileLock:
    """Return the operating system's lock on a file that stays in its place.

    A lock file that is removed while others wait for it would let two of them in. A lock that is
    only the existence of a file would outlive its process: better none.

    Args:
        path: The file; made if it is missing.
        on_acquired: Called with the open file, once it is locked.
    """
    return FileLock(
        path,
        timeout=_PATIENCE,
        poll_interval=0.002,
        mode=0o600,
        thread_local=False,
        preserve_lock_file=True,
        fallback_to_soft=False,
        on_acquired=on_acquired,
    )


@final
class Folder:
    """One namespace's folders.

    Args:
        root: Where all namespaces lie. A symbolic link is followed once, so that the store stays in
            one place when the link is changed.
        namespace: The name of the folder in it.
    """

    def __init__(self, root: str | os.PathLike[str], namespace: str) -> None:
        self._root = root
        self._namespace = namespace

    @cached_property
    def base(self) -> Path:
        """The namespace's folder, without symbolic links."""
        return Path(os.path.realpath(self._root)) / self._namespace

    @property
    def records(self) -> Path:
        """Where the records lie."""
        return self.base / "records"

    @property
    def holds(self) -> Path:
        """Where the marks lie."""
        return self.base / "holds"

    def record(self, name: str) -> Path:
        """Return the path of a record."""
        return self.records / name

    def names(self) -> list[str]:
        """Return the names of the files that can be records; a system's own, such as `.DS_Store`, cannot."""
        return [path.name for path in self.records.iterdir() if _PART.fullmatch(path.name)]

    def hold(self, name: str, attempt: str) -> Path:
        """Return the path of an attempt's mark."""
        return self.holds / f"{name}.{attempt}"

    def lock(self, name: str) -> FileLock:
        """Return the lock under which a record is compared and replaced."""
        return lock_file(self.base / "locks" / f"{name}.lock")

    def prepare(self) -> None:
        """Make the folders where they are missing, and look at who may use them.

        Raises:
            InsecureStoreError: Another user of this machine could read or change them.
        """
        root = self.base.parent
        root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (root, self.base, *(self.base / part for part in _PARTS)):
            _make(folder)
            _refuse_open(folder)

    def replace(self, name: str, data: bytes) -> None:
        """Put a record in its place, whole or not at all. Only under its lock."""
        # One writer at a time has the lock, so what a killed one left here is overwritten.
        temporary = self.base / "temporary" / name
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        record = self.record(name)
        temporary.replace(record)
        sync_folder(record.parent)

    def remove(self, name: str) -> None:
        """Remove a record, if there is one. Only under its lock."""
        record = self.record(name)
        record.unlink(missing_ok=True)
        sync_folder(record.parent)


def _make(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        sync_folder(folder.parent)


def _refuse_open(folder: Path) -> None:
    if sys.platform == "win32":
        return  # There the folder's access list decides; a user's own folders are private.
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if found.st_uid != os.geteuid():
        raise InsecureStoreError(
            f"{folder} belongs to user {found.st_uid}, and this process runs as user {os.geteuid()}: "
            f"run `chown -R {os.geteuid()} {shlex.quote(str(folder))}`, or choose another folder"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise InsecureStoreError(
            f"{folder} has mode {mode:04o}, so other users of this machine could read or change tokens: "
            f"run `chmod 700 {shlex.quote(str(folder))}`"
        )
