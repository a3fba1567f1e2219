"""Cronofy when something is wrong: what callers are told, what stays stored, and who is asked how often."""

import asyncio
from collections.abc import AsyncIterator

import attrs
import pytest

from asyncauth import (
    AuthError,
    CredentialRefusedError,
    GrantRefusedError,
    RefreshPolicy,
    RenewalFailedError,
    Token,
    TokenDied,
    TokenManager,
)
from asyncauth.abc import AuthScheme
from asyncauth.testing import settle
from asyncauth.testing.emulators import Answer, Fault, html_page
from cronofy_samples import of_vendor
from cronofy_world import World, a_world
from test_bad_answers_keep_records import assert_shows_nothing
from worlds import text_of

JSON = {"Content-Type": "application/json; charset=utf-8"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def failure_of(world: World, manager: TokenManager, scheme: AuthScheme) -> AuthError:
    """Need a token, and return what a caller is told."""
    with pytest.raises(AuthError) as caught:
        await world.patiently(manager.token(scheme))
    return caught.value


FAILURES: dict[str, tuple[Fault, type[AuthError], str]] = {
    "429": (Answer(429), RenewalFailedError, "429"),
    "500": (Answer(500), RenewalFailedError, "500"),
    "504 page": (html_page(504), RenewalFailedError, "504"),
    "200 page": (html_page(200), RenewalFailedError, "HTML"),
    "empty": (Answer(200, b"", JSON), RenewalFailedError, "empty body"),
    "no token": (Answer(200, b'{"token_type": "bearer"}', JSON), RenewalFailedError, "no access_token"),
    "404": (Answer(404), RenewalFailedError, "is the data centre's URL right"),
    "400 alone": (Answer(400), RenewalFailedError, "is the data centre's URL right"),
    "invalid_grant": (Answer(400, b'{"error": "invalid_grant"}', JSON), GrantRefusedError, "authorize again"),
    "401": (Answer(401), CredentialRefusedError, "data centre 'us'"),
    "invalid_client": (
        Answer(401, b'{"error": "invalid_client"}', JSON),
        CredentialRefusedError,
        "check client_id and client_secret",
    ),
    "invalid_request": (
        Answer(400, b'{"error": "invalid_request"}', JSON),
        CredentialRefusedError,
        "check the arguments",
    ),
    "415": (Answer(415), CredentialRefusedError, "another `body`"),
    "422": (
        Answer(422, b'{"errors": {"client_id": [{"key": "errors.required"}]}}', JSON),
        CredentialRefusedError,
        "client_id errors.required",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "kind", "words"), FAILURES.values(), ids=FAILURES.keys())
async def test_every_failure_is_told_to_all_workers_and_loses_nothing(
    world: World, fault: Fault, kind: type[AuthError], words: str
) -> None:
    one, other = world.manager(), world.manager()
    user = await world.person(one)
    before = await world.stored(user)
    assert before is not None
    await world.clock.advance(3600)
    world.vendor.faults.add(fault, on="token", times=None)
    error = await failure_of(world, one, user)
    assert type(error) is kind
    assert words in str(error)
    assert await world.stored(user) == before
    calls = world.vendor.stats.token_calls
    with pytest.raises(kind):
        await other.token(user)
    assert world.vendor.stats.token_calls == calls
    assert before.refresh_token is not None
    assert_shows_nothing(error, "cronofy-secret", text_of(before), before.refresh_token.reveal())


@pytest.mark.parametrize("knob", ["json", "empty"])
async def test_a_wrong_secret_is_tried_once_by_the_fleet_and_a_right_one_at_once(knob: str) -> None:
    async with a_world(invalid_client_body=knob) as world:
        workers = [world.manager() for _ in range(3)]
        user = await world.person(workers[0])
        await world.clock.advance(3600)
        wrong = attrs.evolve(user, client_secret="not-it")
        for worker in workers:
            with pytest.raises(CredentialRefusedError, match="data centre 'us'"):
                await worker.token(wrong)
        assert world.vendor.stats.token_calls == 1
        assert text_of(await workers[1].token(user))
        assert world.vendor.stats.token_calls == 2


async def test_an_application_of_another_data_centre_looks_like_a_wrong_secret_and_is_told_so() -> None:
    async with a_world(data_center="de", applications={"german": "secret"}) as world:
        manager = world.manager()
        user = attrs.evolve(of_vendor(world.vendor, "acc_1"), client_id="american")
        await manager.put(user, Token(refresh_token="r", expires_in=0))
        with pytest.raises(CredentialRefusedError, match="lives in the data centre 'de': no other one"):
            await manager.token(user)


async def test_an_authorization_of_another_data_centre_is_told_so_where_applications_are_known() -> None:
    async with a_world(data_center="us") as american, a_world(data_center="de") as german:
        issued = american.vendor.authorize("ada")
        manager = german.manager()
        user = of_vendor(german.vendor, str(issued.subject))
        await manager.put(user, attrs.evolve(issued, access_token=None, expires_in=0))
        error = await failure_of(german, manager, user)
        assert isinstance(error, GrantRefusedError)
        assert "of another data centre" in str(error)


async def test_an_authorization_that_was_withdrawn_is_dead_for_all_workers_until_a_new_one(
    world: World,
) -> None:
    workers = [world.manager() for _ in range(4)]
    user = await world.person(workers[0])
    await world.clock.advance(3600)
    world.vendor.revoke(user.sub)
    errors = [await failure_of(world, worker, user) for worker in workers]
    for error in errors:
        assert isinstance(error, GrantRefusedError)
        assert error.authorize_url == user.authorize_url
        assert "the user has to authorize again" in str(error)
    assert world.vendor.stats.token_calls == 2  # some vendors answer it once by mistake
    assert sum(isinstance(event, TokenDied) for event in world.events) == 1

    assert await world.person(workers[3]) == user
    await settle()
    tokens = await asyncio.gather(*(worker.token(user) for worker in workers))
    assert len({text_of(token) for token in tokens}) == 1
    assert world.vendor.stats.token_calls == 2


async def test_invalid_grant_adopts_what_another_worker_stored(world: World) -> None:
    """The refresh token was spent by another fleet of the same application, whose user authorized anew."""
    one, other = world.manager(), world.manager()
    user = await world.person(one)
    stale = await world.stored(user)
    assert stale is not None
    await world.clock.advance(3600)
    new = attrs.evolve(world.vendor.authorize("ada"), scope=stale.scope)
    invalid = Answer(400, b'{"error": "invalid_grant"}', JSON)
    world.vendor.faults.add(invalid, on="token", times=None)
    waiting = asyncio.create_task(one.token(user))
    while not world.vendor.stats.token_calls:
        await asyncio.sleep(0.001)
    await other.put(user, new)

    async def outcome() -> Token:
        return await waiting

    assert text_of(await world.patiently(outcome())) == text_of(new)
    assert not [event for event in world.events if isinstance(event, TokenDied)]


async def test_too_many_requests_during_a_refresh_leave_a_valid_token_in_use(world: World) -> None:
    manager = world.manager()
    user = await world.person(manager)
    old = await manager.token(user)
    world.vendor.faults.add(Answer(429), on="token", times=None)
    await world.clock.advance(3400)
    for _ in range(20):
        assert await manager.token(user) == old
        await settle()
        await world.clock.advance(1)
    assert 1 <= world.vendor.stats.token_calls <= 3
    world.vendor.faults.clear()
    await world.clock.advance(300)
    assert await world.patiently(manager.token(user)) != old


@pytest.mark.parametrize(("retry_after", "pause"), [(None, 1), (45, 45)])
async def test_a_declined_refresh_spends_nothing_and_waits_as_long_as_it_is_asked_to(
    retry_after: float | None, pause: float
) -> None:
    async with a_world(per_minute=0, retry_after=retry_after) as world:
        manager = world.manager()
        user = await world.person(manager)
        await world.clock.advance(3600)
        error = await failure_of(world, manager, user)
        assert isinstance(error, RenewalFailedError)
        assert error.reason == "VendorBusyError"
        assert error.retry_in is not None
        assert error.retry_in >= pause - 0.5
        world.vendor.per_minute = None
        await world.clock.advance(120)
        assert text_of(await world.patiently(manager.token(user)))
        assert world.vendor.stats.reuses_detected == 0


@pytest.mark.slow
async def test_renewals_of_many_users_stay_below_the_applications_limit() -> None:
    async with a_world(per_second=None, per_minute=30) as world:
        manager = world.manager(RefreshPolicy(wait=120))
        users = [
            attrs.evolve(await world.person(manager, f"user-{number}"), renewals_per_second=0.5)
            for number in range(20)
        ]
        await world.clock.advance(3600)
        asking = asyncio.gather(*(manager.token(user) for user in users))

        async def all_of_them() -> list[Token]:
            return await asking

        began = world.clock.monotonic()
        tokens = await world.patiently(all_of_them(), 0.25)
        assert len({text_of(token) for token in tokens}) == 20
        assert world.clock.monotonic() - began >= 19 / 0.5
        assert (world.vendor.stats.token_calls, world.vendor.stats.refusals) == (20, {})


async def test_a_disconnected_provider_is_no_failure_of_the_authorization() -> None:
    async with a_world(disconnected={"ada"}) as world:
        manager = world.manager()
        user = await world.person(manager)
        await world.clock.advance(3600)
        assert text_of(await manager.token(user))
