"""`AuthMiddleware`: puts the shared token on the requests of an aiohttp client session."""

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self, final
from urllib.parse import unquote_plus, urlencode

import aiohttp
import attrs
from aiohttp import hdrs
from multidict import istr
from yarl import URL

from asyncauth._errors import AuthError, ClosedError, ConfigurationError
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
_TWINS = {"http": ("http", "ws"), "https": ("https", "wss")}
"""RFC 6455, section 3: a WebSocket's handshake goes to the http origin of the same host and port."""
_FINE = Verdict.FINE
"""Members of an enumeration are slow to reach in Python 3.11, and this one is asked for each time."""
_Place = tuple[str, str | None, int | None]


@final
class AuthMiddleware:
    """aiohttp client middleware that authenticates each request with a shared token.

    A request to an origin that the scheme does not name goes out as it is: the token stays home,
    also when a redirect leads there. A request whose token is refused is sent once more with
    another one, at most, and not at all if its body cannot be sent again; then the token is renewed
    for the next ones, and the refused response is the caller's.

    One object may serve several client sessions, also of several event loops.

    Args:
        scheme: Whose token, and how it is put on requests.
        store: Where tokens are shared; or a `TokenManager` on one.
        policy: The durations, if `store` is a store.

    Raises:
        ConfigurationError: There is a policy, and `store` is a manager, which has its own.
        TokenUnavailableError: From a request: there is no token, and why. Nothing was sent.
        StoreError: From a request: the store is needed and does not answer. Nothing was sent.
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
        self._scheme = scheme
        self._manager = manager_on(store, policy)
        self._places = frozenset(place for origin in scheme.origins for place in _places_of(origin))
        # A ClientResponse is a ResponseHead, but for what type checkers see of its cached properties.
        self._classify: Callable[[Any, Token], Verdict] = scheme.classify
        self._here: _Here | None = None
        self._ready: _Wearable | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request with a token; see the class."""
        url = request.url
        if (url.scheme, url.raw_host, url.port) not in self._places:
            return await handler(request)
        used = self._current(request.loop) or await self._obtain(request)
        self._put_on(request, used.entry)
        response = await handler(request)
        verdict = self._classify(response, used.entry.token)
        if verdict is _FINE:
            return response
        other = await self._other(verdict, used, response)
        if other is None or request.session.closed or not _is_repeatable(request):
            return response
        # A connection that the refused response still holds could be the only one that is allowed.
        response.release()
        # Its upload may still be under way, and would take the body's next bytes from the second one.
        await request.close()
        # The server that refused may never have asked for the body: then it has to be asked anew.
        request.update_expect_continue()
        self._put_on(request, other.entry)
        # A second refusal is the caller's. That token stays in use: it may be this resource that
        # refuses whatever comes, and the next request finds out (PROTOCOL.md, section 5.7).
        return await handler(request)

    def __repr__(self) -> str:
        return f"AuthMiddleware({describe(self._scheme)})"

    def _current(self, loop: AbstractEventLoop) -> Held | None:
        """Return the entry at hand: no store, no lock, no task switch."""
        here = self._here
        if here is None or here.loop is not loop:
            return None
        held = here.slot.ready
        if held is None:
            return None
        now = here.monotonic()
        if now >= held.usable_until:
            return None
        if now >= held.early_at:
            here.worker.renew_early(here.slot, self._scheme)
        return held

    def _bound(self) -> "_Here":
        """Find the worker and slot of the running loop, and keep them for the fast path."""
        self._here = here = _Here.of(self._manager.worker, self._scheme)
        return here

    async def _obtain(self, request: aiohttp.ClientRequest) -> Held:
        here = self._bound()
        held = await here.worker.obtain(here.slot, self._scheme)
        if request.session.closed:  # aiohttp does not look again
            raise ClosedError("the client session was closed while the request waited for a token")
        return held

    async def _other(self, verdict: Verdict, used: Held, response: aiohttp.ClientResponse) -> Held | None:
        """Return the entry to send once more with, if the verdict asks for one and there is one."""
        if verdict is not Verdict.REFUSED and verdict is not Verdict.SUSPECT:
            return None
        here = self._bound()
        settle = here.worker.replace if verdict is Verdict.REFUSED else here.worker.verify
        try:
            await _read_small(response)
            return await settle(here.slot, self._scheme, used)
        except AuthError:
            return None  # the refusal itself is the caller's answer
        except BaseException:
            response.close()
            raise

    def _put_on(self, request: aiohttp.ClientRequest, entry: Entry) -> None:
        ready = self._ready
        if ready is None or ready.entry is not entry:
            self._ready = ready = _Wearable.of(entry, self._scheme.apply(entry.token))
        for name, value in ready.headers:
            request.headers[name] = value
        if ready.query:
            request.url = _with_query(request.url, ready.query)
        if ready.cookies:
            request.headers[hdrs.COOKIE] = _with_cookies(request.headers.get(hdrs.COOKIE), ready.cookies)


@final
@attrs.frozen(eq=False)
class _Here:
    """What the fast path looks at, in one event loop."""

    loop: AbstractEventLoop
    worker: Worker
    slot: Slot
    monotonic: Callable[[], float]

    @classmethod
    def of(cls, worker: Worker, scheme: AuthScheme) -> Self:
        loop = get_running_loop()
        return cls(loop, worker, worker.slot(scheme), worker.means.clock.monotonic)


class _Unshown(str):
    """A header's value that no `repr` shows: aiohttp's errors carry the headers that were sent."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<secret>'"


@final
@attrs.frozen(eq=False, repr=False)
class _Wearable:
    """A placement made ready: what is done once per token is not done once per request."""

    entry: Entry
    headers: tuple[tuple[istr, str], ...]
    query: Mapping[str, str]
    cookies: Mapping[str, str]

    @classmethod
    def of(cls, entry: Entry, placement: Placement) -> Self:
        headers = tuple((istr(name), _Unshown(value)) for name, value in placement.headers.items())
        return cls(entry, headers, placement.query, placement.cookies)


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


def _places_of(origin: URL) -> list[_Place]:
    # Not `origin()` for each request: these are what aiohttp itself asks of the URL to connect.
    return [(scheme, origin.raw_host, origin.port) for scheme in _TWINS.get(origin.scheme, ())]


def _with_query(url: URL, query: Mapping[str, str]) -> URL:
    """Merge the token's parameters into a URL, whose own ones stay as they are written."""
    text = url.raw_query_string
    pairs = text.split("&") if text else []
    others = [pair for pair in pairs if unquote_plus(pair.partition("=")[0]) not in query]
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=url.raw_path,
        query_string="&".join([*others, urlencode(query)]),
        encoded=True,
    )


def _with_cookies(present: str | None, cookies: Mapping[str, str]) -> _Unshown:
    """Merge the token's cookies into a Cookie header, replacing those of the same name."""
    pairs = [pair.strip() for pair in (present or "").split(";") if pair.strip()]
    others = [pair for pair in pairs if pair.partition("=")[0] not in cookies]
    return _Unshown("; ".join([*others, *(f"{name}={value}" for name, value in cookies.items())]))


def _is_repeatable(request: aiohttp.ClientRequest) -> bool:
    body = request.body
    return not (isinstance(body, aiohttp.Payload) and body.consumed)


async def _read_small(response: aiohttp.ClientResponse) -> None:
    length = response.content_length
    if length is not None and length <= _SMALL_BODY:
        with suppress(aiohttp.ClientError, OSError):
            await response.read()
