"""What a renewal asks of a store: two writes of who renews, one write and one read of each who waits."""

import asyncio

import pytest

from asyncauth import TokenManager
from asyncauth.testing import settle
from worlds import Fleet, a_held_renewal, handle_of, text_of


def asked(manager: TokenManager) -> tuple[int, int]:
    """Return how many writes and reads a worker has made."""
    calls = handle_of(manager).calls
    return calls["write"], calls["read"]


async def at_rest(fleet: Fleet, *managers: TokenManager) -> None:
    """Let all know the token, let it expire, and count from now on."""
    for manager in managers:
        await manager.token(fleet.service())
    fleet.clock.step(3600)
    await settle()
    for manager in managers:
        handle_of(manager).calls.clear()


async def test_who_renews_writes_twice_and_reads_nothing(fleet: Fleet) -> None:
    manager = fleet.manager()
    await at_rest(fleet, manager)
    await manager.token(fleet.service())
    await settle()
    writes, reads = asked(manager)
    assert writes == 2
    assert reads == 0


async def test_who_waits_loses_one_write_and_reads_once(fleet: Fleet) -> None:
    managers = [fleet.manager() for _ in range(4)]
    await at_rest(fleet, *managers)
    hold, renewing = await a_held_renewal(fleet, managers[0], fleet.service())
    others = [asyncio.create_task(manager.token(fleet.service())) for manager in managers[1:]]
    await settle()
    assert [asked(manager) for manager in managers[1:]] == [(1, 0)] * 3
    hold.release()
    assert {text_of(token) for token in await asyncio.gather(renewing, *others)} == {text_of(await renewing)}
    await settle()
    assert [asked(manager) for manager in managers[1:]] == [(1, 1)] * 3
    assert asked(managers[0])[0] == 2


async def test_a_token_that_one_worker_adopts_is_told_of_once(fleet: Fleet) -> None:
    managers = [fleet.manager() for _ in range(2)]
    await at_rest(fleet, *managers)
    fleet.events.clear()
    await asyncio.gather(*(manager.token(fleet.service()) for manager in managers))
    await settle()
    kinds = [type(event).__name__ for event in fleet.events]
    assert kinds.count("TokenAdopted") == 1


@pytest.mark.parametrize("ahead", [-50, 50])
async def test_a_lease_is_written_again_if_the_stores_clock_has_moved_since_the_last_look(
    fleet: Fleet, ahead: float
) -> None:
    manager, other = fleet.manager(), fleet.manager()
    await at_rest(fleet, manager, other)
    fleet.clock.step_wall(ahead)
    hold, renewing = await a_held_renewal(fleet, manager, fleet.service())
    record = await fleet.record(fleet.service())
    assert record is not None
    assert record.lease is not None
    assert 5_000 <= record.lease.until - int(fleet.clock.wall() * 1000) <= 6_000
    hold.release()
    assert await other.token(fleet.service()) == await renewing
    assert fleet.vendor.stats.token_calls == 2
