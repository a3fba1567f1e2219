"""When renewals happen: early ones with nobody waiting, none that gain nothing, and how long a wait is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from asyncauth import Token, TokenManager, WaitTimeoutError
from asyncauth._codec import encode
from asyncauth._record import Lease, Mode, Record
from asyncauth.testing import ManualClock, settle
from asyncauth_stores.memory import MemoryTokenStore
from scripted import Scripted
from worlds import worker_of


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[MemoryTokenStore]:
    async with MemoryTokenStore(clock=clock) as store:
        yield store


@pytest.mark.parametrize("life", [20.0, 8.0])
async def test_short_lives_are_renewed_early_and_block_nobody(
    store: MemoryTokenStore, clock: ManualClock, life: float
) -> None:
    manager = TokenManager(store, clock=clock)
    scheme = Scripted(answer=lambda number: Token(access_token=f"t{number}", expires_in=life))
    await manager.token(scheme)
    slot = worker_of(manager).slot(scheme)
    for _ in range(200):
        clock.step(life / 20)  # ten lives
        assert slot.usable(clock.monotonic()) is not None
        await manager.token(scheme)
        await settle()
    assert 10 <= scheme.calls <= 21  # between one and two renewals in a life


async def test_a_login_that_gives_the_same_token_again_is_not_asked_for_more_life(
    store: MemoryTokenStore, clock: ManualClock
) -> None:
    manager, end = TokenManager(store, clock=clock), 60.0

    def same(number: int) -> Token:
        return Token(access_token="same", expires_in=end - clock.monotonic())

    scheme = Scripted(answer=same, renews_early=False)
    for _ in range(550):
        await manager.token(scheme, min_ttl=120)
        clock.step(0.1)
        await settle(5)
    assert scheme.calls <= 3


async def held_elsewhere(store: MemoryTokenStore, scheme: Scripted) -> None:
    name = store.name(scheme.key)
    found = await store.read(name)
    lease = Lease(
        attempt="attempt-of-another",
        mode=Mode.LOGIN,
        doubtful=False,
        until=found.now + 300_000,
        takeover_at=found.now + 900_000,
        incarnation="",
    )
    await store.write(name, encode(Record(written_at=found.now, lease=lease)), found)


async def test_who_waited_in_vain_is_told_for_whom_why_and_how_long(
    store: MemoryTokenStore, clock: ManualClock
) -> None:
    scheme = Scripted()
    await held_elsewhere(store, scheme)
    manager = TokenManager(store, clock=clock)
    waiting = [asyncio.create_task(manager.token(scheme)) for _ in range(3)]
    await clock.advance(41)
    for task in waiting:
        with pytest.raises(
            WaitTimeoutError,
            match=r"^no scripted token came within 40 s: "
            r"waiting for attempt attempt-of-another \(.+\) for \d+ s$",
        ):
            await task
    assert scheme.calls == 0
