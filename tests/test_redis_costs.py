"""What a renewal costs a Redis server, by its own count: 3 commands for who renews, 2 for each who waits."""

import asyncio

import attrs
import pytest

from redis_costs import Costs, a_counted_fleet
from redis_servers import RedisServer, binaries, require

pytestmark = [pytest.mark.processes, pytest.mark.servers]

_EXPIRIES = 4
_RENEWING = 3
_WAITING = 2


@attrs.frozen
class Case:
    """So many processes, and what they sent."""

    processes: int
    costs: Costs


@pytest.fixture(scope="module", params=[1, 8], ids=["one process", "eight processes"])
def case(request: pytest.FixtureRequest) -> Case:
    async def count() -> Costs:
        with RedisServer(require(next(iter(binaries()), "redis"))) as server:
            async with a_counted_fleet(server, request.param) as fleet:
                return await fleet.costs(_EXPIRIES)

    return Case(request.param, asyncio.run(count()))


def test_requests_between_expiries_send_nothing(case: Case) -> None:
    assert case.costs.requests == {}


def test_renewals_send_nothing_but_the_store_s_scripts(case: Case) -> None:
    # A subscriber asks every few seconds whether its server is still there.
    assert [set(expiry) - {"ping"} for expiry in case.costs.expiries] == [{"evalsha"}] * _EXPIRIES


def test_a_renewal_sends_three_commands_and_each_waiting_process_two(case: Case) -> None:
    waiting = case.processes - 1
    totals = [sum(expiry.values()) - expiry.get("ping", 0) for expiry in case.costs.expiries]
    assert min(totals) <= _RENEWING + _WAITING * waiting
    # Who comes late, between a commit and its message, reads once more.
    assert max(totals) <= _RENEWING + (_WAITING + 1) * waiting + 1
