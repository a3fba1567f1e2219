"""A store as a third party writes one, and stores that each break one promise."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._errors import WriteConflictError
from asyncauth.abc import Liveness, Snapshot, TokenStore


class Shelf:
    """The place: what all handles share."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.rings = 0
        self.bell = asyncio.Condition()
        self.lock = asyncio.Lock()


class ShelfStore(TokenStore):
    """Keeps every promise, in the fewest lines."""

    def __init__(self, shelf: Shelf, namespace: str) -> None:
        super().__init__()
        self.shelf = shelf
        self.namespace = namespace

    def place(self, name: str) -> tuple[str, str]:
        return self.namespace, name

    def draw(self, name: str, value: bytes) -> str:
        return secrets.token_hex(16)

    def now(self) -> int:
        return int(SYSTEM_CLOCK.wall() * 1000)

    def found(self, name: str) -> Snapshot:
        value, version = self.shelf.records.get(self.place(name), (None, ""))
        return Snapshot(value=value, version=version, now=self.now(), incarnation="one")

    def compare(self, name: str, expected: Snapshot) -> None:
        found = self.found(name)
        if (found.version, found.incarnation) != (expected.version, expected.incarnation):
            raise WriteConflictError(found)

    async def put(self, name: str, value: bytes, keep: float | None) -> None:
        self.shelf.records[self.place(name)] = (value, self.draw(name, value))

    async def ring(self) -> None:
        async with self.shelf.bell:
            self.shelf.bell.notify_all()

    async def read(self, name: str) -> Snapshot:
        return self.found(name)

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
        self.compare(name, expected)
        if value is None:
            self.shelf.records.pop(self.place(name), None)
        else:
            await self.put(name, value, keep)
        written = self.found(name)
        if wake:
            await self.ring()
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout), self.shelf.bell:
                if self.found(name).version == since:
                    await self.shelf.bell.wait()

    async def keys(self) -> AsyncIterator[str]:
        for namespace, name in tuple(self.shelf.records):
            if namespace == self.namespace:
                yield name


class Counted(ShelfStore):
    def draw(self, name: str, value: bytes) -> str:
        self.shelf.rings += 1
        return f"{self.shelf.rings}"


class CountedByKey(ShelfStore):
    def draw(self, name: str, value: bytes) -> str:
        return f"v{int(self.found(name).version[1:] or 0) + 1}"


class Hashed(ShelfStore):
    def draw(self, name: str, value: bytes) -> str:
        return f"{name}{value[:8].hex()}"


class LastWriterWins(ShelfStore):
    def compare(self, name: str, expected: Snapshot) -> None:
        pass


class ForgetsIncarnation(ShelfStore):
    def compare(self, name: str, expected: Snapshot) -> None:
        if self.found(name).version != expected.version:
            raise WriteConflictError(self.found(name))


class EchoesTheExpected(ShelfStore):
    def compare(self, name: str, expected: Snapshot) -> None:
        if self.found(name).version != expected.version:
            raise WriteConflictError(expected)


class ComparesEarly(ShelfStore):
    async def put(self, name: str, value: bytes, keep: float | None) -> None:
        await asyncio.sleep(0)
        await super().put(name, value, keep)


class WritesInTwoSteps(ShelfStore):
    async def put(self, name: str, value: bytes, keep: float | None) -> None:
        self.shelf.records[self.place(name)] = (value, self.found(name).version)
        await asyncio.sleep(0)
        await super().put(name, value, keep)


class CutsAtNul(ShelfStore):
    async def put(self, name: str, value: bytes, keep: float | None) -> None:
        await super().put(name, value.partition(b"\0")[0], keep)


class KeepsMilliseconds(ShelfStore):
    async def put(self, name: str, value: bytes, keep: float | None) -> None:
        await super().put(name, value, keep)
        if keep is not None:
            pop = self.shelf.records.pop
            asyncio.get_running_loop().call_later(keep / 1000, pop, self.place(name), None)


class Deaf(ShelfStore):
    async def ring(self) -> None:
        pass


class HearsOnlyItself(ShelfStore):
    """Each handle has a bell of its own."""

    def __init__(self, shelf: Shelf, namespace: str) -> None:
        own = Shelf()
        own.records = shelf.records
        super().__init__(own, namespace)


class WaitsBeforeLooking(ShelfStore):
    async def changed(self, name: str, since: str, timeout: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout), self.shelf.bell:
                await self.shelf.bell.wait()


class WaitsForEver(ShelfStore):
    async def changed(self, name: str, since: str, timeout: float) -> None:
        await super().changed(name, since, 60)


class SwallowsCancellation(ShelfStore):
    swallowed = False

    async def changed(self, name: str, since: str, timeout: float) -> None:
        try:
            await super().changed(name, since, timeout)
        except asyncio.CancelledError:
            if self.swallowed:
                raise
            self.swallowed = True


class KeepsItsLock(ShelfStore):
    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self.shelf.lock.acquire()
        await super().changed(name, since, timeout)
        self.shelf.lock.release()


class FollowsWithoutLooking(ShelfStore):
    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        return await super().follow(name, self.found(name).version, ring)


class RingsForEver(ShelfStore):
    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        async def rings() -> None:
            while True:
                await self.changed(name, since, 60)
                ring()
                await asyncio.sleep(0)

        return asyncio.create_task(rings()).cancel


class RingsAfterTheEnd(ShelfStore):
    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        await super().follow(name, since, ring)
        return lambda: None


class RingsElsewhere(ShelfStore):
    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        loop = asyncio.get_running_loop()

        def ring_in_a_thread() -> None:
            _ = loop.run_in_executor(None, ring)

        return await super().follow(name, since, ring_in_a_thread)


class ListsEverything(ShelfStore):
    async def keys(self) -> AsyncIterator[str]:
        for _, name in tuple(self.shelf.records):
            yield name


class HasNoNamespaces(ShelfStore):
    def place(self, name: str) -> tuple[str, str]:
        return "all", name


class CountsSeconds(ShelfStore):
    def now(self) -> int:
        return super().now() // 1000


class EverybodyLives(ShelfStore):
    async def is_held(self, name: str, attempt: str) -> Liveness:
        return Liveness.ALIVE


class NobodyLives(ShelfStore):
    async def is_held(self, name: str, attempt: str) -> Liveness:
        return Liveness.DEAD


class ClosesFirst(ShelfStore):
    closed = False

    async def read(self, name: str) -> Snapshot:
        return Snapshot(value=None, version="", now=self.now()) if self.closed else await super().read(name)

    async def aclose(self) -> None:
        self.closed = True
        await super().aclose()


class ForgetsSuper(ShelfStore):
    """Does not call `TokenStore.__init__`."""

    def __init__(self, shelf: Shelf, namespace: str) -> None:
        self.namespace = namespace
        self.shelf = shelf


class ForgetsItsUsers(ShelfStore):
    async def aclose(self) -> None:
        pass


class TakesItsRecordsAlong(ShelfStore):
    async def aclose(self) -> None:
        await super().aclose()
        self.shelf.records.clear()


class Hangs(ShelfStore):
    async def read(self, name: str) -> Snapshot:
        await asyncio.Event().wait()
        return await super().read(name)


class Fails(ShelfStore):
    async def read(self, name: str) -> Snapshot:
        raise LookupError("no such thing")
