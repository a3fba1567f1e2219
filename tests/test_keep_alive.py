"""`AuthScheme.keep_alive`: one of the workers probes a session that nobody uses, before its idle limit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import chain, repeat

import pytest
from aiohttp import web

from asyncauth import AuthorizationRequiredError, LoggedOutError, Token
from asyncauth._errors import VendorFailedError
from asyncauth.testing import settle
from crew import Crew, Mate, a_crew
from scripted import Gate, Scripted, idling

LIMIT = 600


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with a_crew() as crew:
        yield crew


async def everybody(crew: Crew, count: int, **options: object) -> list[Mate]:
    scheme: Scripted = crew.scheme(**{"answer": idling, "keep_alive": True, **options})
    mates = [crew.join(scheme) for _ in range(count)]
    for mate in mates:
        await mate.ask()
    return mates


def then(*first: bool, last: bool) -> Iterator[bool]:
    return chain(first, repeat(last))


def failing() -> bool:
    raise VendorFailedError("the vendor's own page is down")


async def test_a_session_that_nobody_uses_lives_on_by_about_one_probe_for_the_whole_fleet(crew: Crew) -> None:
    mates = await everybody(crew, 4)
    scheme = mates[0].scheme
    for _ in range(100):
        await crew.clock.advance(LIMIT / 10)
    assert 10 <= scheme.probed <= 17
    assert [await mate.ask() for mate in mates] == [200] * 4
    assert {seen.token for seen in crew.site.seen} == {"Bearer t1"}
    assert scheme.calls == 1


async def test_a_session_that_others_use_is_not_probed(crew: Crew) -> None:
    busy, *_ = await everybody(crew, 3)
    for _ in range(60):
        await crew.clock.advance(50)
        await busy.ask()
        await settle()
    assert busy.scheme.probed == 0


async def test_without_the_flag_nothing_is_probed(crew: Crew) -> None:
    (mate,) = await everybody(crew, 1, keep_alive=False)
    await crew.clock.advance(3 * LIMIT)
    assert mate.scheme.probed == 0


async def test_two_workers_whose_moment_is_the_same_probe_once(crew: Crew) -> None:
    async def health(request: web.BaseRequest) -> web.Response:
        crew.clock.step(0.1)
        return web.Response()

    crew.site.paths["/health"] = health
    one, other = await everybody(crew, 2, probe_url=crew.site.url / "health")
    await crew.clock.advance(300)
    await asyncio.gather(one.worker.keep_alive(one.slot), other.worker.keep_alive(other.slot))
    assert one.scheme.probed == 1
    for mate in (one, other):
        assert mate.slot.held is not None
        assert mate.slot.held.used_at == 300


async def test_a_short_limit_leaves_no_room_for_long_pauses(crew: Crew) -> None:
    def short(number: int) -> Token:
        return Token(access_token=f"t{number}", idle_timeout=20)

    (mate,) = await everybody(crew, 1, answer=short)
    await crew.clock.advance(200)
    await mate.ask()
    assert mate.scheme.calls == 1
    assert 10 <= mate.scheme.probed <= 17


async def test_a_probe_that_fails_is_not_repeated_at_once(crew: Crew) -> None:
    mates = await everybody(crew, 2, probes=failing)
    for mate in mates:
        mate.store.calls.clear()
    await crew.clock.advance(LIMIT)
    assert 1 <= mates[0].scheme.probed <= 12
    assert all(mate.store.calls["read"] < 60 for mate in mates)
    assert mates[0].scheme.calls == 1


@pytest.mark.slow
async def test_while_the_store_is_away_a_worker_keeps_it_alive_alone_and_asks_in_no_loop(crew: Crew) -> None:
    (mate,) = await everybody(crew, 1)
    mate.store.away = True
    mate.store.calls.clear()
    await crew.clock.advance(3 * LIMIT)
    assert mate.store.calls.total() < 3 * LIMIT + 60
    assert 3 <= mate.scheme.probed <= 5
    mate.store.away = False
    await crew.clock.advance(LIMIT)
    await mate.ask()
    assert mate.scheme.calls == 1


async def test_a_probe_that_fails_while_the_store_is_away_is_not_repeated_at_once(crew: Crew) -> None:
    (mate,) = await everybody(crew, 1, probes=failing)
    mate.store.away = True
    await crew.clock.advance(LIMIT)
    assert 1 <= mate.scheme.probed <= 10


async def test_a_session_that_is_found_dead_is_renewed_once(crew: Crew) -> None:
    probes = then(False, last=True)
    mates = await everybody(crew, 3, probes=lambda: next(probes))
    await crew.clock.advance(2 * LIMIT)
    assert mates[0].scheme.calls == 2
    assert [await mate.ask() for mate in mates] == [200] * 3
    assert {seen.token for seen in crew.site.seen[3:]} == {"Bearer t2"}


async def test_where_only_a_person_can_log_in_a_dead_session_is_left_to_its_next_use(crew: Crew) -> None:
    scheme = crew.scheme(keep_alive=True, can_login=False, probes=lambda: False)
    mate = crew.join(scheme)
    await mate.manager.put(scheme, idling(1))
    await mate.ask()
    await crew.clock.advance(10 * LIMIT)
    assert (scheme.probed, scheme.calls) == (1, 0)
    with pytest.raises(AuthorizationRequiredError):
        await mate.ask()


async def test_after_a_logout_there_is_nothing_to_keep_alive(crew: Crew) -> None:
    (mate,) = await everybody(crew, 1)
    await mate.manager.forget(mate.scheme)
    await crew.clock.advance(3 * LIMIT)
    assert (mate.scheme.probed, mate.scheme.calls) == (0, 1)


async def test_after_a_logout_that_a_renewal_finds_at_its_end_nothing_is_looked_for(crew: Crew) -> None:
    (mate,) = await everybody(crew, 1)
    crew.clock.step(2 * LIMIT)
    mate.store.write_gate = grant = Gate()
    asking = asyncio.create_task(mate.manager.token(mate.scheme))
    await grant.arrived.wait()
    mate.store.read_gate = gate = Gate()  # the watch hears of the logout late
    await crew.join(mate.scheme).manager.forget(mate.scheme)
    grant.opened.set()
    with pytest.raises(LoggedOutError):
        await asking
    gate.opened.set()
    await crew.clock.advance(2)
    before = mate.store.calls["read"]
    await crew.clock.advance(LIMIT)
    assert mate.store.calls["read"] == before


async def test_a_session_that_ended_while_the_machine_slept_is_probed_before_it_is_trusted(
    crew: Crew,
) -> None:
    probes = then(False, last=True)
    (mate,) = await everybody(crew, 1, probes=lambda: next(probes))
    await crew.clock.advance(2)
    crew.clock.step(LIMIT + 10)
    await crew.clock.advance(0.1)
    assert (mate.scheme.probed, mate.scheme.calls) == (1, 2)


async def test_the_probe_is_a_use_of_the_moment_when_it_was_sent(crew: Crew) -> None:
    async def slow(request: web.BaseRequest) -> web.Response:
        crew.clock.step(5)
        return web.Response()

    crew.site.paths["/health"] = slow
    (mate,) = await everybody(crew, 1, probe_url=crew.site.url / "health")
    await crew.clock.advance(300)
    sent_at = crew.clock.wall()
    await mate.worker.keep_alive(mate.slot)
    assert crew.clock.wall() == sent_at + 5
    assert (await crew.entry(mate.scheme)).last_use == sent_at * 1000


async def test_closing_ends_a_probe_that_is_on_its_way(crew: Crew) -> None:
    (mate,) = await everybody(crew, 1)
    mate.store.write_gate = gate = Gate()
    keeping = asyncio.create_task(mate.worker.keep_alive(mate.slot))
    await gate.arrived.wait()
    await mate.store.aclose()
    await keeping
    assert mate.scheme.probed == 0


async def test_closing_ends_a_watch_that_keeps_a_session_alive(crew: Crew) -> None:
    (mate,) = await everybody(crew, 1)
    watch, gate = mate.slot.watch, Gate()
    assert watch is not None
    crew.clock.step(500)
    mate.store.read_gate = gate
    await crew.clock.advance(50)
    await mate.store.aclose()
    assert watch.over


async def test_a_bug_of_a_scheme_in_a_probe_does_not_end_the_watch(crew: Crew) -> None:
    outcomes = iter([TypeError("a bug")])

    def wrong_once() -> bool:
        for bug in outcomes:
            raise bug
        return True

    (mate,) = await everybody(crew, 1, probes=wrong_once)
    for _ in range(60):
        await crew.clock.advance(10)
    assert mate.scheme.probed > 1
    assert mate.slot.watch is not None
    assert not mate.slot.watch.over
