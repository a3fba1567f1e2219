"""One granted attempt: from the lease to a committed entry (PROTOCOL.md, sections 5.3 to 5.5)."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TypeVar, final

import attrs

from asyncauth import _transitions as transitions
from asyncauth._answers import Conflict
from asyncauth._consent import announce
from asyncauth._errors import (
    AuthError,
    CredentialRefusedError,
    GrantRefusedError,
    LoggedOutError,
    StoreError,
    StoreUnavailableError,
    TokenRefusedError,
    VendorError,
)
from asyncauth._events import RenewalStarted, TokenGivenUp, TokenRenewed
from asyncauth._issue import is_bare, is_expendable, new_entry, same_credential
from asyncauth._lease import AskAgainError, HeldLease, Means, retry_after
from asyncauth._ledger import Outcome
from asyncauth._record import Entry, Mode
from asyncauth._sighting import Sighting
from asyncauth._writing import to_ms
from asyncauth.abc import AuthFlow, AuthScheme

_T = TypeVar("_T")
_log = logging.getLogger("asyncauth")

_SURELY_OVER = 0.25
"""Seconds after a token's end, which is never thought too late, until it has ended at the vendor too."""


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class Attempt:
    """A grant being used.

    Attributes:
        lease: The grant, and its right to send.
        scheme: The vendor's knowledge.
        seen_refused: Whether the vendor refused the base on a request.
    """

    lease: HeldLease
    scheme: AuthScheme
    seen_refused: bool
    _ambiguous: int = attrs.field(init=False, default=0)
    _tries_left: int = attrs.field(init=False, default=0)
    _mode: Mode = attrs.field(init=False, default=Mode.LOGIN)

    @property
    def _means(self) -> Means:
        return self.lease.means

    @property
    def _base(self) -> Entry | None:
        return self.lease.grant.base

    async def run(self) -> tuple[Entry, Sighting] | None:
        """Use the grant.

        Returns:
            The entry that stands now, ours or another's; none if a check found the old one alive.

        Raises:
            AskAgainError: The grant is void.
            TokenUnavailableError: The renewal failed; the fleet knows.

        Cancellation before anything was sent gives the lease back; after that it may lose what the
        vendor issued.
        """
        self._tries_left = self._means.policy.retries
        self.lease.start()
        try:
            mode = self.lease.grant.mode
            if mode is Mode.CHECK:
                if await self._is_alive():
                    return None
                if self._is_young():
                    loop = TokenRefusedError("a session that was only just opened is dead, says the probe")
                    raise await self.lease.fail(loop, definite=True)
                mode = Mode.LOGIN
            return await self._commit(await self._obtain(mode))
        except asyncio.CancelledError:
            if not self.lease.sent:
                await self.lease.give_back()
            raise
        finally:
            await self.lease.stop()

    async def _obtain(self, mode: Mode) -> Entry:
        while True:
            try:
                return await self._ask_vendor(mode)
            except CredentialRefusedError as error:
                raise await self.lease.condemn(error, refused=self.scheme.fingerprint) from error
            except GrantRefusedError as error:
                mode = await self._after_refusal(mode, error)
            except VendorError as error:
                mode = await self._after_failure(mode, error)

    async def _ask_vendor(self, mode: Mode) -> Entry:
        base, lease = self._base, self.lease
        if mode is Mode.LOGIN and base is not None and not self.scheme.renews_early:
            await self._outlive(base)
        self._means.emit(RenewalStarted(key=lease.slot.key, attempt=lease.grant.attempt, mode=mode.value))
        self._mode = mode
        # Life counts from before the request, so that the end is never thought later than it is.
        sent_at = self._means.clock.monotonic()
        if base is not None and mode is Mode.REFRESH:
            token = await self._converse(self.scheme.refresh(base.token))
        else:
            token = await self._converse(self.scheme.login())
        record = lease.sighting.record
        return new_entry(
            token,
            base,
            mode,
            self.scheme,
            issued_at=lease.sighting.store_time(sent_at),
            era=0 if record is None else record.era,
        )

    async def _outlive(self, base: Entry) -> None:
        """Wait out the last moment of a token that a login before its end would only give again."""
        if self.seen_refused or base.expires_at is None:
            return
        clock = self._means.clock
        left = self.lease.sighting.local_time(base.expires_at) + _SURELY_OVER - clock.monotonic()
        # With more life left it is not its end that it is renewed for.
        if 0 < left < 2 * _SURELY_OVER:
            await clock.sleep(left)

    async def _converse(self, flow: AuthFlow[_T]) -> _T:
        return await self._means.converse(flow, before_send=self.lease.fence)

    async def _after_failure(self, mode: Mode, error: VendorError) -> Mode:
        """Decide what follows a failure that is no refusal: the next mode, or the end."""
        policy, grant = self._means.policy, self.lease.grant
        spends = mode is Mode.REFRESH and self._base is not None and self._base.one_time
        doubted = self._ambiguous > 0 or grant.doubtful
        self._means.heed(self.scheme, error)
        if not error.not_processed:
            self._ambiguous += 1
            if spends and self.scheme.can_login:
                return Mode.LOGIN
        unsettled = spends and not error.not_processed
        asked = retry_after(error)
        if self._tries_left == 0 or (unsettled and doubted) or asked > policy.lease:
            raise await self.lease.fail(error, definite=self._ambiguous == 0)
        tried = policy.retries - self._tries_left + 1
        self._tries_left -= 1
        # A request that was given up may still be under way; the same one-time refresh token must
        # not overtake it.
        pause = policy.quiet if unsettled else policy.backoff_for(tried, grant.attempt)
        await self._means.clock.sleep(max(asked, pause))
        return mode

    async def _after_refusal(self, mode: Mode, error: GrantRefusedError) -> Mode:
        """Decide what follows `invalid_grant`: login, another's token, one more try, or the end."""
        if mode is Mode.LOGIN:  # a password grant's word for a wrong password
            raise await self.lease.condemn(error, refused=self.scheme.fingerprint)
        if self.scheme.can_login:
            if self._was_just_issued():
                loop = TokenRefusedError(f"the vendor refuses what it has only just issued: {error}")
                raise await self.lease.fail(loop, definite=True) from error
            return Mode.LOGIN
        record = (await self._means.ledger.look(self.lease.slot.name)).record
        stored = None if record is None else record.entry
        if (None if stored is None else stored.id) != self.lease.grant.base_id:
            raise AskAgainError(same_attempt=False)
        if self._ambiguous or self.lease.grant.doubtful or not self._tries_left:
            raise await self._bury(error)
        self._tries_left = 0  # some vendors answer it once by mistake
        return mode

    def _was_just_issued(self) -> bool:
        """Whether a login would go on in circles: the last one gave but what is refused now."""
        base = self._base
        if base is None or not is_bare(base.token):
            return False
        if base.era and not base.ancestors:
            return False  # the application stored it
        return self._is_young()

    def _is_young(self) -> bool:
        """Whether replacing the base would start a loop: a login gave it a moment ago."""
        base, now = self._base, self._means.clock.monotonic()
        if base is None:
            return False
        return self.lease.sighting.store_time(now) - base.issued_at < to_ms(self._means.policy.loop_guard)

    async def _bury(self, error: GrantRefusedError) -> Exception:
        """End with a grant that is refused for good: somebody has to be told."""
        condemned = await self.lease.condemn(error)
        if self._base is not None and isinstance(condemned, GrantRefusedError):
            await announce(self._means, self.lease.slot, self.scheme, self._base, str(error))
        return condemned

    async def _is_alive(self) -> bool:
        if self._base is None:
            return False
        sent_at = self._means.clock.monotonic()
        try:
            alive = await self._converse(self.scheme.probe(self._base.token))
        except VendorError as error:
            raise await self.lease.fail(error, definite=True) from error
        except CredentialRefusedError as error:
            raise await self.lease.condemn(error, refused=self.scheme.fingerprint) from error
        if alive:
            held = self.lease.slot.held
            if held is not None and held.entry.id == self._base.id:
                held.use(sent_at)
            await self.lease.settle(sent_at)
            return True
        self.lease.slot.refuse(self._base.id)
        self.seen_refused = True
        if not self.scheme.can_login:
            await self.lease.give_back()
            raise AskAgainError(same_attempt=False)
        return False

    async def _commit(self, entry: Entry) -> tuple[Entry, Sighting]:
        lease, base = self.lease, self._base
        again = base is not None and same_credential(base.token, entry.token)
        revived = self.scheme.revives and self._mode is Mode.REFRESH
        if self.seen_refused and again and not entry.one_time and not revived:
            error = TokenRefusedError("the vendor gave the very token again that it refuses")
            raise await lease.fail(error, definite=True)
        lease.slot.committing = entry.id
        try:
            outcome = await self._commit_until_answered(entry)
        except (asyncio.CancelledError, StoreError):
            lease.slot.committing = None
            self._means.emit(TokenGivenUp(key=lease.slot.key, entry_id=entry.id))
            raise
        if outcome is None:
            self._means.later(lease.slot, entry, lease.sighting)
            return entry, lease.sighting
        if isinstance(outcome.answer, Conflict):
            return await self._yield_to(outcome.answer.entry, entry), outcome.sighting
        if not outcome.replicated:
            _log.warning("a renewed token of %s is stored, but not replicated", lease.slot.key.scheme)
        self._means.emit(
            TokenRenewed(
                key=lease.slot.key,
                entry_id=entry.id,
                mode=self._mode.value,
                expires_in=entry.token.expires_in,
            )
        )
        await self._mourn(entry)
        record = outcome.sighting.record
        stored = None if record is None else record.entry
        return stored or entry, outcome.sighting  # as it is stored: the store's clock may have gone back

    async def _mourn(self, entry: Entry) -> None:
        """Tell the application if a person's login went with the token that it was state of."""
        lost = self._base is not None and self._base.token.subject and not entry.token.subject
        if lost and not is_bare(entry.token):
            message = "the vendor had to issue a new token, and the person's login on the old one is gone"
            await announce(self._means, self.lease.slot, self.scheme, entry, message)

    async def _commit_until_answered(self, entry: Entry) -> Outcome | None:
        """Repeat the commit, never the vendor call; none if the store is away and a login is cheap."""
        clock, policy = self._means.clock, self._means.policy
        deadline = clock.monotonic() + policy.store_timeout
        commit = partial(transitions.commit, entry=entry, policy=policy)
        pause, fresh = 0.05, False
        while True:
            try:
                return await self.lease.run(commit, fresh=fresh)
            except StoreUnavailableError as error:
                if clock.monotonic() >= deadline:
                    if is_expendable(self.scheme, entry):
                        return None
                    self.lease.hold_up(error)
            await clock.sleep(pause)
            # Often enough to be before those who take over after an outage (see `_acquire`).
            pause, fresh = min(2 * pause, policy.heartbeat / 2), True

    async def _yield_to(self, stored: Entry | None, entry: Entry) -> Entry:
        """Another authorization stands: adopt it, or end the session that was logged out meanwhile."""
        if stored is not None:
            return stored
        self.lease.slot.committing = None
        with suppress(AuthError):
            await self._means.converse(self.scheme.logout(entry.token))
        raise LoggedOutError("the application logged out while the token was being renewed")
