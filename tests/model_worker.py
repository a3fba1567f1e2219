"""One worker's memory in the protocol's model."""

import enum
from typing import Any

import attrs

from asyncauth._answers import Grant
from asyncauth._record import Entry, Mode
from model_vendor import number_of

NEVER = 10**12
FIRST_LOOK = 2_000
"""Milliseconds for which a worker's first look at a store counts as one after an outage."""


class Pc(enum.Enum):
    """What a worker does next."""

    REST = "rest"
    WAIT = "wait"
    GRANTED = "granted"
    SENT = "sent"
    QUIET = "quiet"
    JUDGE = "judge"
    COMMIT = "commit"
    RESTORE = "restore"
    ABANDON = "abandon"
    CONDEMN = "condemn"


HOLDING = (Pc.GRANTED, Pc.SENT, Pc.QUIET)
TIMED = (Pc.WAIT, Pc.SENT, Pc.QUIET)


class Reply(enum.Enum):
    """What a vendor's answer without tokens means."""

    AMBIGUOUS = "ambiguous"
    DEFINITE = "definite"
    INVALID = "invalid_grant"


Mail = tuple[int | Reply, int]
"""A token's number, or a failure; and when it arrives."""


@attrs.define
class Worker:
    """A worker's memory; all fields are immutable, so copies are cheap.

    Attributes:
        index: Which one it is.
        ram: The entry that it holds.
        pc: What it does next.
        attempt: The id of its attempt; a new one is drawn when it is empty.
        drawn: How many it has drawn.
        reached: Since when it has reached the store in this flight.
        grant: Its right.
        era: The record's era at the grant.
        mode: What it sends.
        fence: The end of its own lease by its own clock.
        beat_at: Its next heartbeat.
        tries: How often it may send again.
        sent: Whether its attempt has sent.
        ambiguous: Whether a try of its attempt may have been processed.
        mail: The vendor's answer, on its way.
        until: The end of its waiting.
        wakes: The store's wakings that it has seen.
        entry: What it has to commit.
        frozen_until: The latest end of its standing still.
        crashed: Whether it is gone.
    """

    index: int
    ram: Entry | None = None
    pc: Pc = Pc.REST
    attempt: str = ""
    drawn: int = 0
    reached: int = 0
    grant: Grant | None = None
    era: int = 0
    mode: Mode = Mode.REFRESH
    fence: int = 0
    beat_at: int = NEVER
    tries: int = 0
    sent: bool = False
    ambiguous: bool = False
    mail: Mail | None = None
    until: int = 0
    wakes: int = 0
    entry: Entry | None = None
    frozen_until: int = 0
    crashed: bool = False

    def key(self, now: int) -> tuple[Any, ...]:
        """Return what tells two states of the worker apart."""
        return (
            self.ram and self.ram.id,
            self.pc,
            self.attempt,
            self.drawn,
            self.grant and (self.grant.attempt, self.grant.base_id, self.grant.doubtful, self.era),
            (self.mode, self.tries, self.sent, self.ambiguous),
            (max(self.fence - now, 0), self.beat_at - now if self.pc in HOLDING else 0),
            self.mail and (self.mail[0], max(self.mail[1] - now, 0)),
            max(self.until - now, 0) if self.pc in TIMED else 0,
            max(self.reached + FIRST_LOOK - now, 0) if self.pc is Pc.WAIT else 0,
            self.entry and self.entry.id,
            max(self.frozen_until - now, 0),
            self.crashed,
        )

    def numbers(self) -> set[int]:
        """Return the tokens that it has received."""
        return {number_of(entry) for entry in (self.ram, self.entry) if entry is not None}

    def wait(self, until: int) -> None:
        """Stand still until a time or a waking."""
        self.pc, self.until = Pc.WAIT, until

    def rest(self) -> None:
        """End the flight."""
        self.pc, self.attempt, self.grant, self.entry, self.mail = Pc.REST, "", None, None, None
