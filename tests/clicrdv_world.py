"""ClicRDV with workers that share one place for sessions, all under one clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import CookieJar

from asyncauth import AuthSession, TokenManager
from asyncauth._codec import decode
from asyncauth._record import Entry
from asyncauth.schemes import ClicRDV
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import ClicRDVEmulator, ClicRDVPerson
from asyncauth_stores.memory import MemoryTokenStore
from worlds import Handle

KEY = "production-apikey"
GROUPS = "/api/v1/groups"
FOREIGN = "/api/v1/groups/5/calendars"
"""A path that exists, and is not for the user: 403 or 404, whatever the session."""


class ClicWorld:
    """One system, one place, and as many workers as wanted.

    Attributes:
        clock: Everybody's clock.
        vendor: The system; `pro@example.com` is in group 4, and somebody else in group 5.
        place: Where the records are.
    """

    def __init__(self, clock: ManualClock, vendor: ClicRDVEmulator) -> None:
        self.clock = clock
        self.vendor = vendor
        self.place = MemoryTokenStore(clock=clock)
        self._handles: list[Handle] = []

    def scheme(self, **options: Any) -> ClicRDV:
        """Return the user's scheme, with a shared session unless told otherwise."""
        fields = {
            "apikey": KEY,
            "email": "pro@example.com",
            "password": "pro-password",
            "auth": "session",
            "base_url": self.vendor.url,
            **options,
        }
        return ClicRDV(**fields)

    def manager(self) -> TokenManager:
        """Return the manager of one more worker."""
        handle = Handle(self.place, self.clock)
        self._handles.append(handle)
        return TokenManager(handle, clock=self.clock)

    def session(self, manager: TokenManager | None = None, **options: Any) -> AuthSession:
        """Return a session of one worker."""
        # By default a jar keeps no cookies of hosts that are numbers, which this vendor's is.
        jar = CookieJar(unsafe=True)
        return AuthSession(self.scheme(**options), manager or self.manager(), cookie_jar=jar)

    async def entry(self, scheme: ClicRDV) -> Entry | None:
        """Return the entry that is stored for a scheme."""
        value = (await self.place.read(self.place.name(scheme.key))).value
        return None if value is None else decode(value).entry

    def sids(self) -> list[str]:
        """Return the session that each API call carried."""
        return [each.headers.get("Cookie", "") for each in self.vendor.requests if "login" not in each.path]

    def targets(self) -> list[str]:
        """Return what was asked for, in order, without the query."""
        return [each.path.removeprefix("/api/v1/") for each in self.vendor.requests]

    def end_all_sessions(self) -> None:
        """End every session at the vendor, a minute after the last login: that one is not too fresh."""
        self.clock.step(60)
        for sid in list(self.vendor._sessions):
            self.vendor.end_session(sid)

    async def aclose(self) -> None:
        """End all workers."""
        for handle in self._handles:
            await handle.aclose()


@asynccontextmanager
async def a_clicrdv(**knobs: Any) -> AsyncIterator[ClicWorld]:
    """Start the vendor with some knobs turned."""
    clock = ManualClock()
    people = {
        "pro@example.com": ClicRDVPerson("pro-password"),
        "other@example.com": ClicRDVPerson("other-password", group_id=5),
    }
    async with ClicRDVEmulator(**{"clock": clock, "pros": people, **knobs}) as vendor:
        world = ClicWorld(clock, vendor)
        try:
            yield world
        finally:
            await world.aclose()


async def ask(session: AuthSession, path: str = GROUPS, **options: Any) -> tuple[int, Any]:
    """Send a GET, and return the status and the JSON that came."""
    async with session.get(path, **options) as response:
        return response.status, await response.json(content_type=None)
