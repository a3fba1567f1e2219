"""Ends, stops or disturbs this process at a named moment of a renewal."""

import asyncio
import enum
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from types import SimpleNamespace
from typing import Self, final

import aiohttp

from asyncauth._codec import UnreadableError, decode
from asyncauth._errors import ConfigurationError, WriteConflictError
from asyncauth._record import Record
from asyncauth.abc import Liveness, Snapshot, TokenStore

_VARIABLE = "ASYNCAUTH_KILL_POINT"


@final
class Moment(enum.Enum):
    """Moments of a renewal, in their order."""

    BEFORE_LEASE = "before lease"
    """The store answered that a renewal is due, and the lease is not written yet."""
    LEASE_GRANTED = "lease granted"
    """The lease is stored, and with it the intent to spend the refresh token; nothing was sent."""
    REQUEST_SENT = "request sent"
    """The operating system has the first request to the vendor; there is no answer yet."""
    ANSWER_RECEIVED = "answer received"
    """The vendor has issued the token, and nobody else knows it."""
    BEFORE_COMMIT = "before commit"
    """The entry is made, and not written yet."""
    COMMITTED = "committed"
    """The entry is stored, and this process has not used it yet."""


def kill_process() -> None:
    """End this process as `kill -9` and the kernel's out-of-memory killer do."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop_process() -> None:
    """Stop this process as a debugger, a frozen container or a suspended machine does, until SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


_ACTS: Mapping[str, Callable[[], None]] = {"kill": kill_process, "stop": stop_process}


@final
class KillPoint:
    """Has something happen to this process, once, at a moment of one of its renewals.

    It sees renewals from outside, through the store and the HTTP client that the manager is given:

    >>> from asyncauth import AuthScheme, Token, TokenManager
    >>> point = KillPoint.from_environment()  # such as ASYNCAUTH_KILL_POINT="kill before commit"
    >>> async def work(store: TokenStore, scheme: AuthScheme) -> Token:
    ...     async with point.client() as client, point.store(store) as watched:
    ...         return await TokenManager(watched, client=client).token(scheme)

    Args:
        moment: When; none for never.
        act: What happens: `kill_process`, `stop_process`, or whatever a test calls or raises. What it
            raises, the renewal sees as its store's or its connection's error; at `REQUEST_SENT`,
            where nobody calls, it is the event loop's to report.
        skip: How many times the moment passes before.
    """

    def __init__(
        self, moment: Moment | None, act: Callable[[], None] = kill_process, *, skip: int = 0
    ) -> None:
        self._moment = moment
        self._act = act
        self._left = skip

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the kill point that a text such as `stop before commit` or `kill committed #2` describes.

        Args:
            text: `kill` or `stop`, a moment, and which time of it, if not the first; empty for never.

        Raises:
            ConfigurationError: It describes none.
        """
        if not text:
            return cls(None)
        found = re.fullmatch(r"(?P<act>kill|stop) (?P<moment>[a-z ]+?)(?: #(?P<time>[1-9]\d*))?", text)
        moments = {moment.value: moment for moment in Moment}
        if found is None or found["moment"] not in moments:
            raise ConfigurationError(
                f"{text!r} is no kill point: 'kill' or 'stop', then one of {', '.join(moments)}, then '#2' if"
                " it is the second time"
            )
        return cls(moments[found["moment"]], _ACTS[found["act"]], skip=int(found["time"] or 1) - 1)

    @classmethod
    def from_environment(cls) -> Self:
        """Return the kill point that `ASYNCAUTH_KILL_POINT` describes; without it, none ever.

        Raises:
            ConfigurationError: It describes none.
        """
        return cls.parse(os.environ.get(_VARIABLE, ""))

    def store(self, inner: TokenStore) -> TokenStore:
        """Return a store that hands everything on, and sees leases and commits. Closing it closes `inner`.

        Args:
            inner: Not one that is sealed afterwards: records have to be readable here.
        """
        return _WatchedStore(inner, self)

    def client(self) -> aiohttp.ClientSession:
        """Return a client session for logins and refreshes, which sees requests and answers.

        Close it after the manager. Of a conversation with several steps it sees the first.
        """
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(self._on_headers)
        tracing.on_request_chunk_sent.append(self._on_body)
        tracing.on_request_end.append(self._on_answer)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[tracing],
        )

    def pass_by(self, moment: Moment) -> None:
        """Act, if this is the moment; for moments of a program's own code, too."""
        if moment is not self._moment:
            return
        if self._left:
            self._left -= 1
            return
        self._moment = None
        self._act()

    async def _on_headers(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, sent: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if sent.headers.get("Content-Length", "0") == "0" and "Transfer-Encoding" not in sent.headers:
            self._on_sending()  # there is no body

    async def _on_body(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceRequestChunkSentParams
    ) -> None:
        self._on_sending()

    def _on_sending(self) -> None:
        # aiohttp tells it before it writes, and writes before the loop calls anybody else.
        asyncio.get_running_loop().call_soon(self.pass_by, Moment.REQUEST_SENT)

    async def _on_answer(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceRequestEndParams
    ) -> None:
        self.pass_by(Moment.ANSWER_RECEIVED)


class _WatchedStore(TokenStore):
    """Hands everything on, and tells a kill point what writes mean."""

    def __init__(self, inner: TokenStore, point: KillPoint) -> None:
        super().__init__()
        self.namespace, self.name_key = inner.namespace, inner.name_key
        self._inner = inner
        self._point = point
        self._seen: dict[str, bytes | None] = {}

    async def read(self, name: str) -> Snapshot:
        found = await self._inner.read(name)
        self._seen[name] = found.value
        return found

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
        before, after = _moments(self._seen.get(name), value)
        self._pass_by(before)
        try:
            written = await self._inner.write(
                name, value, expected, keep=keep, wake=wake, replicated=replicated
            )
        except WriteConflictError as conflict:
            self._seen[name] = conflict.snapshot.value
            raise
        self._seen[name] = value
        self._pass_by(after)
        return written

    async def changed(self, name: str, since: str, timeout: float) -> None:
        await self._inner.changed(name, since, timeout)

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        return await self._inner.follow(name, since, ring)

    def keys(self) -> AsyncIterator[str]:
        return self._inner.keys()

    def hold(self, name: str, attempt: str) -> AbstractAsyncContextManager[None]:
        return self._inner.hold(name, attempt)

    async def is_held(self, name: str, attempt: str) -> Liveness:
        return await self._inner.is_held(name, attempt)

    async def aclose(self) -> None:
        await super().aclose()
        await self._inner.aclose()

    def _pass_by(self, moment: Moment | None) -> None:
        if moment is not None:
            self._point.pass_by(moment)


def _moments(old: bytes | None, new: bytes | None) -> tuple[Moment | None, Moment | None]:
    """Return what comes before and after the writing of a record in the place of another."""
    before, after = _record(old), _record(new)
    renewed = after.entry is not None and (before.entry is None or before.entry.id != after.entry.id)
    if renewed and before.era == after.era:  # else somebody authorized anew
        return Moment.BEFORE_COMMIT, Moment.COMMITTED
    holder = None if before.lease is None else before.lease.attempt
    if after.lease is not None and after.lease.attempt != holder:
        return Moment.BEFORE_LEASE, Moment.LEASE_GRANTED
    return None, None


def _record(value: bytes | None) -> Record:
    """Return a stored record; nothing can be seen of what is none."""
    if value is not None:
        with suppress(UnreadableError):
            return decode(value)
    return Record()
