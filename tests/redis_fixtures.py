"""Fixtures of the tests that need a server: `pytest_plugins = ["redis_fixtures"]` in conftest.py."""

from collections.abc import Iterator

import pytest

from redis_clusters import ClusterSet
from redis_sentinels import SentinelSet
from redis_servers import RedisServer, binaries, require


@pytest.fixture(scope="session", params=["redis", "valkey"])
def shared_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """One server for all tests that do not stop it; of both kinds in turn."""
    with RedisServer(require(request.param)) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """The shared server, with nothing in it, and its counters at zero."""
    shared_redis.command("FLUSHALL")
    shared_redis.command("SCRIPT", "FLUSH")
    shared_redis.command("CONFIG", "RESETSTAT")
    return shared_redis


@pytest.fixture(params=["redis", "valkey"])
def own_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of the test's own, which it may kill, start again, or give other users."""
    with RedisServer(require(request.param)) as server:
        yield server


@pytest.fixture(scope="session", params=["redis", "valkey"])
def shared_sentinels(request: pytest.FixtureRequest) -> Iterator[SentinelSet]:
    """One primary, one replica and a Sentinel for all tests; of both kinds in turn."""
    with SentinelSet(require(request.param)) as servers:
        yield servers


@pytest.fixture
def sentinels(shared_sentinels: SentinelSet) -> SentinelSet:
    """The shared servers, healed from what the last test did to them, with nothing in them."""
    shared_sentinels.heal()
    shared_sentinels.primary.command("FLUSHALL")
    return shared_sentinels


@pytest.fixture(scope="session", params=["redis", "valkey"])
def shared_cluster(request: pytest.FixtureRequest) -> Iterator[ClusterSet]:
    """A Cluster of three primaries and three replicas for all tests; of both kinds in turn."""
    with ClusterSet(require(request.param)) as servers:
        yield servers


@pytest.fixture
def cluster(shared_cluster: ClusterSet) -> ClusterSet:
    """The shared Cluster, healed from what the last test did to it, with nothing in it."""
    shared_cluster.heal()
    for server in shared_cluster.primaries():
        server.command("FLUSHALL")
    return shared_cluster


@pytest.fixture(scope="session")
def one_redis() -> Iterator[RedisServer]:
    """One server, for tests of what does not differ between kinds of them."""
    with RedisServer(require(next(iter(binaries()), "redis"))) as server:
        yield server


@pytest.fixture
def any_redis(one_redis: RedisServer) -> RedisServer:
    """The one server, with nothing in it."""
    one_redis.command("FLUSHALL")
    return one_redis
