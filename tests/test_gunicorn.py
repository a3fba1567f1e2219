"""gunicorn, as services run it: `--preload`, so that everything is made before its workers are forked."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from redis_servers import RedisServer

pytestmark = [pytest.mark.processes, pytest.mark.skipif(sys.platform == "win32", reason="it forks")]

_WORKERS = {
    "aiohttp": ("aiohttp.GunicornWebWorker", "preloaded:aiohttp_app"),
    "uvicorn": ("uvicorn_worker.UvicornWorker", "preloaded:asgi_app"),
}


@pytest.fixture
def _gunicorn() -> None:
    pytest.importorskip("gunicorn")


@asynccontextmanager
async def _serving(kind: str, store: str, vendor: OAuth2Emulator) -> AsyncIterator[str]:
    """Serve with two workers; when it is told to end, it has to end in order, and without a complaint."""
    worker, application = _WORKERS[kind]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        environment = {
            "STORE": store,
            "TOKEN_URL": str(vendor.token_url),
            "ASYNCAUTH_KEY": KeyRing.generate().dump(),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--graceful-timeout", "5"),
            *("--worker-class", worker, "--bind", f"fd://{listening.fileno()}", "--no-control-socket"),
            *("--chdir", str(Path(__file__).parent), application),
            env={**os.environ, **environment},
            pass_fds=[listening.fileno()],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        port = listening.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(15):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise
    log = output.decode()
    assert process.returncode == 0, log
    assert "Traceback" not in log, log
    assert "was not closed" not in log, log
    assert "SIGKILL" not in log, log


async def _answers(url: str) -> dict[str, str]:
    """Ask until both workers have answered; return their tokens."""
    tokens: dict[str, str] = {}
    async with aiohttp.ClientSession() as client:
        while len(tokens) < 2:
            try:
                # Without a kept connection: any worker may take each.
                async with client.get(url, headers={"Connection": "close"}) as response:
                    process, token = (await response.text()).split()
                    tokens[process] = token
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    return tokens


async def _check(kind: str, store: str) -> None:
    async with asyncio.timeout(60), OAuth2Emulator() as vendor, _serving(kind, store, vendor) as url:
        tokens = await _answers(url)
        assert len(set(tokens.values())) == 1
        assert vendor.stats.token_calls == 1


@pytest.mark.usefixtures("_gunicorn")
@pytest.mark.parametrize("kind", _WORKERS)
async def test_preloaded_workers_share_a_file_store(kind: str, tmp_path: Path) -> None:
    await _check(kind, f"file://{tmp_path}/tokens")


@pytest.mark.servers
@pytest.mark.usefixtures("_gunicorn")
async def test_preloaded_workers_share_a_redis_store(any_redis: RedisServer) -> None:
    await _check("aiohttp", any_redis.url)
