"""A small world of Cronofy: one clock, one place for tokens, one data centre, many workers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs

from asyncauth import AuthorizationRequiredError, RefreshPolicy, Token, TokenEvent, TokenManager
from asyncauth._codec import decode
from asyncauth.abc import AuthScheme
from asyncauth.schemes import CronofyUser
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import CronofyEmulator
from asyncauth_stores.memory import MemoryTokenStore
from cronofy_samples import of_vendor
from worlds import Handle

_T = TypeVar("_T")

EVERYTHING = "read_account list_calendars read_events"


@attrs.define(eq=False)
class World:
    """Workers on one place, before one data centre.

    Attributes:
        clock: Everybody's.
        vendor: The data centre.
        place: Where the records are.
        events: What the workers told.
    """

    clock: ManualClock
    vendor: CronofyEmulator
    place: MemoryTokenStore
    events: list[TokenEvent] = attrs.field(factory=list)
    _handles: list[Handle] = attrs.field(factory=list)

    def manager(self, policy: RefreshPolicy | None = None) -> TokenManager:
        """Return the manager of one more worker."""
        handle = Handle(self.place, self.clock)
        self._handles.append(handle)
        return TokenManager(handle, clock=self.clock, policy=policy, listener=self.events.append)

    async def person(self, manager: TokenManager, name: str = "ada", scope: str = EVERYTHING) -> CronofyUser:
        """Return the scheme of a person whose authorization is stored."""
        token = self.vendor.authorize(name, scope)
        scheme = of_vendor(self.vendor, str(token.subject))
        await manager.put(scheme, token)
        return scheme

    async def stored(self, scheme: AuthScheme) -> Token | None:
        """Return the token that is stored for a scheme."""
        value = (await self.place.read(self.place.name(scheme.key))).value
        entry = None if value is None else decode(value).entry
        return None if entry is None else entry.token

    async def patiently(self, waiting: Coroutine[Any, Any, _T], step: float = 0.1) -> _T:
        """Await something while time goes by."""
        task = asyncio.ensure_future(waiting)
        async with asyncio.timeout(20):
            while not task.done():
                await self.clock.advance(step)
                await asyncio.sleep(0.001)
        return await task

    async def aclose(self) -> None:
        """End all workers."""
        for handle in self._handles:
            await handle.aclose()


@asynccontextmanager
async def a_world(**knobs: Any) -> AsyncIterator[World]:
    """Open a world whose data centre has these knobs."""
    clock = ManualClock()
    async with CronofyEmulator(clock=clock, **knobs) as vendor:
        world = World(clock, vendor, MemoryTokenStore(clock=clock))
        try:
            yield world
        finally:
            await world.aclose()


async def refusal_of(waiting: Coroutine[Any, Any, object]) -> AuthorizationRequiredError:
    """Return the error that asks for the user."""
    try:
        await waiting
    except AuthorizationRequiredError as error:
        return error
    raise AssertionError("nobody was asked for")
