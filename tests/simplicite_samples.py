"""What Simplicité's pages show, and a small world of one instance, one store and several workers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs

from asyncauth import AuthSession, Token, TokenEvent, TokenManager
from asyncauth._codec import decode
from asyncauth._record import Entry
from asyncauth.abc import AuthScheme
from asyncauth.schemes import Simplicite
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import SimpliciteEmulator
from asyncauth_stores.memory import MemoryTokenStore
from worlds import Handle, handle_of, worker_of

T = TypeVar("T")

TOKEN = "eVXGhFz5ovn1yCRU9N2U4rO7Chv9aiphSjUK5njA4clCSHXy5t"
SESSION = "FD22A705AE469A414333BD0DE6A0222D"
PASSWORD = "s3cret-Passw0rd"

# "Services authentication"; the second as observed on a newer instance, the token ending in 24 hours.
OLD_ANSWER = {
    "authtoken": TOKEN,
    "sessionid": SESSION,
    "login": "svc",
    "firstname": "Service",
    "lastname": "Account",
    "lang": "ENU",
}
NEW_ANSWER = {
    "firstname": "Service",
    "lang": "ENU",
    "authtoken": TOKEN,
    "authtokenexpiry": 1_750_086_400_000,
    "authtokenexpires": "2025-06-16T15:06:40.000Z",
}
OAUTH2_ANSWER = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 300, "scope": None}


def simplicite(**options: Any) -> Simplicite:
    """Return a scheme below a context path."""
    fields = {"login": "svc", "password": PASSWORD, **options}
    return Simplicite("https://erp.example.com/myapp/api", **fields)


def held(**more: Any) -> Token:
    """Return the token of the samples."""
    return Token(access_token=TOKEN, **more)


@attrs.define(eq=False)
class Instance:
    """A server, a store and the clock of both and of all workers.

    Attributes:
        vendor: The server.
        clock: Everybody's clock.
        place: Where the records are.
        events: What the workers told.
    """

    vendor: SimpliciteEmulator
    clock: ManualClock
    place: MemoryTokenStore
    events: list[TokenEvent] = attrs.field(factory=list)
    _managers: list[TokenManager] = attrs.field(init=False, factory=list)

    def scheme(self, **options: Any) -> Simplicite:
        """Return a scheme for the server's own user."""
        fields = {"login": "svc", "password": "svc-password", **options}
        return Simplicite(self.vendor.api_url, **fields)

    def worker(self) -> TokenManager:
        """Return the manager of one more worker."""
        handle = Handle(self.place, self.clock)
        self._managers.append(TokenManager(handle, clock=self.clock, listener=self.events.append))
        return self._managers[-1]

    def asked(self, path: str) -> list[str]:
        """Return the targets of the requests to a path below the API endpoint."""
        wanted = f"{self.vendor.context_path}/api/{path}"
        return [request.path_qs for request in self.vendor.requests if request.path == wanted]

    async def entry(self, scheme: AuthScheme) -> Entry | None:
        """Return what is stored for a scheme."""
        value = (await self.place.read(self.place.name(scheme.key))).value
        return None if value is None else decode(value).entry

    def elsewhere(self) -> MemoryTokenStore:
        """Return a store that knows nothing of this one."""
        return MemoryTokenStore(clock=self.clock)

    async def patiently(self, call: Awaitable[T]) -> T:
        """Await something with the clock running."""
        task = asyncio.ensure_future(call)
        await self.until(task.done)
        return await task

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the clock run, and the network work, until a condition holds."""
        async with asyncio.timeout(5):
            while not condition():
                await self.clock.advance(0.25)
                await asyncio.sleep(0.001)

    async def let_pass(self, seconds: float) -> None:
        """Let time pass, five seconds at once: what goes over the network then has time to arrive."""
        for _ in range(round(seconds / 5)):
            await self.clock.advance(5)
            async with asyncio.timeout(5):
                while self._in_flight():
                    await asyncio.sleep(0.001)

    def _in_flight(self) -> bool:
        slots = [slot for manager in self._managers for slot in worker_of(manager)._slots.values()]
        return any(slot.flight is not None for slot in slots)

    async def aclose(self) -> None:
        """End all workers."""
        for manager in self._managers:
            await handle_of(manager).aclose()


async def call(session: AuthSession, path: str = "/rest/Customer", **options: Any) -> tuple[int, Any]:
    """Return status and JSON of a call; none if there is no JSON."""
    async with session.get(path, **options) as response:
        is_json = response.content_type == "application/json"
        return response.status, await response.json() if is_json else None


@asynccontextmanager
async def an_instance(**knobs: Any) -> AsyncIterator[Instance]:
    """Open a world around a server with these knobs."""
    clock = ManualClock()
    async with SimpliciteEmulator(clock=clock, **knobs) as vendor:
        instance = Instance(vendor, clock, MemoryTokenStore(clock=clock))
        try:
            yield instance
        finally:
            await instance.aclose()
