"""`TokenManager`: the token alone, for those who put it on requests themselves."""

import asyncio
from collections.abc import Callable
from typing import NoReturn, Self, TypeVar, cast, final

import aiohttp

from asyncauth._amend import amend
from asyncauth._authorization import authorize, forget, put, shared_slot
from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._codec import prepare
from asyncauth._errors import ConfigurationError
from asyncauth._events import Listener
from asyncauth._issue import new_id
from asyncauth._policy import RefreshPolicy
from asyncauth._registry import shared_worker
from asyncauth._slot import Held
from asyncauth._token import Token
from asyncauth._worker import Worker
from asyncauth.abc import AuthFlow, AuthScheme, TokenStore

_Scheme = TypeVar("_Scheme", bound=AuthScheme)
_AtHand = tuple[AuthScheme, Callable[[], float], Held, Callable[[], bool], Token]
_NOTHING = cast("_AtHand", (None, None, None, None, None))  # no scheme is None: the rest is not looked at


@final
class TokenManager:
    """Gives valid tokens of any scheme from a shared store, renewing each once for all workers.

    A light handle: all managers, sessions and middlewares on one store and event loop share one
    worker, with its RAM copies and flights. It may be made before the loop runs, and used in several
    event loops and threads; with a `client`, in that client's loop only. The first one of a process
    imports what records are read with, for some 15 ms: make it at start-up.

    Args:
        store: Where tokens are shared.
        policy: The durations; by default those of whoever used the store first in this loop.
        clock: This process' clock.
        client: A session for logins and refreshes, such as one with a proxy or a private certificate
            authority. It is not closed. Give it a connector of its own, a `DummyCookieJar` and no
            authorization: what it adds goes to the vendor with every login.
        listener: Told what happens to tokens, as `TokenEvent` values.

    Raises:
        ConfigurationError: What is given is no store; or, at first use, the store is in use in this
            loop with another policy, clock or client.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        policy: RefreshPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
        client: aiohttp.ClientSession | None = None,
        listener: Listener | None = None,
    ) -> None:
        if not isinstance(store, TokenStore):
            raise ConfigurationError(
                f"a TokenStore is needed, such as open_store(url) returns, not {type(store).__name__}"
            )
        prepare()
        self._store = store
        self._policy = policy
        self._clock = clock
        self._client = client
        self._listener = listener
        self._bound: tuple[asyncio.AbstractEventLoop, Worker] | None = None
        self._in_one_loop = True
        self._at_hand = _NOTHING
        self._retained: dict[asyncio.AbstractEventLoop, Worker] = {}

    @property
    def worker(self) -> Worker:
        """What all managers on this store and the running event loop share."""
        worker = self.bind()
        if not self._retained:
            worker.is_kept = True  # who closes nothing must not have it closed by others: the store does
        return worker

    def bind(self) -> Worker:
        """Find the shared worker, so that what is wrong with the arguments is said now."""
        loop = asyncio.get_running_loop()
        bound = self._bound
        if bound is not None and bound[0] is loop and not bound[1].closed:
            return bound[1]
        if self._client is not None and bound is not None and bound[0] is not loop:
            raise ConfigurationError("a client session is one event loop's: make another TokenManager")
        worker = shared_worker(self._store, self._policy, self._clock, self._client)
        self._in_one_loop = self._in_one_loop and (bound is None or bound[0] is loop or bound[0].is_closed())
        self._at_hand = _NOTHING
        self._bound = (loop, worker)
        if self._listener is not None:
            worker.listeners.add(self._listener)
        return worker

    async def token(self, scheme: AuthScheme, *, min_ttl: float = 0.0) -> Token:
        """Return a token that is valid now.

        A token at hand costs no store access and no task switch.

        Args:
            scheme: Whose token.
            min_ttl: Seconds of life that it should still have; a token that was issued just now
                satisfies any.

        Raises:
            TokenUnavailableError: There is none, and why.
            VendorError: Never: a failed renewal is a `RenewalFailedError`.
            StoreError: The store is needed and does not answer.

        Cancellation ends the wait; a renewal goes on, for the others.
        """
        known, now, held, is_followed, token = self._at_hand
        # A deadline that has passed makes `min_ttl` negative.
        if known is scheme and now() + min_ttl < held.calm_until and min_ttl >= 0 and is_followed():
            return token
        return await self._token(scheme, min_ttl)

    async def _token(self, scheme: AuthScheme, min_ttl: float) -> Token:
        worker = self.worker
        slot = worker.slot(scheme)
        now = worker.means.clock.monotonic()
        held = slot.usable(now, min_ttl)
        if held is None:
            held = await worker.obtain(slot, scheme, min_ttl)
        elif now >= held.early_at:
            worker.renew_early(slot, scheme)
        if self._in_one_loop:  # else it would be another loop's worker's, of which this one's knows nothing
            # A loop that stands still, or was closed without an end, hears of no change.
            is_followed = asyncio.get_running_loop().is_running
            self._at_hand = (scheme, worker.means.clock.monotonic, held, is_followed, held.entry.token)
        return held.entry.token

    async def put(self, scheme: AuthScheme, token: Token) -> None:
        """Store a new authorization: all workers use it from now on.

        It ends what was stored before: a dead mark, a failure, a renewal under way, and a record
        that cannot be opened.

        Raises:
            StoreError: The store does not answer; the token may be stored or not.

        Not idempotent: each call begins a new era. Cancellation may leave the token stored.
        """
        worker = self.worker
        await put(worker, scheme, token, new_id(), worker.means.clock.monotonic())

    async def authorize(self, scheme: _Scheme, flow: AuthFlow[Token]) -> _Scheme:
        """Hold a conversation that obtains an authorization, and store what it gives for all workers.

        Args:
            scheme: Whose authorization it is, as far as that is known before.
            flow: The conversation, such as `AuthorizationCode.exchange`.

        Returns:
            The scheme of the account that authorized, where only the answer names it; else `scheme`.

        Raises:
            AuthorizationRequiredError: The vendor did not accept the authorization.
            VendorError: Something else went wrong; an authorization code is spent then, most likely.
            StoreError: The store does not answer. If it did before the conversation, it was given
                the policy's `wait` to come back, and the authorization is lost.

        Cancellation may lose what the vendor issued.
        """
        return await authorize(self.worker, scheme, flow)

    async def amend(self, scheme: AuthScheme, change: Callable[[Token], AuthFlow[Token]]) -> Token:
        """Change what lies on the token at the vendor, and store the outcome for all workers.

        Args:
            scheme: Whose token.
            change: Given the current token, holds the conversation and returns what the token is
                then, such as `CareCloudCustomer.customer_login`.

        Raises:
            TokenUnavailableError: There is no token to change, or the vendor refused the change.
            ConfigurationError: The token has a one-time refresh token, which only a renewal may spend.
            VendorError: The conversation failed. If the change may have happened, the token is
                refreshed before its next use, by any worker.
            StoreError: The store did not answer for the policy's `wait`; the change happened, and
                others do not know of it.

        Cancellation ends the wait; the change is made and stored.
        """
        worker = self.worker
        return await amend(worker, shared_slot(worker, scheme), scheme, change)

    async def forget(self, scheme: AuthScheme) -> None:
        """Drop the token in all workers, without telling the vendor.

        Schemes that can log in by themselves do so at the next use.

        Raises:
            StoreError: The store does not answer, or the record cannot be opened.

        Idempotent. Cancellation may leave the token forgotten or not.
        """
        await forget(self.worker, scheme)

    async def logout(self, scheme: AuthScheme) -> None:
        """Drop the token in all workers, then end it at the vendor.

        Meant for the owner of the shared token, not for a worker that leaves: it ends everyone's.

        Raises:
            StoreError: The store does not answer; the vendor was not told.
            VendorError: The token is dropped, and the vendor did not confirm its end.
            CredentialRefusedError: The same; the vendor refused the client itself.

        Cancellation may leave the token forgotten and the vendor told or not.
        """
        entry = await forget(self.worker, scheme)
        if entry is not None:
            await self.worker.means.converse(scheme.logout(entry.token))

    def retain(self) -> None:
        """Count as a user of the running loop's shared worker, until `aclose`."""
        loop = asyncio.get_running_loop()
        if loop not in self._retained:
            worker = self._retained[loop] = self.bind()
            worker.users += 1

    async def aclose(self) -> None:
        """Stop using the shared worker; the last of those who were entered drains and ends it.

        The store closes what is left. May be called again.
        """
        self._at_hand = _NOTHING
        worker = self._retained.pop(asyncio.get_running_loop(), None)
        if worker is not None:
            worker.users -= 1
            if worker.users == 0 and not worker.is_kept:
                await worker.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a TokenManager stays in its process: give the other one the store, and make one there"
        )

    def __repr__(self) -> str:
        return f"TokenManager({type(self._store).__name__}, namespace {self._store.namespace!r})"

    async def __aenter__(self) -> Self:
        self.retain()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()
