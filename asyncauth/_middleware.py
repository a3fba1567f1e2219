"""`AuthMiddleware`: puts the shared token on the requests of an aiohttp client session."""

from collections.abc import Callable
from typing import Any, NoReturn, final

import aiohttp
from yarl import URL

from asyncauth._consent import announce
from asyncauth._errors import (
    AuthError,
    AuthorizationRequiredError,
    ClosedError,
    ConfigurationError,
)
from asyncauth._idle import note_use
from asyncauth._manager import TokenManager
from asyncauth._policy import RefreshPolicy
from asyncauth._responses import is_repeatable, make_way, read_small, unrepeated, whole
from asyncauth._slot import Held, Slot
from asyncauth._token import Token
from asyncauth._worker import Worker
from asyncauth._worn import Worn
from asyncauth.abc import AuthScheme, TokenStore, Verdict

_REFUSED = 401
_FAILED = 500
_TWINS = {"http": ("http", "ws"), "https": ("https", "wss")}
"""RFC 6455, section 3: a WebSocket's handshake goes to the http origin of the same host and port."""
_FINE = Verdict.FINE
"""Members of an enumeration are slow to reach in Python 3.11, and this one is asked for each time."""
_RENEWING = (Verdict.REFUSED, Verdict.SUSPECT)
_Place = tuple[str, str | None, int | None]


@final
class AuthMiddleware:
    """aiohttp client middleware that authenticates each request with a shared token.

    A request to an origin that the scheme does not name goes out as it is: the token stays home,
    also when a redirect leads there. A request whose token is refused is sent once more with
    another one, at most, and not at all if its body cannot be sent again; then the token is renewed
    for the next ones, and the refused response is the caller's. A response that may mean a dead
    session, or something else (a 404), is handed over only once it is known that the session lives.

    One object may serve several client sessions, also of several event loops.

    Args:
        scheme: Whose token, and how it is put on requests.
        store: Where tokens are shared; or a `TokenManager` on one.
        policy: The durations, if `store` is a store.

    Raises:
        ConfigurationError: The scheme names no origin that the token may go to; or there is a policy,
            and `store` is a manager, which has its own.
        TokenUnavailableError: From a request: there is no token, and why. Nothing was sent; or the
            response could not be told from that of a dead session.
        AuthorizationRequiredError: From a request: a person has to authorize what it needs. Nothing
            was sent, or the vendor said so.
        StoreError: From a request: the store is needed and does not answer; as above.
        ClosedError: From a request: the client session was closed meanwhile. Nothing was sent.

    Cancellation of a request ends its wait for a token; a renewal goes on, for the others.
    """

    def __init__(
        self,
        scheme: AuthScheme,
        store: TokenStore | TokenManager,
        *,
        policy: RefreshPolicy | None = None,
    ) -> None:
        if not isinstance(scheme, AuthScheme):
            raise ConfigurationError(f"a scheme is needed, such as ITCare(...), not {_kind_of(scheme)}")
        if not scheme.origins:
            raise ConfigurationError(
                f"the token of {scheme.key.scheme} may go nowhere: give the scheme a base_url or origins"
            )
        self._scheme = scheme
        self._manager = manager_on(store, policy)
        self._places = frozenset(place for origin in scheme.origins for place in _places_of(origin))
        # A ClientResponse is a ResponseHead, but for what type checkers see of its cached properties.
        self._classify: Callable[[Any, Token], Verdict] = scheme.classify
        # Where the last request went: a session gives the same object for the same place.
        self._at_home: URL | None = None
        self._worn: Worn | None = None
        # By default only 401 is not fine; whoever judges otherwise says below what nothing can be wrong.
        as_usual = type(scheme).classify is AuthScheme.classify
        self._fine_below = max(scheme.fine_below, _REFUSED if as_usual else 0)
        self._missing: Callable[[Any, Token], str] = scheme.missing
        overridden = type(scheme).reads_body is not AuthScheme.reads_body
        self._reads_body: Callable[[Any], bool] | None = scheme.reads_body if overridden else None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request with a token; see the class."""
        url, worn = request.url, self._worn
        if url is not self._at_home:
            if (url.scheme, url.raw_host, url.port) not in self._places:
                return await handler(request)
            self._at_home = url
        if worn is None or worn.loop is not request.loop or worn.monotonic() >= worn.held.calm_until:
            worn = await self._choose(request)
        if worn.only is not None:
            # The way of nearly all requests: whatever is done here, each of them pays for.
            name, value = worn.only
            request.headers[name] = value
            response = await handler(request)
            if response.status < self._fine_below:
                return response
            verdict = self._classify(response, worn.token)
        else:
            response, verdict = await self._send(worn, request, handler, url, worn.monotonic())
        if verdict is _FINE:
            return response
        other = await self._other(verdict, worn, response)
        if other is None or request.session.closed:
            return response
        if not is_repeatable(request):
            return unrepeated(response, verdict)
        await make_way(request, response)
        return await self._send_again(other, request, handler, url)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an AuthMiddleware stays in its process: give the other one scheme and store, for its own"
        )

    def __repr__(self) -> str:
        return f"AuthMiddleware({describe(self._scheme)})"

    async def _choose(self, request: aiohttp.ClientRequest) -> Worn:
        """Find what to send with where the last choice does not do: it may start or await a renewal."""
        worker = self._manager.worker
        slot, now = worker.slot(self._scheme), worker.means.clock.monotonic()
        held = slot.usable(now)
        if held is None:
            held = await worker.obtain(slot, self._scheme)
            if request.session.closed:  # aiohttp does not look again
                raise ClosedError("the client session was closed while the request waited for a token")
        elif now >= held.early_at:
            worker.renew_early(slot, self._scheme)
        return self._wear(worker, slot, held)

    def _wear(self, worker: Worker, slot: Slot, held: Held) -> Worn:
        """Make a token ready for requests, and keep that: it is done once per token."""
        worn = self._worn
        if worn is None or worn.held is not held:
            placement = self._scheme.apply(held.entry.token)
            self._worn = worn = Worn.of(worker, slot, held, placement, heads_do=self._reads_body is None)
        return worn

    async def _send_again(
        self, other: Worn, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, url: URL
    ) -> aiohttp.ClientResponse:
        """Send once more. A second refusal is the caller's.

        That token stays in use: it may be this resource that refuses whatever comes, and the next
        request finds out (PROTOCOL.md, section 5.7).
        """
        response, verdict = await self._send(other, request, handler, url, other.monotonic())
        if verdict is Verdict.NEEDS_USER:
            await self._send_for_user(other, response)
        return response

    async def _send(
        self,
        worn: Worn,
        request: aiohttp.ClientRequest,
        handler: aiohttp.ClientHandlerType,
        url: URL,
        sent_at: float,
    ) -> tuple[aiohttp.ClientResponse, Verdict]:
        """Send with a token of any kind, keep it out of what comes back, and judge that."""
        worn.put_on(request)
        try:
            response = await handler(request)
        except BaseException as error:
            worn.hide_in(error, request, url)
            raise
        verdict = self._classify(response, worn.token)
        if not worn.is_plain:
            worn.hide(request, response, url)
            verdict = await self._look_closer(worn, response, verdict, sent_at)
        return response, verdict

    async def _look_closer(
        self, worn: Worn, response: aiohttp.ClientResponse, verdict: Verdict, sent_at: float
    ) -> Verdict:
        """Judge the body where the head is fine, and note the use of a token whose life depends on it."""
        if verdict is _FINE and self._reads_body is not None and self._reads_body(response):
            verdict = self._scheme.classify_body(await whole(response), worn.token)
        # A failure may be a gateway's, of which the vendor knows nothing.
        if verdict is _FINE and response.status < _FAILED and not worn.worker.closed:
            note_use(worn.worker.means, worn.slot, worn.held, sent_at)
        return verdict

    async def _other(self, verdict: Verdict, worn: Worn, response: aiohttp.ClientResponse) -> Worn | None:
        """Return what to send once more with, if the verdict asks for it and there is something."""
        worker, used = self._manager.worker, worn.held
        slot = worker.slot(self._scheme)
        if verdict is Verdict.NEEDS_USER:
            newer = worker.newer(slot, used)  # the user may have authorized a moment ago
            return self._wear(worker, slot, newer) if newer else await self._send_for_user(worn, response)
        if slot.constant is not None or verdict not in _RENEWING:
            return None
        settle = worker.replace if verdict is Verdict.REFUSED else worker.verify
        try:
            await read_small(response)
            held = await settle(slot, self._scheme, used)
            return None if held is None else self._wear(worker, slot, held)
        except AuthError:
            if verdict is Verdict.REFUSED:
                return None  # the refusal itself is the caller's answer
            # Nobody knows what the response means: a 404 taken for a missing object may do harm.
            response.close()
            raise
        except BaseException:
            response.close()
            raise

    async def _send_for_user(self, worn: Worn, response: aiohttp.ClientResponse) -> NoReturn:
        """Give the response up for an error that says what a person has to do."""
        message = self._missing(response, worn.token)
        try:
            await read_small(response)
        finally:
            response.release()
        await announce(worn.worker.means, worn.slot, self._scheme, worn.held.entry, message)
        raise AuthorizationRequiredError(message, authorize_url=self._scheme.authorize_url)


def manager_on(store: TokenStore | TokenManager, policy: RefreshPolicy | None) -> TokenManager:
    """Return the manager to work with.

    Raises:
        ConfigurationError: There is a policy for a manager, which has its own.
    """
    if not isinstance(store, TokenManager):
        return TokenManager(store, policy=policy)
    if policy is not None:
        raise ConfigurationError("the policy belongs to the TokenManager: give it there")
    return store


def describe(scheme: AuthScheme) -> str:
    """Return what may be shown of a scheme: its name and where its requests go."""
    return f"{scheme.key.scheme}, {scheme.base_url or 'no base_url'}"


def _kind_of(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__


def _places_of(origin: URL) -> list[_Place]:
    # Not `origin()` for each request: these are what aiohttp itself asks of the URL to connect.
    return [(scheme, origin.raw_host, origin.port) for scheme in _TWINS.get(origin.scheme, ())]
