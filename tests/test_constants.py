"""Schemes that ask nobody: no store, no watch, no renewal, and a refusal is the caller's."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from yarl import URL

from asyncauth import AuthorizationNeeded, AuthorizationRequiredError, ConfigurationError, Token, TokenManager
from asyncauth.abc import AuthFlow, Verdict
from asyncauth.testing import settle
from crew import Crew, a_crew
from http_places import unauthorized
from scripted import Scripted
from worlds import text_of

KEY = Token(access_token="key")
OTHER = Token(access_token="other-key")


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with a_crew(no=unauthorized) as crew:
        yield crew


def a_conversation(*_: object) -> AuthFlow[Token]:
    yield from ()
    return KEY


async def test_a_constant_is_put_on_requests_without_a_store_a_watch_or_a_login(crew: Crew) -> None:
    mate = crew.join(crew.scheme(fixed=KEY))
    for _ in range(3):
        assert await mate.ask() == 200
        assert text_of(await mate.manager.token(mate.scheme, min_ttl=1e9)) == "key"
        await crew.clock.advance(86_400)
    assert crew.site.tokens == ["Bearer key"] * 3
    assert not mate.store.calls
    assert mate.scheme.calls == 0
    names = crew.place.keys()
    assert [name async for name in names] == []


@pytest.mark.parametrize(
    "store_it",
    [
        lambda manager, scheme: manager.put(scheme, KEY),
        lambda manager, scheme: manager.forget(scheme),
        lambda manager, scheme: manager.logout(scheme),
        lambda manager, scheme: manager.authorize(scheme, a_conversation()),
        lambda manager, scheme: manager.amend(scheme, a_conversation),
    ],
    ids=["put", "forget", "logout", "authorize", "amend"],
)
async def test_there_is_nothing_to_store_to_change_or_to_end(
    crew: Crew, store_it: Callable[[TokenManager, Scripted], Awaitable[object]]
) -> None:
    mate = crew.join(crew.scheme(fixed=KEY))
    with pytest.raises(ConfigurationError, match="made of the credential alone"):
        await store_it(mate.manager, mate.scheme)
    assert not mate.store.calls


async def test_schemes_of_one_key_and_different_secrets_use_their_own(crew: Crew) -> None:
    one = crew.join(crew.scheme(fixed=KEY))
    other = crew.scheme(fixed=OTHER)
    assert one.scheme.key == other.key
    for _ in range(3):
        assert text_of(await one.manager.token(one.scheme)) == "key"
        assert text_of(await one.manager.token(other)) == "other-key"
        await one.ask()
    assert set(crew.site.tokens) == {"Bearer key"}


async def test_a_scheme_of_the_same_key_that_logs_in_keeps_its_token_and_ends_with_the_store(
    crew: Crew,
) -> None:
    shared = crew.join(crew.scheme())
    fixed = crew.scheme(fixed=KEY)
    await shared.ask()
    watch = shared.slot.watch
    for _ in range(3):
        assert text_of(await shared.manager.token(fixed)) == "key"
        await shared.ask()
    assert shared.scheme.calls == 1
    await shared.store.aclose()
    assert watch is not None
    assert watch.over


async def test_a_refusal_of_a_constant_is_the_callers(crew: Crew) -> None:
    mate = crew.join(crew.scheme(fixed=KEY))
    assert await mate.ask("no") == 401
    assert await mate.ask() == 200
    assert len(crew.site.seen) == 2
    assert not mate.store.calls


async def test_a_suspicion_of_a_constant_is_the_callers(crew: Crew) -> None:
    mate = crew.join(crew.scheme(fixed=KEY, verdicts={401: Verdict.SUSPECT}))
    assert await mate.ask("no") == 401
    assert mate.scheme.probed == 0


async def test_a_person_who_is_needed_is_told_of_without_a_store(crew: Crew) -> None:
    url = URL("https://id.example.com/authorize")
    mate = crew.join(crew.scheme(fixed=KEY, verdicts={401: Verdict.NEEDS_USER}, person_url=url))
    for _ in range(2):
        with pytest.raises(AuthorizationRequiredError) as raised:
            await mate.ask("no")
        assert raised.value.authorize_url == url
    await settle()
    assert crew.told(AuthorizationNeeded) == 1
    assert not mate.store.calls
