"""Every other change of a record, as pure functions (PROTOCOL.md, section 4; `_acquire` has the first).

Each takes a `View` and answers with a `Step`. The ledger runs them against a store; tests explore
the very same functions. None of the rules is optional: PROTOCOL.md, section 10, says what breaks
without each.
"""

import attrs

from asyncauth._answers import (
    Committed,
    Conflict,
    Done,
    Grant,
    Kept,
    Lost,
    Same,
    Step,
    Superseded,
    View,
)
from asyncauth._policy import RefreshPolicy
from asyncauth._record import NOBODY, Dead, Entry, Reason, Record
from asyncauth._writing import (
    current,
    granted,
    id_of,
    in_quarantine,
    is_same,
    next_failure,
    to_ms,
    to_seconds,
    write,
)


def extend(view: View, grant: Grant, policy: RefreshPolicy) -> Step:
    """Prolong a lease (heartbeat), or take it back after the store lost it."""
    record = current(view)
    if id_of(record.entry) != grant.base_id:
        return Step(answer=Superseded())
    lease = record.lease
    ours = lease is not None and lease.attempt == grant.attempt
    lost_by_store = lease is None or lease.incarnation != view.incarnation
    if not ours and not (in_quarantine(view, record) and lost_by_store):
        return Step(answer=Lost())
    return granted(view, record, grant, policy, answer=Kept())


def commit(view: View, entry: Entry, policy: RefreshPolicy) -> Step:
    """Store what the vendor just issued. Needs no lease: a late success beats what came between."""
    record = current(view)
    stored = record.entry
    if is_same(stored, entry):
        return Step(answer=Same())
    if (stored is None and record.era > entry.era) or (
        stored is not None and not stored.is_older_than(entry)
    ):
        return Step(answer=Conflict(stored))
    changed = attrs.evolve(
        record,
        entry=entry.issued_by(view.now),
        era=max(record.era, entry.era),
        lease=None,
        intent=None,
        failure=None,
        dead=None,
    )
    return write(view, changed, Committed(), policy, replicated=entry.one_time)


def restore(view: View, entry: Entry, policy: RefreshPolicy) -> Step:
    """Commit an entry that the vendor did not just issue: the store has lost it."""
    step = commit(view, entry, policy)
    if view.record is not None or step.record is None or not entry.one_time:
        return step
    # Who held the lease is unknown, as after a change of incarnation.
    quarantine_until = view.now + to_ms(policy.quarantine)
    record = attrs.evolve(step.record, quarantine_until=quarantine_until, intent=NOBODY)
    return attrs.evolve(step, record=record)


def put(view: View, entry: Entry, policy: RefreshPolicy) -> Step:
    """Store a new authorization: it begins a new era and clears everything else."""
    record = current(view)
    stored = record.entry
    # After an unknown outcome somebody may have renewed it already: its refresh token is spent.
    if stored is not None and entry.id in (stored.id, *stored.ancestors):
        return Step(answer=Same())
    era = max(view.now, record.era + 1)
    cleared = Record(incarnation=record.incarnation, had_one_time=record.had_one_time)
    changed = attrs.evolve(cleared, era=era, entry=attrs.evolve(entry, era=era, ancestors=()))
    return write(view, changed, Committed(), policy, replicated=entry.one_time)


def forget(view: View, era: int, policy: RefreshPolicy) -> Step:
    """Log out: begin a new era without an entry. `era` is the one that the caller wants to end."""
    record = current(view)
    if record.era > era:
        return Step(answer=Superseded())
    changed = Record(
        incarnation=record.incarnation,
        had_one_time=record.had_one_time,
        era=max(view.now, record.era + 1),
    )
    # A fail-over must not bring back what somebody logged out of.
    return write(view, changed, Done(), policy, replicated=True)


def touch(view: View, base: str, last_use: int, policy: RefreshPolicy) -> Step:
    """Raise the last use of an entry that idles out, if it grew by more than a tenth of the limit."""
    record = current(view)
    entry = record.entry
    if entry is None or entry.id != base:
        return Step(answer=Superseded())
    idle = entry.token.idle_timeout
    last_use = min(last_use, view.now)  # the store's clock may have gone back since it was told
    if idle is None or last_use - (entry.last_use or entry.issued_at) <= to_ms(idle) / 10:
        return Step(answer=Done())
    changed = attrs.evolve(record, entry=attrs.evolve(entry, last_use=last_use))
    return write(view, changed, Done(), policy, wake=False)


def abandon(
    view: View,
    attempt: str,
    policy: RefreshPolicy,
    *,
    definite: bool,
    failed: tuple[Reason, float] | None = None,
) -> Step:
    """Give the lease up without a result.

    Args:
        view: What is stored.
        attempt: Whose lease it is; another's is left alone.
        policy: The durations.
        definite: Whether it is certain that the vendor processed no try of this attempt.
        failed: What everybody is to be told, and for how many seconds.
    """
    record = current(view)
    if record.lease is None or record.lease.attempt != attempt:
        return Step(answer=Lost())
    clears = definite and record.intent == attempt
    changed = attrs.evolve(record, lease=None, intent=None if clears else record.intent)
    if failed is not None:
        reason, pause = failed
        one_time = record.entry is not None and record.entry.one_time
        pause = max(pause, policy.quiet) if one_time and not definite else pause
        changed = attrs.evolve(changed, failure=next_failure(record, reason, view.now + to_ms(pause)))
    return write(view, changed, Done(), policy)


def condemn(
    view: View, grant: Grant, reason: Reason, policy: RefreshPolicy, *, refused: str | None = None
) -> Step:
    """Mark the record dead, if its entry is still the one that was refused.

    Args:
        view: What is stored.
        grant: The attempt that was refused, and its base.
        reason: What everybody is to be told.
        policy: The durations.
        refused: The fingerprint of the credential, if that was refused and not the grant.
    """
    record = current(view)
    if id_of(record.entry) != grant.base_id:
        return Step(answer=Superseded())
    if record.dead is not None and record.dead.attempt == grant.attempt:
        return Step(answer=Done())
    count = 1 if record.dead is None else record.dead.count + 1
    before = () if record.dead is None else record.dead.refused
    dead = Dead(
        reason=reason,
        probe_at=view.now + to_ms(max(policy.probe_for(count), policy.quiet)),
        count=count,
        refused=() if refused is None else (*(f for f in before if f != refused), refused),
        attempt=grant.attempt,
    )
    changed = attrs.evolve(record, dead=dead, lease=None, failure=None)
    return write(view, changed, Done(), policy)


def settle(view: View, attempt: str, last_use: int, policy: RefreshPolicy) -> Step:
    """A probe found the session alive. It was a use itself, of the moment when it was sent."""
    record = current(view)
    if record.lease is None or record.lease.attempt != attempt:
        return Step(answer=Lost())
    entry = record.entry
    if entry is not None and entry.token.idle_timeout is not None:
        entry = attrs.evolve(entry, last_use=max(min(last_use, view.now), entry.last_use or 0))
    changed = attrs.evolve(record, entry=entry, lease=None, checked_at=view.now)
    return write(view, changed, Done(), policy)


def announce(view: View, base: str, policy: RefreshPolicy) -> Step:
    """Claim the telling of the application that an entry needs a person: one worker gets `Done`."""
    record = current(view)
    if id_of(record.entry) != base:
        return Step(answer=Superseded())
    if record.told == base:
        return Step(answer=Same())
    return write(view, attrs.evolve(record, told=base), Done(), policy, wake=False)


def keep_for(record: Record, now: int, policy: RefreshPolicy) -> float:
    """Return for how many seconds a record can be of use after this write."""
    entry = record.entry
    guards = record.had_one_time or record.dead is not None or record.era > 0
    ends_at = None if entry is None else entry.ends_at()
    if guards or entry is None or ends_at is None or entry.token.refresh_token is not None:
        return policy.keep
    return max(to_seconds(ends_at - now), 0.0) + policy.wait
