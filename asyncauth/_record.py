"""What a store keeps for one key, as values (PROTOCOL.md, section 3).

Times are the store's clock in whole milliseconds since 1970, so that hosts with wrong clocks can
share a record. The functions that change records are in `_transitions`.
"""

import enum
from typing import TypeVar, final

import attrs

from asyncauth._token import Token
from asyncauth._value import Value

_T = TypeVar("_T", "Entry", "Lease", "Failure", "Dead")

MAX_ANCESTORS = 32
"""How many renewals a roll-back is recognised over."""

NOBODY = "nobody"
"""An intent that no attempt has: it cannot be known what was sent, and no abandon clears it."""


@final
@attrs.frozen(kw_only=True, eq=False, repr=False, weakref_slot=False)
class Entry(Value):
    """One stored version of a token.

    Attributes:
        id: Random. A request remembers the id of the entry that it used.
        era: The record's era when the entry was made.
        ancestors: Ids of the entries that this one was renewed from, newest first.
        token: What the vendor issued.
        one_time: Whether its refresh token is for one use.
        issued_at: When the vendor issued it, at the latest.
        expires_at: Its hard end, if it has a known one.
        last_use: When it was last used, where its life depends on that.
    """

    id: str
    era: int
    token: Token
    issued_at: int
    ancestors: tuple[str, ...] = ()
    one_time: bool = False
    expires_at: int | None = None
    last_use: int | None = None

    def is_older_than(self, other: "Entry") -> bool:
        """Tell whether `other` replaces this one; of two siblings neither is older."""
        return self.era < other.era or (self.era == other.era and self.id in other.ancestors)

    def has_expired(self, now: int) -> bool:
        """Tell whether the hard end or the idle limit has passed."""
        ends_at = self.ends_at()
        return ends_at is not None and now >= ends_at

    def ends_at(self) -> int | None:
        """Return when the first of its limits is reached, as far as uses are known; none if it has none."""
        idle = self.token.idle_timeout
        idle_end = None if idle is None or self.last_use is None else self.last_use + int(idle * 1000)
        return min((end for end in (self.expires_at, idle_end) if end is not None), default=None)

    def was_used_since(self, other: "Entry") -> bool:
        """Tell whether this is `other` with a later use."""
        return self.id == other.id and (self.last_use or 0) > (other.last_use or 0)

    def issued_by(self, now: int) -> "Entry":
        """Return the entry with its times moved back, if the store's clock was since it was issued."""
        shift = self.issued_at - now
        return self if shift <= 0 else _shifted(self, shift, "issued_at", "expires_at", "last_use")

    def lineage(self) -> tuple[str, ...]:
        """Return the ancestors that an entry renewed from this one has."""
        return (self.id, *self.ancestors)[:MAX_ANCESTORS]


class Mode(enum.Enum):
    """What an attempt is to do."""

    REFRESH = "refresh"
    LOGIN = "login"
    CHECK = "check"
    """Ask the vendor whether the token still works."""


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Lease(Value):
    """One attempt's right to renew.

    Attributes:
        attempt: The attempt's random id.
        mode: What it is to do.
        doubtful: Whether an earlier attempt may have spent the refresh token.
        until: The end of the right.
        takeover_at: When another attempt may send the same one-time refresh token.
        incarnation: The store's incarnation when the lease was last written.
    """

    attempt: str
    mode: Mode
    doubtful: bool
    until: int
    takeover_at: int
    incarnation: str


@final
@attrs.frozen(eq=False, repr=False)
class Reason(Value):
    """An error as far as it is shared: the name of its class, and its text without secrets."""

    kind: str
    message: str


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Failure(Value):
    """A failed renewal, which is everyone's answer until `retry_at`."""

    reason: Reason
    retry_at: int
    count: int


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Dead(Value):
    """A refusal for good, which is everyone's answer until `probe_at`.

    Attributes:
        reason: What was refused, and why.
        probe_at: When one worker may look whether it is still so.
        count: Refusals in a row.
        refused: Fingerprints of the credentials that were refused; empty if the grant itself was.
        attempt: The attempt that found it, so that its repetition changes nothing.
    """

    reason: Reason
    probe_at: int
    count: int
    refused: tuple[str, ...]
    attempt: str


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Record(Value):
    """Everything that is stored for one key; always read and written as a whole.

    Attributes:
        entry: The token at hand.
        era: The store's time at the last explicit `put` or `forget`. A record with an era and no
            entry means "logged out".
        lease: Who renews.
        intent: The attempt that may have spent the entry's refresh token.
        failure: The last failed renewal.
        dead: A refusal for good.
        checked_at: When a probe last found the token alive.
        told: The entry for which the application was told that a person has to authorize.
        incarnation: The store's incarnation at the last write.
        quarantine_until: Until then one-time tokens rest, because writes may have been lost.
        had_one_time: Whether an entry with a one-time refresh token was ever stored.
        written_at: The store's time at the last write: if it is ahead, the clock went back.
    """

    entry: Entry | None = None
    era: int = 0
    lease: Lease | None = None
    intent: str | None = None
    failure: Failure | None = None
    dead: Dead | None = None
    checked_at: int | None = None
    told: str | None = None
    incarnation: str = ""
    quarantine_until: int = 0
    had_one_time: bool = False
    written_at: int = 0

    def rebased(self, now: int) -> "Record":
        """Return the record with its times moved back, if the store's clock was.

        A deadline can be no further away than it was when it was set, so all of them move by what
        the clock is behind the last write. Eras stay: they order authorizations.
        """
        shift = self.written_at - now
        if shift <= 0:
            return self
        return attrs.evolve(
            self,
            entry=self.entry and _shifted(self.entry, shift, "issued_at", "expires_at", "last_use"),
            lease=self.lease and _shifted(self.lease, shift, "until", "takeover_at"),
            failure=self.failure and _shifted(self.failure, shift, "retry_at"),
            dead=self.dead and _shifted(self.dead, shift, "probe_at"),
            checked_at=None if self.checked_at is None else self.checked_at - shift,
            quarantine_until=max(self.quarantine_until - shift, 0),
            written_at=now,
        )


def _shifted(value: _T, shift: int, *names: str) -> _T:
    times = {name: getattr(value, name) for name in names}
    return attrs.evolve(value, **{name: t - shift for name, t in times.items() if t is not None})
