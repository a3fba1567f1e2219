"""A store whose keys come from a source that can be changed, fail and take its time."""

import asyncio

from asyncauth.abc import Snapshot
from asyncauth.testing import ManualClock
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore

NAME = "0a" * 32


class Source:
    """A source of keys that can be changed, fail, and take its time.

    Attributes:
        ring: What it gives.
        before: What it gives first, one after the other.
        trouble: What it raises instead.
        loads: How often it was asked.
        gate: Set when it answers at once.
    """

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self.before: list[KeyRing] = []
        self.trouble: Exception | None = None
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self) -> KeyRing:
        self.loads += 1
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return self.before.pop(0) if self.before else self.ring


class World:
    """One place, one source, one clock, and as many stores as wanted."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.source = Source(KeyRing.generate())
        self.inner = MemoryTokenStore(clock=self.clock)

    def store(self) -> SealedTokenStore:
        return SealedTokenStore(self.inner, self.source, clock=self.clock)


async def write(store: SealedTokenStore, value: bytes = b"value") -> Snapshot:
    """Store a value under `NAME`, whatever is there."""
    return await store.write(NAME, value, await store.read(NAME))
