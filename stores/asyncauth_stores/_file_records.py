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
        data = b""
        try:
            data = self._folder.read(name)
            record = Record.unpack(data)
        except FileNotFoundError:
            return self._absent()
        except ValueError as error:
            raise self._unreadable(name, data, str(error)) from None
        return self._snapshot(record)

    def version(self, name: str) -> str:
        """Return the version of what is stored now, readable or not."""
        try:
            return self.read(name).version
        except UnreadableRecordError as error:
            return error.snapshot.version

    def write(self, name: str, value: bytes | None, expected: Snapshot, keep: float | None) -> Snapshot:
        """Replace or remove a record if it is still the expected one.

        Raises:
            WriteConflictError: It is another one.
            UnreadableRecordError: It is no whole record, and not the one expected.
        """
        self._folder.prepare()
        with self._folder.lock(name):
            self._compare(name, expected)
            if value is None:
                self._folder.remove(name)
                return self._absent()
            record = Record(value, secrets.token_hex(16), self._expires(keep))
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
            if self.version(name):
                return False
            # Not told to the disk: one that is there again after a loss of power has still run out.
            with suppress(OSError, Timeout), self._folder.lock(name).acquire(timeout=0):
                if self.version(name):
                    return False
                self._folder.record(name).unlink(missing_ok=True)
        except (OSError, StoreError):
            return False
        return True

    def _compare(self, name: str, expected: Snapshot) -> None:
        try:
            found = self.read(name)
        except UnreadableRecordError as error:
            if not _same(error.snapshot, expected):
                raise
        else:
            if not _same(found, expected):
                raise WriteConflictError(found)

    def _snapshot(self, record: Record) -> Snapshot:
        now = self._now()
        if record.expires and record.expires <= now:
            return self._absent()
        return Snapshot(value=record.value, version=record.version, now=now)

    def _absent(self) -> Snapshot:
        return Snapshot(value=None, version="", now=self._now())

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
