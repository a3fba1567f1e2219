"""What transitions are given (`View`, `Ask`, `Grant`) and what they say (`Step` and its answers)."""

from typing import final

import attrs

from asyncauth._record import Entry, Mode, Reason, Record


@final
@attrs.frozen(kw_only=True)
class View:
    """A record as one worker sees it.

    Attributes:
        record: What is stored, or none if there is nothing.
        now: The store's clock, in milliseconds: never ahead of it.
        incarnation: The store's incarnation.
    """

    record: Record | None
    now: int
    incarnation: str = ""


@final
@attrs.frozen(kw_only=True)
class Ask:
    """Who asks for the right to renew, and why.

    Attributes:
        attempt: The random id of the attempt.
        fingerprint: That of the worker's credential.
        seen: The entry that the worker holds and cannot use, if it holds one.
        refused: Whether the vendor refused `seen` (and its life is not just over).
        suspected_at: When the response came that makes `seen` suspect; none asks for a renewal.
        can_login: The scheme's flag.
        login_is_destructive: The scheme's flag.
        dead_holder: An attempt whose process is known to be dead.
        reached_at: Since when the worker has been reaching the store without a break; none takes no
            account of it.
    """

    attempt: str
    fingerprint: str = ""
    seen: Entry | None = None
    refused: bool = False
    suspected_at: int | None = None
    can_login: bool = True
    login_is_destructive: bool = False
    dead_holder: str | None = None
    reached_at: int | None = None


@final
@attrs.frozen(kw_only=True)
class Behind:
    """The store holds less than the asking worker: put its entry back."""


@final
@attrs.frozen
class Newer:
    """Somebody stored another entry: adopt it."""

    entry: Entry


@final
@attrs.frozen
class LoggedOut:
    """The application logged out after the asking worker's entry: drop it."""


@final
@attrs.frozen
class Refused:
    """A refusal for good stands, for `retry_in` more seconds."""

    reason: Reason
    retry_in: float


@final
@attrs.frozen
class Absent:
    """Nobody has authorized yet, or not since the application logged out."""

    logged_out: bool = False


@final
@attrs.frozen
class BackOff:
    """The fleet stands back, for `retry_in` more seconds."""

    reason: Reason
    retry_in: float


@final
@attrs.frozen
class Alive:
    """Since the suspicion a probe found the token alive."""


@final
@attrs.frozen
class Busy:
    """Wait: for `seconds` at most, because of `why` (`lease`, `grace` or `quarantine`)."""

    why: str
    seconds: float
    attempt: str | None = None


@final
@attrs.frozen(kw_only=True)
class Grant:
    """The right to renew `base`."""

    attempt: str
    base: Entry | None
    mode: Mode
    doubtful: bool = False

    @property
    def base_id(self) -> str | None:
        """The id of the entry to renew, if there is one."""
        return None if self.base is None else self.base.id


@final
@attrs.frozen
class Kept:
    """The lease is prolonged."""


@final
@attrs.frozen
class Superseded:
    """The entry, or the era, is not the expected one any more."""


@final
@attrs.frozen
class Lost:
    """The lease is not this attempt's any more."""


@final
@attrs.frozen
class Committed:
    """The entry is stored."""


@final
@attrs.frozen
class Same:
    """The entry was stored already."""


@final
@attrs.frozen
class Conflict:
    """Another entry stands, or the application logged out (no entry)."""

    entry: Entry | None


@final
@attrs.frozen
class Done:
    """It is as asked."""


Answer = (
    Behind
    | Newer
    | LoggedOut
    | Refused
    | Absent
    | BackOff
    | Alive
    | Busy
    | Grant
    | Kept
    | Superseded
    | Lost
    | Committed
    | Same
    | Conflict
    | Done
)


@final
@attrs.frozen(kw_only=True)
class Step:
    """What a transition decided.

    Attributes:
        answer: For the worker.
        record: What to write, or none.
        wake: Whether other workers need to look.
        replicated: Whether the write counts only once it is replicated.
    """

    answer: Answer
    record: Record | None = None
    wake: bool = True
    replicated: bool = False
