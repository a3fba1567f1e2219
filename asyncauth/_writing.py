"""What the transitions share: how a record is looked at, and what every write does last."""

import attrs

from asyncauth._answers import Answer, Grant, Step, View
from asyncauth._policy import RefreshPolicy
from asyncauth._record import NOBODY, Entry, Failure, Lease, Mode, Reason, Record


def current(view: View) -> Record:
    """Return the record to work on: an empty one if there is none, with times that are not ahead."""
    return Record(incarnation=view.incarnation) if view.record is None else view.record.rebased(view.now)


def write(
    view: View,
    record: Record,
    answer: Answer,
    policy: RefreshPolicy,
    *,
    wake: bool = True,
    replicated: bool = False,
) -> Step:
    """What every transition that writes does last: among it, the incarnation rule."""
    lost = lost_writes(view)
    changed = attrs.evolve(
        record,
        incarnation=view.incarnation,
        written_at=view.now,
        had_one_time=record.had_one_time or (record.entry is not None and record.entry.one_time),
    )
    if lost:
        quarantine_until = view.now + to_ms(policy.quarantine)
        changed = attrs.evolve(changed, quarantine_until=quarantine_until, intent=NOBODY)
    return Step(answer=answer, record=changed, wake=wake or lost, replicated=replicated)


def lost_writes(view: View) -> bool:
    """Whether the store may have lost writes that guard a one-time refresh token."""
    record = view.record
    return record is not None and record.had_one_time and record.incarnation != view.incarnation


def in_quarantine(view: View, record: Record) -> bool:
    """Whether one-time tokens rest, or begin to with the next write."""
    return view.now < record.quarantine_until or lost_writes(view)


def next_failure(record: Record, reason: Reason, retry_at: int) -> Failure:
    """Return a failure that counts on from the record's last one."""
    count = 1 if record.failure is None else record.failure.count + 1
    return Failure(reason=reason, retry_at=retry_at, count=count)


def granted(
    view: View, record: Record, grant: Grant, policy: RefreshPolicy, *, answer: Answer | None = None
) -> Step:
    """Write a lease for the attempt of a grant, and its intent."""
    until = view.now + to_ms(policy.lease)
    lease = Lease(
        attempt=grant.attempt,
        mode=grant.mode,
        doubtful=grant.doubtful,
        until=until,
        takeover_at=until + to_ms(policy.grace),
        incarnation=view.incarnation,
    )
    # From a granted refresh on nobody can be sure that the refresh token is unspent.
    intent = record.intent or (grant.attempt if grant.mode is Mode.REFRESH else None)
    changed = attrs.evolve(record, lease=lease, intent=intent)
    one_time = record.entry is not None and record.entry.one_time
    return write(view, changed, answer or grant, policy, wake=False, replicated=one_time)


def is_same(entry: Entry | None, other: Entry | None) -> bool:
    """Whether both are there and are one entry."""
    return entry is not None and other is not None and entry.id == other.id


def id_of(entry: Entry | None) -> str | None:
    """Return the entry's id, if there is an entry."""
    return None if entry is None else entry.id


def to_ms(seconds: float) -> int:
    """Return a duration as records keep it."""
    return round(seconds * 1000)


def to_seconds(milliseconds: float) -> float:
    """Return a duration as policies and callers have it."""
    return milliseconds / 1000
