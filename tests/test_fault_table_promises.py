"""The promises below the table of PROTOCOL.md, section 9, as far as no cell shows them: see `fault_table`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from typing import Any

import attrs
import pytest
from redis.asyncio import Redis

from asyncauth import (
    GrantRefusedError,
    RenewalFailedError,
    RenewalStarted,
    StoreUnavailableError,
    TokenEvent,
    TokenGivenUp,
    TokenRenewed,
    TokenRestored,
)
from asyncauth.testing.emulators import Answer as VendorAnswer
from asyncauth.testing.emulators import Cut, Hold, OAuth2Emulator
from asyncauth_stores.sealed import SealedTokenStore
from fault_kinds import HOUR, ROWS, Row
from fault_world import POLICY, Cell, a_cell, side_by_side
from redis_servers import RedisServer, binaries, require

pytestmark = [pytest.mark.servers, pytest.mark.slow]

N = [row for row in ROWS if row.name == "N"]
OTHERS = [row for row in ROWS if row.name != "N"]
PEOPLE = [row for row in ROWS if row.person]
INVALID_GRANT = VendorAnswer(400, b'{"error": "invalid_grant"}', {"Content-Type": "application/json"})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RedisServer(require(next(iter(binaries()), "redis"))) as server:
        yield server.url


async def each(rows: list[Row], url: str, play: Callable[[Cell], Awaitable[None]], **numbers: Any) -> None:
    """Have the same happen to several kinds, with these numbers of the policy."""

    async def one(row: Row) -> None:
        async with a_cell(row, url, attrs.evolve(POLICY, **numbers)) as cell:
            await play(cell)

    await side_by_side({row.name: one(row) for row in rows})


async def told(cell: Cell, kind: type[TokenEvent]) -> TokenEvent:
    """Wait for an event of the first worker."""
    heard: asyncio.Future[TokenEvent] = asyncio.get_running_loop().create_future()

    def hear(event: TokenEvent) -> None:
        if isinstance(event, kind) and not heard.done():
            heard.set_result(event)

    cell.mates[0].manager.worker.listeners.add(hear)
    return await heard


async def asked_for_a_token(cell: Cell) -> tuple[Hold, "asyncio.Task[object]"]:
    """Have the first worker's request processed by the vendor, and its answer held back."""
    hold = Hold(when="after")
    cell.vendor.faults.add(hold, on="token")
    calling: asyncio.Task[object] = asyncio.create_task(cell.mates[0].call())
    await hold.arrived.wait()
    return hold, calling


async def test_a_later_authorization_wins_over_a_renewal_that_is_under_way(url: str) -> None:
    async def play(cell: Cell) -> None:
        hold, calling = await asked_for_a_token(cell)
        await cell.authorize()
        authorized = (await cell.mates[0].record()).entry
        hold.release()
        assert await calling == 200
        entry = await cell.agreed(worst=1)
        assert authorized is not None
        assert entry.id == authorized.id

    await each(PEOPLE, url, play)


async def test_a_later_authorization_wins_over_an_answer_that_could_not_be_stored(url: str) -> None:
    async def play(cell: Cell) -> None:
        hold, calling = await asked_for_a_token(cell)
        await cell.mates[0].proxy.refuse()
        hold.release()
        assert await calling is StoreUnavailableError
        await cell.authorize()
        authorized = (await cell.mates[1].record()).entry
        await cell.mates[0].proxy.accept()
        await cell.adopted()
        entry = await cell.agreed(worst=1)
        assert authorized is not None
        assert entry.id == authorized.id

    await each(PEOPLE, url, play)


async def test_a_token_received_during_an_outage_ends_up_in_the_store(url: str) -> None:
    async def play(cell: Cell) -> None:
        given_up = asyncio.create_task(told(cell, TokenGivenUp))
        stored = asyncio.create_task(told(cell, TokenRenewed))
        hold, calling = await asked_for_a_token(cell)
        await cell.mates[0].proxy.refuse()
        hold.release()
        assert await calling == (200 if cell.row.name == "N" else StoreUnavailableError)
        await asyncio.sleep(POLICY.store_timeout)
        await cell.mates[0].proxy.accept()
        await stored
        assert not given_up.done()
        given_up.cancel()
        await cell.adopted()
        await cell.settled(worst=1)

    # Longer than the outage: who may log in, would, and N's token comes as a sibling's then.
    await each(list(ROWS), url, play, lease=5, quarantine=6.5)


async def test_a_dead_mark_by_mistake_lasts_until_the_next_probe(url: str) -> None:
    async def play(cell: Cell) -> None:
        cell.vendor.faults.add(INVALID_GRANT, on="token", times=2)  # the second try is part of the renewal
        assert await cell.calls() == {GrantRefusedError}
        assert await cell.calls() == {GrantRefusedError}
        assert cell.contacts == 2
        dead = (await cell.mates[0].record()).dead
        assert dead is not None
        await asyncio.sleep(1.1)
        await cell.settled(worst=3)

    await each(PEOPLE, url, play, probe_first=1)


@pytest.mark.parametrize("how", ["empty", "older"])
async def test_nobody_has_to_authorize_again_while_a_worker_has_the_token(url: str, how: str) -> None:
    async def play(cell: Cell) -> None:
        mate = cell.mates[0]
        assert isinstance(mate.store, SealedTokenStore)
        name = (await mate.store._ready()).place(mate.store.name(mate.scheme.key))
        key = f"{mate.store.namespace}:{{{name}}}"
        async with Redis.from_url(url, socket_timeout=None) as server:
            before = await server.get(key)
            assert before is not None
            assert await cell.calls() == {200}
            restored = asyncio.create_task(told(cell, TokenRestored))
            if how == "empty":
                await server.delete(key)
            else:
                await server.set(key, before)
        mate.proxy.cut()  # as a restart does
        await restored
        await cell.agreed(worst=1)

    await each(PEOPLE, url, play)


async def test_nobody_waits_for_ever_for_a_vendor_that_never_answers(url: str) -> None:
    async def play(cell: Cell) -> None:
        hold = Hold()
        cell.vendor.faults.add(hold, on="token", times=None)
        tries = 3 if cell.row.name == "RL" else 2  # a refresh, then a login, and that once more
        async with asyncio.timeout(tries * (POLICY.request_timeout + POLICY.quiet)):
            assert await cell.calls() == {RenewalFailedError}
        assert cell.contacts == tries
        hold.drop()

    await each(list(ROWS), url, play)


async def test_nobody_contacts_the_vendor_inside_the_back_off_window(url: str) -> None:
    async def play(cell: Cell) -> None:
        cell.vendor.faults.add(VendorAnswer(503), on="token", times=None)
        assert await cell.calls() == {RenewalFailedError}
        tries = cell.contacts
        assert tries == (2 if cell.row.name == "RL" else 1)  # where one may log in instead, that comes first
        failure = (await cell.mates[0].record()).failure
        assert failure is not None
        fresh = await cell.hire()
        with pytest.raises(RenewalFailedError):
            await fresh.manager.token(fresh.scheme, min_ttl=HOUR)
        cell.mates.remove(fresh)  # by the store's clock the old token has life left: it would try that
        async with asyncio.timeout(5):
            while True:
                outcome, contacts = await cell.calls(), cell.contacts
                if await _store_time(cell) >= failure.retry_at:
                    break  # the calls may have been later than the window
                assert (outcome, contacts) == ({RenewalFailedError}, tries)
                await asyncio.sleep(0.05)
        tries = cell.contacts
        cell.vendor.faults.clear()
        while await cell.calls() != {200}:
            await asyncio.sleep(0.05)
        assert cell.contacts > tries

    await each(list(ROWS), url, play, retries=0, backoff_first=2, backoff_max=2)


async def _store_time(cell: Cell) -> int:
    mate = cell.mates[-1]
    return (await mate.store.read(mate.store.name(mate.scheme.key))).now


async def test_the_old_token_is_sent_once_more_after_the_quiet_time(url: str) -> None:
    async def play(cell: Cell) -> None:
        moments: list[float] = []

        def hear(event: TokenEvent) -> None:
            if isinstance(event, RenewalStarted):
                moments.append(asyncio.get_running_loop().time())

        cell.mates[0].manager.worker.listeners.add(hear)
        cell.vendor.faults.add(Cut(when="after"), on="token")
        saved = cell.row.name == "Rg"
        assert await cell.mates[0].call() == (200 if saved else GrantRefusedError)
        assert [later - sooner >= POLICY.quiet for sooner, later in pairwise(moments)] == [True]
        assert isinstance(cell.vendor, OAuth2Emulator)
        assert cell.vendor.families_alive == (cell.row.name != "R")

    await each(PEOPLE, url, play)


async def test_tokens_at_hand_serve_through_an_outage(url: str) -> None:
    async def play(cell: Cell) -> None:
        assert await cell.calls() == {200}
        for mate in cell.mates:
            mate.proxy.freeze()
        for _ in range(5):
            assert await cell.calls() == {200}
        assert cell.contacts == 1

    await each(list(ROWS), url, play)


async def test_a_process_alone_stands_back_from_a_vendor_that_fails(url: str) -> None:
    async def play(cell: Cell) -> None:
        for mate in cell.mates:
            await mate.proxy.refuse()
        cell.vendor.faults.add(VendorAnswer(503), on="token", times=None)
        for _ in range(5):
            assert await cell.calls() == {RenewalFailedError}
        assert cell.contacts == len(cell.mates)
        cell.vendor.faults.clear()
        while await cell.calls() != {200}:
            await asyncio.sleep(0.05)
        assert cell.contacts == 2 * len(cell.mates)

    await each(N, url, play, backoff_first=2, backoff_max=2)


async def test_what_was_stored_during_an_outage_wins_over_a_token_renewed_alone(url: str) -> None:
    async def play(cell: Cell) -> None:
        alone, connected = cell.mates
        await alone.proxy.refuse()
        assert await alone.call() == await connected.call() == 200
        assert alone.entry_id != connected.entry_id
        stored = connected.entry_id
        await alone.proxy.accept()
        await cell.adopted()
        assert (await cell.agreed(worst=2)).id == stored

    await each(N, url, play)


async def test_the_others_fail_closed_after_the_store_timeout_at_most(url: str) -> None:
    async def play(cell: Cell) -> None:
        for mate in cell.mates:
            mate.proxy.freeze()
        began = asyncio.get_running_loop().time()
        assert await cell.calls() == {StoreUnavailableError}
        assert asyncio.get_running_loop().time() - began < POLICY.store_timeout + 1
        assert cell.contacts == 0
        (error, *_) = cell.mates[0].errors
        assert "is not spent without it" in str(error)

    await each(OTHERS, url, play)
