"""One process' renewal of one key: ask the store, wait or adopt, or be granted (PROTOCOL.md, 5.2)."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from math import inf
from typing import final

import attrs

from asyncauth import _transitions as transitions
from asyncauth._acquire import acquire
from asyncauth._answers import (
    Absent,
    Alive,
    Ask,
    BackOff,
    Behind,
    Busy,
    Committed,
    Grant,
    LoggedOut,
    Newer,
    Refused,
)
from asyncauth._attempt import Attempt
from asyncauth._crowd import Crowd
from asyncauth._errors import AuthError, AuthorizationRequiredError, StoreUnavailableError, WaitTimeoutError
from asyncauth._events import TokenAdopted, TokenForgotten, TokenRestored
from asyncauth._issue import is_bare, new_id
from asyncauth._lease import AskAgainError, HeldLease, Means, not_held_up, unused_given_back
from asyncauth._ledger import Outcome
from asyncauth._no_token import explained, logged_out
from asyncauth._outage import check_alone, renew_alone, stand_back, wait_for_replicas
from asyncauth._record import Entry
from asyncauth._sighting import Sighting
from asyncauth._slot import Held, Landing, Slot
from asyncauth.abc import AuthScheme, Liveness

_LOOK_AT_HOLDER = 0.05
"""Seconds between looks at a holder's process, where the store knows whether it lives."""
_SHORTEST_WAIT = 0.005


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class Flight:
    """A renewal on its way. It belongs to the worker, not to a caller.

    Attributes:
        means: What it works with.
        slot: The RAM copy of the key.
        scheme: The vendor's knowledge.
        min_ttl: Seconds of life that the token is wanted for.
        suspected_at: Seconds of local time at which `suspect` became so; none to renew an entry.
        suspect: The entry to check.
        checks_from: When it took off, if it is to check; suspicions up to then are its own.
        early: Whether nobody waits for it.
        lease: The lease that is held, if one is.
        held_up: Gets the reason if the store is away while there is a new token to be stored.
        callers: Wait until it has landed, or is held up, or has brought an entry.
        brought: That one, which may be used while the rest is cleared away.
        obstacle: Whom it waits for, and why.
        waits_since: Since when, in local time.
    """

    means: Means
    slot: Slot
    scheme: AuthScheme
    min_ttl: float = 0.0
    suspected_at: float | None = None
    suspect: Entry | None = None
    checks_from: float = attrs.field(init=False)
    early: bool = False
    lease: HeldLease | None = None
    held_up: asyncio.Future[StoreUnavailableError] = attrs.field(init=False, factory=not_held_up)
    callers: Crowd = attrs.field(init=False, factory=Crowd)
    brought: Held | None = attrs.field(init=False, default=None)
    obstacle: str = attrs.field(init=False, default="the vendor")
    waits_since: float = attrs.field(init=False, default=inf)
    _seen: Entry | None = attrs.field(init=False, default=None)
    _attempt: str = attrs.field(init=False, factory=new_id)
    _marked: str | None = attrs.field(init=False, default=None)
    _awaited: Sighting | None = attrs.field(init=False, default=None)
    _dead_holder: str | None = attrs.field(init=False, default=None)
    _reached_at: float = attrs.field(init=False, default=inf)
    _deadline: float = attrs.field(init=False, default=inf)

    def __attrs_post_init__(self) -> None:
        self.held_up.add_done_callback(lambda _: self.callers.release())
        self.checks_from = -inf if self.suspected_at is None else self.means.clock.monotonic()

    async def run(self) -> Landing:
        """Fly. What goes wrong is the landing's error, for each of those who wait."""
        # The lease may be there, and is granted again to the same attempt: others would wait for its end.
        self._attempt, self.slot.unanswered = self.slot.unanswered or self._attempt, None
        self._seen = self.suspect or self.slot.entry
        self._deadline = self.means.clock.monotonic() + self.means.policy.wait
        try:
            return Landing(held=await self._fly())
        except AuthError as error:
            if isinstance(error, AuthorizationRequiredError) and error.authorize_url is None:
                error.authorize_url = self.scheme.authorize_url
            return Landing(error=error)

    async def _fly(self) -> Held | None:
        lost: StoreUnavailableError | None = None
        async with AsyncExitStack() as marks:
            while True:
                self._check_patience()
                try:
                    outcome = await self._ask(marks)
                except StoreUnavailableError as error:
                    self.slot.unanswered = self._attempt
                    if lost is None:  # one answer that does not come is no outage
                        lost = error
                        continue
                    if self.early:
                        raise
                    alone = renew_alone if self.suspected_at is None else check_alone
                    return await alone(self.means, self.slot, self.scheme, lost)
                lost = self.slot.unanswered = None  # what is sent from here on is not to be sent again
                landed, held = await self._follow(outcome)
                if landed:
                    return held

    async def _ask(self, marks: AsyncExitStack) -> Outcome:
        ledger, policy, name = self.means.ledger, self.means.policy, self.slot.name
        sighting = self._rest_seen_last() or await self._look()
        ask = self._question(sighting)
        if isinstance(acquire(sighting.view(self.means.clock.monotonic()), ask, policy).answer, Grant):
            stand_back(self.means, self.slot)
            self.obstacle = "a turn, because of the vendor's limit" if self.scheme.pace else self.obstacle
            await self.means.pacer.turn(self.scheme.pace)
            if self._marked != self._attempt:
                # Before the lease: without a mark, it says nothing of its holder.
                await marks.enter_async_context(ledger.store.hold(name, self._attempt))
                self._marked = self._attempt
        async with unused_given_back(self.means, self.slot, self._attempt):
            outcome = await ledger.run(name, partial(acquire, ask=ask, policy=policy))
            if isinstance(outcome.answer, Grant) and outcome.sighting.clock_moved(policy.heartbeat):
                # The same attempt again, by the clock as it is now: its lease would end too soon, or late.
                outcome = await ledger.run(name, partial(acquire, ask=ask, policy=policy))
        return outcome

    def _rest_seen_last(self) -> Sighting | None:
        """Return what was seen last, if an attempt may begin there: the writing tells if it is still so."""
        sighting, now = self.means.ledger.last(self.slot.name), self.means.clock.monotonic()
        if sighting is None or not sighting.at_rest or self._reached_at != inf or self.scheme.pace:
            return None
        answer = acquire(sighting.view(now), self._question(sighting), self.means.policy).answer
        return sighting if isinstance(answer, Grant) else None

    async def _look(self) -> Sighting:
        ledger, name = self.means.ledger, self.slot.name
        last, awaited, self._awaited = ledger.last(name), self._awaited, None
        # The watch is woken by the same change, and may have been faster.
        is_new = awaited is not None and last is not awaited
        sighting = last if last is not None and is_new else await ledger.look(name)
        self._reached_at = min(self._reached_at, sighting.seen_at)
        return sighting

    def _question(self, sighting: Sighting) -> Ask:
        seen, since = self._seen, self.suspected_at
        suspected_at = None if since is None else sighting.store_time(since)
        # Before the store was reached: the latest moment at which it can be.
        soon = self.means.clock.monotonic() + self.means.policy.store_timeout
        return Ask(
            attempt=self._attempt,
            fingerprint=self.scheme.fingerprint,
            seen=seen,
            refused=seen is not None and seen.id in self.slot.refused,
            suspected_at=suspected_at,
            can_login=self.scheme.can_login,
            login_is_destructive=self.scheme.login_is_destructive,
            dead_holder=self._dead_holder,
            reached_at=sighting.store_time(min(self._reached_at, soon)),
        )

    async def _follow(self, outcome: Outcome) -> tuple[bool, Held | None]:
        """Do what the store's answer asks for: whether the flight has landed, and with what."""
        match outcome.answer:
            case Newer(entry):
                return self._adopt(entry, outcome.sighting)
            case Behind():
                await self._restore()
            case LoggedOut():
                self._drop()
            case Alive():
                self.slot.hear_of_use(outcome.sighting)
                return True, None
            case Busy() as busy:
                if self.early:
                    return True, None
                await self._wait(busy, outcome.sighting)
            case Grant() as grant:
                return await self._use(grant, outcome)
            case Refused() | BackOff() | Absent() as no:
                raise explained(no, self.slot.key.scheme)
            case _:  # pragma: no cover - `acquire` has no other answers
                raise AssertionError(outcome.answer)
        return False, None

    def _adopt(self, entry: Entry, sighting: Sighting) -> tuple[bool, Held | None]:
        is_other = self._seen is None or self._seen.id != entry.id  # else the same, used by others
        own = self.slot.entry
        held = self.slot.take(entry, sighting, self.means.policy)
        if own is None or own.id != entry.id:  # else the watch was faster
            self.means.emit(TokenAdopted(key=self.slot.key, entry_id=entry.id))
        self._seen = entry
        if self.early:
            return is_other, held
        serves = held.serves(self.means.clock.monotonic(), self.min_ttl)
        return serves and entry.id not in self.slot.refused, held

    async def _restore(self) -> None:
        entry = self._seen
        assert entry is not None  # noqa: S101 - `Behind` answers an ask with a seen entry
        restore = partial(transitions.restore, entry=entry, policy=self.means.policy)
        outcome = await self.means.ledger.run(self.slot.name, restore)
        if isinstance(outcome.answer, Committed):
            self.means.emit(TokenRestored(key=self.slot.key, entry_id=entry.id))

    def _drop(self) -> None:
        self.slot.drop()
        self._seen = None
        self.means.emit(TokenForgotten(key=self.slot.key))
        if not self.scheme.can_login:
            raise logged_out()

    async def _use(self, grant: Grant, outcome: Outcome) -> tuple[bool, Held | None]:
        base, own = grant.base, self.slot.entry
        if base is not None and own is not None and base.is_older_than(own):
            self._seen = own  # never from a stale base: `acquire` answers Behind, and it is put back
            return False, None
        if base is not None and base.one_time and not outcome.replicated:
            await wait_for_replicas(self.means, self.slot, self._attempt, self._deadline)
            return False, None
        self.lease = HeldLease(
            means=self.means, slot=self.slot, grant=grant, sighting=outcome.sighting, held_up=self.held_up
        )
        refused = base is not None and base.id in self.slot.refused
        attempt = Attempt(lease=self.lease, scheme=self.scheme, seen_refused=refused)
        try:
            landed = await attempt.run()
        except AskAgainError as again:
            self._attempt = self._attempt if again.same_attempt else new_id()
            if base is not None and base.id in self.slot.refused:
                self.suspected_at = None
            return False, None
        finally:
            self.lease = None
        if landed is None:
            return True, None
        self.slot.unreachable = 0
        held = self.slot.take(*landed, self.means.policy)
        if is_bare(held.entry.token):  # stored first, and renewed before its first use
            self._seen, self._attempt = held.entry, new_id()
            return False, None
        self.brought = held
        self.callers.release()  # nobody waits for the clearing away
        return True, held

    def _check_patience(self) -> float:
        """Return the seconds of patience that are left."""
        left = self._deadline - self.means.clock.monotonic()
        if left <= 0:
            raise WaitTimeoutError(self.why_no_token())
        return left

    def why_no_token(self) -> str:
        """Say who has been in the way of a token, and for how long."""
        waited = max(self.means.clock.monotonic() - self.waits_since, 0.0)
        since = f" for {waited:.0f} s" if waited else ""
        patience = f"{self.means.policy.wait:g} s"
        return f"no {self.slot.key.scheme} token came within {patience}: waiting for {self.obstacle}{since}"

    async def _wait(self, busy: Busy, sighting: Sighting) -> None:
        """Wait until the record changes, the time is over, or the holder is found dead."""
        obstacle = f"attempt {busy.attempt} ({busy.why})" if busy.attempt else busy.why
        if obstacle != self.obstacle:
            self.obstacle, self.waits_since = obstacle, self.means.clock.monotonic()
        left = self._check_patience()
        ledger, name = self.means.ledger, self.slot.name
        # No longer without a look than a dead store may keep anybody waiting.
        seconds = max(min(busy.seconds, left, self.means.policy.store_timeout), _SHORTEST_WAIT)
        try:
            if busy.attempt is not None and busy.attempt != self._dead_holder:
                liveness = await ledger.liveness(name, busy.attempt)
                if liveness is Liveness.DEAD:
                    self._dead_holder = busy.attempt
                    return
                if liveness is Liveness.ALIVE:
                    seconds = min(seconds, _LOOK_AT_HOLDER)
            self._awaited = sighting
            await ledger.changed(name, sighting.snapshot.version, seconds)
        except StoreUnavailableError:
            self._reached_at = inf
            await self.means.clock.sleep(min(seconds, _LOOK_AT_HOLDER))
