"""Where a login before a token's end gives the old one again, the login waits for the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from asyncauth import TokenManager
from asyncauth.testing import ManualClock
from asyncauth_stores.memory import MemoryTokenStore
from http_places import Ready
from worlds import text_of

BASE = URL("https://api.example.com")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def manager(clock: ManualClock) -> AsyncIterator[TokenManager]:
    async with MemoryTokenStore(clock=clock) as store, TokenManager(store, clock=clock) as made:
        yield made


async def test_at_its_end_the_login_waits_until_it_is_surely_over(
    clock: ManualClock, manager: TokenManager
) -> None:
    scheme = Ready(base_url=BASE, life=60, renews_early=False)
    await manager.token(scheme)
    clock.step(60)
    second = asyncio.create_task(manager.token(scheme))
    await clock.advance(0.2)
    assert scheme.drawn == ["t1"]
    await clock.advance(0.1)
    assert scheme.drawn == ["t1", "t2"]
    assert text_of(await second) == "t2"


async def test_where_early_logins_give_new_tokens_nobody_waits(
    clock: ManualClock, manager: TokenManager
) -> None:
    scheme = Ready(base_url=BASE, life=60)
    await manager.token(scheme)
    clock.step(60)
    assert text_of(await manager.token(scheme)) == "t2"


async def test_who_wants_more_life_than_is_left_does_not_wait_for_the_end(
    clock: ManualClock, manager: TokenManager
) -> None:
    scheme = Ready(base_url=BASE, life=60, renews_early=False)
    await manager.token(scheme)
    clock.step(30)
    assert text_of(await manager.token(scheme, min_ttl=50)) == "t2"
