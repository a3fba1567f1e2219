"""ITCare's emulator with workers of one fleet on one clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from asyncauth import AuthSession, Token, TokenEvent, TokenManager
from asyncauth.schemes import ITCare
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import ITCareEmulator
from asyncauth_stores.memory import MemoryTokenStore

FORM = "grant_type=client_credentials"


@attrs.define
class ITCareWorld:
    """One API account's workers.

    Attributes:
        clock: Everybody's clock.
        vendor: The accounts server and the API.
        place: Where the tokens are.
        events: What all workers told.
    """

    clock: ManualClock
    vendor: ITCareEmulator
    place: MemoryTokenStore
    events: list[TokenEvent] = attrs.field(factory=list)
    _stores: list[MemoryTokenStore] = attrs.field(factory=list)

    def scheme(self, **options: Any) -> ITCare:
        """Return the account; its id and secret are right by default."""
        fields = {"client_id": "itcare-client", "client_secret": "itcare-secret", **options}
        return ITCare(token_url=self.vendor.token_url, base_url=self.vendor.api_url, **fields)

    def manager(self) -> TokenManager:
        """Return the manager that all workers of this process share."""
        return TokenManager(self.place, clock=self.clock, listener=self.events.append)

    async def renew(self, scheme: ITCare, *, after: float = 1200) -> Token:
        """Let time pass, and ask for a token."""
        self.clock.step(after)
        return await self.manager().token(scheme)

    async def status(self, scheme: ITCare, path: str = "/compute/resources") -> int:
        """Return the status of a call to the API."""
        async with AuthSession(scheme, self.manager()) as session, session.get(path) as response:
            return response.status

    @property
    def bodies(self) -> list[str]:
        """The bodies of the token calls so far."""
        calls = [request for request in self.vendor.requests if request.path.endswith("/token")]
        return [request.body.decode() for request in calls]


@asynccontextmanager
async def an_itcare(**knobs: Any) -> AsyncIterator[ITCareWorld]:
    """Open a world with these knobs; whatever happens in it, /revoke and /userinfo are never asked."""
    clock = ManualClock()
    async with ITCareEmulator(clock=clock, **knobs) as vendor, MemoryTokenStore(clock=clock) as place:
        yield ITCareWorld(clock, vendor, place)
        realm = [request.path for request in vendor.requests if request.path.startswith("/auth/")]
        assert {path.rpartition("/")[2] for path in realm} <= {"token", "logout"}
