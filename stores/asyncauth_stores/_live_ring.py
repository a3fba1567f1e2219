"""The key ring that a store works with, loaded once and kept up to date while keys are rotated."""

import asyncio
import logging
from asyncio import AbstractEventLoop, Task
from math import inf
from typing import final

from asyncauth._clock import Clock
from asyncauth._errors import AuthError, ClosedError, ConfigurationError, StoreUnavailableError
from asyncauth_stores._forks import renew_in_children
from asyncauth_stores._key_ring import KeyRing
from asyncauth_stores._keys import KeySource

_log = logging.getLogger("asyncauth")

FRESH = 30.0
"""Before something is sealed, a ring that was loaded longer ago (s) is loaded again."""
STALE = 2 * FRESH
"""So long (s) each step of a rotation lasts: to an older ring, keys may have been dropped meanwhile."""
_PATIENCE = 0.2
_LONG_PATIENCE = 2.0
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
        self._began_at = -inf
        self._loaded_at = -inf
        self._failed_at = -inf
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
        return await self._retried() if self._ring is None else self._ring

    async def fresh(self) -> KeyRing:
        """Return a ring to seal with: loaded half a minute ago at most, or the source is in trouble.

        One that fails holds nobody up, and one that takes its time 0.2 s. With a ring that is older than
        a minute, whoever comes in the first two seconds of a load waits until they are over; but not
        again while a source that has failed is tried anew.
        """
        ring = await self.get()
        if isinstance(self._source, KeyRing) or self._age() < FRESH:
            return ring
        try:
            async with self._clock.timeout(self._patience()):
                return await self._retried()
        except ClosedError:
            raise
        except (TimeoutError, AuthError):
            return ring

    async def reloaded(self) -> KeyRing:
        """Return the ring that the source has now, however long it takes.

        Raises:
            ConfigurationError: See `KeySource`, or the names key is another one than before.
            StoreUnavailableError: See `KeySource`.
            InsecureStoreError: See `KeyRing.from_file`.
        """
        if isinstance(self._source, KeyRing):
            return self._source
        under_way = self._loads.get(asyncio.get_running_loop())
        if under_way is not None:
            # It may have begun before the source was changed.
            await asyncio.wait({under_way})
        return await self._loaded()

    async def with_key(self, key_id: str) -> KeyRing:
        """Return a ring that has a key, if there is one: the source is asked once a second at most.

        Raises:
            ConfigurationError: As `reloaded`: without its source, nobody knows whether the key exists.
            StoreUnavailableError: As `reloaded`.
            InsecureStoreError: As `reloaded`.
        """
        ring = await self.get()
        if ring.get(key_id) is not None or isinstance(self._source, KeyRing):
            return ring
        # A load that is under way may bring it.
        if not self._loads and self._clock.monotonic() < self._missed_at + _PAUSE:
            return ring
        ring = await self._retried()
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

    def _age(self) -> float:
        return self._clock.monotonic() - self._loaded_at

    def _patience(self) -> float:
        now = self._clock.monotonic()
        if self._age() < STALE or now < self._failed_at + STALE:
            return _PATIENCE
        began_at = self._began_at if self._loads else now
        return max(_PATIENCE, began_at + _LONG_PATIENCE - now)

    async def _retried(self) -> KeyRing:
        """Load the ring, unless that failed less than a second ago."""
        if self._failure is not None and self._clock.monotonic() < self._failed_at + _PAUSE:
            raise self._failure.again()
        return await self._loaded()

    async def _loaded(self) -> KeyRing:
        loop = asyncio.get_running_loop()
        task = self._loads.get(loop)
        if task is None:
            self._began_at = self._clock.monotonic()
            task = loop.create_task(self._load(self._began_at))
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

    async def _load(self, began_at: float) -> KeyRing:
        try:
            ring = self._checked(await self._asked())
        except AuthError as error:
            self._failure, self._failed_at = error, self._clock.monotonic()
            if self._ring is not None:
                self._complain(error)
            raise
        self._ring, self._failure, self._complaint = ring, None, ""
        self._loaded_at = began_at
        return ring

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
            text = "the key source did not answer in time"
        except Exception as error:  # noqa: BLE001 - a source is anybody's
            text = f"the key source failed: {type(error).__name__}"
        # Not in the except block: what is raised there keeps the other error, whose text may hold anything.
        raise StoreUnavailableError(text)
