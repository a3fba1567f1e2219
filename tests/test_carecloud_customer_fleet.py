"""CareCloud's device tokens and customers' logins, shared by a fleet, against the emulator."""

import asyncio
from typing import Any

import attrs
import pytest

from asyncauth import (
    AuthorizationNeeded,
    AuthorizationRequiredError,
    AuthSession,
    CredentialRefusedError,
    StoreUnavailableError,
    Token,
    TokenDied,
    TokenRefused,
)
from asyncauth.schemes import CustomerLogin
from asyncauth.testing import settle
from asyncauth.testing.emulators import Answer, Cut
from carecloud_fleet import CareFleet, a_care_fleet, ask
from carecloud_samples import CUSTOMER_ID, JOHN, LANGUAGES
from worlds import handle_of, text_of

WRONG = attrs.evolve(JOHN, password="wrong-password")
CARD = CustomerLogin("card", "1000000001", password="password_example")


def calls(fleet: CareFleet, path: str) -> int:
    return sum(request.path.endswith(path) for request in fleet.vendor.requests)


async def test_eight_workers_that_start_cold_make_one_device_token() -> None:
    async with a_care_fleet() as fleet:
        workers = [fleet.worker() for _ in range(8)]
        tokens = await asyncio.gather(*(worker.token(fleet.installation()) for worker in workers))
        assert len({text_of(token) for token in tokens}) == 1
        assert fleet.vendor.device_tokens_created == fleet.vendor.device_tokens_alive == 1
        fleet.clock.step(365 * 86_400)
        assert await workers[0].token(fleet.installation()) == tokens[0]
        assert fleet.vendor.stats.requests == 1


async def test_eight_workers_that_start_cold_log_their_customer_in_once() -> None:
    async with a_care_fleet() as fleet:
        workers = [fleet.worker() for _ in range(8)]
        scheme = fleet.installation(customer=JOHN)
        tokens = await asyncio.gather(*(worker.token(scheme) for worker in workers))
        assert {(text_of(token), token.subject) for token in tokens} == {(text_of(tokens[0]), CUSTOMER_ID)}
        assert (fleet.vendor.device_tokens_created, fleet.vendor.customer_logins) == (1, 1)
        assert await asyncio.gather(*(ask(scheme, worker) for worker in workers)) == [200] * 8


async def test_the_requests_are_the_documented_ones() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(customer=JOHN, accept_language=LANGUAGES), fleet.worker()
        headers = {"Content-Type": "application/json", "Accept-Language": LANGUAGES}
        assert await ask(scheme, worker, headers=headers) == 200
        create, login, call = fleet.vendor.requests
        base, token_id = fleet.vendor.customer_url.path, text_of(await worker.token(scheme))
        assert [(each.method, each.path_qs) for each in fleet.vendor.requests] == [
            ("POST", f"{base}/tokens"),
            ("POST", f"{base}/tokens/{token_id}/actions/login"),
            ("GET", f"{base}/customers"),
        ]
        assert {each.headers["Accept-Language"] for each in (create, login, call)} == {LANGUAGES}
        assert {each.headers["Content-Type"] for each in (create, login, call)} == {"application/json"}
        assert "Authorization" not in create.headers
        assert {each.headers["Authorization"] for each in (login, call)} == {f"Bearer {token_id}"}
        assert login.json_object() == {
            "login_type": "email",
            "login_value": "user@example.com",
            "password": "password_example",
        }


async def test_a_replaced_device_token_is_looked_for_in_the_store_first() -> None:
    async with a_care_fleet() as fleet:
        scheme, early, late = fleet.installation(), fleet.worker(), fleet.worker()
        old = text_of(await early.token(scheme))
        assert text_of(await late.token(scheme)) == old
        fleet.clock.step(3600)
        new = fleet.vendor.replace_device_token(old)
        await late.put(scheme, Token(access_token=new, refresh_token=new))
        created = fleet.vendor.device_tokens_created
        assert await ask(scheme, early, "/stores") == 200
        assert text_of(await early.token(scheme)) == new
        assert fleet.vendor.device_tokens_created == created


async def test_a_dead_device_token_is_replaced_once_by_the_fleet() -> None:
    async with a_care_fleet() as fleet:
        scheme, workers = fleet.installation(), [fleet.worker() for _ in range(8)]
        old = text_of(await workers[0].token(scheme))
        await asyncio.gather(*(worker.token(scheme) for worker in workers))
        fleet.clock.step(3600)
        stranger = fleet.vendor.replace_device_token(old)
        statuses = await asyncio.gather(*(ask(scheme, worker, "/stores") for worker in workers))
        assert statuses == [200] * 8
        # The first, the stranger's, and one more.
        assert (fleet.vendor.device_tokens_created, fleet.vendor.device_tokens_alive) == (3, 1)
        assert text_of(await workers[0].token(scheme)) not in {old, stranger}


async def test_two_installations_with_one_device_id_are_no_storm() -> None:
    async with a_care_fleet() as one, a_care_fleet() as other:
        # The other one has a store of its own, and the same device at the same project.
        scheme, workers = one.installation(), [one.worker(), other.worker()]
        for _ in range(60):
            for fleet, worker in zip((one, other), workers, strict=True):
                fleet.clock.step(1)
                await ask(scheme, worker, "/stores")
        # Each takes it back at most once in `loop_guard`, instead of with each call.
        assert 2 < one.vendor.device_tokens_created <= 15


@pytest.mark.parametrize("without_customer", [401, 403])
async def test_a_living_token_is_kept_where_a_call_wants_a_customer(without_customer: int) -> None:
    async with a_care_fleet(without_customer=without_customer) as fleet:
        scheme, worker = fleet.installation(), fleet.worker()
        token = await worker.token(scheme)
        for _ in range(5):
            fleet.clock.step(60)
            assert await fleet.patiently(ask(scheme, worker)) == without_customer
            assert await ask(scheme, worker, "/stores") == 200
        assert await worker.token(scheme) == token
        assert (fleet.vendor.device_tokens_created, calls(fleet, "/customers")) == (1, 5)


@pytest.mark.parametrize("failure", [400, 401])
async def test_a_wrong_customer_password_is_tried_once_by_the_fleet_and_the_device_token_kept(
    failure: int,
) -> None:
    async with a_care_fleet(customer_login_failure=failure) as fleet:
        workers = [fleet.worker() for _ in range(8)]
        for worker in workers:
            with pytest.raises(CredentialRefusedError, match="the device token is kept"):
                await worker.token(fleet.installation(customer=WRONG))
        assert calls(fleet, "/actions/login") == 1
        assert (fleet.vendor.device_tokens_created, fleet.told(TokenDied)) == (1, 1)
        right = fleet.installation(customer=JOHN)
        tokens = await asyncio.gather(*(worker.token(right) for worker in workers))
        assert {token.subject for token in tokens} == {CUSTOMER_ID}
        assert (fleet.vendor.device_tokens_created, calls(fleet, "/actions/login")) == (1, 2)


async def test_a_lost_customer_login_is_replayed_once_by_the_fleet_on_the_same_token() -> None:
    async with a_care_fleet(without_customer=401) as fleet:
        scheme, workers = fleet.installation(customer=JOHN), [fleet.worker() for _ in range(8)]
        tokens = await asyncio.gather(*(worker.token(scheme) for worker in workers))
        for logins in (2, 3):
            fleet.clock.step(60)
            fleet.vendor.log_out_customer(text_of(tokens[0]))
            statuses = await asyncio.gather(*(ask(scheme, worker) for worker in workers))
            assert statuses == [200] * 8
            assert fleet.vendor.customer_logins == logins
        assert await workers[0].token(scheme) == tokens[0]
        assert fleet.vendor.device_tokens_created == 1


async def test_a_lost_customer_login_that_is_answered_with_403_is_the_callers_to_see() -> None:
    async with a_care_fleet(without_customer=403) as fleet:
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        token = await worker.token(scheme)
        fleet.clock.step(60)
        fleet.vendor.log_out_customer(text_of(token))
        assert await ask(scheme, worker) == 403
        assert calls(fleet, "/customers") == 1
        await worker.amend(scheme, scheme.customer_login(JOHN))
        assert await ask(scheme, worker) == 200
        assert fleet.vendor.device_tokens_created == 1


async def test_after_the_device_token_was_replaced_the_customer_is_logged_in_on_the_new_one() -> None:
    async with a_care_fleet() as fleet:
        scheme, workers = fleet.installation(customer=JOHN), [fleet.worker() for _ in range(4)]
        old = await workers[0].token(scheme)
        await asyncio.gather(*(worker.token(scheme) for worker in workers))
        fleet.clock.step(3600)
        fleet.vendor.replace_device_token(text_of(old))
        assert await asyncio.gather(*(ask(scheme, worker) for worker in workers)) == [200] * 4
        assert (fleet.vendor.device_tokens_created, fleet.vendor.customer_logins) == (3, 2)
        assert fleet.told(AuthorizationNeeded) == 0


async def test_amend_logs_a_customer_in_and_out_for_all_workers_on_one_device_token() -> None:
    async with a_care_fleet() as fleet:
        scheme, one, other = fleet.installation(), fleet.worker(), fleet.worker()
        before = await one.token(scheme)
        assert await ask(scheme, other) == 403
        token = await one.amend(scheme, scheme.customer_login(CARD))
        assert (token.subject, text_of(token)) == (CUSTOMER_ID, text_of(before))
        assert await ask(scheme, other) == 200
        after = await other.amend(scheme, scheme.customer_logout())
        assert after == before
        assert await ask(scheme, one) == 403
        assert await ask(scheme, one, "/stores") == 200
        assert fleet.vendor.customer_on(text_of(before)) is None
        assert fleet.vendor.device_tokens_created == 1


@pytest.mark.parametrize("failure", [400, 401])
async def test_a_wrong_password_in_amend_is_about_that_call_only(failure: int) -> None:
    async with a_care_fleet(customer_login_failure=failure) as fleet:
        scheme, worker = fleet.installation(), fleet.worker()
        token = await worker.token(scheme)
        for _ in range(3):
            with pytest.raises(CredentialRefusedError, match="check its kind, value and password"):
                await worker.amend(scheme, scheme.customer_login(WRONG))
        assert await worker.token(scheme) == token
        assert (await worker.amend(scheme, scheme.customer_login(JOHN))).subject == CUSTOMER_ID
        assert fleet.vendor.device_tokens_created == 1
        assert fleet.told(TokenRefused) == fleet.told(TokenDied) == 0


async def test_a_device_token_that_is_dead_in_amend_is_replaced_first() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(), fleet.worker()
        old = text_of(await worker.token(scheme))
        fleet.clock.step(3600)
        fleet.vendor.replace_device_token(old)
        token = await worker.amend(scheme, scheme.customer_login(JOHN))
        assert (token.subject, text_of(token) == old) == (CUSTOMER_ID, False)
        assert await ask(scheme, worker) == 200
        assert fleet.vendor.device_tokens_created == 3


async def test_the_application_is_told_once_if_a_customer_has_to_log_in_again() -> None:
    async with a_care_fleet() as fleet:
        scheme, workers = fleet.installation(), [fleet.worker() for _ in range(4)]
        await asyncio.gather(*(worker.token(scheme) for worker in workers))
        old = await workers[0].amend(scheme, scheme.customer_login(JOHN))
        await settle()  # all of them know
        fleet.clock.step(3600)
        fleet.vendor.replace_device_token(text_of(old))
        statuses = await asyncio.gather(*(ask(scheme, worker, "/stores") for worker in workers))
        assert statuses == [200] * 4
        assert (await workers[1].token(scheme)).subject is None
        assert fleet.told(AuthorizationNeeded) == 1


async def test_a_password_that_an_application_checks_itself_renews_nothing() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(), fleet.worker()
        token_id = text_of(await worker.token(scheme))
        body = {"login_type": "email", "login_value": "user@example.com", "password": "wrong"}
        fleet.clock.step(3600)
        async with AuthSession(scheme, worker) as session:
            url = f"/tokens/{token_id}/actions/login"
            async with session.post(url, json=body) as response:
                assert response.status == 401
        assert (calls(fleet, "/actions/login"), fleet.told(TokenRefused)) == (1, 0)
        assert fleet.vendor.device_tokens_created == 1


async def test_another_interfaces_resource_is_refused_once_and_its_403_is_the_callers() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        async with AuthSession(scheme, worker) as session, session.get("/users") as response:
            assert response.status == 403
            assert (await response.json())["error"]["type"] == "interface_not_allowed_exception"
        assert calls(fleet, "/users") == 1
        assert (fleet.vendor.device_tokens_created, fleet.vendor.customer_logins) == (1, 1)


async def test_schemes_of_one_device_with_different_customers_log_nobody_out() -> None:
    async with a_care_fleet() as fleet:
        john, other = fleet.installation(customer=JOHN), fleet.installation(customer=CARD)
        worker = fleet.worker()
        assert await ask(john, worker) == 200
        requests = fleet.vendor.stats.requests
        with pytest.raises(AuthorizationRequiredError, match="another customer is logged in"):
            await ask(other, worker)
        assert fleet.vendor.stats.requests == requests
        await worker.amend(other, other.customer_login(CARD))
        assert await ask(other, worker) == 200
        with pytest.raises(AuthorizationRequiredError):
            await ask(john, worker)
        assert (fleet.vendor.device_tokens_created, fleet.vendor.customer_logins) == (1, 2)


async def test_logout_logs_the_customer_out_and_the_next_use_makes_a_new_device_token() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        token_id = text_of(await worker.token(scheme))
        await worker.logout(scheme)
        assert fleet.vendor.customer_on(token_id) is None
        assert fleet.vendor.device_tokens_alive == 1
        assert await ask(scheme, worker) == 200
        assert (fleet.vendor.device_tokens_created, fleet.vendor.device_tokens_alive) == (2, 1)


@pytest.mark.parametrize("fault", [Answer(503), Answer(429), Cut(when="after")])
async def test_trouble_in_the_customers_login_costs_no_device_token(fault: Any) -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        fleet.vendor.faults.add(fault, on="other", times=2)
        token = await fleet.patiently(worker.token(scheme))
        assert token.subject == CUSTOMER_ID
        assert fleet.vendor.device_tokens_created == 1


async def test_a_limited_project_is_asked_again_after_a_growing_pause() -> None:
    async with a_care_fleet(rate_limit=1) as fleet:
        scheme, worker = fleet.installation(), fleet.worker()
        fleet.vendor.faults.add(Answer(429), on="token", times=2)
        began = fleet.clock.monotonic()
        await fleet.patiently(worker.token(scheme))
        # About 1 and 2 s, as "Integration best practices" advises, with jitter.
        assert 2.25 <= fleet.clock.monotonic() - began <= 4
        assert fleet.vendor.device_tokens_created == 1


async def test_a_function_tells_the_fleet_who_is_there() -> None:
    there: list[CustomerLogin] = []
    async with a_care_fleet(without_customer=401) as fleet:
        scheme = fleet.installation(customer=lambda: there[0] if there else None)
        workers = [fleet.worker() for _ in range(4)]
        assert await asyncio.gather(*(ask(scheme, worker, "/stores") for worker in workers)) == [200] * 4
        fleet.clock.step(60)
        assert await ask(scheme, workers[0]) == 401
        there.append(JOHN)
        fleet.clock.step(60)
        assert await asyncio.gather(*(ask(scheme, worker) for worker in workers)) == [200] * 4
        assert (fleet.vendor.device_tokens_created, fleet.vendor.customer_logins) == (1, 1)


async def test_a_call_that_wants_a_customer_where_nobody_is_there_starts_no_loop() -> None:
    async with a_care_fleet(without_customer=401) as fleet:
        scheme, worker = fleet.installation(customer=lambda: None), fleet.worker()
        await worker.token(scheme)
        fleet.clock.step(60)
        for _ in range(20):
            assert await ask(scheme, worker) == 401
            assert await ask(scheme, worker, "/stores") == 200
            fleet.clock.step(1)
        # Once more than it was asked for, at most, in each `loop_guard` of 10 s.
        assert 20 <= calls(fleet, "/customers") <= 23
        assert fleet.vendor.device_tokens_created == 1


async def test_a_device_token_left_without_its_customer_by_a_crash_is_gone_on_with() -> None:
    async with a_care_fleet() as fleet:
        token_id = text_of(await fleet.worker().token(fleet.installation()))
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        await worker.put(scheme, Token(refresh_token=token_id, expires_in=0))
        token = await worker.token(scheme)
        assert (text_of(token), token.subject) == (token_id, CUSTOMER_ID)
        assert fleet.vendor.device_tokens_created == 1


async def test_without_the_store_no_device_token_is_made() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(), fleet.worker()
        handle_of(worker).away = True
        with pytest.raises(StoreUnavailableError, match="a login that ends another"):
            await fleet.patiently(worker.token(scheme))
        assert fleet.vendor.device_tokens_created == 0
