"""`AuthMiddleware`: puts the shared token on the requests of an aiohttp client session."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

import aiohttp
from aiohttp import hdrs

from asyncauth._errors import AuthError
from asyncauth._exchange import Placement
from asyncauth._manager import TokenManager
from asyncauth._policy import RefreshPolicy
from asyncauth._record import Entry
from asyncauth._slot import Held, Slot
from asyncauth._token import Token
from asyncauth._worker import Worker
from asyncauth.abc import AuthScheme, TokenStore, Verdict

_SMALL_BODY = 65_536
"""Bytes of a refused response that are read, so that its connection is free while a token is renewed."""


@final
class AuthMiddleware:
    """aiohttp client middleware that authenticates each request with a shared token.

    A request to an origin that the scheme does not name goes out as it is: the token stays home,
    also when a redirect leads there. A request whose token is refused is sent once more with
    another one, at most, and not at all if its body cannot be sent again; then the token is renewed
    for the next ones, and the refused response is the caller's.

    Args:
        scheme: Whose token, and how it is put on requests.
        store: Where tokens are shared; or a `TokenManager` on one.
        policy: The durations, if `store` is a store.

    Raises:
        TokenUnavailableError: From a request: there is no token, and why. Nothing was sent.
        StoreError: From a request: the store is needed and does not answer. Nothing was sent.
    """

    def __init__(
        self,
        scheme: AuthScheme,
        store: TokenStore | TokenManager,
        *,
        policy: RefreshPolicy | None = None,
    ) -> None:
        self._scheme = scheme
        self._manager = store if isinstance(store, TokenManager) else TokenManager(store, policy=policy)
        self._origins = scheme.origins
        # A ClientResponse is a ResponseHead, but for what type checkers see of its cached properties.
        self._classify: Callable[[Any, Token], Verdict] = scheme.classify
        self._slot: Slot | None = None
        self._worker: Worker | None = None
        self._entry: Entry | None = None
        self._placement = Placement()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request with a token; see the class."""
        if request.url.origin() not in self._origins:
            return await handler(request)
        used = self._current() or await self._obtain()
        self._place(request, used)
        response = await handler(request)
        verdict = self._classify(response, used.entry.token)
        if verdict is Verdict.FINE:
            return response
        other = await self._other(verdict, used, response)
        if other is None or not _is_repeatable(request):
            return response
        # A connection that the refused response still holds could be the only one that is allowed.
        response.release()
        self._place(request, other)
        again = await handler(request)
        if self._classify(again, other.entry.token) is Verdict.REFUSED:
            self._bound()[0].refuse(self._bound()[1], other)
        return again

    def _current(self) -> Held | None:
        """Return the entry at hand: no store, no lock, no task switch."""
        slot, worker = self._slot, self._worker
        if slot is None or worker is None:
            return None
        held = slot.ready
        if held is None:
            return None
        now = worker.means.clock.monotonic()
        if now >= held.early_at:
            if now >= held.usable_until:
                return None
            worker.renew_early(slot, self._scheme)
        return held

    def _bound(self) -> tuple[Worker, Slot]:
        """Return the worker and slot of the running loop, and keep them for the fast path."""
        worker = self._manager.worker
        slot = worker.slot(self._scheme)
        self._worker, self._slot = worker, slot
        return worker, slot

    async def _obtain(self) -> Held:
        worker, slot = self._bound()
        return await worker.obtain(slot, self._scheme)

    async def _other(self, verdict: Verdict, used: Held, response: aiohttp.ClientResponse) -> Held | None:
        """Return the entry to send once more with, if the verdict asks for one and there is one."""
        if verdict not in {Verdict.REFUSED, Verdict.SUSPECT}:
            return None
        await _read_small(response)
        worker, slot = self._bound()
        settle = worker.replace if verdict is Verdict.REFUSED else worker.verify
        try:
            return await settle(slot, self._scheme, used)
        except AuthError:
            return None  # the refusal itself is the caller's answer

    def _place(self, request: aiohttp.ClientRequest, held: Held) -> None:
        if held.entry is not self._entry:
            self._placement = self._scheme.apply(held.entry.token)
            self._entry = held.entry
        placement = self._placement
        for name, value in placement.headers.items():
            request.headers[name] = value
        if placement.query:
            request.url = request.url.update_query(placement.query)
        if placement.cookies:
            request.headers[hdrs.COOKIE] = _with_cookies(request.headers.get(hdrs.COOKIE), placement)


def _with_cookies(present: str | None, placement: Placement) -> str:
    """Merge the token's cookies into a Cookie header, replacing those of the same name."""
    pairs = [pair.strip() for pair in (present or "").split(";") if pair.strip()]
    others = [pair for pair in pairs if pair.partition("=")[0] not in placement.cookies]
    return "; ".join([*others, *(f"{name}={value}" for name, value in placement.cookies.items())])


def _is_repeatable(request: aiohttp.ClientRequest) -> bool:
    body = request.body
    return not (isinstance(body, aiohttp.Payload) and body.consumed)


async def _read_small(response: aiohttp.ClientResponse) -> None:
    length = response.content_length
    if length is not None and length <= _SMALL_BODY:
        with suppress(aiohttp.ClientError, OSError):
            await response.read()
