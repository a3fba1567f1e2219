"""The folders of a file store: where everything lies, and what is done when the system refuses.

```
<folder>/<namespace>/records/<name>           one record
                     locks/<00 to ff>         held while one of its records is compared and replaced
                     holds/<name>.<attempt>   held while a process works on an attempt
                     temporary/<name>         the next record, until it is renamed
```

Everything here blocks, and is called in threads only.
"""

import errno
import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import final

from filelock import FileLock, Timeout

from asyncauth._errors import ConfigurationError, StoreUnavailableError
from asyncauth_stores import _file_disk as disk
from asyncauth_stores._file_format import GLANCE
from asyncauth_stores._file_hold import sweep
from asyncauth_stores._file_mount import remote_kind
from asyncauth_stores._file_trust import check_folder, check_parents, mend_file, resolved

_log = logging.getLogger("asyncauth")
_PARTS = ("records", "locks", "holds", "temporary")
_PART = re.compile(r"[A-Za-z0-9_-]+")

_GIVE = "this user may not use it: give the folder to the user that runs the service, with mode 0700"
_NO_LOCKS = "the file system has no locks: choose a folder on a local disk"
_NO_SPACE = "free some space"
_NO_FOLDER = "a part of the path is no folder: remove it, or choose another folder"
_ADVICE = {
    errno.ENOSPC: f"the disk is full: {_NO_SPACE}",
    errno.EDQUOT: f"the quota is used up: {_NO_SPACE}",
    errno.EFBIG: "files of this size are not allowed: raise the limit (ulimit -f)",
    errno.EROFS: "the file system is read-only: mount it writable, or choose another folder",
    errno.EACCES: _GIVE,
    errno.EPERM: _GIVE,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EISDIR: "a folder lies in the place of a file: remove it",
    errno.ELOOP: "symbolic links lead nowhere: choose another folder",
    errno.EMFILE: "this process has too many files open: raise its limit (ulimit -n)",
    errno.ENFILE: "the system has too many files open",
    errno.ENOSYS: _NO_LOCKS,
    errno.ENOLCK: _NO_LOCKS,
    errno.ENOTSUP: _NO_LOCKS,
    errno.EIO: "the disk failed: look at the system's log",
    errno.ESTALE: "the network file system was replaced by its server: restart the service",
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
            f"token store {os.fspath(place)}: another process has held a record's lock for "
            f"{disk.PATIENCE:g} s; look for one that is stopped"
        ) from error
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or type(error).__name__)
        where = "" if error.filename is None else f" ({os.fsdecode(error.filename)})"
        raise StoreUnavailableError(f"token store {os.fspath(place)}: {advice}{where}") from error


@final
class Folder:
    """One namespace's folders.

    Args:
        root: Where all namespaces lie. Symbolic links are followed once, so that the store stays in
            one place when a link is changed.
        namespace: The name of the folder in it.

    Attributes:
        is_remote: Whether it was found on another machine's file system.
    """

    def __init__(self, root: str | os.PathLike[str], namespace: str) -> None:
        # At once: the process may go to another folder later, as daemons do.
        self._root = Path(root).absolute()
        self._namespace = namespace
        self.is_remote = False

    @cached_property
    def base(self) -> Path:
        """The namespace's folder, without symbolic links."""
        return resolved(self._root) / self._namespace

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
        """Return the names of what can be a record; a system's own, such as `.DS_Store`, cannot."""
        with os.scandir(self.records) as found:
            return [
                entry.name
                for entry in found
                if _PART.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False)
            ]

    def hold(self, name: str, attempt: str) -> Path:
        """Return the path of an attempt's mark."""
        return self.holds / f"{name}.{attempt}"

    def lock(self, name: str) -> FileLock:
        """Return the lock under which a record is compared and replaced.

        256 files for all records: one for each would stay when its record is long gone, and one that is
        removed needs more care than 1 in 256 chances to wait half a millisecond for a stranger.
        """
        return disk.lock_file(self.base / "locks" / hashlib.blake2b(name.encode(), digest_size=1).hexdigest())

    def open(self) -> None:
        """Look at everything once, make what is missing, and sweep.

        Raises:
            InsecureStoreError: Another user of this machine could read or change the records.
        """
        root = self.base.parent
        check_parents(root)
        self.prepare()
        # Of folders that another process made, and was killed before it could say so to the disk.
        for folder in (root, self.base):
            disk.sync_folder(folder)
        with suppress(PermissionError):  # who made the root may have had more rights above it
            disk.sync_folder(root.parent)
        self._sweep()
        sweep(self.holds)
        self._warn_if_remote()

    def prepare(self) -> None:
        """Make the folders where they are missing, and look at who may use them.

        Raises:
            InsecureStoreError: Another user of this machine could read or change them.
        """
        root = self.base.parent
        for folder in (root, self.base, *(self.base / part for part in _PARTS)):
            try:
                check_folder(folder)
            except FileNotFoundError:
                disk.make_folder(folder)
                check_folder(folder)

    def read(self, name: str) -> bytes:
        """Return what is in a record's file.

        Raises:
            ValueError: It is no file.
            InsecureStoreError: It is another user's.
        """
        path = self.record(name)
        with os.fdopen(disk.open_plain(path), "rb") as file:
            mend_file(path, file.fileno())
            return file.read()

    def glance(self, name: str) -> bytes:
        """Return the first `GLANCE` bytes of a record's file. Raises as `read` does, whoever owns it."""
        handle = disk.open_plain(self.record(name))
        try:
            return os.read(handle, GLANCE)
        finally:
            os.close(handle)

    def replace(self, name: str, data: bytes) -> None:
        """Put a record in its place, whole or not at all. Only under its lock."""
        disk.replace(self.record(name), self.base / "temporary" / name, data)

    def remove(self, name: str) -> None:
        """Remove a record, if there is one. Only under its lock."""
        disk.remove(self.record(name))

    def _warn_if_remote(self) -> None:
        kind = remote_kind(self.base)
        if kind and not self.is_remote:
            _log.warning(
                "the token store %s is on a network file system (%s): read in the documentation of "
                "asyncauth_stores.file what does not hold there; a Redis store is made for several hosts",
                self.base,
                kind,
            )
        self.is_remote = bool(kind)

    def _sweep(self) -> None:
        # A draft whose lock is free is a killed writer's; it may be of a record that nobody writes again.
        for draft in (self.base / "temporary").iterdir():
            with suppress(OSError, Timeout), self.lock(draft.name).acquire(timeout=0):
                draft.unlink(missing_ok=True)
