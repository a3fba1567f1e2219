"""`SealedTokenStore`: authenticated encryption over any store, bound to each record's place."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import attrs

from asyncauth._errors import NotReplicatedError, WriteConflictError
from asyncauth.abc import Liveness, Snapshot, TokenStore
from asyncauth_stores._envelope import Sealer
from asyncauth_stores._keys import KeyFile, KeyRing

__all__ = ["KeyFile", "KeyRing", "SealedTokenStore"]


class SealedTokenStore(TokenStore):
    """Seals what it writes to another store, and opens what it reads.

    Values are sealed with AES-256-GCM, bound to namespace and name: a record that is copied to another
    place does not open there. Names are made unrecognisable too. What the inner store's keeper can still
    do is remove a record, or put an older one of the same place back; the protocol survives both.

    Besides what the inner store raises, every operation raises `ConfigurationError` and
    `InsecureStoreError` when a key file is missing, wrong or open to other users; and
    `UnknownKeyError` when the namespace was begun with another key ring: its workers would not find each
    other's records. For that, the first write of all leaves a mark that only rings with the same
    `names` can make, and each store object reads it once; `rotate` and `drop` leave it valid.

    Args:
        inner: Any store.
        key_ring: The keys; a `KeyFile` is read, off the event loop, when it is first needed.
    """

    def __init__(self, inner: TokenStore, key_ring: KeyRing | KeyFile) -> None:
        super().__init__()
        self.namespace = inner.namespace
        self._inner = inner
        self._keys = key_ring
        self._sealer: Sealer | None = None
        self._unmarked: Snapshot | None = None

    async def read(self, name: str) -> Snapshot:
        """Read and open a record.

        Raises:
            PlaintextRecordError: It is not sealed.
            UnknownKeyError: It is sealed with a key that the ring lacks.
            TamperedRecordError: It was changed, cut, or sealed for another place.
            StoreUnavailableError: The inner store cannot be reached.

        Idempotent; cancellation leaves nothing behind.
        """
        sealer = await self._ready()
        return sealer.open(name, await self._inner.read(sealer.place(name)))

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
        """Seal and write a record, as `TokenStore.write`; the snapshots in its errors are opened.

        Raises:
            WriteConflictError: Nothing was written.
            NotReplicatedError: Written, but not replicated.
            UnreadableRecordError: Nothing was written, and what is stored now cannot be opened.
            UnknownKeyError: Nothing was written: the namespace is another key ring's.
            StoreUnavailableError: Nobody knows whether it was written.
        """
        sealer = await self._ready()
        if value is not None:
            await self._mark(sealer)
        sealed = None if value is None else sealer.seal(name, value)
        place = sealer.place(name)
        try:
            written = await self._inner.write(
                place, sealed, expected, keep=keep, wake=wake, replicated=replicated
            )
        except WriteConflictError as conflict:
            raise WriteConflictError(sealer.open(name, conflict.snapshot)) from conflict
        except NotReplicatedError as error:
            raise NotReplicatedError(str(error), attrs.evolve(error.snapshot, value=value)) from error
        return attrs.evolve(written, value=value)

    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait as `TokenStore.changed`; versions are the inner store's."""
        sealer = await self._ready()
        await self._inner.changed(sealer.place(name), since, timeout)

    async def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of the records that were written with this ring's names key."""
        sealer = await self._ready()
        async for place in self._inner.keys():
            name = sealer.name(place)
            if name is not None:
                yield name

    def hold(self, name: str, attempt: str) -> AbstractAsyncContextManager[None]:
        """Mark an attempt in the inner store."""
        return self._hold(name, attempt)

    async def is_held(self, name: str, attempt: str) -> Liveness:
        """Ask the inner store."""
        sealer = await self._ready()
        return await self._inner.is_held(sealer.place(name), attempt)

    async def aclose(self) -> None:
        """Close the inner store too."""
        await super().aclose()
        await self._inner.aclose()

    @asynccontextmanager
    async def _hold(self, name: str, attempt: str) -> AsyncIterator[None]:
        sealer = await self._ready()
        async with self._inner.hold(sealer.place(name), attempt):
            yield

    async def _ready(self) -> Sealer:
        if self._sealer is None:
            ring = self._keys if isinstance(self._keys, KeyRing) else await self._keys.load()
            sealer = Sealer(ring, self.namespace)
            mark = await self._inner.read(sealer.ring_place)
            sealer.check_mark(mark)
            self._unmarked = mark if mark.value is None else None
            self._sealer = sealer
        return self._sealer

    async def _mark(self, sealer: Sealer) -> None:
        """Mark the namespace before its first record; who only reads needs no permission to write."""
        if self._unmarked is None:
            return
        try:
            await self._inner.write(sealer.ring_place, sealer.ring_mark(), self._unmarked, wake=False)
        except WriteConflictError as conflict:
            sealer.check_mark(conflict.snapshot)
            # The store lost its writes since it was looked at: the next write marks it.
            self._unmarked = conflict.snapshot if conflict.snapshot.value is None else None
        else:
            self._unmarked = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inner!r})"
