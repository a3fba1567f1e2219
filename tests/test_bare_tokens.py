"""Refresh tokens alone, states that a refresh revives, and logins that end another token: lost last."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import attrs
import pytest

from asyncauth import (
    CredentialRefusedError,
    GrantRefusedError,
    RefreshPolicy,
    RenewalFailedError,
    Token,
    TokenRenewed,
)
from asyncauth._acquire import acquire
from asyncauth._answers import Ask
from asyncauth._issue import new_entry
from asyncauth._record import Mode
from asyncauth._transitions import commit
from asyncauth.testing import settle
from crew import Crew, a_crew
from http_places import unauthorized
from scripted import Scripted
from worlds import text_of

POLICY = RefreshPolicy()


def a_device(number: int) -> Token:
    """Make device d1, d2, ...: what works is made of it by a refresh."""
    return Token(refresh_token=f"d{number}", expires_in=0)


def logged_in(token: Token) -> Token:
    """Log the person in again on a device: the token stays the same text."""
    assert token.refresh_token is not None
    return Token(access_token=token.refresh_token, refresh_token=token.refresh_token, subject="ada")


def dead(token: Token) -> Token:
    raise GrantRefusedError("the device token is dead")


def wrong_password(token: Token) -> Token:
    raise CredentialRefusedError("the password is wrong")


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with a_crew(no=unauthorized) as crew:
        yield crew


def device(crew: Crew, **options: Any) -> Scripted:
    made = {
        "answer": a_device,
        "renewal": logged_in,
        "login_is_destructive": True,
        "refresh_rotates": False,
        "revives": True,
    }
    return crew.scheme(**made | options)


async def test_a_refresh_token_alone_is_stored_first_and_renewed_before_its_first_use(crew: Crew) -> None:
    stored: list[str] = []

    def noting(token: Token) -> Token:
        stored.extend(e.mode for e in crew.events if isinstance(e, TokenRenewed))
        return logged_in(token)

    scheme = device(crew, renewal=noting)
    one, other = crew.join(scheme), crew.join(scheme)
    await asyncio.gather(one.ask(), other.ask())
    assert crew.site.tokens == ["Bearer d1"] * 2
    assert stored == ["login"]
    assert (scheme.calls, scheme.refreshed) == (1, 1)


async def test_one_that_the_application_stored_is_renewed_before_its_first_use(crew: Crew) -> None:
    scheme = device(crew, can_login=False)
    mate = crew.join(scheme)
    await mate.manager.put(scheme, a_device(7))
    await mate.ask()
    assert crew.site.tokens == ["Bearer d7"]
    assert (scheme.calls, scheme.refreshed) == (0, 1)


async def test_a_wrong_password_costs_no_device_token(crew: Crew) -> None:
    scheme = device(crew, renewal=wrong_password)
    one, other = crew.join(scheme), crew.join(scheme)
    for mate in (one, other, one):
        with pytest.raises(CredentialRefusedError, match="password"):
            await mate.manager.token(scheme)
    assert (scheme.calls, scheme.refreshed) == (1, 1)
    entry = await crew.entry(scheme)
    assert entry.token == a_device(1)

    scheme.credential, scheme.renewal = "another", logged_in
    assert text_of(await other.manager.token(scheme)) == "d1"
    assert (scheme.calls, scheme.refreshed) == (1, 2)


async def test_after_a_killed_renewer_a_refresh_comes_before_a_login_that_ends_the_token(crew: Crew) -> None:
    scheme = device(crew)
    mate = crew.join(scheme)
    await mate.ask()
    await crew.clock.advance(60)
    mate.worker.refuse(mate.slot, mate.slot.held or pytest.fail("nothing held"))
    ledger, ask = mate.worker.means.ledger, Ask(attempt="killed", seen=mate.slot.entry, refused=True)
    await ledger.run(mate.slot.name, partial(acquire, ask=ask, policy=POLICY))
    assert (await crew.record(scheme)).intent == "killed"
    await crew.clock.advance(POLICY.lease + POLICY.grace)
    assert text_of(await mate.manager.token(scheme)) == "d1"
    assert (scheme.calls, scheme.refreshed) == (1, 2)


async def test_a_dead_token_is_replaced_by_a_login_after_the_refresh_says_so(crew: Crew) -> None:
    scheme = device(crew)
    mate = crew.join(scheme)
    await mate.ask()
    await crew.clock.advance(60)
    crew.site.refused.add("d1")

    def only_the_second(token: Token) -> Token:
        return dead(token) if token.access_token is not None else logged_in(token)

    scheme.renewal = only_the_second
    assert await mate.ask() == 200
    assert crew.site.tokens == ["Bearer d1", "Bearer d1", "Bearer d2"]
    assert (scheme.calls, scheme.refreshed) == (2, 3)


async def test_a_token_that_a_refresh_revives_is_the_same_text_and_is_sent_once_more(crew: Crew) -> None:
    scheme = device(crew)

    def reviving(token: Token) -> Token:
        crew.site.refused.clear()
        return logged_in(token)

    mate = crew.join(scheme)
    await mate.ask()
    await crew.clock.advance(60)
    crew.site.refused.add("d1")
    scheme.renewal = reviving
    assert await mate.ask() == 200
    assert crew.site.tokens == ["Bearer d1"] * 3
    assert (scheme.calls, scheme.refreshed) == (1, 2)


async def test_a_resource_that_refuses_whatever_was_revived_does_not_cause_a_loop(crew: Crew) -> None:
    scheme = device(crew)
    mate = crew.join(scheme)
    await mate.ask()
    await crew.clock.advance(60)
    for _ in range(20):
        assert await mate.ask("no") == 401
        assert await mate.ask() == 200  # and others are not shut out
        crew.clock.step(0.1)
    assert (scheme.calls, scheme.refreshed) == (1, 2)


async def test_without_that_flag_the_same_token_again_is_a_loop(crew: Crew) -> None:
    scheme = device(crew, revives=False)
    mate = crew.join(scheme)
    await mate.ask()
    await crew.clock.advance(60)
    for _ in range(5):
        assert await mate.ask("no") == 401
    assert scheme.refreshed == 2
    assert await mate.ask() == 200


async def test_logins_whose_tokens_are_refused_at_once_do_not_go_on_in_circles(crew: Crew) -> None:
    scheme = device(crew, renewal=dead)
    one, other = crew.join(scheme), crew.join(scheme)
    for mate in (one, other, one):
        async with asyncio.timeout(5):
            with pytest.raises(RenewalFailedError, match="only just issued.*dead") as raised:
                await mate.manager.token(scheme)
        assert raised.value.reason == "TokenRefusedError"
    assert (scheme.calls, scheme.refreshed) == (1, 1)
    for _ in range(60):
        await crew.clock.advance(1)
        with pytest.raises(RenewalFailedError):
            await one.manager.token(scheme)
    assert scheme.calls <= 6

    scheme.renewal = logged_in
    await crew.clock.advance(60)
    assert await one.ask() == 200


async def test_a_dead_one_that_the_application_stored_is_replaced_by_a_login_at_once(crew: Crew) -> None:
    def dead_at_first(token: Token) -> Token:
        return logged_in(token) if scheme.calls else dead(token)

    scheme = device(crew, renewal=dead_at_first)
    mate = crew.join(scheme)
    await mate.manager.put(scheme, a_device(7))
    assert text_of(await mate.manager.token(scheme)) == "d1"


async def test_a_refresh_that_gives_a_refresh_token_alone_fails(crew: Crew) -> None:
    scheme = device(crew, renewal=lambda token: a_device(9))
    mate = crew.join(scheme)
    asking = asyncio.create_task(mate.manager.token(scheme))
    await crew.until(asking.done, step=0.5)
    error = asking.exception()
    assert isinstance(error, RenewalFailedError)
    assert error.reason == "UnreadableAnswerError"
    assert (scheme.calls, scheme.refreshed) == (1, 1 + POLICY.retries)


async def test_an_early_renewal_that_gives_one_goes_on_to_what_works(crew: Crew) -> None:
    def for_an_hour(token: Token) -> Token:
        return attrs.evolve(logged_in(token), refresh_token=None, expires_in=3600)

    scheme = device(crew, renewal=for_an_hour)
    mate = crew.join(scheme)
    await mate.ask()
    await crew.clock.advance(3595 - POLICY.margin)
    scheme.renewal = lambda token: for_an_hour(token) if token.access_token is None else dead(token)
    assert await mate.ask() == 200  # with what still serves
    await settle()
    assert crew.site.tokens == ["Bearer d1"] * 2
    assert text_of(await mate.manager.token(scheme)) == "d2"
    assert mate.slot.flight is None


async def test_while_the_store_is_away_a_cheap_login_goes_on_to_what_works_too(crew: Crew) -> None:
    scheme = device(crew, login_is_destructive=False)
    mate = crew.join(scheme)
    mate.store.away = True
    assert await mate.ask() == 200
    assert crew.site.tokens == ["Bearer d1"]
    mate.store.away = False
    await crew.clock.advance(5)
    assert (await crew.entry(scheme)).token.access_token is not None


async def test_another_worker_goes_on_where_one_was_killed_after_its_login(crew: Crew) -> None:
    scheme = device(crew)
    mate = crew.join(scheme)
    entry = new_entry(a_device(1), None, Mode.LOGIN, scheme, issued_at=int(crew.clock.wall() * 1000), era=0)
    await mate.worker.means.ledger.run(mate.slot.name, partial(commit, entry=entry, policy=POLICY))
    assert await mate.ask() == 200
    assert (scheme.calls, scheme.refreshed) == (0, 1)


async def test_all_wait_while_one_makes_it_work(crew: Crew) -> None:
    scheme = device(crew)
    mates = [crew.join(scheme) for _ in range(8)]
    tokens = await asyncio.gather(*(mate.manager.token(scheme) for mate in mates))
    assert {text_of(token) for token in tokens} == {"d1"}
    assert (scheme.calls, scheme.refreshed) == (1, 1)
