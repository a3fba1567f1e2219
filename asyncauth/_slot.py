"""One worker's RAM copy of one key: what the fast path looks at."""

import asyncio
from math import inf
from typing import final

import attrs

from asyncauth._errors import AuthError, TokenUnavailableError
from asyncauth._issue import same_credential
from asyncauth._key import TokenKey
from asyncauth._ledger import Sighting
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry
from asyncauth.abc import AuthScheme

_KEPT_REFUSALS = 100
_DENIED_FOR = 1.0
"""Seconds for which requests are given the last flight's error without a look at the store."""


@final
@attrs.frozen(kw_only=True, eq=False)
class Held:
    """An entry, ready for use. Its times are this process' monotonic clock.

    Attributes:
        entry: As it is stored.
        usable_until: Its end, less the margin.
        early_at: When its renewal starts while it still serves.
        fresh_until: Until then renewing it gains too little to be worth it.
        calm_until: Until then there is nothing to do but to use it.
    """

    entry: Entry
    usable_until: float
    early_at: float
    fresh_until: float
    calm_until: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "calm_until", min(self.usable_until, self.early_at))

    @classmethod
    def of(cls, entry: Entry, sighting: Sighting, policy: RefreshPolicy, *, early: bool) -> "Held":
        """Convert an entry's times from the store's clock, and apply the policy's margins."""
        if entry.expires_at is None:
            return cls(entry=entry, usable_until=inf, early_at=inf, fresh_until=-inf)
        life = (entry.expires_at - entry.issued_at) / 1000
        ends_at = sighting.local_time(entry.expires_at)
        return cls(
            entry=entry,
            usable_until=ends_at - (policy.margin_for(life) if early else 0.0),
            early_at=ends_at - policy.early_for(life, entry.id) if early else inf,
            fresh_until=sighting.local_time(entry.issued_at) + policy.margin_share * life,
        )

    def serves(self, now: float, min_ttl: float) -> bool:
        """Tell whether it has this much life left, or is too fresh for a renewal to give more."""
        return now < self.usable_until and (now + min_ttl <= self.usable_until or now < self.fresh_until)


@final
@attrs.frozen
class Landing:
    """How a flight ended: with an entry, with an error for all who wait, or with neither.

    Neither means that the entry at hand stays: a check found it alive, or an early renewal was left
    to others.
    """

    held: Held | None = None
    error: AuthError | None = None


@final
@attrs.frozen
class Denial:
    """Why there is no token, for whoever asks with the same credential until then."""

    error: TokenUnavailableError
    fingerprint: str
    until: float


@final
@attrs.define(eq=False, kw_only=True)
class Slot:
    """What a worker knows of one key.

    Attributes:
        key: Whose token.
        name: Its record's name in the store.
        scheme: The vendor's knowledge, as of the first use.
        held: The entry known last, usable or not.
        ready: The same, if it may be put on requests: all that the fast path reads.
        committing: The id of the entry that this worker stores: its own watch need not adopt it.
        flight: The one renewal under way in this process.
        watch: The task that waits for other workers' changes.
        refused: Ids of entries that the vendor refused.
        early_after: No early renewal before this moment.
        stand_back_until: This process could not reach the vendor: no try of its own before this.
        unreachable: How often in a row it could not.
        alone_until: Until then a renewal without the store belongs to an outage that was told of.
        denied: What a flight ended with, for whom, and until when it is the answer of the next ones.
        excused_until: Until then a refusal is the caller's: the fleet stands back.
    """

    key: TokenKey
    name: str
    scheme: AuthScheme
    held: Held | None = None
    ready: Held | None = None
    committing: str | None = None
    flight: "asyncio.Task[Landing] | None" = None
    watch: "asyncio.Task[None] | None" = None
    refused: dict[str, None] = attrs.field(factory=dict)
    early_after: float = -inf
    stand_back_until: float = -inf
    unreachable: int = 0
    alone_until: float = -inf
    denied: "Denial | None" = None
    excused_until: float = -inf

    @property
    def entry(self) -> Entry | None:
        """The entry known last."""
        return None if self.held is None else self.held.entry

    def take(self, entry: Entry, sighting: Sighting, policy: RefreshPolicy) -> Held:
        """Use an entry from now on."""
        before = None if self.held is None else self.held.entry
        held = Held.of(entry, sighting, policy, early=self.scheme.renews_early)
        if before is None or before.id != entry.id:
            self.early_after = -inf  # the pause is between failures
            if before is not None and same_credential(before.token, entry.token):
                # Renewing it again would give it again, whatever life a caller wants.
                held = attrs.evolve(held, fresh_until=held.usable_until)
        self.held = held
        # A bare refresh token is renewed before its first use.
        bare = entry.token.access_token is None and not entry.token.cookies
        self.ready = None if bare or entry.id in self.refused else held
        self.committing = self.denied = None
        return held

    def drop(self) -> None:
        """Forget the entry: the application logged out."""
        self.held = self.ready = None

    def refuse(self, entry_id: str) -> None:
        """Stop using an entry that the vendor refused."""
        self.refused[entry_id] = None
        if len(self.refused) > _KEPT_REFUSALS:
            del self.refused[next(iter(self.refused))]
        if self.ready is not None and self.ready.entry.id == entry_id:
            self.ready = None

    def excuse(self, entry_id: str, until: float) -> None:
        """Go on using an entry that was refused: the fleet does not renew it now.

        A resource that answers 401 whatever the token is must not take the others with it.
        """
        self.refused.pop(entry_id, None)
        self.excused_until = until
        if self.held is not None and self.held.entry.id == entry_id:
            self.ready = self.held

    def deny(self, error: TokenUnavailableError, fingerprint: str, now: float) -> None:
        """Let an error be the answer for a moment: not each request needs to ask the store for it."""
        pause = min(error.retry_in or _DENIED_FOR, _DENIED_FOR)
        self.denied = Denial(error, fingerprint, now + pause)

    def denial(self, fingerprint: str, now: float) -> TokenUnavailableError | None:
        """Return the error that is the answer at the moment, if there is one for this credential."""
        denied = self.denied
        if denied is None or now >= denied.until or denied.fingerprint != fingerprint:
            return None
        return denied.error

    def usable(self, now: float, min_ttl: float = 0.0) -> Held | None:
        """Return what may be put on a request that needs this much life."""
        ready = self.ready
        return ready if ready is not None and ready.serves(now, min_ttl) else None
