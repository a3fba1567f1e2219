"""A TCP proxy whose connections go wrong on demand: for Redis' own socket, and any other server's."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, Self, final

import attrs

from asyncauth._errors import ClosedError, ConfigurationError
from asyncauth.testing._resp import Answers, is_notification

_CHUNK: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER without a wait: what closes then is reset."""


@final
@attrs.define
class ProxyStatistics:
    """What a proxy has counted.

    Attributes:
        connections: Connections that it accepted.
        sent: Bytes that it forwarded to the server.
        received: Bytes that it forwarded to clients.
        answers: Answers of the server, also those that nobody was given.
        notifications: Messages of channels, also those that nobody was given.
        dropped: Answers and notifications that were kept from clients.
        cut: Connections that it cut.
    """

    connections: int = 0
    sent: int = 0
    received: int = 0
    answers: int = 0
    notifications: int = 0
    dropped: int = 0
    cut: int = 0


@final
@attrs.frozen
class _Plan:
    """What happens to one answer: it is dropped, or the connection is cut in it."""

    cuts: bool = False
    keep: int = 0
    reset: bool = True


@final
@attrs.frozen(eq=False)
class _Link:
    """One client's connection, and the one to the server that belongs to it."""

    from_client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    to_server: asyncio.StreamWriter

    def cut(self, *, reset: bool) -> None:
        for writer in (self.to_client, self.to_server):
            _cut(writer, reset=reset)


@final
class FaultProxy:
    r"""Stands on a free port of 127.0.0.1 in front of a server, and lets connections go wrong.

    >>> from asyncauth.testing.emulators import OAuth2Emulator
    >>> async def lose_an_answer() -> tuple[bytes, int]:
    ...     async with OAuth2Emulator() as server, FaultProxy(server.url.authority) as proxy:
    ...         reader, writer = await asyncio.open_connection(*proxy.address.split(":"))
    ...         proxy.cut_answer(reset=False)
    ...         writer.write(b"GET / HTTP/1.1\r\nHost: vendor\r\n\r\n")
    ...         answer = await reader.read()
    ...         writer.close()
    ...         return answer, server.stats.requests
    >>> asyncio.run(lose_an_answer())
    (b'', 1)

    Any TCP or Unix-socket server will do. Answers are counted over all connections, by Redis' own
    framing; of a server that speaks something else, each piece that arrives counts as one. All faults
    may be combined, and changed while connections are open. For one event loop.

    Those who know toxiproxy: `latency` is its latency, `freeze` its timeout of 0, `cut` its
    reset_peer, `refuse` its disabled proxy, `heal` its reset.

    Args:
        upstream: The server: `host:port`, or the path of a Unix socket.

    Raises:
        ConfigurationError: It is neither.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        if "/" not in upstream and not (host and port.isdecimal()):
            raise ConfigurationError("a proxy's upstream is host:port, or the path of a Unix socket")
        self.stats = ProxyStatistics()
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._port = 0
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._latency = {"upstream": 0.0, "downstream": 0.0}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answer_plans: dict[int, _Plan] = {}
        self._notification_plans: dict[int, _Plan] = {}

    @property
    def address(self) -> str:
        """Where clients connect to: `127.0.0.1:port`. The port stays the same when it is refused.

        Raises:
            ClosedError: The proxy was not entered.
        """
        if not self._port:
            raise ClosedError("a FaultProxy has an address only inside its `async with`")
        return f"127.0.0.1:{self._port}"

    def latency(self, *, upstream: float = 0.0, downstream: float = 0.0) -> None:
        """Delay what goes to the server, and what comes from it, by so many seconds from now on."""
        self._latency = {"upstream": upstream, "downstream": downstream}

    def freeze(self) -> None:
        """Forward nothing, and keep all connections open: what a server does that was stopped.

        New connections are accepted, as the operating system does for such a server.
        """
        self._flowing.clear()

    def thaw(self) -> None:
        """Go on, with everything that came meanwhile."""
        self._flowing.set()

    def cut(self, *, reset: bool = True) -> None:
        """Cut all connections now.

        Args:
            reset: As a crashed peer's system does (RST); else as a peer does that closes (FIN).
        """
        for link in self._links:
            self._cut(link, reset=reset)

    def cut_answer(self, n: int = 1, *, keep: int = 0, reset: bool = True) -> None:
        """Cut a connection at the nth answer from now on: the server has carried out the command.

        Args:
            n: 1 for the next one.
            keep: How many bytes of it still arrive.
            reset: See `cut`.
        """
        self._answer_plans[self.stats.answers + n] = _Plan(cuts=True, keep=keep, reset=reset)

    def drop_answer(self, n: int = 1) -> None:
        """Keep the nth answer from now on to itself: the connection stays open, and its client waits."""
        self._answer_plans[self.stats.answers + n] = _Plan()

    def drop_notification(self, n: int = 1) -> None:
        """Lose the nth message of a channel from now on; answers are not meant."""
        self._notification_plans[self.stats.notifications + n] = _Plan()

    async def refuse(self) -> None:
        """Close the port, and reset what is open: what is left of a server that ended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await self._end()

    async def accept(self) -> None:
        """Open the port again, with the same number.

        Raises:
            OSError: Somebody else has taken it.
        """
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def heal(self) -> None:
        """End every fault, and forget those that are still to come."""
        self._answer_plans.clear()
        self._notification_plans.clear()
        self.latency()
        self.thaw()
        await self.accept()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.refuse()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a server runs its callbacks in tasks
        self._tasks.add(task)
        self.stats.connections += 1
        try:
            await self._flowing.wait()
            from_server, to_server = await self._connect()
            await self._forward(_Link(from_client, to_client, from_server, to_server))
        # A task of a server that is cancelled is one that ended, for asyncio's streams as well.
        except (OSError, asyncio.CancelledError):
            _cut(to_client, reset=True)
        finally:
            self._tasks.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if "/" in self._upstream:
            return await asyncio.open_unix_connection(self._upstream)
        host, _, port = self._upstream.rpartition(":")
        return await asyncio.open_connection(host.strip("[]"), int(port))

    async def _forward(self, link: _Link) -> None:
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._upstream_of(link))
                both.create_task(self._downstream_of(link))
        except* OSError:  # one side was cut: so is the other
            pass
        finally:
            self._links.discard(link)
            link.cut(reset=False)

    async def _upstream_of(self, link: _Link) -> None:
        while data := await self._passed(link.from_client, "upstream"):
            self.stats.sent += len(data)
            link.to_server.write(data)
            await link.to_server.drain()
        link.to_server.write_eof()

    async def _downstream_of(self, link: _Link) -> None:
        answers = Answers()
        while data := await self._passed(link.from_server, "downstream"):
            for answer in answers.feed(data):
                self._deliver(link, answer)
            await link.to_client.drain()
        link.to_client.write_eof()

    async def _passed(self, reader: asyncio.StreamReader, direction: str) -> bytes:
        """Return the next piece, or none at its end, once it may go on."""
        data = await reader.read(_CHUNK)
        await asyncio.sleep(self._latency[direction])
        await self._flowing.wait()
        return data

    def _deliver(self, link: _Link, answer: bytes) -> None:
        plan = self._plan_for(answer)
        passed = answer if plan is None else answer[: plan.keep]
        self.stats.received += len(passed)
        link.to_client.write(passed)
        if plan is None:
            return
        self.stats.dropped += 1
        if plan.cuts:
            self._cut(link, reset=plan.reset)

    def _plan_for(self, answer: bytes) -> _Plan | None:
        if is_notification(answer):
            self.stats.notifications += 1
            return self._notification_plans.pop(self.stats.notifications, None)
        self.stats.answers += 1
        return self._answer_plans.pop(self.stats.answers, None)

    def _cut(self, link: _Link, *, reset: bool) -> None:
        self.stats.cut += 1
        link.cut(reset=reset)


def _cut(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if not reset:
        writer.close()
        return
    linger = writer.get_extra_info("socket")
    with suppress(OSError):  # it has gone by itself
        linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
