"""`FaultProxy` in front of servers of a few lines: what clients see of each fault."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest

from asyncauth import ConfigurationError
from asyncauth._errors import ClosedError
from asyncauth.testing import FaultProxy
from asyncauth.testing._resp import Answers, is_notification

_SERVER_GONE = (ConnectionResetError, asyncio.IncompleteReadError)


@attrs.frozen(eq=False)
class Client:
    """A connection through the proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, command: bytes = b"PING\r\n", size: int = 7) -> bytes:
        self.writer.write(command)
        async with asyncio.timeout(5):
            return await self.reader.readexactly(size)


@attrs.define(eq=False)
class Server:
    """Answers each line with +PONG, and remembers how many there were."""

    lines: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            self.lines += 1
            writer.write(b"+PONG\r\n")
        writer.close()

    async def heard(self, lines: int) -> None:
        async with asyncio.timeout(5):
            while self.lines < lines:
                await asyncio.sleep(0.001)


@attrs.frozen(eq=False)
class World:
    """A server, a proxy in front of it, and the clients' connections."""

    server: Server
    proxy: FaultProxy
    clients: list[Client]

    async def connect(self) -> Client:
        host, port = self.proxy.address.split(":")
        client = Client(*await asyncio.open_connection(host, int(port)))
        self.clients.append(client)
        return client


@asynccontextmanager
async def _world(
    open_server: Callable[[Server], Awaitable[tuple[asyncio.Server, str]]],
) -> AsyncIterator[World]:
    server = Server()
    listening, upstream = await open_server(server)
    async with listening:
        async with FaultProxy(upstream) as proxy:
            world = World(server, proxy, [])
            yield world
            for client in world.clients:
                client.writer.close()
        assert not [t for t in asyncio.all_tasks() if "FaultProxy" in repr(t.get_coro()) and not t.done()]


async def _on_a_port(server: Server) -> tuple[asyncio.Server, str]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    return listening, f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with _world(_on_a_port) as opened:
        yield opened


async def test_without_a_fault_everything_passes_and_is_counted(world: World) -> None:
    one, other = await world.connect(), await world.connect()

    assert [await one.ask(), await other.ask(), await one.ask()] == [b"+PONG\r\n"] * 3
    stats = world.proxy.stats
    assert (stats.connections, stats.answers, stats.sent, stats.received) == (2, 3, 18, 21)
    assert (stats.dropped, stats.cut) == (0, 0)


async def test_a_unix_socket_is_reached_as_well() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "s"))

        async def on_a_path(server: Server) -> tuple[asyncio.Server, str]:
            return await asyncio.start_unix_server(server.serve, path), path

        async with _world(on_a_path) as world:
            assert await (await world.connect()).ask() == b"+PONG\r\n"


async def test_the_end_of_one_side_is_the_end_of_the_other(world: World) -> None:
    client = await world.connect()
    await client.ask()
    client.writer.write_eof()

    assert await asyncio.wait_for(client.reader.read(), 5) == b""


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
async def test_latency_delays_a_direction(world: World, direction: str) -> None:
    client, clock = await world.connect(), asyncio.get_running_loop().time
    world.proxy.latency(**{direction: 0.05})
    asking = asyncio.create_task(client.ask())
    began = clock()
    if direction == "downstream":
        await world.server.heard(1)
        assert not asking.done()
    else:
        await asyncio.sleep(0.02)
        assert world.server.lines == 0
    await asking
    assert clock() - began >= 0.045
    world.proxy.latency(**{direction: 60})
    world.proxy.latency()
    await client.ask()


@pytest.mark.parametrize("reset", [True, False])
async def test_cut_ends_all_connections_as_a_crash_or_as_a_closing_does(world: World, *, reset: bool) -> None:
    clients = [await world.connect() for _ in range(2)]
    for client in clients:
        await client.ask()
    world.proxy.cut(reset=reset)

    for client in clients:
        if reset:
            with pytest.raises(ConnectionResetError):
                await client.ask()
        else:
            assert await asyncio.wait_for(client.reader.read(), 5) == b""
    assert world.proxy.stats.cut == 2
    assert await (await world.connect()).ask() == b"+PONG\r\n"


@pytest.mark.parametrize("reset", [True, False])
async def test_cut_answer_cuts_after_the_server_has_acted(world: World, *, reset: bool) -> None:
    client = await world.connect()
    await client.ask()
    world.proxy.cut_answer(2, keep=3, reset=reset)
    await client.ask()
    with pytest.raises(_SERVER_GONE) as caught:
        await client.ask()

    if isinstance(caught.value, asyncio.IncompleteReadError):
        assert caught.value.partial == b"+PO"
    else:
        assert reset
    assert world.server.lines == 3
    assert (world.proxy.stats.answers, world.proxy.stats.dropped, world.proxy.stats.cut) == (3, 1, 1)


async def test_drop_answer_loses_one_answer_and_leaves_the_connection(world: World) -> None:
    client = await world.connect()
    world.proxy.drop_answer()
    client.writer.write(b"PING\r\n")
    await world.server.heard(1)

    assert await client.ask() == b"+PONG\r\n"
    assert (world.server.lines, world.proxy.stats.answers, world.proxy.stats.dropped) == (2, 2, 1)


async def test_a_frozen_proxy_accepts_and_forwards_nothing_until_it_is_thawed(world: World) -> None:
    old = await world.connect()
    await old.ask()
    world.proxy.freeze()
    new = await world.connect()
    asking = [asyncio.create_task(client.ask()) for client in (old, new)]
    await asyncio.sleep(0.02)
    assert world.server.lines == 1

    world.proxy.thaw()
    assert await asyncio.gather(*asking) == [b"+PONG\r\n"] * 2


async def test_a_refusing_proxy_is_a_closed_port_until_it_accepts_again(world: World) -> None:
    client, address = await world.connect(), world.proxy.address
    await client.ask()
    await world.proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await client.ask()
    with pytest.raises(ConnectionRefusedError):
        await world.connect()

    await world.proxy.accept()
    assert world.proxy.address == address
    assert await (await world.connect()).ask() == b"+PONG\r\n"


async def test_heal_ends_every_fault_and_forgets_those_to_come(world: World) -> None:
    world.proxy.latency(upstream=60)
    world.proxy.drop_answer()
    world.proxy.drop_notification()
    world.proxy.freeze()
    await world.proxy.refuse()
    await world.proxy.heal()

    assert await (await world.connect()).ask() == b"+PONG\r\n"


async def test_a_server_that_is_down_is_a_connection_that_is_reset() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with FaultProxy(f"127.0.0.1:{taken.getsockname()[1]}") as proxy:
            client = await World(Server(), proxy, []).connect()
            with pytest.raises(_SERVER_GONE):
                await client.ask()


@pytest.mark.parametrize("upstream", ["", "redis", "redis:", ":6379", "redis:port"])
def test_an_upstream_that_is_none_is_refused(upstream: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port, or the path of a Unix socket"):
        FaultProxy(upstream)


def test_there_is_no_address_before_the_proxy_runs() -> None:
    with pytest.raises(ClosedError, match="only inside its `async with`"):
        _ = FaultProxy("127.0.0.1:6379").address


_ANSWERS = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":1000\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",3.14\r\n",
    b"(12345\r\n",
    b"$5\r\nhe\r\nl\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"!3\r\nbad\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*3\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n_\r\n",
    b"~2\r\n:1\r\n:2\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
    b"|1\r\n+ttl\r\n:5\r\n$1\r\nx\r\n",
    b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_answers_are_cut_where_redis_ends_them_however_they_arrive(size: int) -> None:
    stream, answers = b"".join(_ANSWERS), Answers()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]

    assert [answer for piece in pieces for answer in answers.feed(piece)] == _ANSWERS


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\n", b"\x16\x03\x01", b"$x\r\n", b"*1\r\nX\r\n"])
def test_what_is_no_resp_passes_piece_by_piece(data: bytes) -> None:
    answers = Answers()

    assert answers.feed(b"+OK\r\n" + data) == [b"+OK\r\n", data]
    assert answers.feed(b"$5") == [b"$5"]


def test_messages_of_channels_are_told_from_answers() -> None:
    messages = [
        b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
        b"*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
        b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
    ]

    assert all(is_notification(message) for message in messages)
    assert not is_notification(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
