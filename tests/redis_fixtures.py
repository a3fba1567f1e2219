"""Fixtures of the tests that need a server: `pytest_plugins = ["redis_fixtures"]` in conftest.py."""

from collections.abc import Iterator

import pytest

from redis_servers import RedisServer, require


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
