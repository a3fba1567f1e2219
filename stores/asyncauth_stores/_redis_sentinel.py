"""A primary that Sentinels name: found again after each failure."""

from typing import TypeVar, final

from asyncauth._errors import StoreUnavailableError
from asyncauth_stores._redis_errors import UndoneError
from asyncauth_stores._redis_search import Farewell, Search
from asyncauth_stores._redis_server import Job, Maker, Server
from asyncauth_stores._redis_url import Address, Target, named

_T = TypeVar("_T")


@final
class SentinelServers:
    """The server that the Sentinels call the primary. For one event loop.

    Args:
        target: The Sentinels, and what they call the primary.
        primaries: Makes connections to the primary.
        sentinels: Makes connections to the Sentinels.
    """

    def __init__(self, target: Target, primaries: Maker, sentinels: Maker) -> None:
        self._target = target
        self._primaries = primaries
        self._sentinels = sentinels
        self._search = Search(self._ask, f"no Sentinel names the primary {target.service!r}")
        self._farewell = Farewell()
        self._address: Address | None = None
        self._server: Server | None = None
        self._doubted = False

    async def run(self, key: str, job: Job[_T]) -> _T:
        """Do a job on the primary; see `Servers`. After a failure the Sentinels are asked again."""
        server = await self.server_of(key)
        try:
            return await server.run(job)
        except UndoneError:
            another = await self.server_of(key)
            if another is server:
                raise
            return await another.run(job)

    async def server_of(self, key: str) -> Server:
        """Return the primary."""
        del key
        if self._server is None or self._doubted:
            self._follow(await self._search(self._target.addresses))
        assert self._server is not None  # noqa: S101 - it was just set
        return self._server

    async def all(self) -> list[Server]:
        """Return the primary."""
        return [await self.server_of("")]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._search.aclose()
        self._farewell.bid([] if self._server is None else [self._server])
        await self._farewell.aclose()

    def _follow(self, address: Address) -> None:
        self._doubted = False
        if address != self._address:
            self._farewell.bid([] if self._server is None else [self._server])
            self._address, self._server = address, self._primaries.server(address, self._doubt)

    def _doubt(self) -> None:
        self._doubted = True

    async def _ask(self, sentinel: Address) -> Address:
        found = await self._sentinels.ask(
            sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._target.service
        )
        if not found:
            raise StoreUnavailableError(
                f"{named(sentinel)} knows none of this name: it stands behind the hosts in the URL"
            )
        host, port = found
        return host.decode(), int(port)
