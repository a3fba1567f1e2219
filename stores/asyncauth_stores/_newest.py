"""The newest writing of each record that this process has seen: an older one that is back is noticed."""

import logging
import sys
from contextlib import suppress
from typing import final

import attrs

from asyncauth.abc import Snapshot
from asyncauth_stores._envelope import Content

_log = logging.getLogger("asyncauth")

REMEMBERED = 20_000
"""Of so many records, those that were used last, a process knows the newest writing: some 8 MB."""


@final
@attrs.frozen(weakref_slot=False)
class Writing:
    """One writing of a record.

    Attributes:
        written: See `Content`.
        incarnation: The store's, when it was seen.
    """

    written: int
    incarnation: str


@final
class Newest:
    """Remembers one `Writing` for each of the names that were used last."""

    def __init__(self) -> None:
        self._seen: dict[str, Writing] = {}  # those used last are the last

    def of(self, name: str) -> Writing | None:
        """Return what was seen of a record."""
        return self._seen.get(name)

    def after(self, name: str, expected: Snapshot) -> int:
        """Return the time for the next writing of a record: later than that of the present one.

        Whoever replaces a record has read it, so the store's time of that reading is no earlier than
        the time that the record bears; and it is raised where the store's clock went back.
        """
        seen = self._seen.get(name)
        return expected.now if seen is None else max(expected.now, seen.written + 1)

    def see(self, name: str, found: Snapshot, content: Content, before: Writing | None = None) -> None:
        """Take note of a record, and warn if it is older than what was seen before it was asked for.

        Where the store itself says that it may have lost writes, by its incarnation, nothing is
        strange about that. The protocol mends both: who has something newer puts it back.
        """
        writing = Writing(content.written, sys.intern(found.incarnation))
        if before is not None and _went_back(writing, before):
            _log.warning(
                "the record %s… went back to an earlier one (by %d ms): the store lost writes, or somebody"
                " put an old record back; workers that have a newer token restore it",
                name[:8],
                before.written - writing.written,
            )
            self._remember(name, writing)  # the same record is told of once
            return
        seen = self._seen.get(name)
        self._remember(name, writing if seen is None or not _went_back(writing, seen) else seen)

    def _remember(self, name: str, writing: Writing) -> None:
        # Several event loops may use one store: each of these steps is one.
        self._seen.pop(name, None)
        self._seen[name] = writing
        if len(self._seen) > REMEMBERED:
            with suppress(RuntimeError):  # another loop's thread is at it: one of the next ones succeeds
                self._seen.pop(next(iter(self._seen)), None)


def _went_back(writing: Writing, before: Writing) -> bool:
    return writing.written < before.written and writing.incarnation == before.incarnation
