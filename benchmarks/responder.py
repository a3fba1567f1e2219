"""A server that costs next to nothing: answers each request with the same bytes, whatever it says.

`python -m benchmarks.responder` prints its port, and ends with its standard input. It understands
requests without a body only.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

_BODY = b'{"name": "Ada"}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_ANSWER = _HEAD % len(_BODY) + _BODY
_END = b"\r\n\r\n"


@final
class _Responder(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        received = self._begun + data
        self._begun = received[received.rfind(_END) + len(_END) :] if _END in received else received
        self._transport.write(_ANSWER * received.count(_END))


@asynccontextmanager
async def running_responder() -> AsyncIterator[str]:
    """Run the server in another process, and yield its URL."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "benchmarks.responder")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(10):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Responder, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
