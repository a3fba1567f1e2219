"""The key ring that a store works with, loaded once and kept up to date while keys are rotated."""

import asyncio
import logging
from asyncio import AbstractEventLoop, Task
from contextlib import suppress
from math import inf
from typing import final

from asyncauth._clock import Clock
from asyncauth._errors import AuthError, ClosedError, ConfigurationError, StoreUnavailableError
from asyncauth_stores._forks import renew_in_children
from asyncauth_stores._key_ring import KeyRing
from asyncauth_stores._keys import KeySource

_log = logging.getLogger("asyncauth")

FRESH = 30.0
"""Nothing is sealed with a ring that was loaded longer ago (s), unless the source fails."""
_PATIENCE = 0.2
_LIMIT = 30.0
_PAUSE = 1.0


@final
class LiveRing:
    """A key ring, and its source.

    The loads are tasks of their own: a store's operation that is given up does not end one that
    takes longer, and those who come meanwhile wait for the same one.

    Args:
        source: A ring, which stays as it is, or where to load it from.
        clock: Measures ages and pauses.
    """

    def __init__(self, source: KeyRing | KeySource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._ring = source if isinstance(source, KeyRing) else None
        self._loads: dict[AbstractEventLoop, Task[KeyRing]] = {}
        self._loaded_at = -inf
        self._missed_at = -inf
        self._failure: AuthError | None = None
        self._complaint = ""
        renew_in_children(self)

    def forget_parent(self) -> None:
        """Know of no load that goes on in the parent, after a fork."""
        self._loads = {}

    async def get(self) -> KeyRing:
        """Return the ring, whatever its age; the first time, wait for it.

        Raises:
            ConfigurationError: See `KeySource`.
            StoreUnavailableError: See `KeySource`; or the source failed less than a second ago.
            InsecureStoreError: See `KeyRing.from_file`.
        """
        if self._ring is not None:
            return self._ring
        if self._failure is not None and self._clock.monotonic() < self._loaded_at + _PAUSE:
            raise self._failure.again()
        return await self._loaded()

    async def fresh(self, within: float = FRESH) -> KeyRing:
        """Return a ring to seal with: loaded within so many seconds, or an older one if that takes long."""
        ring = await self.get()
        if isinstance(self._source, KeyRing) or self._clock.monotonic() < self._loaded_at + within:
            return ring
        with suppress(TimeoutError):
            async with self._clock.timeout(_PATIENCE):
                return await self._loaded()
        return ring

    async def with_key(self, key_id: str) -> KeyRing:
        """Return a ring that has a key, if there is one: the source is asked once a second at most."""
        ring = await self.get()
        if ring.get(key_id) is not None or isinstance(self._source, KeyRing):
            return ring
        # A load that is under way may bring it.
        if not self._loads and self._clock.monotonic() < self._missed_at + _PAUSE:
            return ring
        ring = await self._loaded()
        if ring.get(key_id) is None:
            self._missed_at = self._clock.monotonic()
        return ring

    def forget(self) -> None:
        """Load the ring anew at the next need: it turned out to be another store's."""
        if not isinstance(self._source, KeyRing):
            self._ring = None

    def close(self) -> None:
        """End the load that this event loop may have under way."""
        task = self._loads.get(asyncio.get_running_loop())
        if task is not None:
            task.cancel()

    async def _loaded(self) -> KeyRing:
        loop = asyncio.get_running_loop()
        task = self._loads.get(loop)
        if task is None:
            task = loop.create_task(self._load())
            self._loads[loop] = task
            task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if task.cancelled() and (own is None or not own.cancelling()):
                raise ClosedError("the store was closed while its key ring was loaded") from None
            raise

    def _done(self, task: Task[KeyRing]) -> None:
        del self._loads[task.get_loop()]
        if not task.cancelled():
            task.exception()  # nobody may have waited for it to the end

    async def _load(self) -> KeyRing:
        began_at = self._clock.monotonic()
        try:
            ring = self._checked(await self._asked())
        except AuthError as error:
            self._failure = error
            if self._ring is None:
                raise
            self._complain(error)
            return self._ring
        else:
            self._ring, self._failure, self._complaint = ring, None, ""
            return ring
        finally:
            self._loaded_at = began_at

    def _checked(self, ring: KeyRing) -> KeyRing:
        if self._ring is not None and ring.names != self._ring.names:
            raise ConfigurationError(
                "the key ring's 'names' entry was changed, under which no record would be found:"
                " take it over from the ring's earlier text"
            )
        return ring

    def _complain(self, error: AuthError) -> None:
        """Tell once of each new trouble with a source, while the ring at hand goes on."""
        if self._complaint != str(error):
            self._complaint = str(error)
            _log.warning("keys cannot be loaded again, those at hand go on: %s", error)

    async def _asked(self) -> KeyRing:
        assert not isinstance(self._source, KeyRing)  # noqa: S101 - a ring is not loaded
        try:
            async with self._clock.timeout(_LIMIT):
                return await self._source.load()
        except AuthError:
            raise
        except TimeoutError:
            raise StoreUnavailableError("the key source did not answer in time") from None
        except Exception as error:  # noqa: BLE001 - a source is anybody's, and its error's text may hold anything
            raise StoreUnavailableError(f"the key source failed: {type(error).__name__}") from None
