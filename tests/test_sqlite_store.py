"""A stranger's store in an embedded database does what ours do, between processes too.

What it is made of is public: `asyncauth.abc.TokenStore`, the errors, `SealedTokenStore`, and an entry point,
which the processes of the fleets find in the metadata of a package, as any installed one has it.
"""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import attrs
import pytest

from asyncauth import ClosedError, RefreshPolicy, StoreUnavailableError, TokenManager
from asyncauth.abc import TokenStore
from asyncauth.schemes import RefreshToken
from asyncauth.testing import STORE_CHECKS, StoreCheck
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from fleet_of_processes import HOUR, ProcessFleet, a_fleet_of_processes
from sqlite_store import SQLiteStore
from store_places import SQLitePlace

NAME = "a1" * 32
HERE = Path(__file__).parent
# Nothing is renewed before its end, so that expiries can be counted; and a lease that a test can wait for.
POLICY = RefreshPolicy(
    store_timeout=1.5,
    heartbeat=0.7,
    lease=2.3,
    request_timeout=2,
    quiet=0.3,
    grace=2.3,
    quarantine=5,
    wait=30,
    early_share=0.001,
    early_min=0.001,
)
_WORKER = """
import asyncio, sys
from pathlib import Path
from file_worker import JOBS
from sqlite_store import SQLiteStore

async def main(job, path, name, count):
    async with SQLiteStore(Path(path)) as store:
        await JOBS[job](store, name, int(count))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_it_keeps_every_promise(check: StoreCheck, tmp_path: Path) -> None:
    await check(SQLitePlace(tmp_path / "new" / "tokens.db"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[TokenStore]:
    async with SQLiteStore(path) as opened:
        yield opened


async def test_a_locked_database_is_unavailable_and_loses_nothing(path: Path, store: TokenStore) -> None:
    stored = await store.write(NAME, b"value", await store.read(NAME))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="database is locked"):
            await store.write(NAME, b"next", stored)
        assert (await store.read(NAME)).value == b"value"
    await store.write(NAME, b"next", stored)


async def test_another_kind_of_file_is_left_as_it_is(path: Path, store: TokenStore) -> None:
    await asyncio.to_thread(path.write_bytes, b"something else" * 100)

    with pytest.raises(StoreUnavailableError, match="file is not a database"):
        await store.read(NAME)
    assert await asyncio.to_thread(path.read_bytes) == b"something else" * 100


async def test_what_ran_out_is_removed_when_it_is_next_opened(path: Path) -> None:
    async with SQLiteStore(path) as first:
        await first.write(NAME, b"value", await first.read(NAME), keep=0.01)
    await asyncio.sleep(0.02)
    async with SQLiteStore(path) as second:
        assert (await second.read(NAME)).value is None
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM records").fetchone() == (0,)


async def test_a_closed_one_says_so(store: TokenStore) -> None:
    await store.aclose()

    with pytest.raises(ClosedError, match="was closed"):
        await store.read(NAME)


@asynccontextmanager
async def worker(job: str, path: Path, count: int = 1) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-Werror", "-c", _WORKER, job, str(path), NAME, str(count)),
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=asyncio.subprocess.PIPE,
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


async def finish(job: str, path: Path, count: int) -> None:
    async with worker(job, path, count) as process:
        assert await process.wait() == 0


@pytest.mark.processes
async def test_eight_processes_that_make_the_database_together_lose_no_update(path: Path) -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(finish("increment", path, 10))
    async with SQLiteStore(path) as store:
        assert (await store.read(NAME)).value == b"80"


@pytest.mark.processes
async def test_another_process_write_wakes_in_time(path: Path, store: TokenStore) -> None:
    rounds, latest = 10, 0.0
    async with worker("answer", path, rounds) as process:
        assert await heard(process) == b"ready"
        for _ in range(rounds):
            mine = await store.write(NAME, b"question", await store.read(NAME))
            start = time.monotonic()
            while (await store.read(NAME)).version == mine.version:
                await store.changed(NAME, mine.version, 10)
            latest = max(latest, time.monotonic() - start)
        assert await process.wait() == 0
    # Both sides look every 20 ms; the rest is for a machine that is busy.
    assert latest < 0.5


@pytest.mark.processes
async def test_a_writer_killed_anywhere_leaves_a_whole_record_and_no_lock(
    path: Path, store: TokenStore
) -> None:
    size = 200_000
    for pause in (0.0, 0.001, 0.002, 0.004, 0.007):
        async with worker("write", path, size) as process:
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


@attrs.frozen
class World:
    """A vendor, a database, and processes that know the database's URL only."""

    vendor: OAuth2Emulator
    fleet: ProcessFleet
    path: Path
    key: str

    async def authorize(self, subject: str) -> None:
        """Store a user's token, as a web application does that they have authorized."""
        url = f"sqlite://{self.path}"
        scheme = RefreshToken(
            self.vendor.token_url, client_id="app", client_secret="app-secret", subject=subject
        )
        async with SQLiteStore.from_url(url, key=self.key) as store:
            await TokenManager(store, policy=POLICY).put(scheme, self.vendor.authorize(subject))


@pytest.fixture
async def world(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    package = tmp_path / "site" / "sqlite_store-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: sqlite-store\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[asyncauth.stores]\nsqlite = sqlite_store:SQLiteStore\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    key = KeyRing.generate().dump()
    async with (
        OAuth2Emulator(access_lifetime=HOUR, record=False) as vendor,
        a_fleet_of_processes(vendor, f"sqlite://{path}", key, POLICY) as fleet,
    ):
        yield World(vendor, fleet, path, key)


@pytest.mark.processes
async def test_four_cold_processes_log_in_once(world: World) -> None:
    await world.fleet.start(4)

    assert await world.fleet.request(50) == []
    assert world.vendor.stats.token_calls == 1
    assert world.vendor.stats.api_calls == 200


@pytest.mark.processes
async def test_one_time_refresh_tokens_are_spent_once_per_expiry_by_four_processes(world: World) -> None:
    await world.authorize("ada")
    await world.fleet.start(4, subjects=["ada"])
    assert await world.fleet.request(1) == []
    for expiry in range(1, 5):
        await world.fleet.expire()
        assert await world.fleet.request(5) == []
        assert world.vendor.stats.token_calls == expiry

    assert world.vendor.stats.families_revoked == 0
    assert world.vendor.stats.refusals == {}


@pytest.mark.processes
async def test_a_killed_worker_s_renewal_is_taken_over_once_its_lease_has_run_out(world: World) -> None:
    [first] = await world.fleet.start(last_event="RenewalStarted")
    others = await world.fleet.start(3)
    first.send("request", times=1, at=0)
    assert await first.ended() == -signal.SIGKILL
    killed_at = time.monotonic()

    assert await asyncio.gather(*(other.request(20) for other in others)) == [{}, {}, {}]
    assert world.vendor.stats.token_calls == 1
    assert POLICY.lease - POLICY.heartbeat - 1 < time.monotonic() - killed_at < POLICY.lease + 10
