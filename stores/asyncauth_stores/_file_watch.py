"""One thread that looks for changed records, however many keys are waited for."""

import os
import threading
from typing import final

from asyncauth_stores._file_disk import open_plain
from asyncauth_stores._file_folder import Folder
from asyncauth_stores._file_format import GLANCE, glance
from asyncauth_stores._file_notes import Notes, notes_of
from asyncauth_stores._waiters import Standing, Waiters

_UNREADABLE = Standing("unreadable", "unreadable")
"""Who waits is woken, reads, and gets the error with its advice."""


@final
class FolderWatch:
    """Wakes those who wait for a record that another process replaced.

    The thread starts at the first need and keeps no process alive.

    Args:
        folder: What to watch.
        waiters: Whom to wake.
        poll: Seconds between two looks, where the system does not tell of changes.
    """

    def __init__(self, folder: Folder, waiters: Waiters, poll: float) -> None:
        self._folder = folder
        self._waiters = waiters
        self._poll = poll
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._notes: Notes | None = None

    def start(self) -> None:
        """Start watching, if nobody has; not after `stop`. Blocks for a moment: for threads only."""
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                # Here, not in the thread: a change after this call is noticed.
                self._notes = notes_of(str(self._folder.records), self._poll, remote=self._folder.is_remote)
                self._thread = threading.Thread(
                    target=self._run, args=(self._notes,), name="asyncauth-files", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it. Blocks: for threads only."""
        # Under the lock there is no thread that was made and not started yet, which cannot be joined.
        with self._lock:
            self.abandon()
            thread = self._thread
        if thread is not None:
            thread.join()

    def abandon(self) -> None:
        """Have the thread end soon, without waiting for it."""
        self._ended.set()
        if self._notes is not None:
            self._notes.end()

    def forget_parent(self) -> None:
        """Let go, after a fork, of what only the parent's thread reads."""
        if self._notes is not None:
            self._notes.close()

    def _run(self, notes: Notes) -> None:
        records = str(self._folder.records)
        while not self._ended.is_set():
            names = notes.wait()
            if names is None:
                self._waiters.miss()
                names = set(self._waiters.names())
            for name in names:
                self._waiters.hear(name, _standing(records, name))
        notes.close()


def _standing(records: str, name: str) -> Standing:
    try:
        return _glance(f"{records}{os.sep}{name}") or _UNREADABLE
    except FileNotFoundError:
        return Standing()
    except (OSError, ValueError):
        return _UNREADABLE


def _glance(path: str) -> Standing | None:
    handle = open_plain(path)
    try:
        return glance(os.read(handle, GLANCE))
    finally:
        os.close(handle)
