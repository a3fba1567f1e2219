"""What every test gets: a loop that must not be blocked; and a world to test the core in."""

from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

from worlds import Fleet, a_fleet

pytest_plugins = ["redis_fixtures"]

# The same examples in each run, however busy the machine is: what fails here fails everywhere.
settings.register_profile(
    "asyncauth", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("asyncauth")


@pytest.fixture(scope="session", autouse=True)
def _unblocked_loop() -> Iterator[BlockBuster]:
    """Fail a test in which our code blocks the event loop with files, sleeps or sockets."""
    with blockbuster_ctx(scanned_modules=["asyncauth", "asyncauth_stores"]) as guard:
        # A time zone is read once, when a scheme is made: at start-up, as a rule.
        for call in ("os.stat", "io.BufferedReader.read"):
            guard.functions[call].can_block_in("asyncauth/schemes/carecloud.py", "_as_zone")
        yield guard


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """One clock, one place for tokens, one OAuth 2 server, and as many workers as wanted."""
    async with a_fleet() as world:
        yield world
