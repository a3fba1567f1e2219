"""Each vendor's tokens shared by real processes: one renewal per expiry, and no request fails."""

import asyncio
from pathlib import Path

import pytest

from asyncauth import RefreshPolicy, Token, TokenManager, open_store
from asyncauth.testing.emulators import ClicRDVEmulator, CronofyEmulator, SimpliciteEmulator
from asyncauth_stores.sealed import KeyRing
from fleet_of_processes import Job, WorkerProcess, a_fleet_at_work
from vendor_jobs import (
    CASES,
    CLICRDV_IDLE,
    SIMPLICITE_LIFE,
    clicrdv,
    cronofy_application,
    scheme_of,
    simplicite,
)

pytestmark = pytest.mark.processes

# Nothing is renewed before its end, so that expiries can be counted.
PATIENT = RefreshPolicy(store_timeout=2, early_share=0.001, early_min=0.001)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file://{tmp_path}/tokens"


@pytest.fixture(scope="module")
def key() -> str:
    return KeyRing.generate().dump()


@pytest.mark.parametrize("name", CASES)
async def test_four_processes_renew_once_per_expiry_and_no_request_fails(
    name: str, store: str, key: str
) -> None:
    case = CASES[name]
    async with case.emulator() as vendor:
        job = case.job(vendor)
        first = await _put(case.stored(vendor), job, store, key)
        async with a_fleet_at_work(job, vendor, store, key, PATIENT) as fleet:
            await fleet.start(4)
            assert await fleet.request(10) == []
            assert vendor.stats.token_calls == first
            for expiry in (1, 2, 3):
                case.end(vendor)
                await fleet.expire(job.advance)
                assert await fleet.request(10) == []
                assert vendor.stats.token_calls == first + expiry


async def _put(token: Token | None, job: Job, store: str, key: str) -> int:
    """Store an authorization; return how many token calls the first use costs."""
    if token is None:
        return 1
    async with open_store(store, key=key) as opened:
        await TokenManager(opened, policy=PATIENT).put(scheme_of(job), token)
    return 0


async def test_an_application_key_is_used_by_all_processes_without_asking_anybody(
    store: str, key: str
) -> None:
    async with CronofyEmulator(per_second=None) as vendor:
        job = cronofy_application(vendor)
        async with a_fleet_at_work(job, vendor, store, key, PATIENT) as fleet:
            await fleet.start(4)
            assert await fleet.request(10) == []
            calls = [facts["calls"] for facts in await fleet.all("facts")]
        assert vendor.stats.token_calls == 0
        assert calls == [{}] * 4


async def test_one_process_traffic_keeps_a_clicrdv_session_alive_for_all(store: str, key: str) -> None:
    async with (
        ClicRDVEmulator() as vendor,
        a_fleet_at_work(clicrdv(vendor), vendor, store, key, PATIENT) as fleet,
    ):
        busy, idle = await fleet.start(2)
        assert await fleet.request(1) == []
        for _ in range(4):
            await fleet.expire(CLICRDV_IDLE / 2)
            before = await _writes(busy)
            assert await busy.request() == {}
            await _until_told(busy, before)

        assert await idle.request() == {}
        assert vendor.stats.token_calls == 1
        assert vendor.stats.refusals == {}


async def test_a_session_in_use_costs_the_store_a_write_per_tenth_of_its_limit_at_most(
    store: str, key: str
) -> None:
    async with (
        ClicRDVEmulator() as vendor,
        a_fleet_at_work(clicrdv(vendor), vendor, store, key, PATIENT) as fleet,
    ):
        [worker] = await fleet.start(1)
        assert await fleet.request(1) == []
        before = await _writes(worker)
        for _ in range(60):
            await fleet.expire(CLICRDV_IDLE / 60)
            assert await worker.request(10) == {}

        assert await _writes(worker) - before <= 10
        assert vendor.stats.token_calls == 1


async def _writes(worker: WorkerProcess) -> int:
    writes: int = (await worker.ask("facts"))["calls"].get("write", 0)
    return writes


async def _until_told(worker: WorkerProcess, before: int) -> None:
    """Wait until the store knows of the last use: time must not jump while it is being written."""
    async with asyncio.timeout(10):
        while await _writes(worker) == before:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


async def test_a_process_that_leaves_does_not_log_a_simplicite_token_out(store: str, key: str) -> None:
    async with (
        SimpliciteEmulator(token_duration=SIMPLICITE_LIFE) as vendor,
        a_fleet_at_work(simplicite(vendor), vendor, store, key, PATIENT) as fleet,
    ):
        leaving, staying = await fleet.start(2)
        assert await fleet.request(1) == []
        leaving.process.terminate()
        assert await leaving.ended() == 0

        assert await staying.request(10) == {}
        assert vendor.stats.token_calls == 1
        assert vendor.stats.refusals == {}
        assert not [request for request in vendor.requests if request.path.endswith("/logout")]
