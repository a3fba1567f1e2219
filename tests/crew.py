"""Workers on one place, each with a client of one site: for tests of what requests do to sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import CoroutineType
from typing import Any

import aiohttp
import attrs

from asyncauth import AuthMiddleware, RefreshPolicy, TokenEvent, TokenManager
from asyncauth._codec import decode
from asyncauth._record import Entry, Record
from asyncauth._slot import Slot
from asyncauth._worker import Worker
from asyncauth.testing import ManualClock, settle
from asyncauth_stores.memory import MemoryTokenStore
from http_places import Answering, Site, a_site
from scripted import Scripted, Troubled


@attrs.define(eq=False, kw_only=True)
class Mate:
    """One worker, and a client that its middleware authenticates."""

    scheme: Scripted
    store: Troubled
    manager: TokenManager
    client: aiohttp.ClientSession
    site: Site

    @property
    def worker(self) -> Worker:
        return self.manager.worker

    @property
    def slot(self) -> Slot:
        return self.worker.slot(self.scheme)

    async def ask(self, path: str = "x", **options: Any) -> int:
        """Send a request, and return the status."""
        async with self.client.get(self.site.url / path, **options) as response:
            await response.read()
            return response.status


@attrs.define(eq=False)
class Crew:
    """Everybody's clock, site and place; and who works there."""

    clock: ManualClock
    site: Site
    place: MemoryTokenStore
    events: list[TokenEvent] = attrs.field(factory=list)
    mates: list[Mate] = attrs.field(factory=list)

    def scheme(self, **options: Any) -> Scripted:
        return Scripted(base=self.site.url, **options)

    def join(self, scheme: Scripted, policy: RefreshPolicy | None = None, *, connections: int = 100) -> Mate:
        """Add a worker with a store's handle of its own."""
        store = Troubled(self.place, self.clock)
        manager = TokenManager(store, policy=policy, clock=self.clock, listener=self.events.append)
        connector = aiohttp.TCPConnector(limit=connections)
        client = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            middlewares=[AuthMiddleware(scheme, manager)],
        )
        mate = Mate(scheme=scheme, store=store, manager=manager, client=client, site=self.site)
        self.mates.append(mate)
        return mate

    async def record(self, scheme: Scripted) -> Record:
        value = (await self.place.read(self.place.name(scheme.key))).value
        assert value is not None
        return decode(value)

    async def entry(self, scheme: Scripted) -> Entry:
        entry = (await self.record(scheme)).entry
        assert entry is not None
        return entry

    def told(self, kind: type[TokenEvent]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    async def until(self, condition: Callable[[], bool], step: float = 0.0) -> None:
        """Wait for what real I/O brings, with so much time going by at each look."""
        async with asyncio.timeout(5):
            while not condition():
                await self.clock.advance(step)
                await asyncio.sleep(0.001)

    async def aclose(self) -> None:
        for mate in self.mates:
            await mate.client.close()
            await mate.store.aclose()


@asynccontextmanager
async def a_crew(**paths: Answering) -> AsyncIterator[Crew]:
    """Open a site and a place; all tasks are to be over once everybody has left."""
    before = asyncio.all_tasks()
    clock = ManualClock()
    async with a_site(None, **paths) as site:
        crew = Crew(clock, site, MemoryTokenStore(clock=clock))
        try:
            yield crew
        finally:
            await crew.aclose()
        await settle()
    left = [task.get_coro() for task in asyncio.all_tasks() - before]
    assert not [coro for coro in left if _is_ours(coro)]


def _is_ours(coro: object) -> bool:
    return isinstance(coro, CoroutineType) and "asyncauth" in coro.cr_code.co_filename
