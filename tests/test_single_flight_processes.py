"""One renewal per expiry, in fleets of real processes over real stores (PROTOCOL.md, section 9).

Time that only passes is not waited for: an expiry is an hour by which the clocks of all processes and
of the vendor are moved on. A server's clock cannot be moved, so each process takes the token before its
first expiry. Leases run out by the machine's own time.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest

from asyncauth import RefreshPolicy, TokenManager, open_store
from asyncauth.schemes import RefreshToken
from asyncauth.testing.emulators import Hold, OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from fleet_of_processes import HOUR, ProcessFleet, a_fleet_of_processes
from redis_servers import RedisServer, binaries, require

pytestmark = pytest.mark.processes

# Nothing is renewed before its end, so that expiries can be counted.
PATIENT = RefreshPolicy(store_timeout=2, early_share=0.001, early_min=0.001)
# A dead holder is seen by the lock that it held: nobody waits for these leases to end.
SEEN_DEAD = RefreshPolicy(store_timeout=2, lease=30, quiet=0.3, grace=20, quarantine=45, wait=70)
# A dead holder is not seen: the lease has to end, and the grace for a one-time token.
RUN_OUT = RefreshPolicy(
    store_timeout=1.5,
    heartbeat=0.7,
    lease=2.3,
    request_timeout=2,
    quiet=0.3,
    grace=2.3,
    quarantine=5,
    wait=30,
)


@attrs.frozen
class Place:
    """A sealed store that several processes can open."""

    url: str
    key: str
    dying: RefreshPolicy
    server: RedisServer | None = None


@pytest.fixture(scope="module")
def a_server() -> Iterator[RedisServer]:
    """One server: what differs between kinds of them is the store's tests' business."""
    with RedisServer(require(next(iter(binaries()), "redis"))) as server:
        yield server


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    key = KeyRing.generate().dump()
    if request.param == "file":
        return Place(f"file://{tmp_path}/tokens", key, SEEN_DEAD)
    server: RedisServer = request.getfixturevalue("a_server")
    server.command("FLUSHALL")
    return Place(server.url, key, RUN_OUT, server)


@pytest.fixture
async def vendor() -> AsyncIterator[OAuth2Emulator]:
    async with OAuth2Emulator(access_lifetime=HOUR, record=False) as emulator:
        yield emulator


@pytest.fixture
async def fleet(vendor: OAuth2Emulator, place: Place) -> AsyncIterator[ProcessFleet]:
    async with a_fleet_of_processes(vendor, place.url, place.key, PATIENT) as processes:
        yield processes


@pytest.fixture
async def dying_fleet(vendor: OAuth2Emulator, place: Place) -> AsyncIterator[ProcessFleet]:
    async with a_fleet_of_processes(vendor, place.url, place.key, place.dying) as processes:
        yield processes


async def _authorize(vendor: OAuth2Emulator, place: Place, *subjects: str) -> None:
    """Store users' tokens, as a web application does that they have authorized."""
    async with open_store(place.url, key=place.key) as store:
        manager = TokenManager(store, policy=PATIENT)
        for subject in subjects:
            scheme = RefreshToken(
                vendor.token_url, client_id="app", client_secret="app-secret", subject=subject
            )
            await manager.put(scheme, vendor.authorize(subject))


async def _until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


async def test_a_thousand_requests_of_eight_processes_on_an_expired_token_cause_one_renewal(
    fleet: ProcessFleet, vendor: OAuth2Emulator
) -> None:
    await fleet.start(8)
    vendor.access_lifetime = 1
    assert await fleet.request(1) == []
    vendor.access_lifetime = HOUR
    await asyncio.sleep(1)
    before = vendor.stats.token_calls

    assert await fleet.request(125) == []
    assert vendor.stats.token_calls - before == 1
    assert vendor.stats.api_calls == 1008


async def test_a_thousand_requests_of_eight_cold_processes_cause_one_login(
    fleet: ProcessFleet, vendor: OAuth2Emulator
) -> None:
    await fleet.start(8)

    assert await fleet.request(125) == []
    assert vendor.stats.token_calls == 1
    assert vendor.stats.api_calls == 1000


async def test_a_thousand_tasks_of_one_cold_process_cause_one_login(
    fleet: ProcessFleet, vendor: OAuth2Emulator
) -> None:
    await fleet.start(1)

    assert await fleet.request(1000) == []
    assert vendor.stats.token_calls == 1


async def test_one_time_refresh_tokens_are_spent_once_per_expiry_by_eight_processes(
    fleet: ProcessFleet, vendor: OAuth2Emulator, place: Place
) -> None:
    await _authorize(vendor, place, "ada")
    await fleet.start(8, subjects=["ada"])
    assert await fleet.request(1) == []
    for expiry in range(1, 11):
        await fleet.expire()
        assert await fleet.request(5) == []
        assert vendor.stats.token_calls == expiry

    assert vendor.stats.families_revoked == 0
    assert vendor.stats.refusals == {}


async def test_each_of_fifty_users_tokens_is_renewed_once_per_expiry(
    fleet: ProcessFleet, vendor: OAuth2Emulator, place: Place
) -> None:
    users = [f"user-{number}" for number in range(50)]
    await _authorize(vendor, place, *users)
    await fleet.start(4, subjects=users)
    assert await fleet.request(1) == []
    for expiry in (1, 2):
        await fleet.expire()
        assert await fleet.request(2) == []
        assert vendor.stats.token_calls == 50 * expiry

    assert vendor.stats.families_revoked == 0


async def test_requests_between_expiries_cost_the_store_nothing(
    fleet: ProcessFleet, vendor: OAuth2Emulator, place: Place
) -> None:
    await fleet.start(4)
    assert await fleet.request(10) == []
    before = await _settled(fleet, place)

    assert await fleet.request(500) == []
    assert vendor.stats.api_calls == 2040
    assert await _operations(fleet, place) == before


async def _settled(fleet: ProcessFleet, place: Place) -> list[object]:
    """Wait until all workers follow the record and rest."""
    async with asyncio.timeout(30):
        seen = await _operations(fleet, place)
        while True:
            await asyncio.sleep(0.5)
            now = await _operations(fleet, place)
            if now == seen:
                return now
            seen = now


async def _operations(fleet: ProcessFleet, place: Place) -> list[object]:
    """Return what the workers asked of the store, and what the server says that it was asked."""
    asked: list[object] = [facts["calls"] for facts in await fleet.all("facts")]
    if place.server is not None:
        counted = place.server.calls()
        counted = {name: calls for name, calls in counted.items() if name not in {"info", "ping"}}
        assert counted["evalsha"] > 0
        asked.append(counted)
    return asked


@asynccontextmanager
async def _killed_renewal(
    fleet: ProcessFleet, subjects: list[str], times: int
) -> AsyncIterator[Callable[[], float]]:
    """Kill a worker whose renewal the vendor has not processed, while two others wait for it.

    Yields:
        A clock: seconds since the kill.
    """
    hold = Hold()
    fleet.vendor.faults.add(hold, on="token")
    first, *others = await fleet.start(3, subjects=subjects)
    if subjects:
        assert await fleet.request(1) == []
        await fleet.expire()
    first.send("request", times=1, at=0)
    async with asyncio.timeout(30):
        await hold.arrived.wait()
    for other in others:
        other.send("request", times=times, at=0)
    await first.kill()
    killed_at = time.monotonic()
    hold.drop()
    yield lambda: time.monotonic() - killed_at
    for other in others:
        assert (await other.answer())["failures"] == {}


@pytest.mark.parametrize("kind", ["service", "user"])
async def test_a_renewal_is_taken_over_when_its_holder_is_killed(
    dying_fleet: ProcessFleet, vendor: OAuth2Emulator, place: Place, kind: str
) -> None:
    subjects = ["ada"] if kind == "user" else []
    await _authorize(vendor, place, *subjects)
    async with _killed_renewal(dying_fleet, subjects, 20) as since_the_kill:
        await _until(lambda: vendor.stats.token_calls == 2, "another worker asks the vendor")
        waited = since_the_kill()

    assert vendor.stats.token_calls == 2
    assert vendor.stats.families_revoked == 0
    _check_wait(place, waited, one_time=kind == "user")


def _check_wait(place: Place, waited: float, *, one_time: bool) -> None:
    """Check that a dead holder was waited for as long as one must, and not much longer."""
    policy = place.dying
    if place.server is None:  # the lock shows its death
        assert (policy.quiet if one_time else 0) <= waited < 10
    else:
        # It was killed within a moment of the lease's beginning, or of its last heartbeat.
        end = policy.lease + (policy.grace if one_time else 0)
        assert end - policy.heartbeat - 1 < waited < end + 10


@pytest.mark.parametrize("kind", ["service", "user"])
async def test_a_grant_is_taken_over_when_its_worker_is_killed_before_it_sends(
    dying_fleet: ProcessFleet, vendor: OAuth2Emulator, place: Place, kind: str
) -> None:
    subjects = ["ada"] if kind == "user" else []
    await _authorize(vendor, place, *subjects)
    [first] = await dying_fleet.start(subjects=subjects, last_event="RenewalStarted")
    [next_one] = await dying_fleet.start(subjects=subjects)
    if subjects:
        assert await dying_fleet.request(1) == []
        await dying_fleet.expire()
    first.send("request", times=1, at=0)
    assert await first.ended() == -signal.SIGKILL
    assert vendor.stats.token_calls == 0

    assert await next_one.request(20) == {}
    assert vendor.stats.token_calls == 1
    assert vendor.stats.families_revoked == 0


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_worker_that_is_told_to_end_during_a_renewal_stores_its_answer_first(
    fleet: ProcessFleet, vendor: OAuth2Emulator, place: Place, when: str
) -> None:
    await _authorize(vendor, place, "ada")
    leaving, staying = await fleet.start(2, subjects=["ada"])
    assert await fleet.request(1) == []
    await fleet.expire()
    hold = Hold(when="before" if when == "before" else "after")
    vendor.faults.add(hold, on="token")
    leaving.send("request", times=10, at=0)
    async with asyncio.timeout(30):
        await hold.arrived.wait()
    leaving.process.terminate()
    await asyncio.sleep(0.2)
    assert leaving.process.returncode is None, "it ended with its renewal under way"
    hold.release()

    assert await leaving.ended() == 0
    assert await staying.request(10) == {}
    assert vendor.stats.token_calls == 1
    assert vendor.stats.api_calls == 2 + 10
    assert vendor.stats.refusals == {}
