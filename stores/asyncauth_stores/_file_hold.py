"""Marks that end with their process: an operating system's lock on a file per attempt.

Everything here blocks, and is called in threads only.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import final

from filelock import FileLock, lock_descriptor

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth.abc import Liveness
from asyncauth_stores._file_disk import lock_file, open_plain

_OLD = 3600.0


@final
class Mark:
    """The mark of one attempt of this process.

    Its file is locked first and then filled, emptied first and then unlocked. So a file with
    something in it, and no lock on it, is one whose process has gone.

    Args:
        path: The attempt's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._lock: FileLock | None = None
        self._handle = -1
        self._dropped = False
        self._process = os.getpid()

    def take(self) -> None:
        """Mark the attempt; not after `drop`, which a cancelled caller may have sent ahead."""
        with self._guard:
            if not self._dropped:
                lock = lock_file(self._path, self._fill)
                lock.acquire()
                self._lock = lock

    def drop(self) -> None:
        """Remove the mark. May be called again, and without `take`. A forked child has none to remove."""
        if os.getpid() != self._process:
            return
        with self._guard:
            self._dropped = True
            lock, self._lock = self._lock, None
            if lock is not None:
                # Whatever the disk says: one that stays locked says "alive" as long as this process lives,
                # one that stays filled says "dead" of an attempt that is over, and is swept.
                self._empty()
                lock.release()

    def _fill(self, handle: int) -> None:
        self._handle = handle
        os.write(handle, b"held")

    def _empty(self) -> None:
        with suppress(OSError):
            # Through the lock's own handle: Windows lets no other one write where there is a lock.
            os.ftruncate(self._handle, 0)
        # And it removes no file that is open; an empty one says nothing, and is swept in the end.
        with suppress(OSError):
            self._path.unlink()


def liveness(path: Path) -> Liveness:
    """Tell whether the process that marked an attempt lives."""
    try:
        handle = open_plain(path, os.O_RDWR)
    except (FileNotFoundError, ValueError):
        return Liveness.UNKNOWN
    try:
        # Two who look at the same moment see each other's lock: a dead one then lives for one look more.
        if not lock_descriptor(handle, blocking=False):
            return Liveness.ALIVE
        return Liveness.DEAD if os.read(handle, 1) else Liveness.UNKNOWN
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the marks of processes that died long ago, where that may be; nobody asks for them any more."""
    for path in folder.iterdir():
        with suppress(OSError):
            old = SYSTEM_CLOCK.wall() - path.lstat().st_mtime > _OLD
            if old and liveness(path) is not Liveness.ALIVE:
                path.unlink()
