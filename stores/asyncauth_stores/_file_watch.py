"""One thread that looks for changed records, however many keys are waited for."""

import math
import os
import threading
from typing import final

from asyncauth_stores._file_folder import Folder
from asyncauth_stores._file_format import GLANCE, glance
from asyncauth_stores._waiters import Waiters

# A kernel stamps files in ticks of up to 10 ms, some file systems in steps of 1 or 2 s: a change in
# the same tick as the one before leaves the folder's stamp as it was.
_TICK = 0.01
_COARSE_TICK = 2.1
_SECOND = 1_000_000_000


@final
class FolderWatch:
    """Wakes those who wait for a record that another process replaced.

    A rename into a folder changes the folder's stamp, so one look at that tells whether there is
    anything to look for. The thread starts at the first need and keeps no process alive.

    Args:
        folder: What to watch.
        waiters: Whom to wake.
        poll: Seconds between two looks.
    """

    def __init__(self, folder: Folder, waiters: Waiters, poll: float) -> None:
        self._folder = folder
        self._waiters = waiters
        self._poll = poll
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start watching, if nobody has; not after `stop`. Blocks for a moment: for threads only."""
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name="asyncauth-files", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it. Blocks: for threads only."""
        # Under the lock there is no thread that was made and not started yet, which cannot be joined.
        with self._lock:
            self._ended.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    def abandon(self) -> None:
        """Have the thread end soon, without waiting for it."""
        self._ended.set()

    def _run(self) -> None:
        records, stamp, looks = str(self._folder.records), -1, 0
        while not self._ended.wait(self._poll):
            found = _stamp(records)
            if found != stamp:
                stamp, looks = found, self._looks(found)
            if looks:
                looks -= 1
                self._look(records)

    def _looks(self, stamp: int) -> int:
        tick = _TICK if stamp % _SECOND else _COARSE_TICK
        return 1 + math.ceil(tick / self._poll)

    def _look(self, records: str) -> None:
        for name in self._waiters.names():
            self._waiters.wake(name, _version(f"{records}{os.sep}{name}"))


def _stamp(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - forty times a second: no Path is made for it
    except OSError:
        return 0


def _version(record: str) -> str:
    try:
        handle = os.open(record, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    except OSError:
        return "unreadable"  # Who waits is woken, reads, and gets the error with its advice.
    try:
        return glance(os.read(handle, GLANCE)) or "unreadable"
    finally:
        os.close(handle)
