"""What the store held of a record, and when that was seen."""

import sys
from typing import final

import attrs

from asyncauth._answers import View
from asyncauth._record import Entry, Record
from asyncauth.abc import Snapshot


@final
@attrs.frozen(kw_only=True, eq=False, repr=False, weakref_slot=False)
class Sighting:
    """What the store held, and when that was seen. One is kept for each key in use, so it is small.

    Attributes:
        version: See `Snapshot`.
        now: See `Snapshot`.
        incarnation: See `Snapshot`.
        asked_at: This process' monotonic clock before the store was asked.
        seen_at: The same clock once the answer was there.
        is_own: Whether it is what this worker wrote.
    """

    version: str
    now: int
    incarnation: str
    asked_at: float
    seen_at: float
    _kept: "Record | Entry | None" = attrs.field(alias="kept")
    _written_at: int = attrs.field(alias="written_at")
    is_own: bool

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        record: Record | None,
        *,
        asked_at: float,
        seen_at: float,
        is_own: bool = False,
    ) -> "Sighting":
        """Return what is kept of a snapshot, with its value decoded."""
        written_at = 0 if record is None else record.written_at
        entry = None if record is None else record.entry
        plain = entry is not None and record == _plain(entry, snapshot.incarnation, written_at)
        return cls(
            version=snapshot.version,
            now=snapshot.now,
            incarnation=sys.intern(snapshot.incarnation),
            asked_at=asked_at,
            seen_at=seen_at,
            kept=entry if plain else record,
            written_at=written_at,
            is_own=is_own,
        )

    @property
    def record(self) -> Record | None:
        """The value, decoded."""
        kept = self._kept
        return _plain(kept, self.incarnation, self._written_at) if isinstance(kept, Entry) else kept

    @property
    def entry(self) -> Entry | None:
        """The record's entry."""
        return self._kept if self._kept is None or isinstance(self._kept, Entry) else self._kept.entry

    @property
    def snapshot(self) -> Snapshot:
        """What compare-and-set needs: without the value, which is secret and decoded already."""
        return Snapshot(value=None, version=self.version, now=self.now, incarnation=self.incarnation)

    def store_time(self, monotonic: float) -> int:
        """Return the store's clock at a local moment: never ahead of what it shows."""
        return self.now + int((monotonic - self.seen_at) * 1000)

    def local_time(self, store_ms: int) -> float:
        """Return the local moment of a stored time: never after it."""
        # If the store's clock went back since the last write, stored times are the earlier clock's.
        return self.asked_at + (store_ms - max(self.now, self._written_at)) / 1000

    @property
    def at_rest(self) -> bool:
        """Whether there is a record with an entry, and no attempt, failure or fail-over in it."""
        record = self.record
        return (
            record is not None
            and record.entry is not None
            and (record.lease, record.intent, record.failure, record.dead) == (None,) * 4
            and record.quarantine_until <= self.now
        )

    def clock_moved(self, seconds: float) -> bool:
        """Whether what was just written bears a time that is that far from the store's."""
        written_at = self.now if self.record is None else self.record.written_at
        return abs(self.now - written_at) > seconds * 1000

    def view(self, monotonic: float) -> View:
        """Return what transitions are given."""
        return View(record=self.record, now=self.store_time(monotonic), incarnation=self.incarnation)


def _plain(entry: Entry, incarnation: str, written_at: int) -> Record:
    """Return the record of an entry in whose life nothing has happened: that of most keys at most times."""
    return Record(
        entry=entry,
        era=entry.era,
        incarnation=incarnation,
        had_one_time=entry.one_time,
        written_at=written_at,
    )
