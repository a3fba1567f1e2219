"""What the simulation found in the core, each as a test of its own."""

import asyncio

import attrs
import pytest

from asyncauth import StoreUnavailableError
from asyncauth._answers import Committed
from asyncauth._transitions import commit, restore
from asyncauth.testing import settle
from makers import NEW, NOW, POLICY, SECOND, a_record, seen_at, written
from worlds import Fleet, a_held_renewal, handle_of, text_of, worker_of


@pytest.mark.parametrize("store", [commit, restore], ids=lambda change: change.__name__)
def test_what_was_issued_before_the_stores_clock_went_back_is_stored_as_issued_now(store: object) -> None:
    """Else it would be taken for living, and for just issued, until the clock is where it was."""
    transition = commit if store is commit else restore
    step = transition(seen_at(a_record(), now=NOW - 600 * SECOND), NEW, POLICY)
    entry = written(step).entry

    assert step.answer == Committed()
    assert entry == attrs.evolve(NEW, issued_at=NOW - 600 * SECOND, expires_at=NOW + 3000 * SECOND)


async def test_a_token_renewed_while_the_stores_clock_goes_back_is_renewed_when_it_ends(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    await settle()
    fleet.clock.step_wall(-3000)
    hold.release()
    token = await renewing
    assert await other.token(scheme) == token

    for worker in (manager, other):
        held = worker_of(worker).slot(scheme).held
        assert held is not None
        assert held.usable_until <= fleet.clock.monotonic() + 3600
    record = await fleet.record(scheme)
    assert record is not None
    assert record.entry is not None
    assert record.entry.issued_at <= fleet.clock.wall() * 1000


async def test_one_lost_answer_of_the_store_is_no_outage(fleet: Fleet) -> None:
    """Kind N would log in beside a renewal that is under way, and the others would fail."""
    manager, service, user = fleet.manager(), fleet.service(), fleet.user()
    await manager.put(user, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    for scheme in (service, user):
        handle_of(manager).loses_answers = 1
        assert text_of(await manager.token(scheme))

    assert fleet.vendor.stats.token_calls == 2
    assert not handle_of(manager).loses_answers


async def test_a_grant_whose_answer_did_not_come_is_used_by_the_next_who_asks(fleet: Fleet) -> None:
    """Else the whole fleet would wait for the end of a lease that nobody uses."""
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    handle_of(manager).loses_answers = 2
    with pytest.raises(StoreUnavailableError):
        await manager.token(scheme)
    record = await fleet.record(scheme)
    assert record is not None
    assert record.lease is not None

    async with asyncio.timeout(5):
        assert text_of(await manager.token(scheme))
    assert fleet.vendor.stats.token_calls == 1


async def test_a_vendor_that_does_not_answer_is_given_up_when_the_time_is_over(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    await fleet.clock.advance(11)
    async with asyncio.timeout(5):
        while fleet.vendor.stats.token_calls < 2:
            await fleet.clock.advance(0.2)
            await asyncio.sleep(0.001)
        assert text_of(await renewing)
    hold.drop()
