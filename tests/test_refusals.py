"""What is refused, by the vendor or by the fleet: tried once, for the right one, and kept in mind shortly."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from asyncauth import (
    AuthError,
    CredentialRefusedError,
    GrantRefusedError,
    Token,
    TokenManager,
)
from asyncauth.testing import ManualClock, settle
from asyncauth_stores.memory import MemoryTokenStore
from scripted import Scripted, issued
from worlds import Fleet, Handle, a_held_renewal, handle_of, text_of, worker_of


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def place(clock: ManualClock) -> MemoryTokenStore:
    return MemoryTokenStore(clock=clock)


@pytest.fixture
async def managers(clock: ManualClock, place: MemoryTokenStore) -> AsyncIterator[list[TokenManager]]:
    """Two workers."""
    handles = [Handle(place, clock) for _ in range(2)]
    yield [TokenManager(handle, clock=clock) for handle in handles]
    for handle in handles:
        await handle.aclose()


def wrong_credential(number: int) -> Token:
    raise CredentialRefusedError("the vendor refused the client's secret")


def wrong_password(number: int) -> Token:
    raise GrantRefusedError("the vendor refused the password")


async def outcome_of(manager: TokenManager, scheme: Scripted) -> str:
    try:
        return text_of(await manager.token(scheme))
    except AuthError as error:
        return type(error).__name__


async def test_a_rotated_refresh_token_is_kept_though_its_access_token_stayed_the_same(
    managers: list[TokenManager], clock: ManualClock
) -> None:
    manager, other = managers

    def rotated(number: int) -> Token:
        return Token(access_token="same", refresh_token=f"r{number}", expires_in=3600)

    scheme = Scripted(answer=rotated, can_login=False)
    await manager.put(scheme, rotated(0))
    await clock.advance(60)
    worker, slot = worker_of(manager), worker_of(manager).slot(scheme)
    assert slot.held is not None
    held = await worker.replace(slot, scheme, slot.held)
    assert held is not None
    for refresh_token in (held.entry.token.refresh_token, (await other.token(scheme)).refresh_token):
        assert refresh_token is not None
        assert refresh_token.reveal() == "r1"
    assert scheme.calls == 1


async def test_a_family_lives_on_after_a_refusal_that_its_refresh_did_not_mend(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    worker = worker_of(manager)
    slot = worker.slot(scheme)
    for _ in range(3):
        await fleet.clock.advance(60)
        assert slot.held is not None
        await worker.replace(slot, scheme, slot.held)
    await fleet.clock.advance(3600)
    assert text_of(await manager.token(scheme))
    assert fleet.vendor.stats.token_calls == 4


async def test_a_resource_that_always_refuses_costs_one_login_while_the_store_is_away(
    managers: list[TokenManager],
) -> None:
    manager, scheme = managers[0], Scripted()
    handle_of(manager).away = True
    await manager.token(scheme)
    worker = worker_of(manager)
    slot = worker.slot(scheme)
    for _ in range(50):
        assert slot.held is not None
        assert await worker.replace(slot, scheme, slot.held) is None  # the refusal is the caller's
    assert scheme.calls == 1
    assert slot.ready is not None


@pytest.mark.parametrize("first", ["wrong", "right"])
async def test_the_right_credential_gets_its_token_beside_a_wrong_one_of_equal_key(
    managers: list[TokenManager], first: str
) -> None:
    schemes = [Scripted(answer=wrong_credential, credential="wrong"), Scripted()]
    if first == "right":
        schemes.reverse()
    results = await asyncio.gather(*(outcome_of(managers[0], scheme) for scheme in schemes * 20))
    right = [
        result for scheme, result in zip(schemes * 20, results, strict=True) if scheme.credential == "right"
    ]
    assert set(right) == {"t1"}
    assert all(scheme.calls <= 1 for scheme in schemes)


async def test_a_login_that_the_vendor_refuses_as_a_grant_is_tried_once_by_the_fleet(
    managers: list[TokenManager], clock: ManualClock
) -> None:
    scheme = Scripted(answer=wrong_password)
    for _ in range(5):
        for manager in managers:
            with pytest.raises(GrantRefusedError, match="refused the password"):
                await manager.token(scheme)
            await clock.advance(2)
    assert scheme.calls == 1
    scheme.credential, scheme.answer = "changed", issued
    assert text_of(await managers[1].token(scheme)) == "t2"


async def test_two_hundred_requests_for_what_is_dead_hardly_ask_the_store(
    managers: list[TokenManager],
) -> None:
    manager, scheme = managers[0], Scripted(answer=wrong_credential)
    errors: list[BaseException] = []
    for _ in range(200):
        with pytest.raises(CredentialRefusedError, match="client's secret") as caught:
            await manager.token(scheme)
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 200  # each has a twin of its own
    assert scheme.calls == 1
    assert handle_of(manager).calls["read"] <= 3


async def test_a_denial_ends_with_what_another_worker_stores(managers: list[TokenManager]) -> None:
    manager, other = managers
    scheme = Scripted(answer=wrong_credential)
    assert await outcome_of(manager, scheme) == "CredentialRefusedError"
    await other.put(scheme, issued(9))
    await settle()
    assert await outcome_of(manager, scheme) == "t9"


async def test_a_denial_is_not_for_another_credential(managers: list[TokenManager]) -> None:
    assert (
        await outcome_of(managers[0], Scripted(answer=wrong_credential, credential="wrong"))
        == "CredentialRefusedError"
    )
    assert await outcome_of(managers[0], Scripted()) == "t1"


async def test_a_denial_lasts_a_moment(managers: list[TokenManager], clock: ManualClock) -> None:
    scheme = Scripted(answer=wrong_credential)
    await outcome_of(managers[0], scheme)
    before = handle_of(managers[0]).calls["read"]
    await clock.advance(1.1)
    await outcome_of(managers[0], scheme)
    assert handle_of(managers[0]).calls["read"] == before + 1
    assert scheme.calls == 1


async def test_a_logout_during_a_renewal_tells_the_vendor_of_the_token_that_was_forgotten(
    managers: list[TokenManager], place: MemoryTokenStore, clock: ManualClock
) -> None:
    manager, other = managers
    scheme = Scripted()
    await manager.token(scheme)
    handle = handle_of(manager)
    read = handle.read

    async def overtaken(name: str) -> object:
        snapshot = await read(name)
        vars(handle).pop("read")
        clock.step(3600)
        await other.token(scheme)  # between the logout's look and its write
        return snapshot

    vars(handle)["read"] = overtaken
    await manager.logout(scheme)
    assert scheme.told == ["t2"]


async def test_a_token_that_is_renewed_during_a_logout_is_ended_as_well(fleet: Fleet) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    await other.forget(scheme)
    hold.release()
    with pytest.raises(AuthError, match="logged"):
        await renewing
    record = await fleet.record(scheme)
    assert record is not None
    assert record.entry is None
