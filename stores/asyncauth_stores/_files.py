"""`PlainFileStore`: records as files of one folder, shared by the processes of one machine."""

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar, final

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._errors import ClosedError, ConfigurationError
from asyncauth.abc import Liveness, Snapshot, TokenStore
from asyncauth_stores._file_folder import Folder, checked, translated
from asyncauth_stores._file_hold import Mark, liveness
from asyncauth_stores._file_records import Records
from asyncauth_stores._file_watch import FolderWatch
from asyncauth_stores._forks import renew_in_children
from asyncauth_stores._waiters import Standing, Waiters, wait

_P = ParamSpec("_P")
_T = TypeVar("_T")
_THREADS = 8


@final
class PlainFileStore(TokenStore):
    """Keeps each record in a file of its own, as it is given: seal what must not be read.

    For processes of one machine, on a local disk; `asyncauth_stores.file` says what an operator should
    know. Another process' write is noticed within milliseconds where the system tells of it (Linux),
    else within two `poll`s; a killed holder at once. One object may be used from several event loops
    and threads, and on both sides of a fork: a child has threads of its own.
    Nothing is read or made on disk before the first operation; what is made is for the owner only.

    Args:
        folder: Where to keep the records; made if it is missing. One that other users may read,
            write or own is refused at the first operation with `InsecureStoreError`.
        namespace: One application's part of the folder: letters, digits, `_` and `-`.
        clock: The store's clock, and what its waits are measured with.
        poll: Seconds between two looks for other processes' writes, where the system does not tell.

    Raises:
        ConfigurationError: The namespace cannot be a folder's name, or `poll` is not more than 0.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        namespace: str = "asyncauth",
        clock: Clock = SYSTEM_CLOCK,
        poll: float = 0.025,
    ) -> None:
        super().__init__()
        if not poll > 0:
            raise ConfigurationError(f"poll must be more than 0 s, not {poll:g} s")
        self.namespace = checked(namespace)
        self._place = folder
        self._folder = Folder(folder, namespace)
        self._records = Records(self._folder, clock)
        self._clock = clock
        self._poll = poll
        self._closed = False
        self._opened = False
        self._start()
        renew_in_children(self)

    def _start(self) -> None:
        self._waiters = Waiters()
        self._watch = FolderWatch(self._folder, self._waiters, self._poll)
        # Its own threads: those of the event loop may all be busy with something that waits for a token.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="asyncauth-files")

    def forget_parent(self) -> None:
        """Have threads of the child's own, after a fork; nothing of a user's."""
        if not self._closed:
            self._watch.forget_parent()
            self._opened = False
            self._start()

    def __del__(self) -> None:
        # Without an attribute, the arguments were refused.
        if getattr(self, "_opened", False) and not self._closed:
            self._watch.abandon()
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=1, source=self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({os.fspath(self._place)!r}, namespace={self.namespace!r})"

    async def read(self, name: str) -> Snapshot:
        """Return what is stored now, without a lock. Idempotent; cancellation leaves nothing behind.

        Raises:
            InsecureStoreError: Other users of this machine could use the folder.
            StoreUnavailableError: The operating system refuses; the message says what to do.
            UnreadableRecordError: The file is no whole record; it is left as it is.
        """
        return await self._run(self._records.read, checked(name))

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
        """Compare and set under the record's lock. There are no replicas.

        It is on the disk when this returns. Cancellation leaves the old or the new value: a write that has
        begun is finished, and lets go of its lock, in its thread.

        Raises:
            WriteConflictError: Nothing was written; it carries the snapshot found instead.
            InsecureStoreError: Other users of this machine could use the folder.
            StoreUnavailableError: The operating system refuses, or another process holds the lock.
            UnreadableRecordError: What is stored is no whole record, and not the one expected.
        """
        del replicated
        written = await self._run(self._records.write, checked(name), value, expected, keep, wake=wake)
        if wake:
            self._waiters.wake(name, written.version)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait until the version differs from `since`, at most `timeout` seconds.

        Raises:
            InsecureStoreError: Other users of this machine could use the folder.
            StoreUnavailableError: The operating system refuses; the message says what to do.

        Cancellation leaves nothing behind.
        """
        await wait(partial(self.follow, name, since), self._clock.timeout(timeout))

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        """Have `ring` called once the version differs from `since`; what is returned ends that.

        Raises:
            InsecureStoreError: Other users of this machine could use the folder.
            StoreUnavailableError: The operating system refuses; the message says what to do.

        Cancellation leaves nothing behind.
        """
        checked(name)
        return await self._waiters.follow(name, since, ring, lambda: self._run(self._watched, name))

    async def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of all records; those that have run out are removed instead.

        Raises:
            InsecureStoreError: Other users of this machine could use the folder.
            StoreUnavailableError: The operating system refuses; the message says what to do.
        """
        for name in await self._run(self._records.names):
            yield name

    @asynccontextmanager
    async def hold(self, name: str, attempt: str) -> AsyncIterator[None]:
        """Mark an attempt with a lock that the operating system ends together with this process.

        Raises:
            InsecureStoreError: Other users of this machine could use the folder.
            StoreUnavailableError: The operating system refuses; the message says what to do.

        Cancellation leaves no mark behind.
        """
        mark = await self._run(self._mark, checked(name), checked(attempt, 120))
        try:
            await self._run(mark.take)
            yield
        finally:
            # Not in the store's threads, which may have ended; and a second cancellation must not leave
            # a mark that says "alive" for an attempt that is over.
            with translated(self._place):
                await asyncio.shield(asyncio.to_thread(mark.drop))

    async def is_held(self, name: str, attempt: str) -> Liveness:
        """Tell whether the process that marked an attempt lives; unknown where there is no mark.

        Raises:
            InsecureStoreError: Other users of this machine could use the folder.
            StoreUnavailableError: The operating system refuses; the message says what to do.
        """
        return await self._run(self._liveness, checked(name), checked(attempt, 120))

    async def aclose(self) -> None:
        """End the watching and the threads; those who wait for a change return. May be called again."""
        await super().aclose()
        self._closed = True
        self._waiters.wake_all()
        await asyncio.to_thread(self._end)

    async def _run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        loop = asyncio.get_running_loop()
        with translated(self._place):
            try:
                future = loop.run_in_executor(self._threads, self._work, partial(work, *args, **kwargs))
            except RuntimeError:
                raise ClosedError("this file store was closed") from None
            return await future

    def _work(self, work: Callable[[], _T]) -> _T:
        if not self._opened:
            self._folder.open()
            self._opened = True
        return work()

    def _watched(self, name: str) -> Standing:
        self._watch.start()
        return self._records.standing(name)

    def _mark(self, name: str, attempt: str) -> Mark:
        self._folder.prepare()
        return Mark(self._folder.hold(name, attempt))

    def _liveness(self, name: str, attempt: str) -> Liveness:
        return liveness(self._folder.hold(name, attempt))

    def _end(self) -> None:
        self._watch.stop()
        self._waiters.miss()  # who comes back asks, and is told that the store was closed
        self._threads.shutdown()
        self._waiters.wake_all()
