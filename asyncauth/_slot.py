"""One worker's RAM copy of one key: what the fast path looks at."""

import asyncio
from math import inf
from typing import TYPE_CHECKING, final

import attrs

from asyncauth._errors import AuthError, TokenUnavailableError
from asyncauth._issue import constant_entry, is_bare, same_credential
from asyncauth._key import TokenKey
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry
from asyncauth._sighting import Sighting
from asyncauth._token import Token
from asyncauth.abc import AuthScheme

if TYPE_CHECKING:
    from asyncauth._resting import Rest

_KEPT_REFUSALS = 100
_DENIED_FOR = 1.0
"""Seconds for which requests are given the last flight's error without a look at the store."""


@final
@attrs.define(kw_only=True, eq=False, repr=False, weakref_slot=False)
class Held:
    """An entry, ready for use. Its times are this process' monotonic clock.

    Attributes:
        entry: As it is stored.
        usable_until: Its hard end, less the margin.
        early_at: When its renewal starts while it still serves.
        fresh_until: Until then renewing it gains too little to be worth it.
        idle_for: Seconds that it serves after a use, if its life depends on uses.
        used_at: Its last use, by any worker as far as this one knows.
        calm_until: Until then there is nothing to do but to use it: all that the fast path looks at. Past
            while it may not be put on requests.
    """

    entry: Entry
    usable_until: float
    early_at: float
    fresh_until: float
    idle_for: float = inf
    used_at: float = -inf
    calm_until: float = attrs.field(init=False, default=-inf)
    _serving: bool = attrs.field(init=False, default=False)

    @property
    def idle_until(self) -> float:
        """When it is over for want of use, less the margin."""
        return inf if self.idle_for == inf else self.used_at + self.idle_for

    def use(self, at: float) -> None:
        """Note that the vendor accepted it at this moment, at the earliest."""
        if at > self.used_at:
            self.used_at = at
            self.serve(serving=self._serving)

    def serve(self, *, serving: bool) -> None:
        """Say whether it may be put on requests."""
        self._serving = serving
        self.calm_until = min(self.usable_until, self.early_at, self.idle_until) if serving else -inf

    @classmethod
    def of(
        cls, entry: Entry, sighting: Sighting, policy: RefreshPolicy, *, early_worker: str | None
    ) -> "Held":
        """Convert an entry's times from the store's clock, and apply the policy's margins.

        Args:
            entry: As it is stored.
            sighting: Where it was seen.
            policy: The margins.
            early_worker: The id of a worker that renews it early; none if nobody does.
        """
        held = cls._of_hard_end(entry, sighting, policy, early_worker)
        idle = entry.token.idle_timeout
        if idle is not None:
            held.idle_for = idle - policy.idle_margin_for(idle)
            held.use(sighting.local_time(entry.last_use or entry.issued_at))
        return held

    @classmethod
    def _of_hard_end(
        cls, entry: Entry, sighting: Sighting, policy: RefreshPolicy, worker: str | None
    ) -> "Held":
        if entry.expires_at is None:
            return cls(entry=entry, usable_until=inf, early_at=inf, fresh_until=-inf)
        life = (entry.expires_at - entry.issued_at) / 1000
        ends_at = sighting.local_time(entry.expires_at)
        return cls(
            entry=entry,
            usable_until=ends_at - (0.0 if worker is None else policy.margin_for(life)),
            early_at=inf if worker is None else ends_at - policy.early_for(life, entry.id, worker),
            fresh_until=sighting.local_time(entry.issued_at) + policy.margin_share * life,
        )

    def serves(self, now: float, min_ttl: float) -> bool:
        """Tell whether it has this much life left, or is too fresh for a renewal to give more."""
        if now >= self.idle_until:
            return False
        return now < self.usable_until and (now + min_ttl <= self.usable_until or now < self.fresh_until)


@final
@attrs.frozen(eq=False, repr=False)
class Landing:
    """How a flight ended: with an entry, with an error for all who wait, or with neither.

    Neither means that the entry at hand stays: a check found it alive, or an early renewal was left
    to others.
    """

    held: Held | None = None
    error: AuthError | None = None


@final
@attrs.frozen(eq=False, repr=False)
class Denial:
    """Why there is no token, for whoever asks with the same credential until then."""

    error: TokenUnavailableError
    fingerprint: str
    until: float


@final
@attrs.define(kw_only=True, eq=False, repr=False, weakref_slot=False)
class Slot:
    """What a worker knows of one key.

    Attributes:
        key: Whose token.
        name: Its record's name in the store.
        scheme: The vendor's knowledge, as of the first use.
        worker_id: Draws when this worker renews early.
        constant: The token, if it is made of the credential alone.
        held: The entry known last, usable or not.
        ready: The same, if it may be put on requests; see `serve`.
        committing: The id of the entry that this worker stores: its own watch need not adopt it.
        flight: The one renewal under way in this process.
        unanswered: The attempt that may have been granted, by an answer of the store that did not come.
        watch: What follows other workers' changes.
        refused: Ids of entries that the vendor refused.
        early_after: No early renewal before this moment.
        stand_back_until: This process could not reach the vendor: no try of its own before this.
        unreachable: How often in a row it could not.
        alone_until: Until then a renewal without the store belongs to an outage that was told of.
        shared_use_at: Until when the store knows of uses, as far as this process told it.
        sharing: The task that tells it.
        keep_alive_after: No probe to keep the entry alive before this moment.
        told: The entry for which the application was told that a person has to authorize.
        denied: What a flight ended with, for whom, and until when it is the answer of the next ones.
        excused_until: Until then a refusal is the caller's: the fleet stands back.
        retired: Whether its worker has closed, and nobody follows the record any more.
    """

    key: TokenKey
    name: str
    scheme: AuthScheme
    worker_id: str = ""
    constant: Token | None = None
    held: Held | None = None
    ready: Held | None = None
    committing: str | None = None
    flight: "asyncio.Task[Landing] | None" = None
    unanswered: str | None = None
    watch: "Rest | None" = None
    refused: tuple[str, ...] = ()
    early_after: float = -inf
    stand_back_until: float = -inf
    unreachable: int = 0
    alone_until: float = -inf
    shared_use_at: float = -inf
    sharing: "asyncio.Task[None] | None" = None
    keep_alive_after: float = -inf
    told: str | None = None
    denied: "Denial | None" = None
    excused_until: float = -inf
    retired: bool = False

    @classmethod
    def of(cls, scheme: AuthScheme, name: str, worker_id: str) -> "Slot":
        """Return the slot of a scheme, which is ready at once if nobody has to be asked for its token."""
        slot = cls(key=scheme.key, name=name, scheme=scheme, worker_id=worker_id, constant=scheme.constant)
        if slot.constant is not None:
            entry = constant_entry(slot.constant)
            slot.held = Held(entry=entry, usable_until=inf, early_at=inf, fresh_until=inf)
            slot.serve(slot.held)
        return slot

    @property
    def entry(self) -> Entry | None:
        """The entry known last."""
        return None if self.held is None else self.held.entry

    def take(self, entry: Entry, sighting: Sighting, policy: RefreshPolicy) -> Held:
        """Use an entry from now on."""
        before = None if self.held is None else self.held.entry
        early_worker = self.worker_id if self.scheme.renews_early else None
        held = Held.of(entry, sighting, policy, early_worker=early_worker)
        if before is None or before.id != entry.id:
            self.early_after = self.keep_alive_after = -inf  # the pause is between failures
            if before is not None and same_credential(before.token, entry.token):
                # Renewing it again would give it again, whatever life a caller wants.
                held.fresh_until = held.usable_until
        if before is not None and before.id == entry.id and self.held is not None:
            held.use(self.held.used_at)
        self.held = held
        if entry.token.idle_timeout is not None:
            self.shared_use_at = sighting.local_time(entry.last_use or entry.issued_at)
        self.serve(None if is_bare(entry.token) or entry.id in self.refused else held)
        self.committing = self.denied = None
        return held

    def hear_of_use(self, sighting: Sighting) -> None:
        """Take over other workers' uses of the entry, as far as they told the store."""
        stored = None if sighting.record is None else sighting.record.entry
        if stored is not None and self.held is not None and stored.id == self.held.entry.id:
            self.held.use(-inf if stored.last_use is None else sighting.local_time(stored.last_use))

    def serve(self, held: Held | None) -> None:
        """Have this entry put on requests from now on, and no other one."""
        if self.ready is not None:
            self.ready.serve(serving=False)
        self.ready = None if self.retired else held
        if self.ready is not None:
            self.ready.serve(serving=True)

    def retire(self) -> None:
        """Put nothing on requests any more, not even what a renewal still brings to who waits for it."""
        self.retired = True
        self.serve(None)

    def drop(self) -> None:
        """Forget the entry: the application logged out."""
        self.held = None
        self.serve(None)

    def refuse(self, entry_id: str) -> None:
        """Stop using an entry that the vendor refused."""
        self.refused = (*self.refused, entry_id)[-_KEPT_REFUSALS:]
        if self.ready is not None and self.ready.entry.id == entry_id:
            self.serve(None)

    def excuse(self, entry_id: str, until: float) -> None:
        """Go on using an entry that was refused: the fleet does not renew it now.

        A resource that answers 401 whatever the token is must not take the others with it.
        """
        self.refused = tuple(other for other in self.refused if other != entry_id)
        self.excused_until = until
        if self.held is not None and self.held.entry.id == entry_id:
            self.serve(self.held)

    def deny(self, error: TokenUnavailableError, fingerprint: str, now: float) -> None:
        """Let an error be the answer for a moment: not each request needs to ask the store for it."""
        pause = min(error.retry_in or _DENIED_FOR, _DENIED_FOR)
        self.denied = Denial(error, fingerprint, now + pause)

    def raise_denial(self, scheme: AuthScheme, now: float) -> None:
        """Raise the error that is the answer at the moment, if there is one for this credential."""
        denied = self.denied
        if denied is not None and now < denied.until and denied.fingerprint == scheme.fingerprint:
            raise denied.error.again() from denied.error

    def usable(self, now: float, min_ttl: float = 0.0) -> Held | None:
        """Return what may be put on a request that needs this much life."""
        ready = self.ready
        return ready if ready is not None and ready.serves(now, min_ttl) else None
