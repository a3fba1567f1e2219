"""What reaches the disk, whole and in order: content before its name, a name before the answer.

Everything here blocks, and is called in threads only.
"""

import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

if sys.platform != "win32":
    import fcntl

_T = TypeVar("_T")
PATIENCE = 5.0
"""Seconds to wait for a lock."""

_BINARY = getattr(os, "O_BINARY", 0)
# Nothing in a store's folder is a link, and a named pipe would keep a reader waiting for ever.
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY
_NO_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOTSUP}
_MOMENTS = (0.001, 0.004, 0.015, 0.05, 0.1)


def sync(handle: int) -> None:
    """Have the content of an open file survive a loss of power."""
    if sys.platform == "darwin":
        # Its fsync leaves the content in the drive's own memory; some file systems have no more than that.
        with suppress(OSError):
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a loss of power, where its file system can."""
    if sys.platform == "win32":
        return  # Windows opens no folder, and keeps its names without being told.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for their owner only, whatever the umask, where they are missing."""
    if not folder.parent.exists():
        make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    folder.chmod(0o700)
    sync_folder(folder.parent)


def open_plain(path: os.PathLike[str] | str, flags: int = os.O_RDONLY) -> int:
    """Open a file that is there.

    Raises:
        ValueError: There is a symbolic link, a folder, a pipe or the like instead.
        OSError: It cannot be opened.
    """
    try:
        handle = patiently(lambda: os.open(path, flags | _PLAIN))
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR}:
            raise ValueError("it is a symbolic link, or something else that is no file") from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("it is a folder, or something else that is no file")
    return handle


def replace(path: Path, draft: Path, data: bytes) -> None:
    """Put a file in its place, whole or not at all; on the disk when this returns.

    Args:
        path: Its place.
        draft: Where it is written first, on the same file system. What a killed writer left there is
            removed. Nobody else may use it meanwhile.
        data: The content.
    """
    try:
        write_new(draft, data)
        patiently(lambda: draft.replace(path))
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, whatever the umask; the content is on the disk when this returns."""
    # Not over what is there: it may be a link, or the record itself under a second name.
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    try:
        if sys.platform != "win32":
            os.fchmod(handle, 0o600)
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        sync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, if it is there; it stays removed when the power fails."""
    patiently(lambda: path.unlink(missing_ok=True))
    sync_folder(path.parent)


def stamp_of(folder: str) -> int:
    """Return when a folder's names changed last, in nanoseconds since 1970; 0 if there is none."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - forty times a second: no Path is made for it
    except OSError:
        return 0


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
        timeout=PATIENCE,
        poll_interval=0.002,
        mode=0o600,
        thread_local=False,
        preserve_lock_file=True,
        fallback_to_soft=False,
        on_acquired=on_acquired,
    )


def patiently(work: Callable[[], _T]) -> _T:
    """Do what Windows refuses while another process has the file open, which is never for long."""
    for moment in _MOMENTS if sys.platform == "win32" else ():
        with suppress(PermissionError):
            return work()
        time.sleep(moment)
    return work()
