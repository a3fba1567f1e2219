"""Four processes at work while their Redis fails over, restarts empty, or stands still.

As long as a valid token is at hand nobody notices. What needs the store is renewed without it where that
is safe, fails closed where it is not, and all agree again once it is back (PROTOCOL.md, sections 7 and 9).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from asyncauth import RefreshPolicy, TokenManager, open_store
from asyncauth.schemes import RefreshToken
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from fleet_of_processes import HOUR, ProcessFleet, a_fleet_of_processes
from redis_clusters import ClusterSet
from redis_sentinels import SentinelSet
from redis_servers import RedisServer
from redis_topologies import asked

pytestmark = [pytest.mark.processes, pytest.mark.servers, pytest.mark.slow]

POLICY = RefreshPolicy(
    request_timeout=3,
    quiet=0.5,
    heartbeat=0.6,
    lease=2.2,
    grace=3.5,
    quarantine=5.8,
    wait=12,
    store_timeout=1,
    backoff_first=0.5,
    early_share=0.001,
    early_min=0.001,
)
KEY = KeyRing.generate().dump()
_TRIES = 40


@pytest.fixture
async def vendor() -> AsyncIterator[OAuth2Emulator]:
    async with OAuth2Emulator(access_lifetime=HOUR, record=False) as emulator:
        yield emulator


async def a_fleet_at_work(fleet: ProcessFleet, vendor: OAuth2Emulator, url: str) -> None:
    """Start two processes that log in and two with a person's one-time refresh tokens, and use each."""
    async with open_store(url, key=KEY) as store:
        ada = RefreshToken(vendor.token_url, client_id="app", client_secret="app-secret", subject="ada")
        await TokenManager(store, policy=POLICY).put(ada, vendor.authorize("ada"))
    await asyncio.gather(fleet.start(2), fleet.start(2, subjects=["ada"]))
    assert await fleet.request(1) == []
    assert vendor.stats.token_calls == 1


async def requests_during(fleet: ProcessFleet, trouble: Awaitable[object]) -> Counter[str]:
    """Have all processes send requests for as long as the trouble lasts; return what failed."""
    failures: Counter[str] = Counter()
    ending = asyncio.ensure_future(trouble)
    rounds = 0
    while not ending.done() or rounds == 0:
        for failed in await fleet.request(10):
            failures.update(failed)
        rounds += 1
        await asyncio.sleep(0.05)
    await ending
    return failures


def keys_of(server: RedisServer) -> list[str]:
    """Return the keys that lie on a server."""
    found = asked(server, "KEYS", "*")
    assert isinstance(found, list)
    return [str(key) for key in found]


async def until_nothing_fails(fleet: ProcessFleet) -> None:
    """Wait until a request of each process succeeds again."""
    tries = 0
    while failed := await fleet.request(1):
        tries += 1
        assert tries < _TRIES, failed
        await asyncio.sleep(0.25)


async def expire_once(fleet: ProcessFleet, vendor: OAuth2Emulator) -> None:
    """Have both tokens expire, and see each renewed once, with the family of the one-time tokens alive."""
    before = vendor.stats.token_calls
    await fleet.expire()
    await until_nothing_fails(fleet)
    assert vendor.stats.token_calls - before == 2
    assert vendor.stats.families_revoked == 0


async def nobody_notices(
    fleet: ProcessFleet, vendor: OAuth2Emulator, url: str, fail: Callable[[], object]
) -> None:
    """See a fail-over go by without a failed request or a renewal, and one renewal of each token after it."""
    await a_fleet_at_work(fleet, vendor, url)
    assert await requests_during(fleet, asyncio.to_thread(fail)) == {}
    assert vendor.stats.token_calls == 1
    await expire_once(fleet, vendor)


@pytest.mark.parametrize("shared_sentinels", ["valkey"], indirect=True)
async def test_nobody_notices_that_a_sentinels_primary_dies(
    sentinels: SentinelSet, vendor: OAuth2Emulator
) -> None:
    async with a_fleet_of_processes(vendor, sentinels.url, KEY, POLICY) as fleet:
        await nobody_notices(
            fleet, vendor, sentinels.url, lambda: sentinels.wait_for_another(sentinels.kill_primary())
        )


@pytest.mark.parametrize("shared_cluster", ["valkey"], indirect=True)
async def test_nobody_notices_that_a_node_of_a_cluster_dies(
    cluster: ClusterSet, vendor: OAuth2Emulator
) -> None:
    def fail() -> None:
        for server in cluster.primaries():
            for key in keys_of(server)[:1]:
                cluster.wait_for_another(cluster.kill_primary(key), key)
                cluster.heal()

    async with a_fleet_of_processes(vendor, cluster.url, KEY, POLICY) as fleet:
        await nobody_notices(fleet, vendor, cluster.url, fail)


@pytest.mark.parametrize("own_redis", ["valkey"], indirect=True)
async def test_a_server_that_restarts_empty_gets_the_tokens_back_from_the_workers(
    own_redis: RedisServer, vendor: OAuth2Emulator
) -> None:
    async def trouble() -> None:
        await asyncio.to_thread(own_redis.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_redis.start)
        await asyncio.sleep(2)

    async with a_fleet_of_processes(vendor, own_redis.url, KEY, POLICY) as fleet:
        await a_fleet_at_work(fleet, vendor, own_redis.url)
        assert await requests_during(fleet, trouble()) == {}
        late = await fleet.start(1, subjects=["ada"])
        assert await late[0].request() == {}
        assert vendor.stats.token_calls == 1
        await expire_once(fleet, vendor)


@pytest.mark.parametrize("own_redis", ["valkey"], indirect=True)
async def test_while_the_server_stands_still_logins_go_on_alone_and_one_time_tokens_fail_closed(
    own_redis: RedisServer, vendor: OAuth2Emulator
) -> None:
    async with a_fleet_of_processes(vendor, own_redis.url, KEY, POLICY) as fleet:
        await a_fleet_at_work(fleet, vendor, own_redis.url)
        service, person = fleet.workers[:2], fleet.workers[2:]
        own_redis.pause()
        assert await requests_during(fleet, asyncio.sleep(POLICY.lease + 0.5)) == {}
        await fleet.expire()
        for worker in service:
            assert await worker.request(20) == {}
        assert vendor.stats.token_calls == 3  # each for itself
        for worker in person:
            asked_at = asyncio.get_running_loop().time()
            (failure,) = await worker.request(20)
            assert asyncio.get_running_loop().time() - asked_at < 2 * POLICY.store_timeout
            assert failure.startswith("StoreUnavailableError")

        own_redis.resume()
        await until_nothing_fails(fleet)
        assert vendor.stats.token_calls == 4
        await asyncio.sleep(3)  # what was issued meanwhile is stored, and one of the two stands
        late = await fleet.start(1)
        assert await late[0].request() == {}
        assert vendor.stats.token_calls == 4
        assert vendor.stats.families_revoked == 0
