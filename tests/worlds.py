"""A small world for tests of the core: one clock, one place for tokens, one vendor, many workers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncauth import RefreshPolicy, Token, TokenEvent, TokenManager
from asyncauth._codec import decode
from asyncauth._errors import StoreUnavailableError
from asyncauth._record import Record
from asyncauth._worker import Worker
from asyncauth.abc import AuthScheme, Snapshot, TokenStore
from asyncauth.schemes import ClientCredentials, RefreshToken
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import Hold, OAuth2Emulator
from asyncauth_stores.memory import MemoryTokenStore


class Handle(TokenStore):
    """One worker's handle on a place: counts what it asks for, and can be cut off.

    Attributes:
        calls: How often each operation was called.
        away: Whether the place cannot be reached.
        silent: Whether it does not answer at all.
        loses_answers: How many writes take effect with their answers lost.
    """

    def __init__(self, place: MemoryTokenStore, clock: ManualClock) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.away = False
        self.silent = False
        self.loses_answers = 0
        self._place = place
        self._clock = clock

    async def _reach(self, operation: str) -> None:
        self.calls[operation] += 1
        if self.silent:
            await self._clock.sleep(1e9)
        if self.away:
            raise StoreUnavailableError("the store is away")

    async def read(self, name: str) -> Snapshot:
        await self._reach("read")
        return await self._place.read(name)

    async def write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None = None,
        wake: bool = True,
        replicated: bool = False,
    ) -> Snapshot:
        await self._reach("write")
        snapshot = await self._place.write(name, value, expected, keep=keep, wake=wake, replicated=replicated)
        if self.loses_answers:
            self.loses_answers -= 1
            raise StoreUnavailableError("the answer was lost")
        return snapshot

    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self._reach("changed")
        await self._place.changed(name, since, timeout)

    def keys(self) -> AsyncIterator[str]:
        return self._place.keys()


class Fleet:
    """Workers that share one place.

    Attributes:
        clock: Everybody's clock: the workers', the place's and the vendor's.
        vendor: An OAuth 2 server on loopback.
        place: Where the records are.
    """

    def __init__(self, clock: ManualClock, vendor: OAuth2Emulator) -> None:
        self.clock = clock
        self.vendor = vendor
        self.place = MemoryTokenStore(clock=clock)
        self.events: list[TokenEvent] = []
        self._handles: list[Handle] = []

    def manager(self, policy: RefreshPolicy | None = None) -> TokenManager:
        """Return the manager of one more worker."""
        handle = Handle(self.place, self.clock)
        self._handles.append(handle)
        return TokenManager(handle, policy=policy, clock=self.clock, listener=self.events.append)

    def service(self, *, secret: str = "app-secret") -> ClientCredentials:
        """Return a scheme that can log in by itself (kind N)."""
        return ClientCredentials(
            self.vendor.token_url, client_id="app", client_secret=secret, base_url=self.vendor.api_url
        )

    def user(self, subject: str = "ada") -> RefreshToken:
        """Return a scheme with one-time refresh tokens (kind R)."""
        return RefreshToken(
            self.vendor.token_url,
            client_id="app",
            client_secret="app-secret",
            subject=subject,
            base_url=self.vendor.api_url,
        )

    async def record(self, scheme: AuthScheme) -> Record | None:
        """Return what is stored for a scheme."""
        value = (await self.place.read(self.place.name(scheme.key))).value
        return None if value is None else decode(value)

    async def aclose(self) -> None:
        """End all workers."""
        for handle in self._handles:
            await handle.aclose()


def handle_of(manager: TokenManager) -> Handle:
    """Return the store handle of a worker."""
    store = worker_of(manager).store
    assert isinstance(store, Handle)
    return store


def worker_of(manager: TokenManager) -> Worker:
    """Return what the manager shares with others on its store."""
    return manager.worker


def text_of(token: Token) -> str:
    """Return the access token in clear."""
    assert token.access_token is not None
    return token.access_token.reveal()


async def a_held_renewal(
    fleet: Fleet, manager: TokenManager, scheme: AuthScheme
) -> tuple[Hold, asyncio.Task[Token]]:
    """Begin a renewal that reaches the vendor and is held there; return what lets it go on, and its task."""
    hold = Hold()
    fleet.vendor.faults.add(hold, on="token")
    task = asyncio.create_task(manager.token(scheme))
    await hold.arrived.wait()
    return hold, task


@asynccontextmanager
async def a_fleet(*, access_lifetime: float = 3600.0) -> AsyncIterator[Fleet]:
    """Open a world whose tokens live so many seconds."""
    clock = ManualClock()
    async with OAuth2Emulator(clock=clock, access_lifetime=access_lifetime) as vendor:
        fleet = Fleet(clock, vendor)
        try:
            yield fleet
        finally:
            await fleet.aclose()
