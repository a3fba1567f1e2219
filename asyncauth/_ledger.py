"""Runs transitions against a store: snapshot, transition, compare-and-set. Nothing else does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, final

import attrs

from asyncauth._answers import Answer, Step, View
from asyncauth._clock import Clock
from asyncauth._codec import UnreadableError, decode, encode
from asyncauth._errors import (
    NotReplicatedError,
    StoreUnavailableError,
    UnreadableRecordError,
    WriteConflictError,
)
from asyncauth._policy import RefreshPolicy, fraction
from asyncauth._record import Record
from asyncauth._sighting import Sighting
from asyncauth._transitions import keep_for
from asyncauth.abc import Liveness, Snapshot, TokenStore

_T = TypeVar("_T")
_ROUNDS = 30
"""Lost races in a row before a write gives up; with the pauses below they take about a second."""


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Outcome:
    """What a transition answered, on which sighting, and whether its write is where it was asked for."""

    answer: Answer
    sighting: Sighting
    replicated: bool = True


@final
@attrs.define(eq=False, repr=False)
class Ledger:
    """The records of one store, as one worker sees and changes them.

    Every operation is bounded by the policy's `store_timeout`; a store that let one run out is not
    asked again for as long, so that requests do not queue up in front of it.
    """

    store: TokenStore
    clock: Clock
    policy: RefreshPolicy
    _last: dict[str, Sighting] = attrs.field(init=False, factory=dict)
    _looks: "dict[str, asyncio.Future[Sighting | None]]" = attrs.field(init=False, factory=dict)
    _silent_until: float = attrs.field(init=False, default=0.0)

    async def look(self, name: str) -> Sighting:
        """Read a record. Who asks while another task's question is open gets the same answer.

        Raises:
            StoreUnavailableError: The store did not answer.
            UnreadableRecordError: The record cannot be opened.
        """
        if (other := self._looks.get(name)) is not None:
            await asyncio.wait({other})
            if (shared := other.result()) is not None:
                return shared
        answer = self._looks[name] = asyncio.get_running_loop().create_future()
        sighting = None
        try:
            sighting = await self._look(name)
            return sighting
        finally:
            answer.set_result(sighting)
            if self._looks.get(name) is answer:
                del self._looks[name]

    async def _look(self, name: str) -> Sighting:
        asked_at = self.clock.monotonic()
        before = self._last.get(name)
        snapshot = await self._bounded(self.store.read(name))
        sighting = self._sight(name, snapshot, asked_at)
        if self._last.get(name) is before:  # else it may be older than what was written meanwhile
            self._last[name] = sighting
        return sighting

    async def run(self, name: str, transition: Callable[[View], Step], *, fresh: bool = False) -> Outcome:
        """Run a transition until its write took effect, or it has nothing to write.

        Args:
            name: Whose record.
            transition: Called again with what is stored after each lost race; ids that it writes
                are drawn before, so that running it again after an unknown outcome is harmless.
            fresh: Read first, instead of starting from what was seen last.

        Raises:
            StoreUnavailableError: The store did not answer; nobody knows whether it was written.
            UnreadableRecordError: The record cannot be opened; it is left as it is.
        """
        sighting = self._last.get(name)
        if fresh or sighting is None:
            sighting = await self._look(name)
        for lost_races in range(_ROUNDS):
            step = transition(sighting.view(self.clock.monotonic()))
            if step.record is None:
                return Outcome(answer=step.answer, sighting=sighting)
            asked_at = self.clock.monotonic()
            try:
                return await self._write(name, step, sighting)
            except WriteConflictError as conflict:
                sighting = self._sight(name, conflict.snapshot, asked_at)
                self._last[name] = sighting
            # The first may have begun from an old look: that was no race.
            await self.clock.sleep(0.002 * max(lost_races - 1, 0) * fraction(sighting.version + name))
        raise StoreUnavailableError(f"{_ROUNDS} other writers were faster, one after the other")

    async def replace(self, name: str, transition: Callable[[View], Step]) -> Outcome:
        """Run a transition that may also replace a record which cannot be opened."""
        try:
            return await self.run(name, transition, fresh=True)
        except UnreadableRecordError as error:
            snapshot = error.snapshot
        now = self.clock.monotonic()
        unread = Sighting.of(snapshot, None, asked_at=now, seen_at=now)
        try:
            return await self._write(name, transition(unread.view(now)), unread)
        except WriteConflictError:
            return await self.run(name, transition, fresh=True)

    def last(self, name: str) -> Sighting | None:
        """Return what was seen last."""
        return self._last.get(name)

    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait until the record may be another than `since`, at most `timeout` seconds."""
        await self.store.changed(name, since, timeout)

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        """Have `ring` called once the record may be another than `since`; see `TokenStore.follow`.

        Raises:
            StoreUnavailableError: The store did not answer: nothing is followed.
        """
        try:
            async with self.clock.timeout(self.policy.wait):
                return await self.store.follow(name, since, ring)
        except TimeoutError:
            raise StoreUnavailableError(f"{type(self.store).__name__} does not answer") from None

    async def liveness(self, name: str, attempt: str) -> Liveness:
        """Tell whether the process behind an attempt lives, where the store knows."""
        return await self._bounded(self.store.is_held(name, attempt))

    async def _write(self, name: str, step: Step, sighting: Sighting) -> Outcome:
        assert step.record is not None  # noqa: S101 - only steps that write come here
        asked_at = self.clock.monotonic()
        replicated = True
        try:
            snapshot = await self._bounded(
                self.store.write(
                    name,
                    encode(step.record),
                    sighting.snapshot,
                    keep=keep_for(step.record, step.record.written_at, self.policy),
                    wake=step.wake,
                    replicated=step.replicated,
                )
            )
        except NotReplicatedError as error:
            snapshot, replicated = error.snapshot, False
        seen_at = self.clock.monotonic()
        written = Sighting.of(snapshot, step.record, asked_at=asked_at, seen_at=seen_at, is_own=True)
        self._looks.pop(name, None)  # a look that began before is no answer for who asks from now on
        if self._last.get(name, sighting) is sighting:
            self._last[name] = written
        else:
            del self._last[name]  # which of the two is older nobody knows: the next one looks
        return Outcome(answer=step.answer, sighting=written, replicated=replicated)

    def _sight(self, name: str, snapshot: Snapshot, asked_at: float) -> Sighting:
        record = self._decoded(snapshot, self._last.get(name))
        return Sighting.of(snapshot, record, asked_at=asked_at, seen_at=self.clock.monotonic())

    def _decoded(self, snapshot: Snapshot, last: Sighting | None) -> Record | None:
        if last is not None and last.version == snapshot.version:
            return last.record  # no other value has this version
        try:
            record = None if snapshot.value is None else decode(snapshot.value)
        except UnreadableError as error:
            raise UnreadableRecordError(str(error), snapshot) from None
        if record is not None and last is not None and record.entry == last.entry:
            return attrs.evolve(record, entry=last.entry)
        return record

    async def _bounded(self, operation: Awaitable[_T]) -> _T:
        """Await one store operation, for no longer than the policy allows."""
        if self.clock.monotonic() < self._silent_until:
            close = getattr(operation, "close", None)
            if close is not None:
                close()
            raise StoreUnavailableError("the token store did not answer in time a moment ago")
        try:
            async with self.clock.timeout(self.policy.store_timeout):
                return await operation
        except TimeoutError:
            self._silent_until = self.clock.monotonic() + self.policy.store_timeout
            raise StoreUnavailableError(
                f"{type(self.store).__name__} did not answer within {self.policy.store_timeout:g} s"
            ) from None
