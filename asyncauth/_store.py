"""The contract of a place where tokens are shared."""

import asyncio
import enum
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Self, final

import attrs

from asyncauth._key import TokenKey
from asyncauth._processes import check_spawning
from asyncauth._value import Value

_LONG = 3600.0
"""Seconds for which one `changed` waits on behalf of `follow`."""


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Snapshot(Value):
    """What a store holds for one name, at one moment.

    Attributes:
        value: The opaque bytes, or none if nothing is stored.
        version: Opaque and unique for every write ever made (drawn at random, never counted), so that a
            restored older value has its own version again; empty if nothing is stored.
        now: The store's own clock, in milliseconds since 1970: the server's; or the machine's, for a
            place that one machine has to itself.
        incarnation: Opaque; changes whenever acknowledged writes may have been lost. Constant where
            the store cannot tell.
    """

    value: bytes | None = attrs.field(repr=False)
    version: str
    now: int
    incarnation: str = ""


class Liveness(enum.Enum):
    """What a store knows about the process behind an attempt."""

    ALIVE = "alive"
    """It holds its mark."""
    DEAD = "dead"
    """Its mark is there, and the operating system says that its process has gone."""
    UNKNOWN = "unknown"
    """The store cannot tell, or there is no mark (any more)."""


class TokenStore(ABC):
    """A place where workers share records, by name.

    A store knows nothing of tokens, leases or failures: it keeps one opaque value per name and
    changes it by compare-and-set. Write one for your own database and check it with
    `asyncauth.testing.check_token_store`.

    Every operation may be called from several tasks at once. None of them may block the event loop, and
    none needs a time limit of its own: callers cancel it after `RefreshPolicy.store_timeout` (0.5 s). A store
    that gives up earlier can say why. What its library raises leaves it as one of the errors named here only.

    Values are a few kilobytes long. They are not sealed unless `SealedTokenStore` is put around the store,
    whose names are longer: any name is hexadecimal digits, at most 128 of them.

    One object may be used in several event loops and threads, one after the other or at the same time: each
    loop has a worker of its own on it. A child that is forked works on with what it has, but for the event
    loops of its parent, and leaves the parent's connections, renewals and locks to the parent. A child
    that `multiprocessing` spawns may be given a store as an argument: it is made there anew, with the same
    arguments. Nothing else pickles a store, because URLs and keys are secrets: pass what is not secret, and
    call `open_store` there. A store of somebody's own keeps this up as far as it says so itself.

    Attributes:
        namespace: One application's part of a shared place; part of every name.
        name_key: Makes names keyed hashes. It must never change: the records would not be found.
    """

    namespace: str = "asyncauth"
    name_key: bytes = b""

    _closers: list[Callable[[], Awaitable[None]]]
    _followings: set[asyncio.Task[None]]
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> Self:
        # Not in `__init__`, which a store of somebody's own may forget to call.
        store = super().__new__(cls)
        store._closers = []
        store._followings = set()
        store._arguments = args, options
        return store

    def __reduce__(self) -> "str | tuple[Any, ...]":
        check_spawning(self, "elsewhere call open_store there")
        return _made_again, (type(self), *self._arguments)

    def name(self, key: TokenKey) -> str:
        """Return the name of a key's record in this store: 64 hexadecimal digits."""
        return key.name(self.namespace, self.name_key)

    @abstractmethod
    async def read(self, name: str) -> Snapshot:
        """Return what is stored now. A snapshot without a value is an answer, not an error.

        Raises:
            StoreUnavailableError: The store cannot be reached.
            UnreadableRecordError: There is something that cannot be opened; it is left as it is.

        Idempotent; cancellation leaves nothing behind.
        """

    @abstractmethod
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
        """Replace a value if version and incarnation are still those of `expected`, atomically.

        Nothing else of `expected` is looked at: who keeps a snapshot may keep it without its value.

        Args:
            name: As `name()` returned it, or what a store that wraps this one made of it.
            value: The new value, or none to remove what is there.
            expected: A snapshot from `read`, `write` or a conflict.
            keep: The store may drop the value after so many seconds, and is then as if it had never been
                written; none keeps it for ever.
            wake: Whether those who wait in `changed` or `follow` need to look; they may all the same.
            replicated: Return only when the value is on as many replicas as the store was set up
                with. Without any it means nothing.

        Returns:
            The snapshot after the write, with its new version.

        Raises:
            WriteConflictError: Nothing was written; it carries the snapshot found instead.
            NotReplicatedError: Written, but not replicated; it carries the snapshot.
            StoreUnavailableError: Nobody knows whether it was written: read again.
            UnreadableRecordError: What is stored now cannot be opened, and `expected` is another
                version; nothing was written.

        Not idempotent: the second of two equal calls conflicts. Cancellation may leave the value
        written or not, but never half of it.
        """

    @abstractmethod
    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait until the version may differ from `since`, at most `timeout` seconds.

        It may return too early, and for no reason; it compares with what is stored when it is
        called, so a change between a read and this call is never missed. A write with `wake=False`
        need not end the wait. A removal is a change; that a value ran out need not be one.

        Many calls may be under way: let them share what looks for changes, so that ten thousand of them
        cost little more than one.

        Raises:
            StoreUnavailableError: The store cannot be reached.

        Cancellation leaves nothing behind.
        """

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        """Have `ring` called once the version may differ from `since`; what is returned ends that.

        Each key in use is followed all the time. The default has a task of its own for that, which waits in
        `changed`. A store that overrides it keeps no more than the callback: a few hundred bytes.

        When this returns, no change from then on is missed, nor one since `since` was stored: it compares
        with what is stored, as `changed` does. It waits for no change, and takes no longer than a read.

        Args:
            name: As in `changed`.
            since: The version that the caller has seen.
            ring: Called at most once, in this event loop, and maybe before this returns: when there is
                another version; when the store finds that it may have missed one, such as after its
                connection broke; when it is closed; and for no reason, if need be. So it says no more than
                that it is time to read. It must not raise.

        Returns:
            Ends it, in this event loop: `ring` is not called any more. May be called again, and after
            `ring` was. Keep it for as long as the record is followed.

        Raises:
            StoreUnavailableError: The store cannot be reached: nothing is followed.

        Cancellation leaves nothing behind.
        """
        waiting = asyncio.get_running_loop().create_task(_change(self, name, since))
        self._followings.add(waiting)
        waiting.add_done_callback(self._followings.discard)
        waiting.add_done_callback(partial(_ring_after, ring))
        return waiting.cancel

    @abstractmethod
    def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of all stored records of this namespace, in no order.

        Implement it as an asynchronous generator. Records that are written or removed meanwhile may be
        missed or named.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    def hold(self, name: str, attempt: str) -> AbstractAsyncContextManager[None]:
        """Return a context in which the operating system vouches for this process.

        Optional: the default marks nothing. A store that can end a mark when its process dies (a
        file lock) marks the attempt on entry and removes the mark on exit.
        """
        del name, attempt
        return nullcontext()

    async def is_held(self, name: str, attempt: str) -> Liveness:
        """Tell whether the process behind an attempt lives, where the store knows (see `hold`)."""
        del name, attempt
        return Liveness.UNKNOWN

    @final
    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Have something ended before the store: `aclose` awaits it first."""
        self._closers.append(closer)

    async def aclose(self) -> None:
        """End what works on this store, then the store itself. May be called again.

        After it, operations may raise `ClosedError`, and who waits in `changed` returns or is told so too;
        who follows is rung, if at all, to find that out.
        A store that has something of its own to end overrides this and calls it first.
        """
        while self._closers:
            closer = self._closers[-1]
            await closer()
            # Only now: who closes meanwhile, or after a cancelled closing, has to wait for it as well.
            if closer in self._closers:
                self._closers.remove(closer)
        # Each may have to give back what is the store's: a connection, say.
        here = asyncio.get_running_loop()
        if ending := [task for task in self._followings if task.get_loop() is here and task.cancelling()]:
            await asyncio.wait(ending)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


async def _change(store: TokenStore, name: str, since: str) -> None:
    await store.changed(name, since, _LONG)


def _ring_after(ring: Callable[[], object], waiting: "asyncio.Task[None]") -> None:
    if not waiting.cancelled():
        _ = waiting.exception()  # who looks now is told as well
        ring()


def _made_again(kind: type[TokenStore], args: tuple[Any, ...], options: dict[str, Any]) -> TokenStore:
    return kind(*args, **options)
