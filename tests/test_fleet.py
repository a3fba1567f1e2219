"""Several workers on one place: what each does is everyone's, and is done once."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import attrs
import pytest

from asyncauth import (
    AuthorizationRequiredError,
    CredentialRefusedError,
    GrantRefusedError,
    LoggedOutError,
    RenewalFailedError,
    Token,
    TokenAdopted,
    TokenDied,
    TokenForgotten,
    TokenManager,
    TokenRestored,
    UnreadableRecordError,
)
from asyncauth._slot import Held
from asyncauth.abc import AuthScheme, Snapshot
from asyncauth.testing import settle
from asyncauth.testing.emulators import Answer, Cut
from scripted import Scripted, issued
from worlds import Fleet, a_held_renewal, handle_of, text_of, worker_of

_T = TypeVar("_T")


async def _patiently(fleet: Fleet, waiting: Coroutine[Any, Any, _T], step: float = 0.5) -> _T:
    """Await something while time goes by."""
    task = asyncio.ensure_future(waiting)
    while not task.done():
        await fleet.clock.advance(step)
        await asyncio.sleep(0.001)
    return await task


def _held(manager: TokenManager, scheme: AuthScheme) -> Held:
    held = worker_of(manager).slot(scheme).held
    assert held is not None
    return held


async def _refuse(manager: TokenManager, scheme: AuthScheme) -> Token | None:
    """Do what a middleware does when the vendor refuses the worker's token."""
    worker = worker_of(manager)
    other = await worker.replace(worker.slot(scheme), scheme, _held(manager, scheme))
    return None if other is None else other.entry.token


async def test_eight_workers_on_an_expired_token_cause_one_renewal(fleet: Fleet) -> None:
    scheme, workers = fleet.service(), [fleet.manager() for _ in range(8)]
    for calls in range(1, 4):
        tokens = await asyncio.gather(*(worker.token(scheme) for worker in workers))
        assert len({text_of(token) for token in tokens}) == 1
        assert fleet.vendor.stats.token_calls == calls
        await fleet.clock.advance(3600)


@pytest.mark.slow
async def test_one_time_refresh_tokens_of_eight_workers_are_spent_once_each(fleet: Fleet) -> None:
    scheme, workers = fleet.user(), [fleet.manager() for _ in range(8)]
    await workers[0].put(scheme, fleet.vendor.authorize("ada"))
    for expiry in range(1, 11):
        await fleet.clock.advance(3600)
        tokens = await asyncio.gather(*(worker.token(scheme) for worker in workers))
        assert len({text_of(token) for token in tokens}) == 1
        assert fleet.vendor.stats.token_calls == expiry

    assert fleet.vendor.stats.families_revoked == 0


async def test_workers_take_over_a_new_token_without_asking_for_it(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    assert await one.token(scheme) == await other.token(scheme)
    await fleet.clock.advance(3600)
    new = await one.token(scheme)
    await settle()

    assert _held(other, scheme).entry.token == new
    assert any(isinstance(event, TokenAdopted) for event in fleet.events)


async def test_a_refused_token_is_renewed_once_for_all_workers(fleet: Fleet) -> None:
    scheme, workers = fleet.service(), [fleet.manager() for _ in range(4)]
    for worker in workers:
        await worker.token(scheme)
    await fleet.clock.advance(60)
    tokens = await asyncio.gather(*(_refuse(worker, scheme) for worker in workers))

    assert len({text_of(token) for token in tokens if token is not None}) == 1
    assert fleet.vendor.stats.token_calls == 2


async def test_a_token_refused_right_after_its_issue_is_not_renewed_in_a_loop(fleet: Fleet) -> None:
    scheme, workers = fleet.service(), [fleet.manager() for _ in range(4)]
    for worker in workers:
        await worker.token(scheme)
    for _ in range(20):
        for worker in workers:
            assert await _refuse(worker, scheme) is None  # the 401 is the caller's answer
            assert text_of(await worker.token(scheme))  # and other resources are not shut out
        await fleet.clock.advance(0.4)
    assert fleet.vendor.stats.token_calls == 1

    await fleet.clock.advance(60)
    assert await _refuse(workers[0], scheme) is not None
    assert fleet.vendor.stats.token_calls == 2


async def test_one_workers_failure_is_everyones_answer_until_its_retry_time(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    fleet.vendor.faults.add(Answer(status=503), on="token", times=3)
    with pytest.raises(RenewalFailedError, match="503") as failed:
        await _patiently(fleet, one.token(scheme))
    assert failed.value.reason == "VendorFailedError"
    calls = fleet.vendor.stats.token_calls
    assert calls == 3

    with pytest.raises(RenewalFailedError, match="503"):
        await other.token(scheme)
    assert fleet.vendor.stats.token_calls == calls
    await fleet.clock.advance(2)
    assert text_of(await other.token(scheme))


async def test_retry_after_is_obeyed_by_all(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.service()
    fleet.vendor.faults.add(Answer(status=429, headers={"Retry-After": "120"}), on="token")
    with pytest.raises(RenewalFailedError) as failed:
        await one.token(scheme)
    assert failed.value.retry_in == 120
    await fleet.clock.advance(119)
    with pytest.raises(RenewalFailedError):
        await other.token(scheme)
    assert fleet.vendor.stats.token_calls == 1
    await fleet.clock.advance(1.1)
    assert text_of(await other.token(scheme))


async def test_a_wrong_secret_is_tried_once_by_the_fleet_until_it_is_changed(fleet: Fleet) -> None:
    workers = [fleet.manager() for _ in range(4)]
    for worker in workers:
        with pytest.raises(CredentialRefusedError, match="invalid_client"):
            await worker.token(fleet.service(secret="wrong"))
    assert fleet.vendor.stats.token_calls == 1
    assert sum(isinstance(event, TokenDied) for event in fleet.events) == 1

    assert text_of(await workers[1].token(fleet.service()))
    assert text_of(await workers[2].token(fleet.service(secret="wrong")))  # a living token is at hand


async def test_a_refused_grant_is_tried_twice_at_most_and_a_new_authorization_revives(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await one.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    refusal = Answer(
        status=400, body=b'{"error":"invalid_grant"}', headers={"Content-Type": "application/json"}
    )
    fleet.vendor.faults.add(refusal, on="token", times=None)
    for worker in (one, other, one):
        with pytest.raises(GrantRefusedError, match="invalid_grant"):
            await _patiently(fleet, worker.token(scheme))
    assert fleet.vendor.stats.token_calls == 2  # some vendors answer it once by mistake
    fleet.vendor.faults.clear()

    await other.put(scheme, fleet.vendor.authorize("ada"))
    await settle()
    assert await one.token(scheme) == await other.token(scheme)
    assert fleet.vendor.stats.token_calls == 2


async def test_a_mistaken_refusal_of_a_grant_harms_nobody(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    fleet.vendor.faults.add(Answer(status=400, body=b'{"error":"invalid_grant"}'), on="token")

    assert text_of(await _patiently(fleet, manager.token(scheme)))


async def test_a_one_time_token_whose_answer_was_lost_is_sent_again_only_after_quiet(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    fleet.vendor.faults.add(Cut(when="before"), on="token")
    task = asyncio.create_task(manager.token(scheme))
    while not fleet.vendor.stats.token_calls:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    await fleet.clock.advance(9.5)
    await asyncio.sleep(0.05)
    assert fleet.vendor.stats.token_calls == 1
    await fleet.clock.advance(1)

    assert text_of(await task)
    assert fleet.vendor.stats.token_calls == 2
    assert fleet.vendor.stats.families_revoked == 0


async def test_a_new_authorization_ends_a_renewal_that_is_under_way(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await one.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    hold, renewing = await a_held_renewal(fleet, one, scheme)
    new = fleet.vendor.authorize("ada")
    await other.put(scheme, new)
    hold.release()
    await asyncio.wait({renewing})
    await settle()

    for worker in (one, other):
        assert text_of(await worker.token(scheme)) == text_of(new)


async def test_forgetting_reaches_all_workers_and_a_late_renewal_does_not_undo_it(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await one.put(scheme, fleet.vendor.authorize("ada"))
    await other.token(scheme)
    await fleet.clock.advance(3600)
    hold, renewing = await a_held_renewal(fleet, one, scheme)
    await other.forget(scheme)
    hold.release()
    with pytest.raises(LoggedOutError):
        await renewing
    await settle()

    for worker in (one, other):
        with pytest.raises(AuthorizationRequiredError):
            await worker.token(scheme)
    assert any(isinstance(event, TokenForgotten) for event in fleet.events)


async def test_a_logout_that_a_new_authorization_overtakes_does_not_end_that_at_the_vendor(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, other, scheme = fleet.manager(), fleet.manager(), Scripted()
    await manager.put(scheme, issued(1))
    handle = handle_of(manager)
    write = handle.write

    async def late(*args: Any, **options: Any) -> Snapshot:
        monkeypatch.undo()
        await other.put(scheme, issued(2))
        return await write(*args, **options)

    monkeypatch.setattr(handle, "write", late)
    await manager.logout(scheme)
    assert scheme.told == ["t1"]
    assert text_of(await manager.token(scheme)) == "t2"


async def test_a_scheme_that_can_log_in_does_so_after_a_logout(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.service()
    first = await manager.token(scheme)
    await manager.logout(scheme)

    assert await manager.token(scheme) != first
    assert fleet.vendor.stats.token_calls == 2


async def test_what_the_store_lost_is_put_back_by_the_worker_that_has_it(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await one.put(scheme, fleet.vendor.authorize("ada"))
    name = fleet.place.name(scheme.key)
    stale = await fleet.place.read(name)
    await fleet.clock.advance(3600)
    living = await one.token(scheme)
    await fleet.place.write(name, stale.value, await fleet.place.read(name))  # a restored backup
    await settle()

    assert any(isinstance(event, TokenRestored) for event in fleet.events)
    assert await other.token(scheme) == living
    assert fleet.vendor.stats.token_calls == 1


async def test_a_store_that_was_emptied_is_filled_again(fleet: Fleet) -> None:
    one, other, scheme = fleet.manager(), fleet.manager(), fleet.user()
    await one.put(scheme, fleet.vendor.authorize("ada"))
    name = fleet.place.name(scheme.key)
    await fleet.place.write(name, None, await fleet.place.read(name))
    await settle()

    assert await other.token(scheme) == await one.token(scheme)
    assert fleet.vendor.stats.token_calls == 0


async def test_an_unreadable_record_is_an_error_until_a_new_authorization_replaces_it(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    name = fleet.place.name(scheme.key)
    await fleet.place.write(name, b"not a record", await fleet.place.read(name))
    for _ in range(2):
        with pytest.raises(UnreadableRecordError, match="truncated or not a record"):
            await manager.token(scheme)
    assert (await fleet.place.read(name)).value == b"not a record"  # nobody overwrote it

    token = fleet.vendor.authorize("ada")
    await manager.put(scheme, token)
    assert text_of(await manager.token(scheme)) == text_of(token)


async def test_a_lost_answer_of_the_store_is_looked_up_not_repeated_at_the_vendor(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    await manager.put(scheme, fleet.vendor.authorize("ada"))
    await fleet.clock.advance(3600)
    hold, renewing = await a_held_renewal(fleet, manager, scheme)
    handle_of(manager).loses_answers = 2
    hold.release()

    assert text_of(await _patiently(fleet, renewing_result(renewing)))
    assert fleet.vendor.stats.token_calls == 1


async def renewing_result(task: "asyncio.Task[Token]") -> Token:
    """Return what a task returns, as a coroutine."""
    return await task


async def test_a_vendor_that_gives_the_refused_token_again_is_not_asked_in_a_loop(fleet: Fleet) -> None:
    """What a Simplicité server does with `USERTOKENS_REUSE`."""
    manager, scheme = fleet.manager(), fleet.service()
    body = b'{"access_token": "always-the-same", "token_type": "bearer", "expires_in": 3600}'
    same = Answer(status=200, body=body, headers={"Content-Type": "application/json"})
    fleet.vendor.faults.add(same, on="token", times=None)
    await manager.token(scheme)
    await fleet.clock.advance(60)
    for _ in range(10):
        assert await _refuse(manager, scheme) is None

    assert fleet.vendor.stats.token_calls == 2


async def test_secrets_are_in_no_event(fleet: Fleet) -> None:
    manager, scheme = fleet.manager(), fleet.user()
    token = fleet.vendor.authorize("ada")
    await manager.put(scheme, token)
    await fleet.clock.advance(3600)
    new = await manager.token(scheme)
    shown = repr([attrs.asdict(event) for event in fleet.events])

    assert fleet.events
    for known in (token, new):
        assert text_of(known) not in shown
        assert known.refresh_token is not None
        assert known.refresh_token.reveal() not in shown
