"""`TokenManager.authorize`: what a code buys is stored, whatever the store does meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import attrs
import pytest
from yarl import URL

from asyncauth import (
    AuthorizationNeeded,
    AuthorizationRequiredError,
    GrantRefusedError,
    RefreshPolicy,
    StoreUnavailableError,
    Token,
)
from asyncauth._errors import VendorFailedError
from asyncauth.abc import AuthFlow
from asyncauth.testing import settle
from crew import Crew, Mate, a_crew
from scripted import Scripted
from worlds import text_of

BOUGHT = Token(access_token="t1", refresh_token="r1", expires_in=3600, subject="ada")
PLACE = URL("https://id.example.com/authorize?client_id=app")
WAIT = RefreshPolicy().wait


@attrs.define(eq=False, kw_only=True)
class Accounts(Scripted):
    """A vendor that tells only with the token whose account it is."""

    def for_token(self, token: Token) -> Self:
        return attrs.evolve(self, account=token.subject or self.account)


@attrs.define(eq=False)
class Code:
    """A code that is exchanged for a token.

    Attributes:
        spent: How often it was.
        meanwhile: Called during the exchange.
    """

    token: Token = BOUGHT
    meanwhile: Callable[[], object] = lambda: None
    spent: int = 0

    def exchange(self) -> AuthFlow[Token]:
        yield from ()
        self.spent += 1
        self.meanwhile()
        return self.token


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with a_crew() as crew:
        yield crew


def a_mate(crew: Crew, **options: Any) -> Mate:
    return crew.join(Accounts(base=crew.site.url, can_login=False, person_url=PLACE, **options))


async def test_the_authorization_is_every_workers_under_the_key_of_its_account(crew: Crew) -> None:
    mate = a_mate(crew)
    owner = await mate.manager.authorize(mate.scheme, Code().exchange())
    assert owner.key.client == "ada"
    other = crew.join(owner)
    assert await other.ask() == 200
    assert crew.site.tokens == ["Bearer t1"]
    with pytest.raises(AuthorizationRequiredError):
        await mate.manager.token(mate.scheme)  # not under the key that was not known to be anybody's


async def test_an_authorization_ends_a_logout_and_what_was_there_before(crew: Crew) -> None:
    mate = a_mate(crew, account="ada")
    await mate.manager.put(mate.scheme, Token(access_token="old"))
    await mate.manager.forget(mate.scheme)
    await mate.manager.authorize(mate.scheme, Code().exchange())
    assert text_of(await mate.manager.token(mate.scheme)) == "t1"


async def test_a_code_is_not_spent_while_the_store_is_away(crew: Crew) -> None:
    mate, code = a_mate(crew), Code()
    mate.store.away = True
    with pytest.raises(StoreUnavailableError):
        await mate.manager.authorize(mate.scheme, code.exchange())
    assert code.spent == 0
    mate.store.away = False
    await mate.manager.authorize(mate.scheme, code.exchange())
    assert code.spent == 1


async def test_a_record_that_cannot_be_read_is_replaced(crew: Crew) -> None:
    mate = a_mate(crew, account="ada")
    name = crew.place.name(mate.scheme.key)
    await crew.place.write(name, b"not a record", await crew.place.read(name))
    await mate.manager.authorize(mate.scheme, Code().exchange())
    assert text_of(await mate.manager.token(mate.scheme)) == "t1"


async def test_a_store_that_goes_away_meanwhile_is_waited_for(crew: Crew) -> None:
    mate = a_mate(crew, account="ada")
    code = Code(meanwhile=lambda: setattr(mate.store, "away", True))
    authorizing = asyncio.create_task(mate.manager.authorize(mate.scheme, code.exchange()))
    await crew.clock.advance(WAIT - 10)
    assert not authorizing.done()
    mate.store.away = False
    await crew.clock.advance(1)
    assert (await authorizing).key == mate.scheme.key
    assert code.spent == 1
    entry = await crew.entry(mate.scheme)
    # Its life is counted from before the code was sent, not from when the store was back.
    assert entry.issued_at == (crew.clock.wall() - WAIT + 9) * 1000
    assert entry.expires_at == entry.issued_at + 3_600_000


async def test_a_store_that_stays_away_is_an_error_in_the_end(crew: Crew) -> None:
    mate = a_mate(crew)
    code = Code(meanwhile=lambda: setattr(mate.store, "away", True))
    authorizing = asyncio.create_task(mate.manager.authorize(mate.scheme, code.exchange()))
    await crew.clock.advance(WAIT + 1)
    with pytest.raises(StoreUnavailableError):
        await authorizing


async def test_a_lost_answer_of_the_store_begins_no_second_era(crew: Crew) -> None:
    mate = a_mate(crew, account="ada")
    mate.store.loses_answers = 1
    authorizing = asyncio.create_task(mate.manager.authorize(mate.scheme, Code().exchange()))
    await settle()
    first = await crew.record(mate.scheme)
    await crew.clock.advance(2)
    await authorizing
    assert (await crew.record(mate.scheme)) == first


async def test_a_renewal_by_others_before_the_answer_came_stands(crew: Crew) -> None:
    """The first writing took effect, and the token was spent: the second one must not bring it back."""
    scheme = Accounts(
        base=crew.site.url, can_login=False, account="ada", renewal=lambda token: Token(access_token="t2")
    )
    mate, other = crew.join(scheme), crew.join(scheme)
    mate.store.loses_answers = 1
    authorizing = asyncio.create_task(mate.manager.authorize(scheme, Code().exchange()))
    await settle()
    await other.manager.token(scheme)
    other.worker.refuse(other.slot, other.slot.held or pytest.fail("nothing held"))
    crew.clock.step(0.1)
    renewing = asyncio.create_task(other.manager.token(scheme))
    await crew.until(renewing.done, step=1)
    renewed = (await crew.entry(scheme)).id
    await crew.until(authorizing.done, step=0.5)
    await authorizing
    assert (await crew.entry(scheme)).id == renewed
    assert (await mate.manager.token(scheme)) == renewing.result()


@pytest.mark.parametrize("kind", [AuthorizationRequiredError, GrantRefusedError])
async def test_a_code_that_is_refused_says_where_to_begin_again(
    crew: Crew, kind: type[AuthorizationRequiredError]
) -> None:
    def refused() -> None:
        raise kind("the code is refused: begin again")

    mate = a_mate(crew, account="ada")
    with pytest.raises(kind) as raised:
        await mate.manager.authorize(mate.scheme, Code(meanwhile=refused).exchange())
    assert raised.value.authorize_url == PLACE
    names = crew.place.keys()
    assert [name async for name in names] == []
    assert crew.told(AuthorizationNeeded) == 0  # who asked knows


async def test_a_vendor_that_fails_is_the_callers_error_and_changes_nothing(crew: Crew) -> None:
    def failing() -> None:
        raise VendorFailedError("503")

    mate = a_mate(crew, account="ada")
    await mate.manager.put(mate.scheme, Token(access_token="old"))
    with pytest.raises(VendorFailedError):
        await mate.manager.authorize(mate.scheme, Code(meanwhile=failing).exchange())
    assert text_of(await mate.manager.token(mate.scheme)) == "old"


async def test_a_refresh_token_alone_is_an_authorization_too(crew: Crew) -> None:
    mate = a_mate(crew, account="ada", renewal=lambda token: Token(access_token="t9"))
    await mate.manager.authorize(mate.scheme, Code(Token(refresh_token="r1", expires_in=0)).exchange())
    assert text_of(await mate.manager.token(mate.scheme)) == "t9"
