"""Responses that may be the token's fault or the resource's: one probe settles it for all who suspect."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import attrs
import pytest
from aiohttp import web

from asyncauth import AuthMiddleware, RenewalFailedError, Token, TokenManager, TokenUnavailableError
from asyncauth._errors import VendorFailedError
from asyncauth.testing import ManualClock, settle
from asyncauth_stores.memory import MemoryTokenStore
from http_places import Site, a_site
from scripted import Scripted, Troubled
from worlds import worker_of

MANY = 300
SENT = 100


async def forbidden_to_the_first(request: web.BaseRequest) -> web.Response:
    """Answer 403 with the request's own number to the first token."""
    old = request.headers["Authorization"] == "Bearer t1"
    return web.json_response(request.query["n"], status=403 if old else 200)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
    await settle()


@attrs.define(eq=False)
class Suspicion:
    """A worker whose token was issued a minute ago, and a site whose `/secret` answers it 403.

    Attributes:
        awaited: How many responses are judged before a probe is answered.
    """

    clock: ManualClock
    site: Site
    store: Troubled
    manager: TokenManager
    scheme: Scripted
    awaited: int = 0

    async def ask(self, client: aiohttp.ClientSession, number: int) -> tuple[int, str]:
        async with client.get(self.site.url / "secret" % {"n": number}) as response:
            return response.status, await response.json()

    async def ask_many(self) -> list[tuple[int, str]]:
        """Send many requests at once through the middleware."""
        self.awaited = SENT
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            middlewares=[AuthMiddleware(self.scheme, self.manager)],
        ) as client:
            return await asyncio.gather(*(self.ask(client, number) for number in range(SENT)))

    def asked(self, path: str) -> int:
        return sum(seen.target.startswith(path) for seen in self.site.seen)


@pytest.fixture
async def suspicion() -> AsyncIterator[Suspicion]:
    clock = ManualClock()

    async def healthy(request: web.BaseRequest) -> web.Response:
        # The probe is answered when all who suspect the token wait for it.
        await until(lambda: scheme.judged >= made.awaited)
        return web.Response()

    async with a_site(secret=forbidden_to_the_first, health=healthy) as site:
        store = Troubled(MemoryTokenStore(clock=clock), clock)
        async with store:
            manager = TokenManager(store, clock=clock)
            scheme = Scripted(base=site.url, probe_url=site.url / "health")
            await manager.token(scheme)
            await clock.advance(60)
            store.calls.clear()
            made = Suspicion(clock, site, store, manager, scheme)
            yield made


def failing() -> bool:
    raise VendorFailedError("the vendor's own page is down")


async def test_many_suspicions_of_a_token_that_lives_cost_one_probe(suspicion: Suspicion) -> None:
    worker = worker_of(suspicion.manager)
    slot = worker.slot(suspicion.scheme)
    assert slot.held is not None
    used = slot.held
    settled = await asyncio.gather(*(worker.verify(slot, suspicion.scheme, used) for _ in range(MANY)))
    assert settled == [None] * MANY
    assert suspicion.scheme.probed == suspicion.asked("/health") == 1
    assert suspicion.store.calls["read"] <= 5
    assert slot.ready is used


async def test_each_caller_gets_its_own_response_where_the_token_lives(suspicion: Suspicion) -> None:
    answers = await suspicion.ask_many()
    assert answers == [(403, str(number)) for number in range(SENT)]
    assert suspicion.asked("/secret") == SENT
    assert suspicion.scheme.probed == 1
    assert suspicion.scheme.calls == 1


async def test_a_dead_token_is_replaced_once_and_each_request_sent_once_more(suspicion: Suspicion) -> None:
    suspicion.scheme.probes = lambda: False
    answers = await suspicion.ask_many()
    assert answers == [(200, str(number)) for number in range(SENT)]
    assert suspicion.asked("/secret") <= 2 * SENT
    assert suspicion.scheme.probed == 1
    assert suspicion.scheme.calls == 2
    assert suspicion.store.calls["read"] <= 10


async def test_nobody_is_given_a_response_of_unknown_meaning_where_the_probe_fails(
    suspicion: Suspicion,
) -> None:
    suspicion.scheme.probes = failing
    with pytest.raises(RenewalFailedError, match="the vendor's own page is down"):
        await suspicion.ask_many()
    assert suspicion.asked("/secret") == SENT
    assert suspicion.scheme.probed == 1
    assert suspicion.scheme.calls == 1


async def test_a_later_suspicion_is_probed_again(suspicion: Suspicion) -> None:
    async with aiohttp.ClientSession(
        middlewares=[AuthMiddleware(suspicion.scheme, suspicion.manager)]
    ) as client:
        for probed in (1, 2):
            assert await suspicion.ask(client, 7) == (403, "7")
            assert suspicion.scheme.probed == probed
            await suspicion.clock.advance(60)


async def test_a_probe_that_is_never_sent_says_nothing_of_the_token(suspicion: Suspicion) -> None:
    worker = worker_of(suspicion.manager)
    slot = worker.slot(suspicion.scheme)
    assert slot.held is not None
    # The process is suspended between the lease and the probe, for longer than the lease lasts.
    suspicion.store.after_write = lambda: suspicion.clock.step(20)
    checking = asyncio.create_task(worker.verify(slot, suspicion.scheme, slot.held))
    async with asyncio.timeout(5):
        while not checking.done():
            await suspicion.clock.advance(0.1)
            await asyncio.sleep(0.001)
    assert await checking is None
    assert suspicion.scheme.probed == 1  # the one that was sent in the end
    assert suspicion.scheme.calls == 1
    assert not slot.refused
    assert slot.ready is not None


async def test_where_nobody_can_log_in_a_dead_token_is_refreshed_once(suspicion: Suspicion) -> None:
    suspicion.scheme.can_login, suspicion.scheme.probes = False, lambda: False
    await suspicion.manager.put(
        suspicion.scheme, Token(access_token="t1", refresh_token="r1", expires_in=3600)
    )
    suspicion.clock.step(60)
    answers = await suspicion.ask_many()
    assert answers == [(200, str(number)) for number in range(SENT)]
    assert suspicion.scheme.probed == 1
    assert suspicion.scheme.calls == 2


async def test_a_suspicion_is_settled_without_the_store_while_it_is_away(suspicion: Suspicion) -> None:
    suspicion.store.away = True
    async with aiohttp.ClientSession(
        middlewares=[AuthMiddleware(suspicion.scheme, suspicion.manager)]
    ) as client:
        assert await suspicion.ask(client, 7) == (403, "7")
        assert (suspicion.scheme.probed, suspicion.scheme.calls) == (1, 1)

        suspicion.scheme.probes = lambda: False
        assert await suspicion.ask(client, 8) == (200, "8")
        assert (suspicion.scheme.probed, suspicion.scheme.calls) == (2, 2)


async def test_an_entry_that_comes_while_an_older_one_is_being_checked_is_not_taken_for_it(
    suspicion: Suspicion,
) -> None:
    worker = worker_of(suspicion.manager)
    slot = worker.slot(suspicion.scheme)
    assert slot.held is not None
    used = slot.held
    await suspicion.manager.put(suspicion.scheme, Token(access_token="t2", expires_in=3600))
    newer = slot.held
    slot.held = used  # as it was before
    slot.serve(used)
    checking = asyncio.create_task(worker.verify(slot, suspicion.scheme, used))
    await asyncio.sleep(0)  # the check has taken off, and not looked at anything yet
    slot.held = newer
    slot.serve(newer)
    found = await checking
    assert found is not None
    assert found.entry.id == newer.entry.id
    assert suspicion.scheme.probed == 0


async def test_a_dead_sessions_answer_to_a_body_that_cannot_be_repeated_is_no_answer(
    suspicion: Suspicion,
) -> None:
    suspicion.scheme.probes = lambda: False

    async def once() -> AsyncIterator[bytes]:
        yield b"an upload"

    async with aiohttp.ClientSession(
        middlewares=[AuthMiddleware(suspicion.scheme, suspicion.manager)]
    ) as client:
        with pytest.raises(
            TokenUnavailableError, match="the 403 was a dead session's, .* send the request anew"
        ):
            await client.post(suspicion.site.url / "secret" % {"n": 1}, data=once())
        assert suspicion.asked("/secret") == 1
        assert await suspicion.ask(client, 2) == (200, "2")
    assert suspicion.scheme.calls == 2


async def forbidden(request: web.BaseRequest) -> web.Response:
    return web.json_response(request.query["n"], status=403)


async def test_a_probe_that_finds_every_session_dead_causes_no_storm_of_logins() -> None:
    clock = ManualClock()
    async with a_site(secret=forbidden) as site, MemoryTokenStore(clock=clock) as place:
        store = Troubled(place, clock)
        scheme = Scripted(base=site.url, probes=lambda: False)
        suspicion = Suspicion(clock, site, store, TokenManager(store, clock=clock), scheme)
        await suspicion.manager.token(scheme)
        await clock.advance(60)
        async with aiohttp.ClientSession(middlewares=[AuthMiddleware(scheme, suspicion.manager)]) as client:
            assert await suspicion.ask(client, 1) == (403, "1")  # with a session that is new
            for number in range(20):
                with pytest.raises(RenewalFailedError, match="only just opened is dead"):
                    await suspicion.ask(client, number)
        assert scheme.calls == 2
        await store.aclose()
