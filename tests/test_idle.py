"""Sessions that end when nobody uses them: uses cost nothing, are shared now and then, and never assumed."""

import asyncio
from collections.abc import AsyncIterator

import attrs
import pytest
from aiohttp import web

from asyncauth import RefreshPolicy, Token, TokenAdopted
from asyncauth._idle import note_use
from asyncauth.abc import Verdict
from asyncauth.testing import settle
from crew import Crew, Mate, a_crew
from scripted import Gate, idling
from worlds import text_of

LIMIT = 600
SERVES = LIMIT - RefreshPolicy().idle_margin_for(LIMIT)


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async def failing(request: web.BaseRequest) -> web.Response:
        return web.Response(status=int(request.query["status"]))

    async with a_crew(failing=failing) as crew:
        yield crew


def everybody(crew: Crew, count: int, **options: object) -> list[Mate]:
    scheme = crew.scheme(answer=idling, **options)
    return [crew.join(scheme) for _ in range(count)]


async def test_a_session_lives_as_long_as_it_is_used_and_no_longer(crew: Crew) -> None:
    (mate,) = everybody(crew, 1)
    for _ in range(5):
        assert await mate.ask() == 200
        await crew.clock.advance(SERVES - 1)
    assert mate.scheme.calls == 1
    await mate.ask()
    await crew.clock.advance(SERVES)
    await mate.ask()
    assert crew.site.tokens == ["Bearer t1"] * 6 + ["Bearer t2"]


async def test_requests_cost_no_store_operation_and_the_store_is_told_after_a_tenth(crew: Crew) -> None:
    (mate,) = everybody(crew, 1)
    await mate.ask()
    mate.store.calls.clear()
    for _ in range(60):
        crew.clock.step(1)
        await mate.ask()
    assert not mate.store.calls["read"] + mate.store.calls["write"]
    crew.clock.step(1)
    used_at = crew.clock.wall()
    await mate.ask()
    await settle()
    assert mate.store.calls["write"] == 1
    assert (await crew.entry(mate.scheme)).last_use == used_at * 1000


async def test_a_worker_that_let_it_idle_goes_on_with_what_others_keep_using(crew: Crew) -> None:
    busy, idle = everybody(crew, 2)
    await idle.ask()
    for _ in range(30):
        await busy.ask()
        await crew.clock.advance(50)
    crew.events.clear()
    assert await idle.ask() == 200
    assert crew.site.seen[-1].token == "Bearer t1"
    assert busy.scheme.calls == 1
    assert not crew.told(TokenAdopted)  # it is no other token


async def test_one_login_follows_each_real_idle_end_in_the_whole_fleet(crew: Crew) -> None:
    mates = everybody(crew, 4)
    for ends in range(1, 4):
        await asyncio.gather(*(mate.ask() for mate in mates))
        assert mates[0].scheme.calls == ends
        await crew.clock.advance(LIMIT)


async def test_a_use_counts_from_before_the_request_was_sent(crew: Crew) -> None:
    async def slow(request: web.BaseRequest) -> web.Response:
        crew.clock.step(100)
        return web.Response()

    crew.site.paths["/slow"] = slow
    (mate,) = everybody(crew, 1)
    await mate.ask()
    await crew.clock.advance(200)
    await mate.ask("slow")
    await crew.clock.advance(SERVES - 100)
    await mate.ask()
    assert mate.scheme.calls == 2


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_what_was_not_accepted_is_no_use(crew: Crew, status: int) -> None:
    (mate,) = everybody(crew, 1, verdicts={403: Verdict.FORBIDDEN, 429: Verdict.BACK_OFF})
    await mate.ask()
    await crew.clock.advance(SERVES - 1)
    assert await mate.ask("failing", params={"status": str(status)}) == status
    await crew.clock.advance(1)
    await mate.ask()
    assert mate.scheme.calls == 2


async def test_a_late_answer_says_nothing_of_the_token_that_came_after(crew: Crew) -> None:
    gate = Gate()

    async def held(request: web.BaseRequest) -> web.Response:
        await gate.wait()
        return web.Response()

    crew.site.paths["/held"] = held
    one, other = everybody(crew, 2)
    await one.ask()
    await crew.clock.advance(100)
    asking = asyncio.create_task(one.ask("held"))
    await gate.arrived.wait()
    await crew.clock.advance(100)
    await other.manager.put(other.scheme, Token(access_token="put", idle_timeout=LIMIT))
    stored = await crew.entry(one.scheme)
    await settle()
    gate.opened.set()
    assert await asking == 200
    await settle()
    assert await crew.entry(one.scheme) == stored
    held_now = one.slot.held
    assert held_now is not None
    assert (text_of(held_now.entry.token), held_now.used_at) == ("put", 200)
    assert one.slot.shared_use_at == 200


async def test_a_use_is_noted_although_the_same_entry_was_read_again_meanwhile(crew: Crew) -> None:
    (mate,) = everybody(crew, 1)
    await mate.ask()
    slot, means = mate.slot, mate.worker.means
    used, sighting = slot.held, means.ledger.last(mate.slot.name)
    assert used is not None
    assert sighting is not None
    held = slot.take(used.entry, sighting, means.policy)
    note_use(means, slot, used, 50.0)
    assert held.used_at == 50


async def test_a_logout_is_not_undone_by_an_answer_that_comes_after_it(crew: Crew) -> None:
    (mate,) = everybody(crew, 1)
    await mate.ask()
    slot, used = mate.slot, mate.slot.held
    assert used is not None
    await crew.clock.advance(100)
    await mate.manager.forget(mate.scheme)
    note_use(mate.worker.means, slot, used, 100.0)
    await settle()
    assert (await crew.record(mate.scheme)).entry is None
    assert slot.sharing is None


async def test_a_store_that_is_away_is_told_later_and_no_caller_hears_of_it(crew: Crew) -> None:
    (mate,) = everybody(crew, 1)
    await mate.ask()
    mate.store.away = True
    crew.clock.step(61)
    assert await mate.ask() == 200
    await settle()
    mate.store.away = False
    for _ in range(61):
        crew.clock.step(1)
        assert await mate.ask() == 200
    await settle()
    assert (await crew.entry(mate.scheme)).last_use == crew.clock.wall() * 1000


async def test_closing_ends_the_telling_of_uses(crew: Crew) -> None:
    (mate,) = everybody(crew, 1)
    await mate.ask()
    crew.clock.step(61)
    mate.store.write_gate = gate = Gate()
    await mate.ask()
    await gate.arrived.wait()
    sharing = mate.slot.sharing
    assert sharing is not None
    await mate.store.aclose()
    assert sharing.cancelled()


async def test_an_answer_that_comes_after_the_store_was_closed_is_the_callers(crew: Crew) -> None:
    gate = Gate()

    async def held(request: web.BaseRequest) -> web.Response:
        await gate.wait()
        return web.Response()

    crew.site.paths["/held"] = held
    (mate,) = everybody(crew, 1)
    await mate.ask()
    await crew.clock.advance(100)
    asking = asyncio.create_task(mate.ask("held"))
    await gate.arrived.wait()
    worker = mate.worker
    await mate.store.aclose()
    mate.store.calls.clear()
    gate.opened.set()
    assert await asking == 200
    await settle()
    assert worker.closed
    assert not mate.store.calls


async def test_others_uses_do_not_put_off_an_early_renewal(crew: Crew) -> None:
    def both(number: int) -> Token:
        return attrs.evolve(idling(number), expires_in=3600)

    scheme = crew.scheme(answer=both)
    one, other = crew.join(scheme), crew.join(scheme)
    await one.ask()
    await other.ask()
    for _ in range(10):
        await crew.clock.advance(100)
        await one.ask()
    await settle()
    assert scheme.calls == 1
    other.worker.renew_early(other.slot, scheme)
    await settle()
    assert scheme.calls == 2


async def test_a_wrong_wall_clock_does_not_change_what_was_used_when(crew: Crew) -> None:
    """A token from an outage is stored with the store's times, its last use among them."""
    (mate,) = everybody(crew, 1)
    mate.store.away = True
    await mate.ask()
    crew.clock.step_wall(7200)
    mate.store.away = False
    await crew.clock.advance(10)
    entry = await crew.entry(mate.scheme)
    assert entry.last_use == entry.issued_at
    assert entry.issued_at == (crew.clock.wall() - 10) * 1000


async def test_a_late_answer_of_the_store_does_not_keep_later_uses_from_the_others(crew: Crew) -> None:
    one, other = everybody(crew, 2)
    await one.ask()
    await other.ask()
    crew.clock.step(61)
    one.store.write_gate = gate = Gate()
    await one.ask()
    await gate.arrived.wait()  # the use is stored, and the answer on its way
    await other.manager.put(other.scheme, Token(access_token="put", idle_timeout=LIMIT))
    await settle()
    gate.opened.set()
    await settle()
    crew.clock.step(61)
    await one.ask()
    await settle()
    assert crew.site.seen[-1].token == "Bearer put"
    assert (await crew.entry(one.scheme)).last_use == crew.clock.wall() * 1000
