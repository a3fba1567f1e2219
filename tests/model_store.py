"""The store in the protocol's model, the rules that a run follows, and what a run must never do."""

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from asyncauth import _acquire, _transitions
from asyncauth._answers import Ask, Grant, Step, View
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry, Reason, Record
from model_vendor import TICK, Kind, number_of

POLICY = RefreshPolicy(
    request_timeout=2,
    quiet=2,
    lease=3,
    heartbeat=1,
    grace=4,
    quarantine=7,
    wait=30,
    store_timeout=0.5,
    backoff_first=1,
    backoff_max=4,
    probe_first=3,
    probe_max=12,
    loop_guard=1,
)
LOST_STORE = 3


class ViolationError(AssertionError):
    """The run broke one of the promises of PROTOCOL.md, section 9."""


class Abandon(Protocol):
    """The signature of `abandon`."""

    def __call__(
        self, view: View, attempt: str, policy: RefreshPolicy, *, definite: bool, failed: tuple[Reason, float]
    ) -> Step: ...


class Condemn(Protocol):
    """The signature of `condemn`."""

    def __call__(self, view: View, grant: Grant, reason: Reason, policy: RefreshPolicy) -> Step: ...


def random_id(number: int, base: Entry | None) -> str:
    """Return an id that no other entry has: tokens are numbered."""
    return f"e{number}"


def same_view(view: View) -> View:
    """Return the view as the store gave it."""
    return view


@attrs.frozen
class Rules:
    """One configuration: the real transitions, unless a test weakens something.

    Attributes:
        kind: The credential and its vendor.
        faults: What may go wrong.
        workers: How many share the token.
        budget: How many faults one run may have.
        repeat: Whether one fault may happen twice in a run.
        retries: How often an attempt sends again.
        rounds: How many expiries one run has.
        cold: Whether the run starts without any token.
        replicated: Whether the store keeps what it acknowledged as replicated.
        stall: For how many ticks a worker may stand still.
        acquire: The transition of this name, as the next ones.
        extend: See `acquire`.
        commit: See `acquire`.
        restore: See `acquire`.
        abandon: See `acquire`.
        condemn: See `acquire`.
        look: What a worker makes of a snapshot before it decides.
        new_id: How an entry's id is drawn.
        new_attempt: How an attempt's id is drawn.
        fence: Whether a worker sends only while its own lease runs.
        quiet: Whether a worker waits before it sends the same refresh token again.
        puts_back: Whether a worker restores at rest.
        second_try: Whether a clear `invalid_grant` is tried once more.
        waits_after_outage: Whether a takeover leaves a holder the time to commit after an outage.
        renews_locally: Whether every kind renews by itself while the store is away.
        liveness: Whether the store knows when a holder's process is dead.
    """

    kind: Kind
    faults: tuple[str, ...] = ()
    workers: int = 2
    budget: int = 1
    repeat: bool = True
    retries: int = 1
    rounds: int = 2
    cold: bool = False
    replicated: bool = True
    stall: int = 4
    acquire: Callable[[View, Ask, RefreshPolicy], Step] = _acquire.acquire
    extend: Callable[[View, Grant, RefreshPolicy], Step] = _transitions.extend
    commit: Callable[[View, Entry, RefreshPolicy], Step] = _transitions.commit
    restore: Callable[[View, Entry, RefreshPolicy], Step] = _transitions.restore
    abandon: Abandon = _transitions.abandon
    condemn: Condemn = _transitions.condemn
    look: Callable[[View], View] = same_view
    new_id: Callable[[int, Entry | None], str] = random_id
    new_attempt: Callable[[int, int], str] = "w{}a{}".format
    fence: bool = True
    quiet: bool = True
    puts_back: bool = True
    second_try: bool = True
    waits_after_outage: bool = True
    renews_locally: bool = False
    liveness: bool = False


@attrs.define
class Store:
    """One key's value, with what a fail-over may bring back.

    Attributes:
        record: The value.
        incarnation: Changes with every fail-over.
        wakes: Writes, and reconnections, that made workers look.
        older: Earlier values that a fail-over may return to, the newest first.
        down_until: When an outage ends.
    """

    record: Record | None = None
    incarnation: int = 0
    wakes: int = 0
    older: tuple[Record | None, ...] = ()
    down_until: int = 0

    def view(self, now: int) -> View:
        """Read."""
        return View(record=self.record, now=now, incarnation=str(self.incarnation))

    def write(self, step: Step, rules: Rules) -> None:
        """Write what a transition decided."""
        if step.record is None:
            return
        _assert_not_earlier(self.record, step.record, rules.kind)
        self.older = (self.record, *self.older)[:LOST_STORE]
        if step.replicated and rules.replicated:
            self.older = ()
        self.record = step.record
        self.wakes += step.wake

    def fail_over(self, back: int) -> None:
        """Lose the last writes, and begin a new incarnation; everybody reconnects and looks."""
        self.incarnation += 1
        self.wakes += 1
        self.roll_back(back)

    def roll_back(self, back: int) -> None:
        """Return to an older value, and tell nobody."""
        if back:
            self.record, self.older = self.older[back - 1], self.older[back:]

    def key(self, now: int) -> tuple[Any, ...]:
        """Return what tells two states of the store apart."""
        older = tuple(_record_key(record, now) for record in self.older)
        return (_record_key(self.record, now), self.incarnation, older, max(self.down_until - now, 0))


def _assert_not_earlier(old: Record | None, new: Record, kind: Kind) -> None:
    if old is None or old.entry is None or new.entry is None or not kind.one_time:
        return
    if (new.entry.era, number_of(new.entry)) < (old.entry.era, number_of(old.entry)):
        raise ViolationError(f"{old.entry.id} was overwritten by the earlier {new.entry.id}")


def _record_key(record: Record | None, now: int) -> tuple[Any, ...] | None:
    if record is None:
        return None
    lease, failure, dead = record.lease, record.failure, record.dead
    return (
        None if record.entry is None else record.entry.id,
        record.era,
        lease and (lease.attempt, lease.mode, lease.doubtful, _left(lease.until, now)),
        lease and (_left(lease.takeover_at, now), lease.incarnation),
        record.intent,
        failure and (_left(failure.retry_at, now), failure.count),
        dead and (_left(dead.probe_at, now), dead.count, dead.refused, dead.attempt),
        record.incarnation,
        record.had_one_time,
        _left(record.quarantine_until, now),
    )


def _left(until: int, now: int) -> int:
    return max(until - now, 0)


def ticks(seconds: float) -> int:
    """Return one of the policy's durations in the store's unit."""
    return round(seconds * TICK)
