"""`TokenManager.amend`: what lies on a token at the vendor is changed once, and every worker knows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
from aiohttp import web
from yarl import URL

from asyncauth import (
    AnswerLostError,
    AuthorizationRequiredError,
    ConfigurationError,
    CredentialRefusedError,
    GrantRefusedError,
    RenewalFailedError,
    StoreUnavailableError,
    Token,
)
from asyncauth._exchange import AuthRequest
from asyncauth.abc import AuthFlow
from asyncauth.testing import settle
from crew import Crew, Mate, a_crew
from scripted import Gate
from worlds import text_of

PLACE = URL("https://id.example.com/authorize")


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with a_crew() as crew:
        yield crew


async def everybody(crew: Crew, count: int, **options: Any) -> list[Mate]:
    scheme = crew.scheme(**options)
    mates = [crew.join(scheme) for _ in range(count)]
    for mate in mates:
        await mate.manager.token(scheme)
    await crew.clock.advance(60)
    return mates


def becoming(subject: str) -> Callable[[Token], AuthFlow[Token]]:
    """Log somebody in."""

    def change(token: Token) -> AuthFlow[Token]:
        yield from ()
        return attrs.evolve(token, subject=subject)

    return change


def while_others(
    crew: Crew, mate: Mate, act: Callable[[Token], Any]
) -> tuple[list[str], Callable[[Token], AuthFlow[Token]]]:
    """Return a change during which something else happens, and the tokens that it was tried on."""
    tried: list[str] = []

    async def acting(request: web.BaseRequest) -> web.Response:
        await act(Token(access_token=f"other{len(tried)}", expires_in=3600))
        return web.Response()

    crew.site.paths["/change"] = acting

    def change(token: Token) -> AuthFlow[Token]:
        tried.append(text_of(token))
        yield AuthRequest(method="POST", url=crew.site.url / "change")
        return attrs.evolve(token, subject="ada")

    return tried, change


async def test_what_the_token_is_now_is_every_workers_at_once_and_it_lives_as_long_as_before(
    crew: Crew,
) -> None:
    one, other = await everybody(crew, 2)
    before = await crew.entry(one.scheme)
    changed = await one.manager.amend(one.scheme, becoming("ada"))
    await settle()
    assert changed.subject == "ada"
    for mate in (one, other):
        mate.store.calls.clear()
        assert await mate.manager.token(mate.scheme) == changed
        assert not mate.store.calls["read"]
    after = await crew.entry(one.scheme)
    assert (after.issued_at, after.expires_at) == (before.issued_at, before.expires_at)
    assert after.ancestors == (before.id,)
    assert one.scheme.calls == 1


async def test_without_a_token_one_is_made_first(crew: Crew) -> None:
    mate = crew.join(crew.scheme())
    assert (await mate.manager.amend(mate.scheme, becoming("ada"))).subject == "ada"
    assert mate.scheme.calls == 1


async def test_without_an_authorization_it_says_where_to_get_one(crew: Crew) -> None:
    mate = crew.join(crew.scheme(can_login=False, person_url=PLACE))
    with pytest.raises(AuthorizationRequiredError) as raised:
        await mate.manager.amend(mate.scheme, becoming("ada"))
    assert raised.value.authorize_url == PLACE


async def test_a_token_with_a_one_time_refresh_token_is_not_amended(crew: Crew) -> None:
    mate = crew.join(crew.scheme())
    await mate.manager.put(mate.scheme, Token(access_token="t1", refresh_token="r1"))
    before = await crew.record(mate.scheme)
    with pytest.raises(ConfigurationError, match="renewed, and not amended"):
        await mate.manager.amend(mate.scheme, becoming("ada"))
    assert await crew.record(mate.scheme) == before


async def test_a_change_that_the_vendor_refuses_changes_nothing(crew: Crew) -> None:
    def refused(token: Token) -> AuthFlow[Token]:
        yield from ()
        raise CredentialRefusedError("the password is wrong")

    (mate,) = await everybody(crew, 1)
    before = await crew.record(mate.scheme)
    with pytest.raises(CredentialRefusedError):
        await mate.manager.amend(mate.scheme, refused)
    assert await crew.record(mate.scheme) == before
    assert await mate.ask() == 200


async def test_a_token_that_was_replaced_meanwhile_is_changed_in_its_place(crew: Crew) -> None:
    one, other = await everybody(crew, 2)
    done: list[Token] = []

    async def once(token: Token) -> None:
        if not done:
            done.append(token)
            await other.manager.put(other.scheme, token)

    tried, change = while_others(crew, one, once)
    changed = await one.manager.amend(one.scheme, change)
    assert tried == ["t1", "other1"]
    assert (text_of(changed), changed.subject) == ("other1", "ada")
    await settle()
    assert await other.manager.token(other.scheme) == changed


async def test_a_token_that_is_replaced_each_time_is_given_up(crew: Crew) -> None:
    one, other = await everybody(crew, 2)
    tried, change = while_others(crew, one, lambda token: other.manager.put(other.scheme, token))
    with pytest.raises(RenewalFailedError, match="replaced each time"):
        await one.manager.amend(one.scheme, change)
    assert len(tried) == 3
    assert text_of(await one.manager.token(one.scheme)) == "other3"


async def test_after_a_logout_meanwhile_it_is_done_on_a_new_token(crew: Crew) -> None:
    one, other = await everybody(crew, 2)
    done: list[Token] = []

    async def once(token: Token) -> None:
        if not done:
            done.append(token)
            await other.manager.forget(other.scheme)

    watch = one.slot.watch
    assert watch is not None
    watch.end()  # it has not heard of it yet
    tried, change = while_others(crew, one, once)
    changed = await one.manager.amend(one.scheme, change)
    assert tried == ["t1", "t2"]
    assert changed.subject == "ada"


async def test_a_dead_token_is_replaced_and_the_new_one_changed(crew: Crew) -> None:
    def dead_at_first(token: Token) -> AuthFlow[Token]:
        yield from ()
        if text_of(token) == "t1":
            raise GrantRefusedError("the device token is dead")
        return attrs.evolve(token, subject="ada")

    one, other = await everybody(crew, 2)
    changed = await one.manager.amend(one.scheme, dead_at_first)
    await settle()
    assert (text_of(changed), changed.subject) == ("t2", "ada")
    assert await other.manager.token(other.scheme) == changed
    assert one.scheme.calls == 2


async def test_a_change_that_finds_each_token_dead_makes_no_tokens_without_end(crew: Crew) -> None:
    def dead(token: Token) -> AuthFlow[Token]:
        yield from ()
        raise GrantRefusedError("dead")

    (mate,) = await everybody(crew, 1)
    for _ in range(3):
        with pytest.raises(RenewalFailedError):
            await mate.manager.amend(mate.scheme, dead)
    assert mate.scheme.calls <= 2


async def test_while_the_store_is_away_the_caller_hears_that_the_others_do_not_know(crew: Crew) -> None:
    one, other = await everybody(crew, 2)
    one.store.away = True
    with pytest.raises(StoreUnavailableError):
        await one.manager.amend(one.scheme, becoming("ada"))
    assert (await other.manager.token(other.scheme)).subject is None


async def test_a_session_that_idles_out_keeps_its_limit_and_its_uses(crew: Crew) -> None:
    def idling(number: int) -> Token:
        return Token(access_token=f"t{number}", idle_timeout=600)

    (mate,) = await everybody(crew, 1, answer=idling)
    await mate.ask()
    await crew.clock.advance(500)
    await mate.manager.amend(mate.scheme, becoming("ada"))  # which is one
    await crew.clock.advance(500)
    assert await mate.ask() == 200
    assert mate.scheme.calls == 1


def lost(token: Token) -> AuthFlow[Token]:
    """Have the vendor change the token, and the answer never arrive."""
    del token
    yield from ()
    raise AnswerLostError("the connection was cut")


async def test_after_a_lost_answer_every_worker_refreshes_before_it_uses_the_token_again(crew: Crew) -> None:
    def refreshable(number: int) -> Token:
        return Token(access_token=f"t{number}", refresh_token="r")

    one, other = await everybody(crew, 2, answer=refreshable, refresh_rotates=False)
    with pytest.raises(AnswerLostError):
        await one.manager.amend(one.scheme, lost)
    await settle()
    assert [await mate.ask() for mate in (one, other)] == [200, 200]
    assert one.scheme.calls == 2
    assert one.site.seen[-1].headers["Authorization"] == "Bearer t2"
    assert len(one.site.seen) == 2


async def test_the_change_is_stored_also_for_a_caller_who_does_not_wait_for_it(crew: Crew) -> None:
    one, other = await everybody(crew, 2)
    one.store.write_gate = gate = Gate()
    amending = asyncio.create_task(one.manager.amend(one.scheme, becoming("ada")))
    await gate.arrived.wait()
    amending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await amending
    gate.opened.set()
    await settle()
    assert (await other.manager.token(other.scheme)).subject == "ada"
    assert (await one.manager.token(one.scheme)).subject == "ada"


async def test_a_store_that_goes_away_in_between_is_waited_for(crew: Crew) -> None:
    one, other = await everybody(crew, 2)

    def change(token: Token) -> AuthFlow[Token]:
        yield from ()
        one.store.away = True
        return attrs.evolve(token, subject="ada")

    amending = asyncio.create_task(one.manager.amend(one.scheme, change))
    await crew.clock.advance(5)
    assert not amending.done()
    one.store.away = False
    await crew.clock.advance(5)
    assert (await amending).subject == "ada"
    await settle()
    assert (await other.manager.token(other.scheme)).subject == "ada"
