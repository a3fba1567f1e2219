"""One process' part on one store and event loop: RAM copies, and one flight per key."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast, final

import aiohttp

from asyncauth._clock import Clock
from asyncauth._ending import FlightTask, ParentsStore, has_sent
from asyncauth._errors import AuthError, ClosedError, TokenUnavailableError, WaitTimeoutError
from asyncauth._events import Listeners, TokenGivenUp, TokenRefused
from asyncauth._flight import Flight
from asyncauth._flow import bare_session
from asyncauth._idle import after_keep_alive
from asyncauth._issue import new_id
from asyncauth._key import TokenKey
from asyncauth._lease import Means
from asyncauth._ledger import Ledger
from asyncauth._loop_end import LoopEnd
from asyncauth._outage import store_later
from asyncauth._pace import Pacer
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry
from asyncauth._resting import Resting
from asyncauth._sighting import Sighting
from asyncauth._slot import Held, Landing, Slot
from asyncauth._waiting import end, excused, landed, patiently, speaks_for
from asyncauth.abc import AuthScheme, TokenStore

_T = TypeVar("_T")
_log = logging.getLogger("asyncauth")


@final
class Worker:
    """What the sessions, middlewares and managers of one store and event loop share.

    Args:
        store: Where tokens are shared.
        policy: The durations.
        clock: This process' clock.
        client: A session for conversations with vendors; by default a bare one, made at first use.
    """

    def __init__(
        self,
        store: TokenStore,
        policy: RefreshPolicy,
        clock: Clock,
        client: aiohttp.ClientSession | None = None,
    ) -> None:
        self.store = store
        self._id = new_id()
        self.listeners = Listeners()
        self.users = 0
        self.is_kept = self.closed = self.is_parents = False
        self.given_client = client
        self.means = Means(
            ledger=Ledger(store, clock, policy),
            clock=clock,
            policy=policy,
            client=self._bare_session,
            emit=self.listeners.tell,
            later=self._store_later,
            pacer=Pacer(clock),
        )
        self._resting = Resting(self.means, self.keep_alive)
        self._client = client
        self._closing: asyncio.Task[None] | None = None
        self._loop_end = LoopEnd(self.aclose)
        self._slots: dict[TokenKey, Slot] = {}
        self._flights: dict[asyncio.Task[Landing], Flight] = {}
        self._unsaved: dict[asyncio.Task[None], tuple[Slot, Entry]] = {}

    def slot(self, scheme: AuthScheme) -> Slot:
        """Return the RAM copy of a scheme's key."""
        if scheme.constant is not None:
            return Slot.of(scheme, "", self._id)  # each has its own, and no secret stays here
        key = scheme.key
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = Slot.of(scheme, self.store.name(key), self._id)
        return slot

    async def obtain(self, slot: Slot, scheme: AuthScheme, min_ttl: float = 0.0) -> Held:
        """Return an entry that may be put on a request, renewing it if it must be.

        Raises:
            TokenUnavailableError: There is none, and why.
            StoreError: The store is needed and does not answer.
            ClosedError: The worker was closed.

        Cancellation ends the caller's wait; the renewal goes on.
        """
        return await self._patiently(slot, self._obtain(slot, scheme, min_ttl))

    async def _patiently(self, slot: Slot, waiting: Coroutine[Any, Any, _T]) -> _T:
        def flight() -> Flight | None:
            return None if slot.flight is None else self._flights.get(slot.flight)

        return await patiently(waiting, self.means, slot, flight)

    async def _obtain(self, slot: Slot, scheme: AuthScheme, min_ttl: float) -> Held:
        while True:
            held = slot.usable(self.means.clock.monotonic(), min_ttl)
            if held is not None:
                return held
            slot.raise_denial(scheme, self.means.clock.monotonic())
            task = slot.flight
            flight = None if task is None else self._flights.get(task)
            if task is None or flight is None:
                landing = await self._landing(self._take_off(slot, scheme, min_ttl=min_ttl))
                if landing.held is not None:
                    return landing.held
            else:
                landing = await landed(task, flight)
            held = excused(slot, landing.error, self.means.clock.monotonic(), min_ttl)
            if held is not None:
                return held
            # What an early renewal failed with is nobody's answer: it left the trying to others.
            if landing.error is not None and (flight is None or speaks_for(flight, scheme)):
                raise landing.error.again() from landing.error

    async def _landing(self, task: asyncio.Task[Landing]) -> Landing:
        return await landed(task, self._flights[task])

    def newer(self, slot: Slot, used: Held) -> Held | None:
        """Return a usable entry that has taken the place of the one that was used."""
        ready = slot.usable(self.means.clock.monotonic())
        return None if ready is None or ready.entry.id == used.entry.id else ready

    async def replace(self, slot: Slot, scheme: AuthScheme, used: Held) -> Held | None:
        """Return another entry than one that the vendor refused.

        Returns:
            The entry to send once more with; none if the refusal is the caller's answer, because
            the fleet stands back from renewing what it has only just renewed.

        Raises:
            TokenUnavailableError: The renewal failed.
            StoreError: The store is needed and does not answer.
        """
        if (newer := self.newer(slot, used)) is not None:
            return newer
        if self.means.clock.monotonic() < slot.excused_until:
            return None
        self.refuse(slot, used)
        held = await self.obtain(slot, scheme)
        return None if held.entry.id == used.entry.id else held

    def refuse(self, slot: Slot, used: Held) -> None:
        """Note that the vendor refused an entry: this worker does not send it again."""
        if used.entry.id not in slot.refused:
            slot.refuse(used.entry.id)
            self.means.emit(TokenRefused(key=slot.key, entry_id=used.entry.id))

    async def verify(self, slot: Slot, scheme: AuthScheme, used: Held) -> Held | None:
        """Settle a suspicion: another entry to send once more with, or none if the old one lives.

        Raises:
            TokenUnavailableError: The probe or the renewal failed.
            StoreError: The store is needed and does not answer.
        """
        return await self._patiently(slot, self._verify(slot, scheme, used))

    async def _verify(self, slot: Slot, scheme: AuthScheme, used: Held) -> Held | None:
        suspected_at = self.means.clock.monotonic()
        landing = None
        while landing is None and (task := slot.flight) is not None:
            covers = self._flights[task].checks_from >= suspected_at
            over = await self._landing(task)
            landing = over if covers else None
        if slot.ready is not None and slot.ready.entry.id != used.entry.id:
            return slot.ready
        if landing is None:
            check = self._take_off(slot, scheme, suspected_at=suspected_at, suspect=used.entry)
            landing = await self._landing(check)
        if landing.error is not None:
            raise landing.error.again() from landing.error
        return landing.held or self.newer(slot, used)

    async def keep_alive(self, slot: Slot) -> None:
        """Have a session probed that nobody uses, unless another worker is faster."""
        if slot.ready is not None:
            slot.keep_alive_after = after_keep_alive(self.means, slot.ready)
            with suppress(AuthError):  # a dead one is renewed at its next use
                await self.verify(slot, slot.scheme, slot.ready)

    def renew_early(self, slot: Slot, scheme: AuthScheme) -> None:
        """Renew while the entry still serves, with nobody waiting; at most once in `early_pause`."""
        now = self.means.clock.monotonic()
        if slot.flight is None and now >= slot.early_after and not self.closed:
            slot.early_after = now + self.means.policy.early_pause
            _ = self._take_off(slot, scheme, early=True)

    def rest(self, slot: Slot) -> None:
        """Follow the key's record from now on."""
        if not self.closed and (slot.watch is None or slot.watch.over):
            slot.watch = self._resting.follow(slot)

    def _take_off(
        self,
        slot: Slot,
        scheme: AuthScheme,
        *,
        min_ttl: float = 0.0,
        suspected_at: float | None = None,
        suspect: Entry | None = None,
        early: bool = False,
    ) -> asyncio.Task[Landing]:
        if self.closed:
            raise ClosedError("the token manager, session or store was closed")
        flight = Flight(
            means=self.means,
            slot=slot,
            scheme=scheme,
            min_ttl=min_ttl,
            suspected_at=suspected_at,
            suspect=suspect,
            early=early,
        )
        task = FlightTask(flight, self.means.policy.request_timeout)
        slot.flight = task
        self._flights[task] = flight
        task.add_done_callback(partial(self._landed, slot))
        self.rest(slot)
        return task

    def _landed(self, slot: Slot, task: asyncio.Task[Landing]) -> None:
        flight = self._flights.pop(task)
        slot.flight = None
        flight.callers.release()
        if task.cancelled():
            return
        if (bug := task.exception()) is not None:
            _log.error("renewing a %s token", slot.key.scheme, exc_info=bug)
        elif (error := task.result().error) is not None:
            if flight.early:
                _log.warning("renewing a %s token early: %s", slot.key.scheme, error)
            elif isinstance(error, TokenUnavailableError) and not isinstance(error, WaitTimeoutError):
                slot.deny(error, flight.scheme.fingerprint, self.means.clock.monotonic())

    def _bare_session(self) -> aiohttp.ClientSession:
        if self.is_parents:
            raise ClosedError("this renewal is the parent process', which goes on with it")
        if self._client is None:
            self._client = bare_session(self.means.policy.request_timeout / 2)
        return self._client

    def _store_later(self, slot: Slot, entry: Entry, sighting: Sighting) -> None:
        saving = store_later(self.means, slot, entry, sighting)
        task = asyncio.get_running_loop().create_task(saving)
        self._unsaved[task] = (slot, entry)
        task.add_done_callback(lambda done: self._unsaved.pop(done, None))

    async def aclose(self) -> None:
        """Drain what was sent, give back what was not, and end. May be called again.

        Bounded by the policy's `request_timeout`; a token that could not be stored by then is told
        of as `TokenGivenUp`.
        """
        if self.is_parents:
            return
        if self._closing is None or self._closing.cancelled():  # an interrupted loop cancels that as well
            self.closed = True
            self._closing = asyncio.get_running_loop().create_task(self._drain())
        await asyncio.shield(self._closing)

    def leave_to_parent(self) -> None:
        """Do nothing more, in a forked child: the parent goes on with it."""
        self.closed = self.is_parents = True
        self.means.ledger.store = cast("TokenStore", ParentsStore())
        self._retire()

    def _retire(self) -> None:
        for slot in self._slots.values():
            slot.retire()

    async def _drain(self) -> None:
        self._retire()
        watches = self._resting.end(self._slots.values())
        sharing = [slot.sharing for slot in self._slots.values() if slot.sharing is not None]
        idle = [task for task, flight in self._flights.items() if not has_sent(flight)]
        await end([*watches, *sharing, *idle])
        if self._flights:
            await asyncio.wait(self._flights, timeout=self.means.policy.request_timeout)
        for slot, entry in self._unsaved.values():  # a login replaces them: not worth a wait
            self.means.emit(TokenGivenUp(key=slot.key, entry_id=entry.id))
        await end([*self._flights, *self._unsaved])
        if self._client is not self.given_client and self._client is not None:
            await self._client.close()
        self._loop_end.over()
