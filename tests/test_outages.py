"""A store that is away: tokens at hand serve; what a login replaces is renewed; the rest fails closed."""

import asyncio

import pytest

from asyncauth import RenewalFailedError, StoreUnavailableError, TokenRenewed
from asyncauth.testing import settle
from asyncauth.testing.emulators import Answer
from worlds import Fleet, a_held_renewal, handle_of, text_of, worker_of


@pytest.mark.slow
async def test_a_token_at_hand_serves_while_the_store_is_away(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    token = await manager.token(scheme)
    handle_of(manager).away = True
    for _ in range(10):
        await fleet.clock.advance(300)
        assert await manager.token(scheme) == token


@pytest.mark.slow
async def test_what_a_login_replaces_is_renewed_alone_and_stored_when_the_store_is_back(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    await manager.token(scheme)
    handle_of(manager).away = True
    await fleet.clock.advance(3600)
    tokens = await asyncio.gather(*(manager.token(scheme) for _ in range(20)))
    assert len({text_of(token) for token in tokens}) == 1
    assert fleet.vendor.stats.token_calls == 2

    handle_of(manager).away = False
    await fleet.clock.advance(10)
    await settle()
    assert await other.token(scheme) == tokens[0]
    assert fleet.vendor.stats.token_calls == 2
    assert sum(isinstance(event, TokenRenewed) for event in fleet.events) == 2


async def test_a_cold_start_without_a_store_works_where_a_login_is_cheap(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    handle_of(manager).away = True

    assert text_of(await manager.token(scheme))
    assert fleet.vendor.stats.token_calls == 1


@pytest.mark.slow
async def test_what_is_stored_meanwhile_wins_over_a_token_renewed_alone(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    await manager.token(scheme)
    handle_of(manager).away = True
    await fleet.clock.advance(3600)
    alone = await manager.token(scheme)
    shared = await other.token(scheme)
    assert alone != shared
    handle_of(manager).away = False
    await fleet.clock.advance(10)
    await settle()

    assert await manager.token(scheme) == await other.token(scheme) == shared


@pytest.mark.slow
async def test_one_time_refresh_tokens_are_not_spent_without_the_store(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    handle_of(manager).away = True
    await fleet.clock.advance(3600)
    with pytest.raises(StoreUnavailableError, match="one-time refresh token .* is not spent without it"):
        await manager.token(scheme)
    assert fleet.vendor.stats.token_calls == 0

    handle_of(manager).away = False
    assert text_of(await manager.token(scheme))


async def test_no_request_waits_for_a_silent_store_longer_than_its_timeout(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    handle_of(manager).silent = True
    task = asyncio.create_task(manager.token(scheme))
    await fleet.clock.advance(0.49)
    assert not task.done()
    await fleet.clock.advance(0.02)
    with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.5 s"):
        await task

    before = handle_of(manager).calls["read"]
    with pytest.raises(StoreUnavailableError, match="a moment ago"):
        await manager.token(scheme)  # at once: it is not asked again so soon
    assert handle_of(manager).calls["read"] == before


async def test_a_one_time_token_just_issued_is_kept_for_the_store_while_nobody_waits(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    handle_of(manager).away = True
    hold.release()
    for _ in range(10):
        await asyncio.sleep(0.002)
        await fleet.clock.advance(0.5)
    with pytest.raises(StoreUnavailableError, match="the renewed token is used as soon as it can be stored"):
        await renewing  # nobody uses what is not stored
    with pytest.raises(StoreUnavailableError, match="as soon as it can be stored"):
        await manager.token(scheme)  # at once

    handle_of(manager).away = False
    await fleet.clock.advance(2)
    token = await manager.token(scheme)
    assert await other.token(scheme) == token
    assert fleet.vendor.stats.token_calls == 1


async def test_who_waits_for_another_worker_learns_soon_that_the_store_is_silent(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    waiting = asyncio.create_task(other.token(scheme))
    await settle()
    handle_of(other).silent = True
    for _ in range(11):
        await fleet.clock.advance(0.1)
    assert waiting.done()
    with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.5 s"):
        await waiting
    hold.release()
    await renewing
    assert fleet.vendor.stats.token_calls == 1


async def test_a_process_that_renews_alone_stands_back_after_a_failure(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    handle_of(manager).away = True
    fleet.vendor.faults.add(Answer(status=503), on="token", times=None)
    for _ in range(5):
        with pytest.raises(RenewalFailedError):
            await manager.token(scheme)
    assert fleet.vendor.stats.token_calls == 1
    fleet.vendor.faults.clear()
    await fleet.clock.advance(2)
    assert text_of(await manager.token(scheme))


@pytest.mark.slow
async def test_a_watch_goes_on_after_the_store_was_away(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await other.token(scheme)
    handle_of(other).away = True
    await fleet.clock.advance(3600)
    new = await manager.token(scheme)
    await fleet.clock.advance(5)
    handle_of(other).away = False
    await fleet.clock.advance(5)

    held = worker_of(other).slot(scheme).held
    assert held is not None
    assert held.entry.token == new
