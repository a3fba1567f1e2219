"""Asking for the right to renew: the first rule that fits answers (PROTOCOL.md, section 4)."""

import attrs

from asyncauth._answers import (
    Absent,
    Alive,
    Ask,
    BackOff,
    Behind,
    Busy,
    Done,
    Grant,
    LoggedOut,
    Newer,
    Refused,
    Step,
    View,
)
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry, Lease, Mode, Reason, Record
from asyncauth._writing import (
    current,
    granted,
    in_quarantine,
    is_same,
    next_failure,
    to_ms,
    to_seconds,
    write,
)


def acquire(view: View, ask: Ask, policy: RefreshPolicy) -> Step:
    """Ask for the right to renew. The first rule that fits answers."""
    step = _first_rule(view, ask, policy)
    went_back = view.record is not None and view.now < view.record.written_at
    if step.record is not None or not went_back:
        return step
    # Moved deadlines have to be stored: else each look would move them again, and they never come.
    return write(view, current(view), step.answer, policy, wake=False)


def _first_rule(view: View, ask: Ask, policy: RefreshPolicy) -> Step:
    record = current(view)
    entry, now = record.entry, view.now
    if _worth_putting_back(view.record, ask):
        return Step(answer=Behind())
    if entry is not None and not is_same(entry, ask.seen) and not (record.dead and entry.has_expired(now)):
        return Step(answer=Newer(entry))
    if entry is not None and _kept_alive(entry, ask, now):
        return Step(answer=Newer(entry))
    if entry is None and ask.seen is not None and ask.seen.era < record.era:
        return Step(answer=LoggedOut())
    if (refusal := _standing_refusal(record, ask, now)) is not None:
        return Step(answer=refusal)
    if not ask.can_login and _needs_person(entry, ask):
        return Step(answer=Absent(logged_out=entry is None and record.era > 0))
    if record.failure is not None and now < record.failure.retry_at:
        return Step(answer=BackOff(record.failure.reason, to_seconds(record.failure.retry_at - now)))
    if _refused_too_soon(entry, ask, now, policy):
        return _stand_back(view, record, ask, policy)
    if ask.suspected_at is not None and (record.checked_at or 0) > ask.suspected_at:
        return Step(answer=Alive())
    return _contend(view, record, ask, policy)


def _contend(view: View, record: Record, ask: Ask, policy: RefreshPolicy) -> Step:
    """The second half of `acquire`: nothing speaks against a renewal but other attempts."""
    now, lease = view.now, record.lease
    fragile = record.entry is not None and record.entry.one_time and not ask.can_login
    quarantined = in_quarantine(view, record)
    if fragile and quarantined:
        step = write(view, record, Done(), policy)
        assert step.record is not None  # noqa: S101 - `write` always has one
        busy = Busy("quarantine", to_seconds(step.record.quarantine_until - now))
        unchanged = record.incarnation == view.incarnation
        return Step(answer=busy) if unchanged else attrs.evolve(step, answer=busy)
    if lease is not None and lease.attempt == ask.attempt:
        grant = Grant(attempt=ask.attempt, base=record.entry, mode=lease.mode, doubtful=lease.doubtful)
        return granted(view, record, grant, policy)
    if lease is not None:
        if lease.attempt == ask.dead_holder:
            takeover_at = min(lease.takeover_at, now + to_ms(policy.quiet))
            lease = attrs.evolve(lease, until=min(lease.until, now), takeover_at=takeover_at)
        if now < lease.until:
            return Step(answer=Busy("lease", to_seconds(lease.until - now), lease.attempt))
        takeover_at = _takeover_at(lease, ask, policy)
        if fragile and now < takeover_at:
            busy = Busy("grace", to_seconds(takeover_at - now), lease.attempt)
            if lease == record.lease:
                return Step(answer=busy)
            return write(view, attrs.evolve(record, lease=lease), busy, policy, wake=False)
    unsure = record.dead is not None or lease is not None or quarantined or record.intent is not None
    # A login that ends another token's life comes last, if a refresh can be repeated without harm.
    gently = ask.login_is_destructive and record.entry is not None and not record.entry.one_time
    grant = Grant(
        attempt=ask.attempt,
        base=record.entry,
        mode=_mode(record.entry, ask, unsure=unsure and not gently, now=now),
        doubtful=record.intent is not None or quarantined,
    )
    return granted(view, record, grant, policy)


def _takeover_at(lease: Lease, ask: Ask, policy: RefreshPolicy) -> int:
    """Return when the worker may send what the lease's holder may have spent.

    After an outage that outlasted the lease, a living holder must have had its chance to commit.
    """
    if ask.reached_at is None or lease.attempt == ask.dead_holder:
        return lease.takeover_at
    return max(lease.takeover_at, ask.reached_at + to_ms(policy.heartbeat + policy.store_timeout))


def _worth_putting_back(record: Record | None, ask: Ask) -> bool:
    seen = ask.seen
    if seen is None:
        return False
    stored = None if record is None else record.entry
    era = 0 if record is None else record.era
    # A record without an entry may be from before the entry's authorization: a logout, rolled back to.
    behind = era <= seen.era if stored is None else stored.is_older_than(seen)
    return behind and (seen.one_time or (seen.era > era and not ask.login_is_destructive))


def _standing_refusal(record: Record, ask: Ask, now: int) -> Refused | None:
    dead = record.dead
    if dead is None or now >= dead.probe_at:
        return None
    grant_refused = not dead.refused and not ask.can_login
    if ask.fingerprint in dead.refused or grant_refused:
        return Refused(dead.reason, to_seconds(dead.probe_at - now))
    return None


def _needs_person(entry: Entry | None, ask: Ask) -> bool:
    """Whether only a person can help: there is nothing to refresh with, or to check."""
    return entry is None or (entry.token.refresh_token is None and ask.suspected_at is None)


def _kept_alive(entry: Entry, ask: Ask, now: int) -> bool:
    """Whether other workers' uses keep a session alive that this worker has let idle."""
    if ask.seen is None or ask.refused or ask.suspected_at is not None:
        return False
    return entry.was_used_since(ask.seen) and not entry.has_expired(now)


def _refused_too_soon(entry: Entry | None, ask: Ask, now: int, policy: RefreshPolicy) -> bool:
    """Whether renewing would start a loop: the vendor refuses what it has only just issued."""
    fresh = entry is not None and now - entry.issued_at < to_ms(policy.loop_guard)
    return fresh and ask.refused and entry is not None and not entry.has_expired(now)


def _stand_back(view: View, record: Record, ask: Ask, policy: RefreshPolicy) -> Step:
    reason = Reason("TokenRefusedError", "the vendor refuses a token that it has only just issued")
    count = 1 if record.failure is None else record.failure.count + 1
    pause = policy.backoff_for(count, ask.attempt)
    failure = next_failure(record, reason, view.now + to_ms(pause))
    return write(view, attrs.evolve(record, failure=failure), BackOff(reason, pause), policy)


def _mode(entry: Entry | None, ask: Ask, *, unsure: bool, now: int) -> Mode:
    if ask.suspected_at is not None:
        return Mode.CHECK
    if ask.can_login and (unsure or not _can_refresh(entry, now)):
        return Mode.LOGIN
    return Mode.REFRESH


def _can_refresh(entry: Entry | None, now: int) -> bool:
    if entry is None or entry.token.refresh_token is None:
        return False
    life = entry.token.refresh_expires_in
    return life is None or now < entry.issued_at + to_ms(life)
