"""A lease that this process holds: kept alive, fenced, and ended (PROTOCOL.md, sections 4 and 5.3)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar, final

import aiohttp
import attrs

from asyncauth import _transitions as transitions
from asyncauth._answers import Grant, Kept, Step, Superseded, View
from asyncauth._clock import Clock
from asyncauth._errors import (
    AuthError,
    CredentialRefusedError,
    GrantRefusedError,
    RenewalFailedError,
    StoreError,
    StoreUnavailableError,
    VendorBusyError,
    VendorError,
    VendorFailedError,
    VendorUnreachableError,
)
from asyncauth._events import Listener, RenewalFailed, TokenDied
from asyncauth._flow import converse
from asyncauth._issue import new_id
from asyncauth._ledger import Ledger, Outcome
from asyncauth._pace import Pacer
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry, Reason
from asyncauth._sighting import Sighting
from asyncauth._slot import Slot
from asyncauth.abc import AuthFlow, AuthScheme

_T = TypeVar("_T")


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Means:
    """What renewals work with; one per worker.

    Attributes:
        ledger: The store's records.
        clock: This process' clock.
        policy: The durations.
        client: Gives the bare session for conversations with vendors.
        emit: Tells the listeners.
        later: Goes on storing an entry while the store is away.
        pacer: Spreads the renewals of many keys of one application.
        draw: Random, so that workers do the same things at different moments.
    """

    ledger: Ledger
    clock: Clock
    policy: RefreshPolicy
    client: Callable[[], aiohttp.ClientSession]
    emit: Listener
    later: Callable[[Slot, Entry, Sighting], None]
    pacer: Pacer
    draw: str = attrs.field(factory=new_id)

    async def converse(self, flow: AuthFlow[_T], *, before_send: Callable[[], None] = lambda: None) -> _T:
        """Hold a conversation with a vendor; see `asyncauth._flow.converse`."""
        timeout = self.policy.request_timeout
        return await converse(flow, self.client(), self.clock, timeout, before_send=before_send)

    def heed(self, scheme: AuthScheme, error: VendorError) -> None:
        """Hold all renewals of an application back, if its vendor said that there were too many."""
        if isinstance(error, VendorBusyError):
            asked = min(retry_after(error), self.policy.retry_after_max)
            self.pacer.hold(scheme.pace, max(asked, self.policy.backoff_first))


class AskAgainError(Exception):
    """The grant is void: what is stored has to be looked at again. Never leaves the flight.

    Args:
        same_attempt: Whether nothing was sent under this attempt's id yet.
    """

    def __init__(self, *, same_attempt: bool) -> None:
        super().__init__()
        self.same_attempt = same_attempt


def not_held_up() -> asyncio.Future[StoreUnavailableError]:
    """Return what gets the reason, should a new token have to wait for the store."""
    return asyncio.get_running_loop().create_future()


@asynccontextmanager
async def unused_given_back(means: Means, slot: Slot, attempt: str) -> AsyncIterator[None]:
    """Give back what an attempt may have been granted, if it is cancelled before it begins to use it."""
    try:
        yield
    except asyncio.CancelledError:
        abandon = partial(transitions.abandon, attempt=attempt, policy=means.policy, definite=True)
        with suppress(AuthError):  # then the lease ends by itself
            # The answer to its writing may be what was not waited for.
            await means.ledger.run(slot.name, abandon, fresh=True)
        raise


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class HeldLease:
    """A grant and its lease, from the writing of the one to the end of the other.

    Attributes:
        means: What it works with.
        slot: The RAM copy of the key.
        grant: What was granted.
        sighting: The writing of the lease.
        held_up: Gets the reason once those who wait for the token need not wait any longer.
        sent: Whether anything was sent to the vendor under it.
    """

    means: Means
    slot: Slot
    grant: Grant
    sighting: Sighting
    held_up: asyncio.Future[StoreUnavailableError]
    sent: bool = False
    _until: float = attrs.field(init=False, default=0.0)
    _beat: "asyncio.Task[None] | None" = attrs.field(init=False, default=None)

    def start(self) -> None:
        """Begin to prolong it."""
        self._until = self.sighting.asked_at + self.means.policy.lease
        self._beat = asyncio.create_task(self._prolong())

    async def stop(self) -> None:
        """End the prolonging; a lease that is not ended otherwise runs out."""
        if self._beat is not None:
            self._beat.cancel()
            # Not by awaiting it: its end, whatever it was, is not ours, and our own cancellation is.
            await asyncio.wait({self._beat})
            self._beat = None

    def fence(self) -> None:
        """Allow one sending, if the lease is ours by our own clock.

        Raises:
            AskAgainError: It is not: another attempt may be about to send the same refresh token.
        """
        if self.means.clock.monotonic() >= self._until:
            raise AskAgainError(same_attempt=not self.sent)
        self.sent = True

    def hold_up(self, error: StoreUnavailableError) -> None:
        """Tell those who wait that the token is there, and cannot be stored yet."""
        if not self.held_up.done():
            message = f"{error}; the renewed token is used as soon as it can be stored"
            self.held_up.set_result(StoreUnavailableError(message))

    async def run(self, transition: Callable[[View], Step], *, fresh: bool = False) -> Outcome:
        """Run a transition on the key's record."""
        return await self.means.ledger.run(self.slot.name, transition, fresh=fresh)

    async def _prolong(self) -> None:
        policy, clock = self.means.policy, self.means.clock
        one_time = self.grant.base is not None and self.grant.base.one_time
        extend = partial(transitions.extend, grant=self.grant, policy=policy)
        while True:
            await clock.sleep(policy.heartbeat)
            asked_at = clock.monotonic()
            try:
                outcome = await self.run(extend)
            except StoreError:
                continue
            if not isinstance(outcome.answer, Kept):
                self._until = -1.0
                return
            if outcome.replicated or not one_time:
                self._until = asked_at + policy.lease

    async def settle(self, used_at: float) -> None:
        """End it: the vendor says that the token works, asked at a local moment."""
        await self.stop()
        settle = partial(
            transitions.settle,
            attempt=self.grant.attempt,
            last_use=self.sighting.store_time(used_at),
            policy=self.means.policy,
        )
        await self.run(settle)

    async def give_back(self) -> None:
        """End it without a word to the others: nothing was sent that matters."""
        await self._abandon(definite=True, failed=None)

    async def fail(self, error: VendorError, *, definite: bool) -> RenewalFailedError:
        """End it with a failure, which becomes everyone's answer for a while.

        Args:
            error: What went wrong.
            definite: Whether it is certain that the vendor processed no try.

        Returns:
            The error for the callers.
        """
        pause = self._pause(error)
        shared = pause
        if isinstance(error, VendorUnreachableError):
            # It may be this host's own network: others may try soon, this process waits longer.
            shared = min(pause, self.means.policy.unreachable_share)
            self.slot.unreachable += 1
            alone = self.means.policy.backoff_for(self.slot.unreachable + 1, self.grant.attempt)
            self.slot.stand_back_until = self.means.clock.monotonic() + max(alone, shared)
        reason = Reason(type(error).__name__, str(error))
        await self._abandon(definite=definite, failed=(reason, shared))
        self.means.emit(
            RenewalFailed(key=self.slot.key, reason=reason.kind, message=reason.message, retry_in=shared)
        )
        failed = RenewalFailedError(f"renewing failed: {error}", reason=reason.kind, retry_in=shared)
        failed.__cause__ = error
        return failed

    async def condemn(
        self, error: CredentialRefusedError | GrantRefusedError, *, refused: str | None = None
    ) -> Exception:
        """End it with a refusal for good, unless somebody stored something else meanwhile.

        Args:
            error: What the vendor said.
            refused: The fingerprint of the credential, if that was refused and not the grant.

        Returns:
            What to raise.
        """
        await self.stop()
        reason = Reason(type(error).__name__, str(error))
        condemn = partial(
            transitions.condemn,
            grant=self.grant,
            reason=reason,
            policy=self.means.policy,
            refused=refused,
        )
        with suppress(StoreError):  # the next attempt finds out for itself
            outcome = await self.run(condemn)
            if isinstance(outcome.answer, Superseded):
                return AskAgainError(same_attempt=False)
        self.means.emit(TokenDied(key=self.slot.key, reason=reason.kind, message=reason.message))
        return error.again()

    def _pause(self, error: VendorError) -> float:
        record, policy = self.sighting.record, self.means.policy
        failures = 0 if record is None or record.failure is None else record.failure.count
        pause = policy.backoff_for(failures + 1, self.grant.attempt)
        return max(pause, min(retry_after(error), policy.retry_after_max))

    async def _abandon(self, *, definite: bool, failed: tuple[Reason, float] | None) -> None:
        await self.stop()
        abandon = partial(
            transitions.abandon,
            attempt=self.grant.attempt,
            policy=self.means.policy,
            definite=definite,
            failed=failed,
        )
        with suppress(StoreError):  # then the lease ends by itself
            await self.run(abandon)


def retry_after(error: VendorError) -> float:
    """Return the pause in seconds that the vendor asked for; 0 if it did not."""
    asked = error.retry_after if isinstance(error, VendorBusyError | VendorFailedError) else None
    return asked or 0.0
