"""The manager alone: one flight per key, early renewal, patience, cancellation, closing.

`test_fleet.py` has what several workers do to each other, `test_outages.py` what a store does to them.
"""

import asyncio

import pytest

from asyncauth import (
    ClosedError,
    ConfigurationError,
    RefreshPolicy,
    RenewalFailedError,
    TokenManager,
    TokenRenewed,
    VendorUnreachableError,
    WaitTimeoutError,
)
from asyncauth.testing import settle
from asyncauth.testing.emulators import Answer, Cut, Hold, Latency
from worlds import Fleet, Handle, a_held_renewal, handle_of, text_of, worker_of


async def test_a_thousand_tasks_on_a_cold_start_cause_one_renewal(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    tokens = await asyncio.gather(*(manager.token(scheme) for _ in range(1000)))

    assert len({text_of(token) for token in tokens}) == 1
    assert fleet.vendor.stats.token_calls == 1


async def test_a_thousand_tasks_on_an_expired_token_cause_one_renewal(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    first = await manager.token(scheme)
    await fleet.clock.advance(3600)
    tokens = await asyncio.gather(*(manager.token(scheme) for _ in range(1000)))

    assert {text_of(token) for token in tokens} != {text_of(first)}
    assert fleet.vendor.stats.token_calls == 2


async def test_a_valid_token_costs_no_store_access_and_no_task_switch(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    token = await manager.token(scheme)
    await settle()
    before = handle_of(manager).calls.copy()
    for _ in range(100):
        call = manager.token(scheme)
        with pytest.raises(StopIteration) as done:  # it ends at its first step: it awaits nothing
            call.send(None)

        assert done.value.value is token
    assert handle_of(manager).calls == before


async def test_renewal_starts_early_in_the_background_while_the_old_token_serves(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    old = await manager.token(scheme)
    hold = Hold()
    fleet.vendor.faults.add(hold, on="token")
    await fleet.clock.advance(3600 - 360)  # 20 % of the life is 720 s; jitter takes up to half of it
    assert await manager.token(scheme) == old
    await fleet.clock.advance(0)
    early = worker_of(manager).slot(scheme).held
    assert early is not None
    await fleet.clock.advance(max(early.early_at - fleet.clock.monotonic(), 0))
    assert await manager.token(scheme) == old
    await hold.arrived.wait()
    assert await manager.token(scheme) == old
    hold.release()
    await _until_renewed(fleet, 2)

    assert await manager.token(scheme) != old


async def test_workers_come_one_after_the_other_so_that_most_find_the_new_token_there(fleet: Fleet) -> None:
    managers, scheme = [fleet.manager() for _ in range(8)], fleet.service()
    for manager in managers:
        await manager.token(scheme)
    starts = sorted(
        held.early_at for held in (worker_of(each).slot(scheme).held for each in managers) if held
    )
    assert len(set(starts)) == 8

    await fleet.clock.advance(starts[0] - fleet.clock.monotonic() + 0.1)
    for manager in managers:
        await manager.token(scheme)
    await settle()
    assert fleet.vendor.stats.token_calls == 2
    # The second one's turn has come and gone, and it had nothing to do.
    await fleet.clock.advance(starts[1] - fleet.clock.monotonic() + 0.1)
    before = [handle_of(manager).calls.total() for manager in managers]
    tokens = [await manager.token(scheme) for manager in managers]
    assert len(set(map(text_of, tokens))) == 1
    assert [handle_of(manager).calls.total() for manager in managers] == before


async def test_early_renewals_that_fail_are_rare_and_disturb_nobody(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    old = await manager.token(scheme)
    fleet.vendor.faults.add(Answer(status=429), on="token", times=None)
    await fleet.clock.advance(3600 - 180)
    for _ in range(60):
        assert await manager.token(scheme) == old
        flight = worker_of(manager).slot(scheme).flight
        if flight is not None:
            await fleet.clock.advance(5)
            await asyncio.wait({flight})
        await fleet.clock.advance(1)

    # At most one early flight in 30 s, each with two repetitions.
    assert 3 <= fleet.vendor.stats.token_calls - 1 <= 3 * 3 * 12


async def test_a_caller_who_needs_more_life_has_the_token_renewed(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    first = await manager.token(scheme)
    await fleet.clock.advance(1000)

    assert await manager.token(scheme, min_ttl=2000) == first
    second = await manager.token(scheme, min_ttl=3000)
    assert second != first
    assert await manager.token(scheme, min_ttl=7200) == second  # just issued: it satisfies anybody
    assert fleet.vendor.stats.token_calls == 2


async def _cancelled_after(fleet: Fleet, manager: TokenManager, steps: int) -> bool:
    """Cancel a caller after so many steps of the loop; return whether it was still waiting."""
    task = asyncio.create_task(manager.token(fleet.user()))
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting = task.cancel()
    await asyncio.wait({task})
    return waiting and task.cancelled()


@pytest.mark.slow
async def test_a_caller_cancelled_at_any_moment_of_a_renewal_does_not_end_it(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(1)
    waited, renewals = 0, 0
    for steps in range(1, 60):
        await fleet.clock.advance(3600)
        waited += await _cancelled_after(fleet, manager, steps)
        renewals += 1
        await _until_renewed(fleet, renewals)
        record = await fleet.record(scheme)
        assert record is not None
        assert record.entry is not None
        assert record.lease is None
        assert await manager.token(scheme) == record.entry.token

    assert waited > 10  # the steps above did reach into the renewal
    assert fleet.vendor.stats.token_calls == renewals
    assert fleet.vendor.stats.families_revoked == 0


async def test_the_lease_is_prolonged_while_a_slow_vendor_works(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    hold, first = await a_held_renewal(fleet, one, scheme)
    second = asyncio.create_task(other.token(scheme))
    await fleet.clock.advance(9)  # longer than a lease of 6 s
    assert not second.done()
    hold.release()

    assert await first == await second
    assert fleet.vendor.stats.token_calls == 1


async def test_a_caller_waits_no_longer_than_its_patience(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    fleet.vendor.faults.add(Latency(1e6), on="token", times=None)
    task = asyncio.create_task(manager.token(scheme))
    while not fleet.vendor.stats.token_calls:
        await asyncio.sleep(0.001)
    for _ in range(41):
        await fleet.clock.advance(1)

    with pytest.raises((WaitTimeoutError, RenewalFailedError), match=r"40 s|10 s"):
        await task


async def test_a_renewal_that_cannot_connect_is_everyones_answer_until_its_retry_time() -> None:
    from asyncauth.schemes import ClientCredentials
    from asyncauth.testing import ManualClock
    from asyncauth_stores.memory import MemoryTokenStore

    clock = ManualClock()
    async with MemoryTokenStore(clock=clock) as store:
        manager = TokenManager(store, clock=clock)
        scheme = ClientCredentials("http://127.0.0.1:9/token", client_id="app", client_secret="s")
        task = asyncio.create_task(manager.token(scheme))
        while not task.done():
            await clock.advance(1)
            await asyncio.sleep(0.001)
        with pytest.raises(RenewalFailedError, match="no connection to http://127.0.0.1:9/token") as failed:
            await task
        assert failed.value.reason == VendorUnreachableError.__name__
        assert failed.value.retry_in is not None
        assert failed.value.retry_in <= 2  # it may be this host's own trouble
        with pytest.raises(RenewalFailedError):
            await manager.token(scheme)


async def test_all_who_wait_get_the_failure_each_as_an_exception_of_its_own(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service(secret="wrong")
    results = await asyncio.gather(*(manager.token(scheme) for _ in range(50)), return_exceptions=True)

    assert len({id(result) for result in results}) == 50
    assert {type(result).__name__ for result in results} == {"CredentialRefusedError"}
    assert fleet.vendor.stats.token_calls == 1


async def test_closing_drains_a_renewal_that_was_sent(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    hold, caller = await a_held_renewal(fleet, manager, scheme)
    closing = asyncio.create_task(handle_of(manager).aclose())
    await settle()
    assert not closing.done()
    hold.release()
    await closing

    await asyncio.wait({caller})
    assert any(isinstance(event, TokenRenewed) for event in fleet.events)
    record = await fleet.record(scheme)
    assert record is not None
    assert record.lease is None
    assert record.intent is None


async def test_closing_gives_back_a_lease_under_which_nothing_was_sent(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    hold, first = await a_held_renewal(fleet, one, scheme)
    second = asyncio.create_task(other.token(scheme))
    await settle()
    await handle_of(other).aclose()  # it only waits for the other's lease

    with pytest.raises(ClosedError):
        await second
    hold.release()
    await first
    assert fleet.vendor.stats.token_calls == 1


async def test_managers_on_one_store_share_their_worker_and_its_policy(fleet: Fleet) -> None:
    manager = fleet.manager()
    store = worker_of(manager).store
    twin = TokenManager(store, clock=fleet.clock)
    assert twin.worker is manager.worker
    with pytest.raises(ConfigurationError, match="another RefreshPolicy"):
        _ = TokenManager(store, policy=RefreshPolicy(retries=7)).worker


async def test_the_last_user_ends_the_worker_and_the_next_one_makes_a_new_one(fleet: Fleet) -> None:
    store = Handle(fleet.place, fleet.clock)
    async with TokenManager(store, clock=fleet.clock) as one:
        async with TokenManager(store, clock=fleet.clock) as other:
            worker = one.worker
            assert other.worker is worker
        assert not worker.closed
    assert worker.closed
    assert TokenManager(store, clock=fleet.clock).worker is not worker
    await store.aclose()


async def test_who_closes_nothing_does_not_have_it_closed_by_others(fleet: Fleet) -> None:
    manager = fleet.manager()
    worker = manager.worker
    async with TokenManager(handle_of(manager), clock=fleet.clock) as other:
        assert other.worker is worker
    assert not worker.closed
    await handle_of(manager).aclose()
    assert worker.closed


@pytest.mark.parametrize("fault", [Cut(when="before"), Cut(when="after"), Answer(status=503)])
async def test_a_failure_of_which_nobody_knows_is_repeated_where_a_login_is_cheap(
    fleet: Fleet, fault: Cut | Answer
) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    fleet.vendor.faults.add(fault, on="token")
    task = asyncio.create_task(manager.token(scheme))
    while not task.done():
        await fleet.clock.advance(0.5)
        await asyncio.sleep(0.001)

    assert text_of(await task)
    assert fleet.vendor.stats.token_calls == 2


async def _until_renewed(fleet: Fleet, count: int) -> None:
    """Wait, in real time, for that many renewals: they go over real sockets."""
    async with asyncio.timeout(10):
        while sum(isinstance(event, TokenRenewed) for event in fleet.events) < count:
            await asyncio.sleep(0.001)
    await settle()
