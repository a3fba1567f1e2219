"""Stores that err, answer late, lose replicas or are away: nothing is hidden, spent for nothing or lost."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest

from asyncauth import (
    AuthSession,
    InsecureStoreError,
    RefreshPolicy,
    RenewalFailedError,
    StoreUnavailableError,
    Token,
    TokenGivenUp,
    TokenManager,
    UnreadableRecordError,
)
from asyncauth._answers import Done, Step
from asyncauth._errors import AnswerLostError
from asyncauth.schemes import ClientCredentials, RefreshToken
from asyncauth.testing import settle
from asyncauth.testing.emulators import Answer, Hold, OAuth2Emulator
from asyncauth_stores.redis import PlainRedisStore
from scripted import Gate, Scripted, Troubled, issued
from worlds import Fleet, a_held_renewal, text_of, worker_of


@pytest.fixture
async def handle(fleet: Fleet) -> AsyncIterator[Troubled]:
    handle = Troubled(fleet.place, fleet.clock)
    yield handle
    await handle.aclose()


def manager_on(handle: Troubled, fleet: Fleet, policy: RefreshPolicy | None = None) -> TokenManager:
    return TokenManager(handle, clock=fleet.clock, policy=policy, listener=fleet.events.append)


async def an_expired_user(manager: TokenManager, fleet: Fleet) -> RefreshToken:
    """Store a one-time refresh token that is needed now."""
    scheme = fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    fleet.clock.step(3600)
    return scheme


async def test_a_watch_outlives_a_store_that_was_found_open_to_others(fleet: Fleet, handle: Troubled) -> None:
    manager, scheme = manager_on(handle, fleet), Scripted()
    writer = fleet.manager()
    await writer.put(scheme, issued(1))
    assert text_of(await manager.token(scheme)) == "t1"
    await settle()
    handle.errors.append(InsecureStoreError("others may read the store"))
    await writer.put(scheme, issued(2))
    await settle()
    assert not handle.errors
    await fleet.clock.advance(2)
    await writer.put(scheme, issued(3))
    await settle()
    held = worker_of(manager).slot(scheme).held
    assert held is not None
    assert text_of(held.entry.token) == "t3"


async def test_a_read_that_is_answered_late_hides_no_lease_of_ours(fleet: Fleet, handle: Troubled) -> None:
    manager, other = manager_on(handle, fleet, RefreshPolicy(retries=0)), fleet.manager()
    scheme = fleet.service()
    hold, gate = Hold(), Gate()
    fleet.vendor.faults.add(hold, Answer(status=503), on="token", times=None)
    handle.read_gate = gate
    ledger, name = worker_of(manager).means.ledger, handle.name(scheme.key)
    slow = asyncio.create_task(ledger.run(name, lambda view: Step(answer=Done()), fresh=True))
    await gate.arrived.wait()
    renewing = asyncio.create_task(manager.token(scheme))
    await hold.arrived.wait()
    gate.opened.set()
    assert (await slow).sighting.record is None  # of before the lease was written
    hold.release()
    with pytest.raises(RenewalFailedError):
        await renewing
    record = await fleet.record(scheme)
    assert record is not None
    assert record.lease is None
    with pytest.raises(RenewalFailedError, match="a moment ago"):
        await other.token(scheme)
    assert fleet.vendor.stats.token_calls == 1


async def test_a_grant_without_replicas_is_never_used_for_a_one_time_token_and_given_back(
    fleet: Fleet, handle: Troubled
) -> None:
    manager = manager_on(handle, fleet)
    scheme = await an_expired_user(manager, fleet)
    handle.alone = True
    renewing = asyncio.create_task(manager.token(scheme))
    await fleet.clock.advance(39)
    assert not renewing.done()
    await fleet.clock.advance(2)
    with pytest.raises(StoreUnavailableError, match="replicas"):
        await renewing
    record = await fleet.record(scheme)
    assert record is not None
    assert (record.lease, record.intent) == (None, None)
    assert fleet.vendor.stats.token_calls == 0
    handle.alone = False
    assert text_of(await manager.token(scheme))


async def test_a_grant_without_replicas_is_used_once_they_are_back(fleet: Fleet, handle: Troubled) -> None:
    manager = manager_on(handle, fleet)
    scheme = await an_expired_user(manager, fleet)
    handle.alone = True
    renewing = asyncio.create_task(manager.token(scheme))
    await fleet.clock.advance(5)
    assert fleet.vendor.stats.token_calls == 0
    handle.alone = False
    await fleet.clock.advance(1)
    assert text_of(await renewing)
    assert fleet.vendor.stats.token_calls == 1


async def test_an_attempt_that_has_sent_is_never_taken_up_by_the_next_renewal(
    fleet: Fleet, handle: Troubled
) -> None:
    """The answer to its grant is lost, then the vendor's; and the store is away when it gives up."""
    clock, sent, manager = fleet.clock, list[float](), manager_on(handle, fleet)

    def renewal(token: Token) -> Token:
        sent.append(clock.monotonic())
        handle.away = len(sent) == 2
        raise AnswerLostError("cut")

    scheme = Scripted(can_login=False, renewal=renewal)
    await manager.put(scheme, Token(access_token="t", refresh_token="r", expires_in=60))
    clock.step(60)
    handle.loses_answers = 1
    asking = asyncio.create_task(manager.token(scheme))
    while not asking.done():
        await clock.advance(0.5)
    assert isinstance(asking.exception(), RenewalFailedError)
    handle.away = False
    await clock.advance(1)
    again = asyncio.create_task(manager.token(scheme))
    await clock.advance(RefreshPolicy().grace)
    assert len(sent) == 2
    again.cancel()


async def test_what_a_login_replaces_needs_no_replicas(fleet: Fleet, handle: Troubled) -> None:
    manager, handle.alone = manager_on(handle, fleet), True
    assert text_of(await manager.token(fleet.service()))


async def test_a_one_time_token_that_is_stored_without_replicas_is_handed_out_with_a_warning(
    fleet: Fleet, handle: Troubled, caplog: pytest.LogCaptureFixture
) -> None:
    manager = manager_on(handle, fleet)
    scheme = await an_expired_user(manager, fleet)
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    handle.alone = True
    hold.release()
    assert await fleet.manager().token(scheme) == await renewing
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"a renewed token of {scheme.key.scheme} is stored, but not replicated"
    ]


async def test_a_token_whose_record_cannot_be_opened_at_its_commit_is_told_of(
    fleet: Fleet, handle: Troubled
) -> None:
    manager = manager_on(handle, fleet)
    scheme = await an_expired_user(manager, fleet)
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    name = fleet.place.name(scheme.key)
    await fleet.place.write(name, b"rubbish", await fleet.place.read(name))
    hold.release()
    with pytest.raises(UnreadableRecordError):
        await renewing
    assert [type(event) for event in fleet.events].count(TokenGivenUp) == 1
    assert (await fleet.place.read(name)).value == b"rubbish"


async def test_an_outage_is_warned_of_once_by_name_and_without_secrets(
    fleet: Fleet, handle: Troubled, caplog: pytest.LogCaptureFixture
) -> None:
    manager, scheme = manager_on(handle, fleet), fleet.service()

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    handle.away = True
    for _ in range(4):
        await manager.token(scheme)
        fleet.clock.step(3600)
    assert fleet.vendor.stats.token_calls == 4
    assert len(warnings()) == 1
    assert f"logs in to {scheme.key.scheme} alone until it is back" in warnings()[0]
    assert "app-secret" not in caplog.text

    handle.away = False
    await fleet.clock.advance(30)
    await manager.token(scheme)
    handle.away = True
    fleet.clock.step(7200)
    await manager.token(scheme)
    assert len(warnings()) == 2


@pytest.fixture
async def away() -> AsyncIterator[PlainRedisStore]:
    """A Redis where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        async with PlainRedisStore(f"redis://127.0.0.1:{taken.getsockname()[1]}/0") as store:
            yield store


async def test_a_redis_that_is_not_there_does_not_stop_a_service(
    away: PlainRedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with OAuth2Emulator() as vendor:
        scheme = ClientCredentials(
            vendor.token_url, client_id="app", client_secret="app-secret", base_url=vendor.api_url
        )
        async with asyncio.timeout(2), AuthSession(scheme, away) as session:
            for _ in range(3):
                async with session.get("/x") as response:
                    assert response.status == 200
        assert vendor.stats.token_calls == 1
    warned = [record.getMessage() for record in caplog.records if record.name == "asyncauth"]
    assert sum("alone" in message for message in warned) == 1
    assert "app-secret" not in caplog.text


async def test_a_redis_that_is_not_there_fails_a_one_time_token_clearly_and_soon(
    away: PlainRedisStore,
) -> None:
    async with OAuth2Emulator() as vendor:
        scheme = RefreshToken(
            vendor.token_url,
            client_id="app",
            client_secret="app-secret",
            subject="u",
            base_url=vendor.api_url,
        )
        async with asyncio.timeout(1), AuthSession(scheme, away) as session:
            with pytest.raises(StoreUnavailableError):
                await session.get("/x")
        assert vendor.stats.token_calls == 0
