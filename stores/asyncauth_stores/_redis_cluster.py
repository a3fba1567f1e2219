"""The servers of a Redis Cluster: each key's is found by its slot, and again when slots move."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, final

from redis.crc import key_slot
from redis.exceptions import AskError, MovedError

from asyncauth._errors import StoreUnavailableError
from asyncauth_stores._redis_errors import UndoneError
from asyncauth_stores._redis_search import Farewell, Search
from asyncauth_stores._redis_server import Job, Maker, Server
from asyncauth_stores._redis_url import Address, named

_T = TypeVar("_T")
_REDIRECTIONS: Final = 5
Remap = Callable[[str, int], Address]
_Row = tuple[int, int, Address]
"""The first and the last of some slots, and their primary."""


@final
class ClusterServers:
    """The primaries of a Cluster. For one event loop.

    Args:
        seeds: Some of its servers; the others are learned from them.
        maker: Makes connections.
        remap: Where to connect to for a server that others know by this host and port.
    """

    def __init__(self, seeds: Sequence[Address], maker: Maker, remap: Remap | None = None) -> None:
        self._seeds = tuple(seeds)
        self._maker = maker
        self._remap: Remap = remap or (lambda host, port: (host, port))
        self._search = Search(self._ask, "no server of the Cluster tells who has which slots")
        self._farewell = Farewell()
        self._known: tuple[Address, ...] = ()
        self._rows: tuple[_Row, ...] = ()
        self._servers: dict[Address, Server] = {}
        self._doubted = True

    async def run(self, key: str, job: Job[_T]) -> _T:
        """Do a job on the server of a key's slot; see `Servers`. After a failure the slots are read again."""
        address = await self._address_of(key)
        try:
            return await self._redirected(address, job)
        except UndoneError:
            another = await self._address_of(key)
            if another == address:
                raise
            return await self._redirected(another, job)

    async def _redirected(self, address: Address, job: Job[_T]) -> _T:
        """Do a job at a server, or wherever it sends us."""
        asking = False
        for _ in range(_REDIRECTIONS):
            try:
                return await self._at(address).run(job, asking=asking)
            except AskError as error:
                asking = not isinstance(error, MovedError)
                if not asking:
                    self._doubt()
                address = self._remap(_host(error.host, address), error.port)
        raise StoreUnavailableError("the Cluster's servers send this key's commands round in circles")

    async def server_of(self, key: str) -> Server:
        """Return the server of a key's slot."""
        return self._at(await self._address_of(key))

    async def all(self) -> list[Server]:
        """Return the primaries of all slots."""
        await self._learn()
        return [self._at(address) for address in {row[2] for row in self._rows}]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._search.aclose()
        self._farewell.bid(self._servers.values())
        self._servers = {}
        await self._farewell.aclose()

    async def _address_of(self, key: str) -> Address:
        await self._learn()
        slot = key_slot(key.encode())
        for first, last, address in self._rows:
            if first <= slot <= last:
                return address
        self._doubt()
        raise StoreUnavailableError(f"no server of the Cluster has slot {slot}: see CLUSTER NODES")

    def _at(self, address: Address) -> Server:
        if address not in self._servers:
            self._search.check_open()
            self._servers[address] = self._maker.server(address, self._doubt)
        return self._servers[address]

    def _doubt(self) -> None:
        self._doubted = True

    async def _learn(self) -> None:
        if not self._doubted:
            return
        # In no fixed order, so that not all workers ask the same one.
        known = random.sample(self._known, len(self._known))
        rows = await self._search(tuple(dict.fromkeys((*known, *self._seeds))))
        self._doubted = False
        self._known = tuple({address for row in rows for address in row[2:]})
        self._rows = tuple((first, last, nodes[0]) for first, last, *nodes in rows)
        primaries = {row[2] for row in self._rows}
        gone = [address for address in self._servers if address not in primaries]
        self._farewell.bid(self._servers.pop(address) for address in gone)

    async def _ask(self, address: Address) -> list[Any]:
        """Return rows of a first slot, a last slot, the primary's address, and the replicas'."""
        rows = await self._maker.ask(address, "CLUSTER", "SLOTS")
        if not rows:
            raise StoreUnavailableError(f"{named(address)} knows of no slots")
        return [
            (
                first,
                last,
                *(self._remap(_host((node[0] or b"").decode(), address), node[1]) for node in nodes),
            )
            for first, last, *nodes in rows
        ]


def _host(told: str, asked: Address) -> str:
    """Return a host that a server named; one that knows none, in either way, means its own."""
    return asked[0] if told in {"", "?"} else told
