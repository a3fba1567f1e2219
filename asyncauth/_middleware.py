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
        ConfigurationError: The scheme names no origin that the token may go to; or there is a policy,
            and `store` is a manager, which has its own.
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
        self._worn: _Worn | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request with a token; see the class."""
        url = request.url
        if url is not self._at_home:
            if (url.scheme, url.raw_host, url.port) not in self._places:
                return await handler(request)
            self._at_home = url
        worn = self._worn
        if (
            worn is None
            or worn.slot.ready is not worn.held
            or worn.loop is not request.loop
            or worn.monotonic() >= worn.held.calm_until
        ):
            worn = await self._choose(request)
        worn.put_on(request)
        response = await handler(request)
        verdict = self._classify(response, worn.token)
        if verdict is _FINE:
            return response
        other = await self._other(verdict, worn.held, response)
        if other is None or request.session.closed or not _is_repeatable(request):
            return response
        # A connection that the refused response still holds could be the only one that is allowed.
        response.release()
        # Its upload may still be under way, and would take the body's next bytes from the second one.
        await request.close()
        # The server that refused may never have asked for the body: then it has to be asked anew.
        request.update_expect_continue()
        other.put_on(request)
        # A second refusal is the caller's. That token stays in use: it may be this resource that
        # refuses whatever comes, and the next request finds out (PROTOCOL.md, section 5.7).
        return await handler(request)

    def __repr__(self) -> str:
        return f"AuthMiddleware({describe(self._scheme)})"

    async def _choose(self, request: aiohttp.ClientRequest) -> "_Worn":
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

    def _wear(self, worker: Worker, slot: Slot, held: Held) -> "_Worn":
        """Make a token ready for requests, and keep that: it is done once per token."""
        worn = self._worn
        if worn is None or worn.held is not held:
            placement = self._scheme.apply(held.entry.token)
            self._worn = worn = _Worn.of(worker, slot, held, placement)
        return worn

    async def _other(self, verdict: Verdict, used: Held, response: aiohttp.ClientResponse) -> "_Worn | None":
        """Return what to send once more with, if the verdict asks for it and there is something."""
        if verdict is not Verdict.REFUSED and verdict is not Verdict.SUSPECT:
            return None
        worker = self._manager.worker
        slot = worker.slot(self._scheme)
        settle = worker.replace if verdict is Verdict.REFUSED else worker.verify
        try:
            await _read_small(response)
            held = await settle(slot, self._scheme, used)
            return None if held is None else self._wear(worker, slot, held)
        except AuthError:
            return None  # the refusal itself is the caller's answer
        except BaseException:
            response.close()
            raise


class _Unshown(str):
    """A header's value that no `repr` shows: aiohttp's errors carry the headers that were sent."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<secret>'"


@final
@attrs.frozen(eq=False, repr=False)
class _Worn:
    """A token made ready for the requests of one event loop."""

    loop: AbstractEventLoop
    slot: Slot
    monotonic: Callable[[], float]
    held: Held
    token: Token
    headers: tuple[tuple[istr, str], ...]
    query: Mapping[str, str]
    cookies: Mapping[str, str]

    @classmethod
    def of(cls, worker: Worker, slot: Slot, held: Held, placement: Placement) -> Self:
        return cls(
            loop=get_running_loop(),
            slot=slot,
            monotonic=worker.means.clock.monotonic,
            held=held,
            token=held.entry.token,
            headers=tuple((istr(name), _Unshown(value)) for name, value in placement.headers.items()),
            query=placement.query,
            cookies=placement.cookies,
        )

    def put_on(self, request: aiohttp.ClientRequest) -> None:
        for name, value in self.headers:
            request.headers[name] = value
        if self.query:
            request.url = _with_query(request.url, self.query)
        if self.cookies:
            request.headers[hdrs.COOKIE] = _with_cookies(request.headers.get(hdrs.COOKIE), self.cookies)


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
