"""Resting on all keys of a worker: who looks at a record that rang, and when one is looked at in any case."""

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import copy_context
from math import inf
from typing import Any, final

import attrs

from asyncauth._errors import AuthError, ClosedError, UnreadableRecordError
from asyncauth._idle import keep_alive_at
from asyncauth._lease import Means
from asyncauth._loop_end import LoopsTask
from asyncauth._sighting import Sighting
from asyncauth._slot import Slot
from asyncauth._visits import Visit, Visits
from asyncauth._watch import observe

_log = logging.getLogger("asyncauth")
_FAR = 3600.0
"""Seconds between looks at a record that needs no audit, and of which no change was announced."""
_AWAY = 1.0
"""Seconds between looks while the store is away, or rings for nothing."""
_AT_ONCE = 32
"""How many records are looked at at the same time: all of them ring when a connection breaks."""


@final
class State(enum.Enum):
    """What one who follows a record does."""

    FOLLOWING = "following"
    BUSY = "busy"
    """Somebody sees to it, or will."""
    AWAY = "away"
    """It waits for the store to be back; so it does while somebody looks whether it is."""
    OVER = "over"


@final
@attrs.define(eq=False, weakref_slot=False, kw_only=True)
class Rest:
    """One record that is followed. Called, it rings: it is time to look.

    Attributes:
        slot: The RAM copy of the key.
        state: What it does.
        rung: Whether it rang since somebody saw to it.
        vain: Whether the last ring was for nothing: one may be, from a message that came late.
        last: What had been seen when the following began.
        since: The version that is to change.
        due: When there is a look in any case.
        visit: When the timer comes by, to see whether it is due.
        unreadable: The version of a record that cannot be opened.
        unread_since: When the following of that one began.
    """

    _resting: "Resting" = attrs.field(alias="resting")
    slot: Slot
    state: State = State.FOLLOWING
    rung: bool = False
    vain: bool = False
    last: Sighting | None = None
    due: float = inf
    visit: "Visit | None" = None
    unreadable: str = ""
    unread_since: float = -inf
    _end: Callable[[], object] | None = None

    def __call__(self) -> None:
        self.rung = True
        self._resting.see_to(self)

    @property
    def over(self) -> bool:
        """Whether the record is not followed any more."""
        return self.state is State.OVER

    @property
    def since(self) -> str:
        """The version that was seen when the following began."""
        return self.unreadable or ("" if self.last is None else self.last.version)

    async def follow(self) -> None:
        """Have the store ring at the next change."""
        end = await self._resting.means.ledger.follow(self.slot.name, self.since, self)
        if self.over:
            end()
        else:
            self._end = end

    def pause(self) -> None:
        """Hear no ring for now."""
        if self._end is not None:
            self._end()
            self._end = None

    def end(self) -> None:
        """Hear no ring any more."""
        self.state = State.OVER
        self.pause()


@final
class Resting:
    """Follows the records of a worker's keys.

    A record at rest is a callback in the store, and a place in the timer's list. There are tasks only while
    there is something to do, and one that keeps the time.

    Args:
        means: What it works with.
        keep_alive: Called when a session that nobody uses is due for a probe.
    """

    def __init__(self, means: Means, keep_alive: Callable[[Slot], Awaitable[None]]) -> None:
        self.means = means
        self._keep_alive = keep_alive
        self._rung = deque[Rest]()
        self._away = deque[Rest]()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seeing = 0
        self._visits = Visits(means.clock, self._start, self._come)
        self._outlasting: asyncio.Task[None] | None = None
        self._is_over = False
        # Not the context of a request that happens to be the first to need a key.
        self._context = copy_context()

    def follow(self, slot: Slot) -> Rest:
        """Follow a key's record from now on."""
        rest = Rest(resting=self, slot=slot)
        self.see_to(rest)
        return rest

    def end(self, slots: Iterable[Slot]) -> Iterable["asyncio.Task[None]"]:
        """Follow none of these any more; return the tasks that are under way."""
        for slot in slots:
            if slot.watch is not None:
                slot.watch.end()
        return tuple(self._tasks)

    def see_to(self, rest: Rest) -> None:
        """Have somebody see to a record, unless that is so already.

        Not for those who ring because the event loop ends: a task that begins then is cut off in the middle.
        """
        if rest.state is State.FOLLOWING and not self._is_over:
            rest.state = State.BUSY
            self._queue(rest)

    def _queue(self, rest: Rest) -> None:
        self._rung.append(rest)
        if self._seeing < _AT_ONCE:
            self._seeing += 1
            _ = self._start(self._see_to_some())

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = LoopsTask(work, self._context.copy(), self._end_with_loop)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _end_with_loop(self) -> None:
        self._is_over = True

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            _log.error("following a record", exc_info=bug)

    async def _see_to_some(self) -> None:
        try:
            while self._rung:
                rest = self._rung.popleft()
                if not rest.over:
                    await self._see_to_one(rest)
        finally:
            self._seeing -= 1  # at once: nobody may count on one that has just looked for the last time

    async def _see_to_one(self, rest: Rest) -> None:
        try:
            await self._see_to(rest)
        except ClosedError:
            rest.end()
        except AuthError:  # also what is wrong with a key ring that has to be loaded again
            self._wait_for_store(rest)
        except Exception:  # noqa: BLE001 - a bug of the store's, which must not end the other followings
            _log.exception("following the record of a %s token", rest.slot.key.scheme)
            self._look_later(rest)

    def _look_later(self, rest: Rest) -> None:
        """Begin anew after a while: a token that is at hand may be used for years without a renewal."""
        if not rest.over:
            rest.state, rest.due = State.FOLLOWING, self.means.clock.monotonic() + self.means.policy.audit
            self._visits.plan(rest)

    async def _see_to(self, rest: Rest) -> None:
        rest.pause()
        if rest.rung and await self._look(rest):
            self._wait_for_store(rest)
            return
        if rest.state is State.AWAY:
            rest.state = State.BUSY
            self._retry(len(self._away))
        await self._settle(rest)

    async def _look(self, rest: Rest) -> bool:
        """Look at a record that rang; tell whether it rings for nothing, all the time."""
        ledger, slot, before, since = self.means.ledger, rest.slot, rest.last, rest.since
        # One that is waiting for this change looks now too, and both get one answer; after one that wrote,
        # or has ended, there is nothing to see but that.
        last = ledger.last(slot.name)
        over = last is not None and last is not before and (last.is_own or slot.flight is None)
        if over and not rest.unreadable:
            return False
        try:
            found = (await ledger.look(slot.name)).version
            rest.unreadable = ""
        except UnreadableRecordError as error:
            found = error.snapshot.version
            if rest.unreadable != found:
                _log.error("the record of a %s token: %s", slot.key.scheme, error)
            rest.unreadable = found
        now = self.means.clock.monotonic()
        seen_at = -inf if before is None else before.seen_at
        if rest.vain and found == since and now < min(rest.due, max(seen_at, rest.unread_since) + _AWAY):
            return True
        rest.unread_since = now if rest.unreadable else -inf
        return False

    async def _settle(self, rest: Rest) -> None:
        """Take over what was seen last, and follow the record from there."""
        means, slot, before, now = self.means, rest.slot, rest.since, self.means.clock.monotonic()
        rest.last = means.ledger.last(slot.name)
        # A look that was due is no ring.
        rest.vain, rest.rung = rest.rung and rest.since == before and now < rest.due, False
        if rest.last is not None:
            await observe(means, slot, rest.last)
        audited = slot.entry is not None and slot.entry.one_time
        keep_alive = keep_alive_at(means, slot)
        if keep_alive <= now:
            _ = self._start(self._probe(rest))
            return
        rest.due = min(now + (means.policy.audit if audited else _FAR), keep_alive)
        self._visits.plan(rest)
        await rest.follow()
        if rest.state is State.BUSY:
            rest.state = State.FOLLOWING
            if rest.rung:
                self.see_to(rest)

    async def _probe(self, rest: Rest) -> None:
        try:
            await self._keep_alive(rest.slot)
        except Exception:
            self._look_later(rest)
            raise
        self._queue(rest)

    def _wait_for_store(self, rest: Rest) -> None:
        """Look again later, when the first of all that wait gets an answer."""
        if rest.over:
            return
        rest.rung, rest.state = True, State.AWAY
        self._away.append(rest)
        if self._outlasting is None or self._outlasting.done():
            self._outlasting = self._start(self._outlast())
        self._time_alone(rest)

    def _time_alone(self, rest: Rest) -> None:
        """Have a session kept alive while its record cannot be looked at."""
        rest.due = keep_alive_at(self.means, rest.slot)
        if rest.due > self.means.clock.monotonic():
            self._visits.plan(rest)
        else:
            _ = self._start(self._probe_alone(rest))

    async def _probe_alone(self, rest: Rest) -> None:
        await self._keep_alive(rest.slot)
        if rest.state is State.AWAY:
            self._time_alone(rest)

    async def _outlast(self) -> None:
        while self._away:
            await self.means.clock.sleep(_AWAY)
            self._retry(_AT_ONCE)

    def _retry(self, most: int) -> None:
        for _ in range(min(most, len(self._away))):
            self._queue(self._away.popleft())

    def _come(self, rest: Rest) -> None:
        if rest.state is State.AWAY:
            self._time_alone(rest)
        else:
            rest()
