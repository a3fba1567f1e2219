"""What transitions are given (`View`, `Ask`, `Grant`) and what they say (`Step` and its answers)."""

from typing import final

import attrs

from asyncauth._record import Entry, Mode, Reason, Record
from asyncauth._value import Value


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class View(Value):
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
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Ask(Value):
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
class Behind(Value):
    """The store holds less than the asking worker: put its entry back."""

    __slots__ = ()


@final
@attrs.frozen(eq=False, repr=False)
class Newer(Value):
    """Somebody stored another entry: adopt it."""

    entry: Entry


@final
class LoggedOut(Value):
    """The application logged out after the asking worker's entry: drop it."""

    __slots__ = ()


@final
@attrs.frozen(eq=False, repr=False)
class Refused(Value):
    """A refusal for good stands, for `retry_in` more seconds."""

    reason: Reason
    retry_in: float


@final
@attrs.frozen(eq=False, repr=False)
class Absent(Value):
    """Nobody has authorized yet, or not since the application logged out."""

    logged_out: bool = False


@final
@attrs.frozen(eq=False, repr=False)
class BackOff(Value):
    """The fleet stands back, for `retry_in` more seconds."""

    reason: Reason
    retry_in: float


@final
class Alive(Value):
    """Since the suspicion a probe found the token alive."""

    __slots__ = ()


@final
@attrs.frozen(eq=False, repr=False)
class Busy(Value):
    """Wait: for `seconds` at most, because of `why` (`lease`, `grace` or `quarantine`)."""

    why: str
    seconds: float
    attempt: str | None = None


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Grant(Value):
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
class Kept(Value):
    """The lease is prolonged."""

    __slots__ = ()


@final
class Superseded(Value):
    """The entry, or the era, is not the expected one any more."""

    __slots__ = ()


@final
class Lost(Value):
    """The lease is not this attempt's any more."""

    __slots__ = ()


@final
class Committed(Value):
    """The entry is stored."""

    __slots__ = ()


@final
class Same(Value):
    """The entry was stored already."""

    __slots__ = ()


@final
@attrs.frozen(eq=False, repr=False)
class Conflict(Value):
    """Another entry stands, or the application logged out (no entry)."""

    entry: Entry | None


@final
class Done(Value):
    """It is as asked."""

    __slots__ = ()


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
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Step(Value):
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
