"""The plain file store between real processes: waking, dying, losing nothing."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asyncauth.abc import Liveness, TokenStore
from asyncauth_stores._files import PlainFileStore

NAME = "a1" * 32
WORKER = Path(__file__).with_name("file_worker.py")

pytestmark = pytest.mark.processes


@asynccontextmanager
async def worker(job: str, folder: Path, count: int = 1) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), job, str(folder), NAME, str(count), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def heard(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).strip()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TokenStore]:
    async with PlainFileStore(tmp_path / "tokens") as opened:
        yield opened


async def test_another_process_write_wakes_in_time(tmp_path: Path, store: TokenStore) -> None:
    rounds, latest = 10, 0.0
    async with worker("answer", tmp_path / "tokens", rounds) as process:
        assert await heard(process) == b"ready"
        for _ in range(rounds):
            mine = await store.write(NAME, b"question", await store.read(NAME))
            start = time.monotonic()
            await store.changed(NAME, mine.version, 10)
            latest = max(latest, time.monotonic() - start)
        assert await process.wait() == 0
    # Both sides look every 25 ms; the rest is for a machine that is busy.
    assert latest < 0.5


async def test_a_killed_holder_is_seen_dead_at_once(tmp_path: Path, store: TokenStore) -> None:
    async with worker("hold", tmp_path / "tokens") as process:
        assert await heard(process) == b"held"
        assert await store.is_held(NAME, "attempt") is Liveness.ALIVE
        process.kill()
        await process.wait()
        start = time.monotonic()
        assert await store.is_held(NAME, "attempt") is Liveness.DEAD
        assert time.monotonic() - start < 0.05


async def test_no_update_of_eight_processes_is_lost(tmp_path: Path, store: TokenStore) -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(finish("increment", tmp_path / "tokens", 10))
    assert (await store.read(NAME)).value == b"80"


async def finish(job: str, folder: Path, count: int) -> None:
    async with worker(job, folder, count) as process:
        assert await process.wait() == 0


async def test_a_writer_killed_anywhere_leaves_a_whole_record_and_no_lock(
    tmp_path: Path, store: TokenStore
) -> None:
    size = 200_000
    for pause in (0.0, 0.001, 0.002, 0.004, 0.007):
        async with worker("write", tmp_path / "tokens", size) as process:
            assert await heard(process) == b"written"
            await asyncio.sleep(pause)
            process.kill()
            await process.wait()
        found = await store.read(NAME)
        assert found.value is not None
        assert len(found.value) == size
        assert len(set(found.value)) == 1
        async with asyncio.timeout(1):
            await store.write(NAME, b"next", found)
