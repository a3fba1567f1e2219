"""The store's end of the simulation: what is written is judged, and every worker has a way to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs

from asyncauth._codec import decode
from asyncauth._record import Failure, Record
from asyncauth.abc import Liveness, Snapshot, TokenStore
from asyncauth.testing import FaultyTokenStore
from asyncauth_stores.memory import MemoryTokenStore
from sim_loop import SimLoop

_T = TypeVar("_T")


class Judge:
    """What is stored, and what must never be written over it.

    Attributes:
        record: What is stored now.
        failure: The last failure for which the whole fleet stands back.
        lenient: Set while the place itself goes back.
    """

    record: Record | None = None
    failure: Failure | None = None
    lenient: bool = False

    def __init__(self, log: Callable[[str], None], fail: Callable[[str], None]) -> None:
        self._log, self._fail = log, fail

    def judge(self, before: Record | None, value: bytes | None) -> None:
        """Look at a write: a later entry is never overwritten by an earlier one."""
        self.record = None if value is None else decode(value)
        # Remembered, so that a worker which forgets it is found out; a renewal is what ends it.
        if self.lenient or self.record is None or id_of(self.record) != id_of(before):
            self.failure = None
        self.failure = (self.record and self.record.failure) or self.failure
        self._log(f"the place holds {shown(self.record)}")
        if self.lenient or before is None or self.record is None:
            return
        old, new = before.entry, self.record.entry
        if self.record.era < before.era:
            self._fail("an earlier era overwrote a later one")
        if old is None or (new is not None and new.id == old.id):
            return
        if self.record.era == before.era and (new is None or not old.is_older_than(new)):
            self._fail(f"the stored {old.id[:4]} was overwritten by what does not descend from it")


def id_of(record: Record | None) -> str | None:
    """Return which entry a record has."""
    return None if record is None or record.entry is None else record.entry.id


def shown(record: Record | None) -> str:
    """Return a record as a trace has it."""
    if record is None:
        return "nothing"
    entry, lease, failure, dead = record.entry, record.lease, record.failure, record.dead
    parts = ["no entry" if entry is None else f"entry {entry.id[:4]} ({_token(record)})"]
    parts += [] if lease is None else [f"lease {lease.attempt[:4]} to {lease.mode.value}"]
    parts += [] if record.intent is None else [f"intent {record.intent[:6]}"]
    parts += [] if failure is None else [f"failure {failure.reason.kind}"]
    parts += [] if dead is None else [f"dead {dead.reason.kind}"]
    parts += [] if not record.quarantine_until else ["quarantined"]
    return ", ".join(parts)


def _token(record: Record) -> str:
    entry = record.entry
    access = None if entry is None else entry.token.access_token
    return "bare" if access is None else access.reveal()


class Judged(TokenStore):
    """The place itself."""

    def __init__(self, place: MemoryTokenStore, judge: Judge) -> None:
        super().__init__()
        self._place, self._judge = place, judge

    async def read(self, name: str) -> Snapshot:
        return await self._place.read(name)

    async def write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None = None,
        wake: bool = True,
        replicated: bool = False,
    ) -> Snapshot:
        kept = (await self._place.read(name)).value is not None  # else its time was over
        written = await self._place.write(name, value, expected, keep=keep, wake=wake, replicated=replicated)
        self._judge.judge(self._judge.record if kept else None, value)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self._place.changed(name, since, timeout)

    def keys(self) -> AsyncIterator[str]:
        return self._place.keys()


class Ways(Protocol):
    """What a worker's way to the place asks about the world around it."""

    def latency(self) -> float:
        """Return how long a message is under way."""
        ...

    def at_store(self, process: str, what: str) -> None:
        """Hear that a worker's operation arrived, or was answered; may do something to the worker."""

    def holder(self, attempt: str) -> Liveness:
        """Tell whether the process that marked an attempt lives."""
        ...

    def mark(self, attempt: str, process: str | None) -> None:
        """Hear that a process marks an attempt, or takes its mark away."""


@attrs.define(eq=False)
class Way(TokenStore):
    """One worker's way to the place: its messages take time, and go on when it is gone.

    Attributes:
        process: The worker's.
        handle: The place, with this worker's faults.
        marks: Whether the store knows whether holders live, as files do.
    """

    loop: SimLoop
    process: str
    handle: FaultyTokenStore
    ways: Ways
    marks: bool

    def __attrs_post_init__(self) -> None:
        self.namespace, self.name_key = self.handle.namespace, self.handle.name_key

    async def read(self, name: str) -> Snapshot:
        return await self._carry("read", partial(self.handle.read, name))

    async def write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None = None,
        wake: bool = True,
        replicated: bool = False,
    ) -> Snapshot:
        options: dict[str, Any] = {"keep": keep, "wake": wake, "replicated": replicated}
        return await self._carry("write", partial(self.handle.write, name, value, expected, **options))

    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self._carry("changed", partial(self.handle.changed, name, since, timeout))

    def keys(self) -> AsyncIterator[str]:
        return self.handle.keys()

    def hold(self, name: str, attempt: str) -> AbstractAsyncContextManager[None]:
        return _Mark(self.ways, attempt, self.process) if self.marks else nullcontext()

    async def is_held(self, name: str, attempt: str) -> Liveness:
        return self.ways.holder(attempt) if self.marks else Liveness.UNKNOWN

    async def _carry(self, what: str, operation: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        if what != "changed":
            self.ways.at_store(self.process, what)
        task = self.loop.start("store", self._act(what, operation))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if what == "changed":
                _ = task.cancel()
            task.add_done_callback(_hear)  # what becomes of it is nobody's business
            raise

    async def _act(self, what: str, operation: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        await asyncio.sleep(self.ways.latency())
        result = await operation()
        await asyncio.sleep(self.ways.latency())
        if what != "changed":
            self.ways.at_store(self.process, what + " answered")
        return result


def _hear(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        _ = task.exception()


class _Mark(AbstractAsyncContextManager[None]):
    def __init__(self, ways: Ways, attempt: str, process: str) -> None:
        self._ways, self._attempt, self._process = ways, attempt, process

    async def __aenter__(self) -> None:
        self._ways.mark(self._attempt, self._process)

    async def __aexit__(self, *error: object) -> None:
        self._ways.mark(self._attempt, None)
