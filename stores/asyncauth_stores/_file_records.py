"""Reading, comparing and replacing the records of a file store. All of it blocks: for threads only."""

import secrets
from contextlib import suppress
from typing import final

from filelock import Timeout

from asyncauth._clock import Clock
from asyncauth._errors import StoreError, UnreadableRecordError, WriteConflictError
from asyncauth.abc import Snapshot
from asyncauth_stores._file_folder import Folder
from asyncauth_stores._file_format import Record, has_run_out, version_of
from asyncauth_stores._waiters import Standing


@final
class Records:
    """The records in one folder.

    Args:
        folder: Where they lie.
        clock: Its wall reading is the store's clock.
    """

    def __init__(self, folder: Folder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def read(self, name: str) -> Snapshot:
        """Return what is stored now. No lock is needed: a rename replaces a record at once.

        Raises:
            UnreadableRecordError: The file is no whole record, or no file.
            InsecureStoreError: It is another user's.
        """
        return self._snapshot(self._record(name))

    def standing(self, name: str) -> Standing:
        """Return how a record stands now, readable or not."""
        try:
            record = self._record(name)
        except UnreadableRecordError as error:
            return Standing(error.snapshot.version, error.snapshot.version)
        return Standing() if record is None else Standing(record.version, record.told)

    def write(
        self, name: str, value: bytes | None, expected: Snapshot, keep: float | None, *, wake: bool = True
    ) -> Snapshot:
        """Replace or remove a record if it is still the expected one.

        Raises:
            WriteConflictError: It is another one.
            UnreadableRecordError: It is no whole record, and not the one expected.
        """
        self._folder.prepare()
        with self._folder.lock(name):
            found = self._compared(name, expected)
            if value is None:
                self._folder.remove(name)
                return self._snapshot(None)
            version = secrets.token_hex(16)
            told = version if wake or found is None else found.told
            record = Record(value, version, told, self._expires(keep))
            self._folder.replace(name, record.pack())
            return self._snapshot(record)

    def names(self) -> list[str]:
        """Return the names of all records; those that have run out are removed instead."""
        now = self._now()
        return [
            name for name in self._folder.names() if not (self._seems_over(name, now) and self._drop(name))
        ]

    def _seems_over(self, name: str, now: int) -> bool:
        try:
            return has_run_out(self._folder.glance(name), now)
        except (OSError, ValueError):
            return False  # Who reads it gets the error with its advice.

    def _drop(self, name: str) -> bool:
        """Remove a record that has run out, unless somebody writes it now: whether it is gone."""
        try:
            if self.standing(name).version:
                return False
            # Not told to the disk: one that is there again after a loss of power has still run out.
            with suppress(OSError, Timeout), self._folder.lock(name).acquire(timeout=0):
                if self.standing(name).version:
                    return False
                self._folder.record(name).unlink(missing_ok=True)
        except (OSError, StoreError):
            return False
        return True

    def _compared(self, name: str, expected: Snapshot) -> Record | None:
        """Return the record that is stored, if it is a whole one, and the expected one."""
        try:
            record = self._record(name)
        except UnreadableRecordError as error:
            if not _same(error.snapshot, expected):
                raise
            return None
        found = self._snapshot(record)
        if not _same(found, expected):
            raise WriteConflictError(found)
        return record

    def _record(self, name: str) -> Record | None:
        """Return what is stored and has not run out."""
        data = b""
        try:
            data = self._folder.read(name)
            record = Record.unpack(data)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._unreadable(name, data, str(error)) from None
        return None if 0 < record.expires <= self._now() else record

    def _snapshot(self, record: Record | None) -> Snapshot:
        if record is None:
            return Snapshot(value=None, version="", now=self._now())
        return Snapshot(value=record.value, version=record.version, now=self._now())

    def _unreadable(self, name: str, data: bytes, reason: str) -> UnreadableRecordError:
        snapshot = Snapshot(value=None, version=version_of(data), now=self._now())
        return UnreadableRecordError(
            f"{self._folder.record(name)} cannot be used: {reason}; store a new token with `put`, "
            "or remove the file",
            snapshot,
        )

    def _expires(self, keep: float | None) -> int:
        return 0 if keep is None else self._now() + max(1, int(keep * 1000))

    def _now(self) -> int:
        return int(self._clock.wall() * 1000)


def _same(found: Snapshot, expected: Snapshot) -> bool:
    return (found.version, found.incarnation) == (expected.version, expected.incarnation)
