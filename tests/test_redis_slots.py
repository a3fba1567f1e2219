"""What a Cluster's servers say of themselves: some do not know their own host."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from asyncauth_stores.redis import PlainRedisStore

_NAME = "0a" * 32
_INFO = b"redis_version:7.2.4"
_NOTHING = b"*3\r\n$-1\r\n:1\r\n$-1\r\n"


@asynccontextmanager
async def _cluster(host: bytes, moved: Iterable[bytes] = ()) -> AsyncIterator[str]:
    """Stand in for a Cluster of one server, which names itself by this host; gives a URL.

    Args:
        host: As it stands on the wire.
        moved: The hosts that commands are sent to, before one is done.
    """
    redirections = list(moved)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = [(await reader.readline(), await reader.readline())[1] for _ in range(int(line[1:]))]
            port = writer.get_extra_info("sockname")[1]
            if words[0].strip() == b"CLUSTER":
                writer.write(b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n%s:%d\r\n$2\r\nid\r\n" % (host, port))
            elif words[0].strip() == b"INFO":
                writer.write(b"$%d\r\n%s\r\n" % (len(_INFO), _INFO))
            elif redirections:
                writer.write(b"-MOVED 1 %s:%d\r\n" % (redirections.pop(), port))
            else:
                writer.write(_NOTHING)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis+cluster://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("host", [b"$1\r\n?\r\n", b"$0\r\n\r\n", b"$-1\r\n"], ids=["?", "empty", "nil"])
async def test_a_server_that_names_no_host_means_the_one_that_was_asked(host: bytes) -> None:
    async with _cluster(host) as url, PlainRedisStore(url) as store:
        assert (await asyncio.wait_for(store.read(_NAME), 5)).value is None


@pytest.mark.parametrize("moved", [b"?", b""], ids=["?", "empty"])
async def test_a_key_that_moved_to_no_host_moved_to_another_port_of_the_same(moved: bytes) -> None:
    async with _cluster(b"$-1\r\n", [moved]) as url, PlainRedisStore(url) as store:
        assert (await asyncio.wait_for(store.read(_NAME), 5)).value is None
