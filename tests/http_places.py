"""Loopback servers, and a scheme that needs no vendor, for the tests of middleware and session."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import aiohttp
import attrs
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from multidict import CIMultiDictProxy
from yarl import URL

from asyncauth import AuthMiddleware, AuthScheme, RefreshPolicy, Token, TokenEvent, TokenKey, TokenManager
from asyncauth._exchange import Placement
from asyncauth.abc import AuthFlow
from asyncauth.schemes import ClientCredentials
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.memory import MemoryTokenStore

Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
PATIENT = RefreshPolicy()
NO_RETRY = RefreshPolicy(retries=0)


@attrs.frozen
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def token(self) -> str | None:
        return self.headers.get("Authorization")


@attrs.define(eq=False)
class Site:
    """A resource server: remembers what came, and refuses the tokens that it is told to."""

    url: URL = attrs.field(factory=URL)
    seen: list[Seen] = attrs.field(factory=list)
    refused: set[str] = attrs.field(factory=set)
    paths: dict[str, Answering] = attrs.field(factory=dict)

    @property
    def tokens(self) -> list[str | None]:
        return [each.token for each in self.seen]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        special = self.paths.get(request.path)
        body = b"" if special else await request.read()
        seen = Seen(request.method, request.raw_path, request.headers, body)
        self.seen.append(seen)
        if special:
            return await special(request)
        if seen.token is not None and seen.token.removeprefix("Bearer ") in self.refused:
            return web.json_response({"why": "refused"}, status=401)
        return web.json_response({"path": request.path})


@asynccontextmanager
async def a_site(port: int | None = None, /, **paths: Answering) -> AsyncIterator[Site]:
    """Serve on a port; `no=handler` answers below `/no`."""
    site = Site(paths={f"/{name}": handler for name, handler in paths.items()})
    async with RawTestServer(site.answer, port=port) as server:
        site.url = server.make_url("/").origin()
        yield site


async def unauthorized(request: web.BaseRequest) -> web.Response:
    """Answer 401, whatever the token."""
    return web.Response(status=401, text="never")


def _bearer(text: str) -> Placement:
    return Placement(headers={"Authorization": f"Bearer {text}"})


@attrs.frozen(eq=False, kw_only=True)
class Ready(AuthScheme):
    """Logs in by itself: t1, t2, ... without a vendor."""

    base: URL | None = attrs.field(alias="base_url")
    place: Callable[[str], Placement] = _bearer
    life: float | None = 3600
    name: str = "ready"
    renews_early: bool = True
    drawn: list[str] = attrs.field(factory=list)
    numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    @property
    def base_url(self) -> URL | None:
        return self.base

    @property
    def key(self) -> TokenKey:
        return TokenKey(scheme=self.name, issuer=str(self.base))

    @property
    def fingerprint(self) -> str:
        return "f"

    def login(self) -> AuthFlow[Token]:
        yield from ()
        self.drawn.append(f"t{next(self.numbers)}")
        return Token(access_token=self.drawn[-1], expires_in=self.life)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        return self.login()

    def apply(self, token: Token) -> Placement:
        assert token.access_token is not None
        return self.place(token.access_token.reveal())


@attrs.frozen(eq=False)
class World:
    """A vendor, a store, a manager and a scheme, under one clock that stands still."""

    vendor: OAuth2Emulator
    clock: ManualClock
    store: MemoryTokenStore
    manager: TokenManager
    scheme: ClientCredentials
    events: list[TokenEvent]

    async def have_old_token(self) -> str:
        """Hold a token that may be renewed when it is refused: it was not issued just now."""
        token = await self.manager.token(self.scheme)
        self.clock.step(PATIENT.loop_guard + 1)
        assert token.access_token is not None
        return token.access_token.reveal()


@asynccontextmanager
async def a_world(policy: RefreshPolicy = PATIENT) -> AsyncIterator[World]:
    """Start a vendor, and what works with it."""
    clock = ManualClock()
    events: list[TokenEvent] = []
    async with OAuth2Emulator(clock=clock) as vendor, MemoryTokenStore(clock=clock) as store:
        manager = TokenManager(store, policy=policy, clock=clock, listener=events.append)
        scheme = ClientCredentials(
            vendor.token_url, client_id="app", client_secret="app-secret", base_url=vendor.api_url
        )
        yield World(vendor, clock, store, manager, scheme, events)


def client_of(world: World, manager: TokenManager | None = None) -> aiohttp.ClientSession:
    """Return a client with the middleware."""
    return aiohttp.ClientSession(middlewares=[AuthMiddleware(world.scheme, manager or world.manager)])


async def status(client: aiohttp.ClientSession, world: World) -> int:
    """Ask the API, and return what it says."""
    async with client.get(world.vendor.api_url / "x") as response:
        return response.status
