"""What may go wrong between a service and its token store, as values.

```python
store.faults.add(StoreDelay(0.3), on="read")                # the next read is slow
store.faults.add(StoreAnswerLost(), on="write", times=2)    # writes, then says it does not know; twice
store.faults.add(StoreRefusal(), times=None)                # an outage, until `store.faults.clear()`
store.faults.add(StoreRefusal(), times=None, chance=0.05)   # every twentieth operation, as the seed says
```
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Literal, TypeAlias, TypeVar, final

import attrs

from asyncauth._clock import Clock
from asyncauth._errors import NotReplicatedError, StoreUnavailableError
from asyncauth.abc import Snapshot

_T = TypeVar("_T")

StoreOperation: TypeAlias = Literal["read", "write", "changed", "keys", "is_held"]


@final
@attrs.frozen
class StoreCall:
    """One operation that faults strike.

    Attributes:
        operation: Its name.
        clock: What delays are measured with.
        timeout: How long a `changed` waits; else 0.
        replicated: Whether a `write` has to reach the replicas.
    """

    operation: StoreOperation
    clock: Clock
    timeout: float = 0.0
    replicated: bool = False


class StoreFault(ABC):
    """Something that goes wrong with one operation of a store."""

    __slots__ = ()

    @abstractmethod
    async def strike(self, call: StoreCall, act: Callable[[], Awaitable[_T]]) -> _T:
        """Carry the operation out with `act`, or not, and go wrong."""


@final
@attrs.frozen
class StoreDelay(StoreFault):
    """Takes time, then goes on as if nothing had been.

    Attributes:
        seconds: By the store's clock.
        when: Before or after the operation takes effect.
    """

    seconds: float
    when: Literal["before", "after"] = attrs.field(default="before", kw_only=True)

    async def strike(self, call: StoreCall, act: Callable[[], Awaitable[_T]]) -> _T:
        if self.when == "before":
            await call.clock.sleep(self.seconds)
            return await act()
        result = await act()
        await call.clock.sleep(self.seconds)
        return result


@final
@attrs.frozen
class StoreRefusal(StoreFault):
    """Raises `StoreUnavailableError` instead of acting: a server that is down."""

    async def strike(self, call: StoreCall, act: Callable[[], Awaitable[_T]]) -> _T:
        del call, act
        raise StoreUnavailableError("the store refused the operation, as a test asked for")


@final
@attrs.frozen
class StoreAnswerLost(StoreFault):
    """Acts, and then nobody hears of it: a connection that is cut between command and answer.

    Attributes:
        hangs: Never answer at all, instead of raising `StoreUnavailableError`.
    """

    hangs: bool = attrs.field(default=False, kw_only=True)

    async def strike(self, call: StoreCall, act: Callable[[], Awaitable[_T]]) -> _T:
        del call
        await act()
        if self.hangs:
            await asyncio.Event().wait()
        raise StoreUnavailableError("the store's answer was lost, as a test asked for")


@final
@attrs.frozen
class StoreChangeMissed(StoreFault):
    """Lets a `changed` wait for its whole time, and a `follow` never ring: a notification that was lost."""

    async def strike(self, call: StoreCall, act: Callable[[], Awaitable[_T]]) -> _T:
        await call.clock.sleep(call.timeout)
        return await act()


@final
@attrs.frozen
class StoreReplicaMissing(StoreFault):
    """Raises `NotReplicatedError` after a write that has to reach the replicas; others just succeed."""

    async def strike(self, call: StoreCall, act: Callable[[], Awaitable[_T]]) -> _T:
        result = await act()
        if call.replicated and isinstance(result, Snapshot):
            raise NotReplicatedError("no replica took the write, as a test asked for", result)
        return result


@final
@attrs.frozen(eq=False)
class StoreFreeze(StoreFault):
    """Hangs until it is released, then acts: a server that stands still.

    For one event loop. Several operations may hang on the same one.

    Attributes:
        arrived: Set when an operation hangs.
    """

    arrived: asyncio.Event = attrs.field(init=False, factory=asyncio.Event, repr=False)
    _over: asyncio.Event = attrs.field(init=False, factory=asyncio.Event, repr=False)

    async def strike(self, call: StoreCall, act: Callable[[], Awaitable[_T]]) -> _T:
        del call
        self.arrived.set()
        await self._over.wait()
        return await act()

    def release(self) -> None:
        """Go on, with what hangs and with what comes."""
        self._over.set()


@final
@attrs.frozen
class _Standing:
    fault: StoreFault
    chance: float


@final
@attrs.define(eq=False)
class StoreFaults:
    """The faults that wait for a store's next operations.

    Each operation takes one: the oldest that was added for it, or for any. Standing ones (`times=None`)
    serve when no counted one waits.

    Attributes:
        struck: How many operations took a fault so far.
    """

    _random: Random
    struck: int = attrs.field(init=False, default=0)
    _queues: dict[str, deque[StoreFault]] = attrs.field(init=False, factory=dict)
    _standing: dict[str, list[_Standing]] = attrs.field(init=False, factory=dict)

    def add(
        self,
        fault: StoreFault,
        *,
        on: StoreOperation | Literal["any"] = "any",
        times: int | None = 1,
        chance: float = 1.0,
    ) -> None:
        """Have a fault strike the next operations.

        Args:
            fault: What goes wrong.
            on: Which operations.
            times: How many of them; none for all, until `clear`.
            chance: With `times=None`, how likely it strikes each of them, drawn from the store's seed.
        """
        if times is None:
            self._standing.setdefault(on, []).append(_Standing(fault, chance))
        else:
            self._queues.setdefault(on, deque()).extend([fault] * times)

    def clear(self) -> None:
        """Forget every fault that has not struck yet, and the standing ones."""
        self._queues.clear()
        self._standing.clear()

    def take(self, operation: StoreOperation) -> StoreFault | None:
        """Return the fault of the next operation, if it has one, and count it off."""
        fault = self._queued(operation) or self._drawn(operation)
        self.struck += fault is not None
        return fault

    def _queued(self, operation: StoreOperation) -> StoreFault | None:
        queue = next((queue for on in (operation, "any") if (queue := self._queues.get(on))), None)
        return queue.popleft() if queue else None

    def _drawn(self, operation: StoreOperation) -> StoreFault | None:
        standing = [*self._standing.get(operation, ()), *self._standing.get("any", ())]
        return next((one.fault for one in standing if self._random.random() < one.chance), None)
