"""A store as a stranger writes one, from the words of `asyncauth.abc.TokenStore`: for SQLite, in one file."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from asyncauth import ClosedError, ConfigurationError, StoreUnavailableError, WriteConflictError
from asyncauth.abc import Snapshot, TokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore

_T = TypeVar("_T")
_BUSY = 0.4
"""Seconds for other processes' writes to end; `RefreshPolicy.store_timeout` is 0.5 s."""
# Each write is a row with a number of its own, so that one query names what changed. The table is one with
# rowids: a record is too long for the pages of an index.
_SCHEMA = """CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, name TEXT NOT NULL,
    value BLOB NOT NULL, version TEXT NOT NULL, expires REAL, UNIQUE (namespace, name))"""
_READ = """SELECT value, version FROM records
    WHERE namespace = ? AND name = ? AND ifnull(expires > ?, TRUE)"""
_WRITE = "REPLACE INTO records (namespace, name, value, version, expires) VALUES (?, ?, ?, ?, ?)"
_NAMES = "SELECT name FROM records WHERE namespace = ? AND ifnull(expires > ?, TRUE)"
_CHANGES = "SELECT number, name FROM records WHERE number > ? AND namespace = ?"


class SQLiteStore(TokenStore):
    """Keeps records in one file of a local disk, for the processes of one machine. For one event loop.

    Args:
        path: The database; it and its folder are made if they are missing.
        namespace: One application's part of it.
        poll: Seconds between two looks for other processes' writes, while somebody waits.
    """

    def __init__(self, path: Path, *, namespace: str = "asyncauth", poll: float = 0.02) -> None:
        super().__init__()
        self.namespace = namespace
        self._path, self._poll = path, poll
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._last = 0

    @classmethod
    def from_url(cls, url: str, **options: Any) -> TokenStore:
        """Return a sealed store: `sqlite:///var/lib/app/tokens.db`, options `key` and `namespace`."""
        parts = urlsplit(url)
        if parts.netloc or parts.query or options.keys() - {"key", "namespace"} or "key" not in options:
            raise ConfigurationError("sqlite:///absolute/path and key=, and perhaps namespace=, are needed")
        ring = KeyRing.parse(options.pop("key"))
        return SealedTokenStore(cls(Path(unquote(parts.path)), **options), ring)

    async def read(self, name: str) -> Snapshot:
        return await self._run(self._found, name)

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
        return await self._run(self._replace, name, value, expected, keep)

    async def changed(self, name: str, since: str, timeout: float) -> None:
        bell = asyncio.Event()
        self._waiting.setdefault(name, set()).add(bell)  # first: what is written after the look rings
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._ring())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    if (await self.read(name)).version == since:
                        await bell.wait()
        finally:
            self._waiting[name].remove(bell)
            if not self._waiting[name]:
                del self._waiting[name]

    async def keys(self) -> AsyncIterator[str]:
        for name in await self._run(self._names):
            yield name

    async def aclose(self) -> None:
        await super().aclose()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await asyncio.to_thread(self._thread.shutdown)
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)

    async def _ring(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._poll)
            try:
                names = await self._run(self._changes)
            except StoreUnavailableError:
                names = list(self._waiting)  # who waits reads, and hears of it
            for bell in [bell for name in names for bell in self._waiting.get(name, ())]:
                bell.set()

    async def _run(self, work: Callable[..., _T], *args: object) -> _T:
        """Work in the thread, with its connection."""
        try:
            done = asyncio.get_running_loop().run_in_executor(self._thread, self._work, work, *args)
        except RuntimeError:
            raise ClosedError("the SQLite store was closed") from None
        return await done

    def _work(self, work: Callable[..., _T], *args: object) -> _T:
        try:
            if self._connection is None:
                self._connection = self._open()
            return work(self._connection, *args)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(f"token store {self._path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            self._choose_wal(db)
            for statement in ("PRAGMA synchronous = FULL", _SCHEMA):
                db.execute(statement)
            db.execute("DELETE FROM records WHERE expires <= ?", (_now(),))
            [self._last] = db.execute("SELECT ifnull(max(number), 0) FROM records").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _choose_wal(self, db: sqlite3.Connection) -> None:
        """Choose the write-ahead log: the one statement for which SQLite itself waits for nobody."""
        for tries_left in range(20, -1, -1):
            try:
                db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if not tries_left:
                    raise
                time.sleep(_BUSY / 20)
            else:
                return

    def _found(self, db: sqlite3.Connection, name: str) -> Snapshot:
        now = _now()
        value, version = db.execute(_READ, (self.namespace, name, now)).fetchone() or (None, "")
        return Snapshot(value=value, version=version, now=now)

    def _replace(
        self, db: sqlite3.Connection, name: str, value: bytes | None, expected: Snapshot, keep: float | None
    ) -> Snapshot:
        with db:
            db.execute("BEGIN IMMEDIATE")
            found = self._found(db, name)
            if (found.version, found.incarnation) != (expected.version, expected.incarnation):
                raise WriteConflictError(found)
            # A removal is a row that has run out: those who wait have to see that there was a change.
            version = "" if value is None else secrets.token_hex(16)
            expires = 0 if value is None else None if keep is None else found.now + keep * 1000
            db.execute(_WRITE, (self.namespace, name, value or b"", version, expires))
        return Snapshot(value=value, version=version, now=_now())

    def _names(self, db: sqlite3.Connection) -> list[str]:
        return [name for (name,) in db.execute(_NAMES, (self.namespace, _now()))]

    def _changes(self, db: sqlite3.Connection) -> list[str]:
        changes = db.execute(_CHANGES, (self._last, self.namespace)).fetchall()
        self._last = max((number for number, _ in changes), default=self._last)
        return [name for _, name in changes]


def _now() -> int:
    return time.time_ns() // 1_000_000
