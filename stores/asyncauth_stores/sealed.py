"""`SealedTokenStore`: authenticated encryption over any store, and the operator's guide to its keys.

**Which source of keys for which deployment.** A store takes one as `key=`, or finds one by itself.

| deployment | source |
|---|---|
| services on one machine | a key file: `key_file=` or the default place, made by `asyncauth keys new` |
| containers, platforms with secrets | the environment variable `ASYNCAUTH_KEY`, with a key file's text |
| set up by hand, with nothing to copy | `Passphrase("six random words ...", salt=...)`, or two variables |
| a program on a person's own machine | `OSKeyring()`: the system's keyring; needs the extra `keyring` |
| a key management service | `WrappedKeyFile(path, unwrap)`, or any object that is a `KeySource` |

All workers of a namespace need one ring. The first record leaves a mark, and a worker with another ring
(another passphrase, another salt) gets `UnknownKeyError` at once, and changes nothing.

**Rotation while workers run.** Workers read a `KeyFile` again before they seal something, if they last
did so more than 30 s ago, and at once when they meet a key that they do not know. A new key first only
opens, everywhere, and seals a minute later: no worker ever meets a record that it cannot open.

    asyncauth keys rotate /etc/app/key                               # takes two minutes
    asyncauth keys reseal redis://cache --key-file /etc/app/key      # all records at once
    asyncauth keys drop /etc/app/key OLD-ID --store redis://cache    # refused while a record needs it

`rotate` is four steps. A fleet on several hosts takes them one by one, and copies the file to every host
after each: `asyncauth keys add`, a minute, `asyncauth keys promote`, a minute. Where the ring is an
environment variable, each of the steps is a deployment. `reseal` is for records at rest; those that are
written anyway are sealed with the new key without it. In code: `KeyRing.add`, `promote` and `drop`, and
`SealedTokenStore.reseal`.

A file that is damaged while workers run (garbage, half of it, open to others, gone) stops only those that
start: the others go on with the ring that they have, and warn once. `reseal` does not: it needs the ring as
it is now, or says why there is none.

**A key that became known** to somebody: rotate and drop as above, then renew the tokens themselves,
since who has the old key may have read what it sealed.

**A key that is lost** cannot be replaced: nobody can open what it sealed. So keep a copy of the file, and
of dropped keys: put back at the end of the ring, they open again. Without one, take another namespace, or
remove the old records, and begin with a new ring: services that log in do so again, once; people whose
one-time tokens were stored have to authorize again.

**What is detected.** A record that was changed in any byte, cut, moved to another name or namespace, or
is not sealed, is refused with an `UnreadableRecordError`, and stays until a new token is put. An older
record of the same name that is put back is genuine and opens, but every writing bears a time: a process
that has seen a later one logs a warning, and the protocol has the newer token put back by whoever has it.

Not detected: an older record, by a process that started after it was put back, or has used 20,000 others
since, and by one that last saw it in the same millisecond; a record that was removed, which a store may do;
a whole namespace that is put back while no worker runs. Such a replay shows nobody a token: it makes workers
use, or refresh with, an older one, as a restored backup does.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import attrs

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._errors import NotReplicatedError, UnknownKeyError, UnreadableRecordError, WriteConflictError
from asyncauth.abc import Liveness, Snapshot, TokenStore
from asyncauth_stores._envelope import Content, Sealer, key_id_of
from asyncauth_stores._key_file import KeyFile
from asyncauth_stores._key_ring import KeyRing
from asyncauth_stores._keys import KeySource
from asyncauth_stores._live_ring import LiveRing
from asyncauth_stores._newest import Newest, Writing
from asyncauth_stores._os_keyring import OSKeyring
from asyncauth_stores._passphrase import Passphrase
from asyncauth_stores._reseal import Resealed, Resealer, drop_at
from asyncauth_stores._wrapped_keys import WrappedKeyFile

__all__ = [
    "KeyFile",
    "KeyRing",
    "KeySource",
    "OSKeyring",
    "Passphrase",
    "Resealed",
    "SealedTokenStore",
    "WrappedKeyFile",
]


class SealedTokenStore(TokenStore):
    """Seals what it writes to another store, and opens what it reads.

    Values are sealed with AES-256-GCM, bound to namespace and name: a record that is copied to another
    place does not open there. Names are made unrecognisable too. What the inner store's keeper can still
    do is remove a record, or put an older one of the same place back; the protocol survives both.

    Besides what the inner store raises, every operation raises what its `KeySource` raises, until that
    has given a ring once; and `UnknownKeyError` when the namespace was begun with another key ring: its
    workers would not find each other's records. For that, the first write of all leaves a mark that only
    rings with the same `names` can make, and each store object reads it once; rotating keys leaves it valid.

    Args:
        inner: Any store.
        key_ring: The keys, or where to load them from when they are first needed.
        clock: Measures when to load them again.
    """

    def __init__(
        self, inner: TokenStore, key_ring: KeyRing | KeySource, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__()
        self.namespace = inner.namespace
        self._inner = inner
        self._keys = LiveRing(key_ring, clock)
        self._newest = Newest()
        self._sealer: Sealer | None = None
        self._unmarked: Snapshot | None = None

    async def read(self, name: str) -> Snapshot:
        """Read and open a record.

        Raises:
            PlaintextRecordError: It is not sealed.
            UnknownKeyError: It is sealed with a key that the ring lacks, also when loaded again. If that
                fails, what the source raises is raised.
            TamperedRecordError: It was changed, cut, or sealed for another place.
            StoreUnavailableError: The inner store cannot be reached.

        Idempotent; cancellation leaves nothing behind.
        """
        sealer = await self._ready()
        before = self._newest.of(name)
        return await self._opened(name, await self._inner.read(sealer.place(name)), before)

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
        content = None if value is None else self._content(name, value, expected, keep)
        sealed = None if content is None else (await self._sealing()).seal(name, content)
        place, before = sealer.place(name), self._newest.of(name)
        try:
            written = await self._inner.write(
                place, sealed, expected, keep=keep, wake=wake, replicated=replicated
            )
        except WriteConflictError as conflict:
            raise WriteConflictError(await self._opened(name, conflict.snapshot, before)) from conflict
        except NotReplicatedError as error:
            raise NotReplicatedError(str(error), self._written(name, error.snapshot, content)) from error
        return self._written(name, written, content)

    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait as `TokenStore.changed`; versions are the inner store's."""
        sealer = await self._ready()
        await self._inner.changed(sealer.place(name), since, timeout)

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        """Follow as `TokenStore.follow`; versions are the inner store's."""
        sealer = await self._ready()
        return await self._inner.follow(sealer.place(name), since, ring)

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

    async def reseal(self) -> Resealed:
        """Seal every record under the ring's first key that is not yet, while workers go on.

        The ring is loaded again before. Records keep their value, nobody is woken, and what others
        write meanwhile stands. They are kept for no shorter than their writers asked, and up to a day
        longer. May be repeated; cancellation leaves some records resealed.

        Raises:
            StoreUnavailableError: The inner store cannot be reached: some records are resealed. Or the
                key source failed, whose error is raised, whatever it is: none is.
        """
        ring = await self._keys.reloaded()
        await self._ready()
        sealer = self._sealer_with(ring)
        resealer = Resealer(self._inner, sealer, self._newest)
        counts = Counter([await resealer.outcome(name) async for name in self.keys()])
        del counts["gone"]
        return Resealed(sealer.ring.ids[0], **counts)

    async def key_ids(self) -> Counter[str]:
        """Count the records by the id of the key that they are sealed with, those not on the ring too."""
        sealer, counts = await self._ready(), Counter[str]()
        async for name in self.keys():
            with suppress(UnreadableRecordError):
                found = key_id_of(await self._inner.read(sealer.place(name)))
                counts.update([] if found is None else [found])
        return counts

    async def aclose(self) -> None:
        """Close the inner store too."""
        await super().aclose()
        self._keys.close()
        await self._inner.aclose()

    @asynccontextmanager
    async def _hold(self, name: str, attempt: str) -> AsyncIterator[None]:
        sealer = await self._ready()
        async with self._inner.hold(sealer.place(name), attempt):
            yield

    async def _ready(self) -> Sealer:
        ring = await self._keys.get()
        if self._sealer is None:
            self._unmarked = await self._checked_mark(Sealer(ring, self.namespace))
        return self._sealer_with(ring)

    def _sealer_with(self, ring: KeyRing) -> Sealer:
        sealer = self._sealer
        if sealer is None or sealer.ring is not ring:
            self._sealer = sealer = Sealer(ring, self.namespace)
        return sealer  # not what another thread, with another ring, may have put there since

    async def _checked_mark(self, sealer: Sealer) -> Snapshot | None:
        mark = await self._inner.read(sealer.ring_place)
        try:
            sealer.check_mark(mark)
        except UnknownKeyError:
            self._keys.forget()
            raise
        return mark if mark.value is None else None

    async def _sealing(self) -> Sealer:
        """Return what seals: with the newest ring, in a namespace that bears its mark."""
        sealer = self._sealer_with(await self._keys.fresh())
        await self._mark(sealer)
        return sealer

    def _content(self, name: str, value: bytes, expected: Snapshot, keep: float | None) -> Content:
        return Content(value, self._newest.after(name, expected), drop_at(expected.now, keep))

    def _written(self, name: str, written: Snapshot, content: Content | None) -> Snapshot:
        if content is None:
            return attrs.evolve(written, value=None)
        self._newest.see(name, written, content)
        return attrs.evolve(written, value=content.value)

    async def _opened(self, name: str, found: Snapshot, before: Writing | None) -> Snapshot:
        sealer = await self._ready()
        try:
            content = sealer.open(name, found)
        except UnknownKeyError:
            await self._keys.with_key(key_id_of(found) or "")
            content = (await self._ready()).open(name, found)
        if content is None:
            return found
        self._newest.see(name, found, content, before)
        return attrs.evolve(found, value=content.value)

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

    def __reduce__(self) -> "str | tuple[Any, ...]":
        self._inner.__reduce__()  # it may have a reason not to travel, and says which
        return super().__reduce__()

    def __repr__(self) -> str:
        inner, kind = repr(self._inner), type(self)
        # Whoever derives from this class makes the inner store, of the same arguments.
        own = inner.removeprefix(type(self._inner).__name__)
        return f"SealedTokenStore({inner})" if kind is SealedTokenStore else f"{kind.__name__}{own}"
