"""A CareCloud project on loopback, and workers that share one place for tokens."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from asyncauth import AuthSession, TokenEvent, TokenManager
from asyncauth._codec import decode
from asyncauth._record import Record
from asyncauth.abc import AuthScheme
from asyncauth.schemes import CareCloudCustomer, CareCloudEnterprise
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import CareCloudEmulator
from asyncauth_stores.memory import MemoryTokenStore
from carecloud_samples import installation
from worlds import Handle

_T = TypeVar("_T")

# A summer's morning in Prague.
START = 1_750_000_000.0


class CareFleet:
    """Workers of one project.

    Attributes:
        clock: Everybody's clock.
        vendor: The project.
        events: What all workers were told of.
    """

    def __init__(self, clock: ManualClock, vendor: CareCloudEmulator) -> None:
        self.clock = clock
        self.vendor = vendor
        self.events: list[TokenEvent] = []
        self._place = MemoryTokenStore(clock=clock)
        self._handles: list[Handle] = []

    def worker(self) -> TokenManager:
        """Return the manager of one more worker."""
        handle = Handle(self._place, self.clock)
        self._handles.append(handle)
        return TokenManager(handle, clock=self.clock, listener=self.events.append)

    def enterprise(self, **options: Any) -> CareCloudEnterprise:
        """Return the scheme of an API user."""
        fields = {
            "application_id": "89d1a6111b3fb6e74665d948",
            "login": "fabulous_user",
            "password": "password_example",
            "timezone": self.vendor.project_tz,
            **options,
        }
        return CareCloudEnterprise(self.vendor.url, **fields)

    def installation(self, **options: Any) -> CareCloudCustomer:
        """Return the scheme of a device."""
        return installation(self.vendor.url, **options)

    async def record(self, scheme: AuthScheme) -> Record:
        """Return what is stored for a scheme."""
        value = (await self._place.read(self._place.name(scheme.key))).value
        assert value is not None
        return decode(value)

    def told(self, kind: type[TokenEvent]) -> int:
        """Return how often something happened."""
        return sum(isinstance(event, kind) for event in self.events)

    async def patiently(self, waiting: Coroutine[Any, Any, _T]) -> _T:
        """Await something while time goes by."""
        task = asyncio.ensure_future(waiting)
        async with asyncio.timeout(10):
            while not task.done():
                await self.clock.advance(0.5)
                await asyncio.sleep(0.001)
        return await task

    async def aclose(self) -> None:
        """End all workers."""
        for handle in self._handles:
            await handle.aclose()


async def ask(scheme: AuthScheme, manager: TokenManager, path: str = "/customers", **options: Any) -> int:
    """Call the API once, and return the status."""
    async with AuthSession(scheme, manager) as session, session.get(path, **options) as response:
        return response.status


@asynccontextmanager
async def a_care_fleet(start: float = START, **knobs: Any) -> AsyncIterator[CareFleet]:
    """Open a project with these knobs."""
    clock = ManualClock(start)
    async with CareCloudEmulator(clock=clock, **knobs) as vendor:
        fleet = CareFleet(clock, vendor)
        try:
            yield fleet
        finally:
            await fleet.aclose()
