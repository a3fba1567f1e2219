"""What all emulators share: a loopback server, a clock of its own, counters, records, faults.

An emulator is an async context manager and a real aiohttp server; the vendor's behaviour is a table
of routes to plain functions from `ReceivedRequest` to `Reply`. They do not await, so one request's
change of state is atomic, as it is in the vendor's database.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from email.utils import formatdate
from typing import Self, TypeAlias, final

import attrs
from aiohttp import web
from yarl import URL

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._errors import ClosedError
from asyncauth._token import Secret, as_secret
from asyncauth.testing.emulators._faults import Connection, Faults, Scope, strike
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply

Handler: TypeAlias = Callable[[ReceivedRequest], Reply]

_KEPT_BODY = 2**20
_KEPT_REQUESTS = 1000
# Requests that a fault holds when the server ends are not worth waiting for.
_SHUTDOWN_SECONDS = 0.02


@final
class MovableClock(Clock):
    """Another clock's time plus what `advance` added.

    Args:
        base: The machine's clocks, or a `ManualClock` where nothing may pass by itself.
    """

    def __init__(self, base: Clock = SYSTEM_CLOCK) -> None:
        self._base = base
        self._offset = 0.0

    def advance(self, seconds: float) -> None:
        """Jump forward. Nothing that sleeps is woken by it."""
        self._offset += seconds

    def monotonic(self) -> float:
        return self._base.monotonic() + self._offset

    def wall(self) -> float:
        return self._base.wall() + self._offset

    async def sleep(self, seconds: float) -> None:
        await self._base.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return self._base.timeout(seconds)


def _movable(clock: Clock) -> MovableClock:
    return clock if isinstance(clock, MovableClock) else MovableClock(clock)


@final
@attrs.define(kw_only=True)
class Statistics:
    """What an emulator has counted.

    Attributes:
        requests: All requests.
        token_calls: Requests that reached the token endpoint, also those that a fault met there.
        tokens_issued: Access tokens issued, also those whose answer was lost.
        api_calls: Requests to API resources.
        refusals: Refused requests, by kind: an OAuth 2 error code, or what is wrong with the token.
        reuses_detected: Spent refresh tokens that came again outside the reuse window.
        families_revoked: Authorizations that ended because of that.
    """

    requests: int = 0
    token_calls: int = 0
    tokens_issued: int = 0
    api_calls: int = 0
    refusals: Counter[str] = attrs.field(factory=Counter)
    reuses_detected: int = 0
    families_revoked: int = 0


@final
@attrs.frozen
class Route:
    """One path of a vendor.

    Attributes:
        scope: What faults and counters see it as.
        handler: What the vendor does there.
        methods: The methods it takes; all if empty.
    """

    scope: Scope
    handler: Handler
    methods: tuple[str, ...] = ()


def _unknown(request: ReceivedRequest) -> Reply:
    del request
    return Reply(status=404)


_UNKNOWN = Route("other", _unknown)


@attrs.define(kw_only=True, eq=False, repr=False)
class Emulator(ABC):
    """One vendor on a free port of 127.0.0.1, for as long as it is entered. For one event loop.

    Leaving it closes all connections, also those with a request under way.

    Attributes:
        clock: The vendor's own time; `clock.advance(seconds)` moves it. Any `Clock` may be its base.
        record: Whether `requests` is kept; off for load.
        faults: What goes wrong with the next requests.
        stats: What was counted so far.
        requests: The last thousand requests, oldest first.
    """

    clock: MovableClock = attrs.field(factory=MovableClock, converter=_movable)
    record: bool = True
    faults: Faults = attrs.field(init=False, factory=Faults)
    stats: Statistics = attrs.field(init=False, factory=Statistics)
    requests: deque[ReceivedRequest] = attrs.field(init=False, factory=lambda: deque(maxlen=_KEPT_REQUESTS))
    _running: AsyncExitStack = attrs.field(init=False, factory=AsyncExitStack)
    _url: URL | None = attrs.field(init=False, default=None)
    _table: Mapping[str, Route] = attrs.field(init=False, factory=dict)
    _prefixes: tuple[str, ...] = attrs.field(init=False, default=())

    @property
    def url(self) -> URL:
        """The server's origin.

        Raises:
            ClosedError: The emulator is not entered.
        """
        if self._url is None:
            raise ClosedError(f"{type(self).__name__} has a URL only inside its `async with`")
        return self._url

    @abstractmethod
    def routes(self) -> Mapping[str, Route]:
        """Return the vendor's paths, read once when the server starts; `/x/*` is all below `/x/`."""

    async def __aenter__(self) -> Self:
        self._table = self.routes()
        self._prefixes = tuple(path[:-1] for path in self._table if path.endswith("/*"))
        # The bare server: routing, access log and middlewares of an application cost more than the vendor.
        server = web.Server(self._serve, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._running = stack.pop_all()
        self._url = URL.build(scheme="http", host="127.0.0.1", port=runner.addresses[0][1])
        return self

    async def __aexit__(self, *error: object) -> None:
        self._url = None
        await self._running.aclose()

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        request = await _receive(raw)
        if self.record:
            self.requests.append(request)
        route = self._find(request.path)
        # On arrival: a token call that a fault keeps from the vendor was sent all the same.
        self._count(route.scope)
        reply = await self._converse(route, request, Connection(self.clock, raw.transport))
        if reply.delay:
            await self.clock.sleep(reply.delay)
        # By the vendor's own clock (RFC 9110, section 6.6.1), which tests move.
        headers = {"Date": formatdate(self.clock.wall(), usegmt=True), **reply.headers}
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    async def _converse(self, route: Route, request: ReceivedRequest, connection: Connection) -> Reply:
        faults = self.faults.take(route.scope)
        early = await strike(faults, "before", connection)
        if early is not None:
            return early
        reply = self._act(route, request)
        late = await strike(faults, "after", connection)
        return reply if late is None else late

    def _act(self, route: Route, request: ReceivedRequest) -> Reply:
        if route.methods and request.method not in route.methods:
            return Reply(status=405, headers={"Allow": ", ".join(route.methods)})
        try:
            return route.handler(request)
        except RefusalError as refusal:
            self.stats.refusals[refusal.kind] += 1
            return refusal.reply

    def _find(self, path: str) -> Route:
        route = self._table.get(path)
        if route is not None:
            return route
        for prefix in self._prefixes:
            if path.startswith(prefix):
                return self._table[prefix + "*"]
        return _UNKNOWN

    def _count(self, scope: Scope) -> None:
        self.stats.requests += 1
        self.stats.token_calls += scope == "token"
        self.stats.api_calls += scope == "api"


async def _receive(raw: web.BaseRequest) -> ReceivedRequest:
    kept = bytearray()
    size = 0
    # Read piece by piece: aiohttp refuses to read more than a MiB at once, and uploads are larger.
    if raw.can_read_body:
        async for chunk in raw.content.iter_any():
            kept += chunk[: _KEPT_BODY - len(kept)]
            size += len(chunk)
    return ReceivedRequest(
        method=raw.method,
        # The parsed URL is normalised; this is what was sent.
        path_qs=raw.raw_path,
        url=raw.rel_url,
        headers=raw.headers,
        body=bytes(kept),
        size=size,
    )


def echo(request: ReceivedRequest, **more: object) -> dict[str, object]:
    """Return what an API resource tells of its request: no header of it, and no token."""
    return {"method": request.method, "path": request.path, "size": request.size, **more}


def plain(value: str | Secret) -> str:
    """Return a token's text."""
    return as_secret(value).reveal()
