"""`MemoryTokenStore`: tokens shared by the tasks, event loops and threads of one process."""

import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, NoReturn, Self, final

import attrs

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._errors import ConfigurationError, WriteConflictError
from asyncauth._open import made, taken_options
from asyncauth.abc import Snapshot, TokenStore
from asyncauth_stores._forks import renew_in_children
from asyncauth_stores._waiters import Standing, Waiters, wait

_log = logging.getLogger("asyncauth.stores.memory")
_ADVICE = "share them through open_store('file:///...') or open_store('redis://...')"


@final
@attrs.frozen
class _Stored:
    value: bytes = attrs.field(repr=False)
    version: str
    expires: float | None


@final
class MemoryTokenStore(TokenStore):
    """Keeps records in this process' memory; they end with it, and no other process has them.

    One object may be used from several event loops and threads at once. It needs no running loop
    to be made, and nothing has to be closed: after `aclose` it still holds its records, and works on.

    Made before a fork (gunicorn's `--preload`), it begins anew in each child, with a warning: each process
    logs in for itself, and shares nothing. If it held anything when its process was forked, it refuses
    every operation in the child with `ConfigurationError`, because two processes would spend the same
    one-time refresh token. Processes share tokens through a `file://` or `redis://` store. It is not pickled.

    Args:
        namespace: One application's part of a shared place.
        clock: The store's clock, and what its waits are measured with.
    """

    def __init__(self, namespace: str = "asyncauth", clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self.namespace = namespace
        self._clock = clock
        self._records: dict[str, _Stored] = {}
        self._forked = False
        self._start()
        renew_in_children(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._waiters = Waiters()

    def forget_parent(self) -> None:
        """Have a lock of the child's own, after a fork."""
        self._forked = True
        self._start()

    def _checked(self) -> None:
        """Say once what a fork means for tokens in memory."""
        if not self._forked:
            return
        if any(self._living(name) for name in tuple(self._records)):
            raise ConfigurationError(
                "this memory store held tokens when its process was forked, and copies must not be used"
                f" twice: {_ADVICE}, or make the store in the child"
            )
        self._forked = False
        _log.warning("a memory store was forked, and each process has tokens of its own: %s", _ADVICE)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a MemoryTokenStore is one process' own: {_ADVICE}")

    def __repr__(self) -> str:
        return f"MemoryTokenStore(namespace={self.namespace!r})"

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return a new, empty store; `memory://` may have the option `namespace`.

        Args:
            url: The URL.
            options: Arguments of the class, which go before the URL's.

        Raises:
            ConfigurationError: The URL has an unknown option.
        """
        _, found = taken_options(url, {"namespace": str})
        return made(cls, **found | options)

    async def read(self, name: str) -> Snapshot:
        """Return what is stored now. Cancellation leaves nothing behind.

        Raises:
            ConfigurationError: It held something when this process was forked; as in every operation.
        """
        with self._lock:
            return self._snapshot(name)

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
        """Compare and set in one step, which no cancellation can part. There are no replicas.

        Raises:
            WriteConflictError: Nothing was written; it carries the snapshot found instead.
        """
        del replicated
        with self._lock:
            found = self._snapshot(name)
            if (found.version, found.incarnation) != (expected.version, expected.incarnation):
                raise WriteConflictError(found)
            self._store(name, value, keep)
            written = self._snapshot(name)
        if wake:
            self._waiters.wake(name, written.version)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait until the version differs from `since`, at most `timeout` seconds.

        Cancellation leaves nothing behind.
        """
        await wait(partial(self.follow, name, since), self._clock.timeout(timeout))

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        """Have `ring` called once the version differs from `since`; what is returned ends that."""
        return await self._waiters.follow(name, since, ring, partial(self._standing, name))

    async def _standing(self, name: str) -> Standing:
        version = (await self.read(name)).version
        return Standing(version, version)

    async def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of all records that have not run out."""
        with self._lock:
            self._checked()
            names = [name for name in tuple(self._records) if self._living(name)]
        for name in names:
            yield name

    def _store(self, name: str, value: bytes | None, keep: float | None) -> None:
        if value is None:
            self._records.pop(name, None)
            return
        expires = None if keep is None else self._clock.monotonic() + keep
        self._records[name] = _Stored(value, secrets.token_hex(16), expires)

    def _living(self, name: str) -> _Stored | None:
        stored = self._records.get(name)
        if stored and stored.expires is not None and stored.expires <= self._clock.monotonic():
            del self._records[name]
            return None
        return stored

    def _snapshot(self, name: str) -> Snapshot:
        self._checked()
        stored = self._living(name)
        now = int(self._clock.wall() * 1000)
        if stored is None:
            return Snapshot(value=None, version="", now=now)
        return Snapshot(value=stored.value, version=stored.version, now=now)
