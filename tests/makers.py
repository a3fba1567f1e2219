"""Short makers of records for the tests of the transitions."""

import attrs

from asyncauth._acquire import acquire
from asyncauth._answers import Answer, Ask, Grant, Step, View
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Dead, Entry, Failure, Lease, Mode, Reason, Record
from asyncauth._token import Token

NOW = 1_750_000_000_000
SECOND = 1000
POLICY = RefreshPolicy()
TROUBLE = Reason("VendorFailedError", "the vendor has trouble")


def an_entry(
    name: str = "e1",
    *parents: str,
    era: int = 7,
    one_time: bool = True,
    refresh: bool = True,
    life: float | None = 3600,
    age: float = 3600,
    idle: float | None = None,
) -> Entry:
    """Return an entry; by default a one-time one that expires just now."""
    issued_at = NOW - round(age * SECOND)
    return Entry(
        id=name,
        era=era,
        ancestors=parents,
        token=Token(
            access_token=f"access-{name}",
            refresh_token=f"refresh-{name}" if refresh else None,
            expires_in=life,
            idle_timeout=idle,
        ),
        one_time=one_time,
        issued_at=issued_at,
        expires_at=None if life is None else issued_at + round(life * SECOND),
    )


def a_session(ago: float, name: str = "s", *, one_time: bool = False, life: float | None = None) -> Entry:
    """Return a session that idles out after ten minutes, and was used so many seconds ago."""
    entry = an_entry(name, one_time=one_time, refresh=one_time, life=life, idle=600)
    return attrs.evolve(entry, last_use=NOW - round(ago * SECOND))


OLD = an_entry("e1")
NEW = an_entry("e2", "e1", age=0)
PLAIN = an_entry("e1", one_time=False, refresh=False)


def a_lease(
    attempt: str = "holder", *, mode: Mode = Mode.REFRESH, doubtful: bool = False, left: float = 6
) -> Lease:
    """Return a lease with so many seconds left."""
    until = NOW + round(left * SECOND)
    takeover_at = until + round(POLICY.grace * SECOND)
    return Lease(
        attempt=attempt, mode=mode, doubtful=doubtful, until=until, takeover_at=takeover_at, incarnation="i1"
    )


def a_failure(*, left: float = 5, count: int = 1) -> Failure:
    """Return a failure with so many seconds left."""
    return Failure(reason=TROUBLE, retry_at=NOW + round(left * SECOND), count=count)


def a_dead(*refused: str, left: float = 60, attempt: str = "finder", count: int = 1) -> Dead:
    """Return a dead mark with so many seconds left."""
    probe_at = NOW + round(left * SECOND)
    return Dead(reason=TROUBLE, probe_at=probe_at, count=count, refused=refused, attempt=attempt)


BLANK = Record(era=7, incarnation="i1", written_at=NOW - SECOND)


def a_record(entry: Entry | None = OLD, *, lease: Lease | None = None, intent: str | None = None) -> Record:
    """Return a record that was written a second ago."""
    guards = entry is not None and entry.one_time
    return attrs.evolve(BLANK, entry=entry, lease=lease, intent=intent, had_one_time=guards)


def seen_at(record: Record | None, *, now: int = NOW, incarnation: str = "i1") -> View:
    """Return the view of a worker that reads the record."""
    return View(record=record, now=now, incarnation=incarnation)


def an_ask(
    seen: Entry | None = OLD,
    *,
    attempt: str = "mine",
    can_login: bool = False,
    destructive: bool = False,
    refused: bool = False,
    suspected_at: int | None = None,
    dead_holder: str | None = None,
) -> Ask:
    """Return what a worker asks that holds an unusable entry and cannot log in."""
    return Ask(
        attempt=attempt,
        fingerprint="my credential",
        seen=seen,
        refused=refused,
        suspected_at=suspected_at,
        can_login=can_login,
        login_is_destructive=destructive,
        dead_holder=dead_holder,
    )


def a_grant(attempt: str = "mine", base: Entry | None = OLD, mode: Mode = Mode.REFRESH) -> Grant:
    """Return a right to renew."""
    return Grant(attempt=attempt, base=base, mode=mode)


CAN_LOGIN = an_ask(can_login=True)


def asked(record: Record | None, ask: Ask | None = None) -> Step:
    """Return the whole answer to a worker that asks for the right to renew."""
    return acquire(seen_at(record), ask or an_ask(), POLICY)


def answer(record: Record | None, ask: Ask | None = None) -> Answer:
    """Return what it is told; only a grant may write."""
    step = asked(record, ask)
    assert isinstance(step.answer, Grant) or step.record is None
    return step.answer


def granted(record: Record | None, ask: Ask | None = None) -> tuple[Grant, Record]:
    """Return the grant that it must be given, and what is written with it."""
    step = asked(record, ask)
    assert isinstance(step.answer, Grant)
    assert step.record is not None
    return step.answer, step.record


def written(step: Step) -> Record:
    """Return what a step writes; it must write something."""
    assert step.record is not None
    return step.record
