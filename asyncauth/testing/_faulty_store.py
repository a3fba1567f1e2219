"""`FaultyTokenStore`: wraps any store, and lets it fail as stores do in production.

```python
store = FaultyTokenStore(MemoryTokenStore(), seed=7)
async with AuthSession(scheme, store=store) as session:
    store.faults.add(StoreAnswerLost(), on="write")    # the next write takes effect; nobody hears of it
    ...
    await store.roll_back(2)                           # a fail-over that drops the last two writes

one, other = store.twin(), store.twin()                # two workers on one place, each with its own faults
```

Without faults it keeps every promise of the store that it wraps.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from random import Random
from typing import TypeVar, final

import attrs

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._errors import NotReplicatedError, WriteConflictError
from asyncauth.abc import Liveness, Snapshot, TokenStore
from asyncauth.testing._store_faults import StoreCall, StoreChangeMissed, StoreFaults

_T = TypeVar("_T")


@final
@attrs.frozen
class _State:
    """What a name held at one time; the version is the one that workers saw."""

    value: bytes | None = attrs.field(repr=False)
    version: str
    keep: float | None = None


@final
@attrs.define(eq=False)
class _Past:
    """What was written to a place, so that it can go back, and how its versions are called outside.

    A value that is written again to restore it has a new version inside; outside it has its own one
    again, as the contract of `Snapshot.version` says.
    """

    states: dict[str, list[_State]] = attrs.field(factory=dict)
    journal: list[tuple[str, bool]] = attrs.field(factory=list)
    fail_overs: int = 0
    _outside: dict[str, str] = attrs.field(factory=dict)
    _inside: dict[str, str] = attrs.field(factory=dict)

    def seen(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot of the wrapped store as workers see it."""
        version = self._outside.get(snapshot.version, snapshot.version)
        return attrs.evolve(snapshot, version=version, incarnation=snapshot.incarnation + self._suffix)

    def meant(self, snapshot: Snapshot) -> Snapshot | None:
        """Return a worker's snapshot as the wrapped store knows it; none from before a fail-over."""
        incarnation = snapshot.incarnation.removesuffix(self._suffix)
        if incarnation + self._suffix != snapshot.incarnation:
            return None
        return attrs.evolve(snapshot, version=self.inside(snapshot.version), incarnation=incarnation)

    def inside(self, version: str) -> str:
        """Return a version as the wrapped store knows it."""
        return self._inside.get(version, version)

    def began(self, name: str, found: Snapshot) -> None:
        """Take note of what is stored before the first write."""
        self.states.setdefault(name, [_State(found.value, found.version)])

    def wrote(self, name: str, state: _State, *, replicated: bool) -> None:
        """Take note of a write."""
        self.states[name].append(state)
        self.journal.append((name, replicated))

    def lose(self, writes: int, *, spare_replicated: bool) -> set[str]:
        """Forget the last writes; return the names that they were for."""
        names = set[str]()
        while writes and self.journal and not (spare_replicated and self.journal[-1][1]):
            name, _ = self.journal.pop()
            self.states[name].pop()
            names.add(name)
            writes -= 1
        return names

    def restored(self, inside: str, outside: str) -> None:
        """Take note that a value was written again."""
        if inside:
            self._outside[inside], self._inside[outside] = outside, inside

    @property
    def _suffix(self) -> str:
        return f"+{self.fail_overs}" if self.fail_overs else ""


@final
class FaultyTokenStore(TokenStore):
    """Passes every operation on to another store, unless a fault says otherwise.

    For one event loop.

    Args:
        inner: The store that keeps the records; it is closed with this one.
        seed: What faults with a `chance` are drawn from: the same operations fail again.
        clock: What delays are measured with.

    Attributes:
        faults: What goes wrong with the next operations. A `hold` never does.
    """

    def __init__(self, inner: TokenStore, *, seed: int = 0, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self.namespace, self.name_key = inner.namespace, inner.name_key
        self.faults = StoreFaults(Random(seed))  # noqa: S311 - to be repeatable, not secret
        self._inner = inner
        self._clock = clock
        self._past = _Past()
        self._owns_inner = True

    def twin(self, *, seed: int = 0) -> "FaultyTokenStore":
        """Return another worker's handle on the same place, with faults of its own.

        What one is rolled back to is what all of them see. The place is closed by the store that the
        twin was made from.
        """
        twin = FaultyTokenStore(self._inner, seed=seed, clock=self._clock)
        twin._past, twin._owns_inner = self._past, False
        return twin

    async def roll_back(
        self, writes: int = 1, *, new_incarnation: bool = True, spare_replicated: bool = False
    ) -> None:
        """Lose the last writes that went through this store and its twins, as a fail-over does.

        Those who wait in `changed` are woken: a client that reconnects looks.

        Args:
            writes: How many, of all names together.
            new_incarnation: Whether the store can tell (Redis: another replication id). A folder that
                is restored from a backup cannot; then nobody is woken either.
            spare_replicated: Stop at the last write that was to be `replicated`: what a store does that
                keeps its word.

        Cancellation may leave some names rolled back and others not.
        """
        past = self._past
        names = past.lose(writes, spare_replicated=spare_replicated)
        past.fail_overs += new_incarnation
        for name in tuple(past.states):
            if new_incarnation or name in names:
                await self._restore(name, past.states[name][-1], wake=new_incarnation)

    async def _restore(self, name: str, state: _State, *, wake: bool) -> None:
        found = await self._inner.read(name)
        while True:
            try:
                written = await self._inner.write(name, state.value, found, keep=state.keep, wake=wake)
            except WriteConflictError as conflict:
                found = conflict.snapshot
            else:
                self._past.restored(written.version, state.version)
                return

    async def read(self, name: str) -> Snapshot:
        """Return what is stored now; see `TokenStore.read`."""
        return await self._struck(StoreCall("read", self._clock), partial(self._read, name))

    async def _read(self, name: str) -> Snapshot:
        return self._past.seen(await self._inner.read(name))

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
        """Compare and set; see `TokenStore.write`."""
        call = StoreCall("write", self._clock, replicated=replicated)
        act = partial(self._write, name, value, expected, keep=keep, wake=wake, replicated=replicated)
        return await self._struck(call, act)

    async def _write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None,
        wake: bool,
        replicated: bool,
    ) -> Snapshot:
        past, meant = self._past, self._past.meant(expected)
        if meant is None:
            raise WriteConflictError(await self._read(name))
        if name not in past.states:
            past.began(name, await self._read(name))
        try:
            inside = await self._inner.write(name, value, meant, keep=keep, wake=wake, replicated=replicated)
        except WriteConflictError as conflict:
            raise WriteConflictError(past.seen(conflict.snapshot)) from None
        except NotReplicatedError as error:
            written = past.seen(error.snapshot)
            past.wrote(name, _State(value, written.version, keep), replicated=False)
            raise NotReplicatedError(str(error), written) from None
        written = past.seen(inside)
        past.wrote(name, _State(value, written.version, keep), replicated=replicated)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait for a change; see `TokenStore.changed`."""
        call = StoreCall("changed", self._clock, timeout=timeout)
        await self._struck(call, partial(self._changed, name, since, timeout))

    async def _changed(self, name: str, since: str, timeout: float) -> None:
        await self._inner.changed(name, self._past.inside(since), timeout)

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        """Follow a record; see `TokenStore.follow`. What strikes a `changed` strikes this."""
        fault = self.faults.take("changed")
        if isinstance(fault, StoreChangeMissed):
            return _nothing
        act = partial(self._follow, name, since, ring)
        return await (act() if fault is None else fault.strike(StoreCall("changed", self._clock), act))

    async def _follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        return await self._inner.follow(name, self._past.inside(since), ring)

    async def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of all records; see `TokenStore.keys`."""
        for name in await self._struck(StoreCall("keys", self._clock), self._keys):
            yield name

    async def _keys(self) -> list[str]:
        names = self._inner.keys()
        return [name async for name in names]

    def hold(self, name: str, attempt: str) -> AbstractAsyncContextManager[None]:
        """Mark an attempt; see `TokenStore.hold`."""
        return self._inner.hold(name, attempt)

    async def is_held(self, name: str, attempt: str) -> Liveness:
        """Tell whether the process behind an attempt lives; see `TokenStore.is_held`."""
        call = StoreCall("is_held", self._clock)
        return await self._struck(call, partial(self._inner.is_held, name, attempt))

    async def aclose(self) -> None:
        """End what works on this store, then the wrapped store, unless this is a twin."""
        await super().aclose()
        if self._owns_inner:
            await self._inner.aclose()

    async def _struck(self, call: StoreCall, act: Callable[[], Awaitable[_T]]) -> _T:
        fault = self.faults.take(call.operation)
        return await (act() if fault is None else fault.strike(call, act))


def _nothing() -> None:
    """End what was never begun."""
