"""CareCloud's Enterprise logins, shared by a fleet, against the emulator."""

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from asyncauth import AuthSession, TokenRefused, VendorError
from asyncauth.testing.emulators import Answer
from carecloud_fleet import CareFleet, a_care_fleet, ask
from carecloud_samples import LANGUAGES
from worlds import text_of


def moment(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


async def test_the_requests_are_the_documented_ones() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.enterprise(accept_language=LANGUAGES), fleet.worker()
        headers = {"Content-Type": "application/json", "Accept-Language": LANGUAGES}
        assert await ask(scheme, worker, headers=headers) == 200
        login, call = fleet.vendor.requests
        base = fleet.vendor.enterprise_url.path
        assert [(each.method, each.path_qs) for each in (login, call)] == [
            ("POST", f"{base}/users/actions/login"),
            ("GET", f"{base}/customers"),
        ]
        assert {each.headers["Accept-Language"] for each in (login, call)} == {LANGUAGES}
        assert {each.headers["Content-Type"] for each in (login, call)} == {"application/json"}
        assert "Authorization" not in login.headers
        assert login.body == (
            b'{"user_external_application_id": "89d1a6111b3fb6e74665d948", '
            b'"login": "fabulous_user", "password": "password_example"}'
        )
        bearer = text_of(await worker.token(scheme))
        assert call.headers["Authorization"] == f"Bearer {bearer}"


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("single", [True, False])
async def test_eight_workers_log_in_once_per_expiry(status: Any, *, single: bool) -> None:
    async with a_care_fleet(login_status=status, single_token=single) as fleet:
        scheme, workers = fleet.enterprise(), [fleet.worker() for _ in range(8)]
        for logins in range(1, 5):
            statuses = await asyncio.gather(*(ask(scheme, worker) for worker in workers))
            assert statuses == [200] * 8
            assert fleet.vendor.stats.token_calls == logins
            fleet.clock.step(7 * 3600)
        assert not fleet.vendor.stats.refusals


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Prague", "2026-01-12 10:00:00"),
        ("America/New_York", "2026-07-12 10:00:00"),
        ("Asia/Kolkata", "2026-07-12 22:00:00"),
        # The end falls in the hour that autumn repeats, and behind the hour that spring skips.
        ("Europe/Prague", "2026-10-24 20:00:00"),
        ("Europe/Prague", "2026-10-24 19:30:00"),
        ("Europe/Prague", "2026-03-28 20:00:00"),
    ],
)
async def test_no_call_is_refused_in_a_day_of_calls(zone: str, start: str) -> None:
    async with a_care_fleet(moment(start, zone), project_tz=zone) as fleet:
        scheme, worker = fleet.enterprise(), fleet.worker()
        for _ in range(24 * 4):
            assert await ask(scheme, worker) == 200
            await fleet.clock.advance(900)
        assert not fleet.vendor.stats.refusals
        assert 4 <= fleet.vendor.stats.token_calls <= 6


async def test_without_a_zone_a_shorter_validity_is_found_out_by_one_401() -> None:
    async with a_care_fleet(validity=3600) as fleet:
        scheme, workers = fleet.enterprise(timezone=None), [fleet.worker() for _ in range(4)]
        await asyncio.gather(*(ask(scheme, worker) for worker in workers))
        fleet.clock.step(3600)
        statuses = await asyncio.gather(*(ask(scheme, worker) for worker in workers))
        assert statuses == [200] * 4
        assert fleet.vendor.stats.token_calls == 2


async def test_a_token_that_another_program_ended_is_renewed_once_by_the_fleet() -> None:
    async with a_care_fleet(single_token=True) as fleet:
        scheme, workers = fleet.enterprise(), [fleet.worker() for _ in range(8)]
        tokens = await asyncio.gather(*(worker.token(scheme) for worker in workers))
        fleet.clock.step(60)
        fleet.vendor.revoke_access(text_of(tokens[0]))
        statuses = await asyncio.gather(*(ask(scheme, worker) for worker in workers))
        assert statuses == [200] * 8
        assert fleet.vendor.stats.token_calls == 2


async def test_logout_ends_its_own_token_and_no_other() -> None:
    async with a_care_fleet() as fleet, a_care_fleet() as elsewhere:
        scheme, mine, theirs = fleet.enterprise(), fleet.worker(), elsewhere.worker()
        bearer = text_of(await mine.token(scheme))
        await theirs.token(scheme)
        await mine.logout(scheme)
        request = fleet.vendor.requests[-1]
        assert request.headers["Authorization"] == f"Bearer {bearer}"
        assert request.json_object() == {
            "user_external_application_id": "89d1a6111b3fb6e74665d948",
            "bearer_token": bearer,
        }
        assert fleet.vendor.tokens_alive == 1
        assert await ask(scheme, theirs) == 200
        assert fleet.vendor.stats.token_calls == 2


@pytest.mark.parametrize("status", [400, 403, 429, 503])
async def test_a_logout_that_is_not_confirmed_is_said_and_the_token_dropped(status: int) -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.enterprise(), fleet.worker()
        bearer = text_of(await worker.token(scheme))
        fleet.vendor.faults.add(Answer(status), on="other")
        with pytest.raises(VendorError, match=f"{status} of .*/users/actions/logout"):
            await worker.logout(scheme)
        assert text_of(await worker.token(scheme)) != bearer


async def call_once(fleet: CareFleet, method: str, path: str) -> tuple[int, dict[str, Any]]:
    async with (
        AuthSession(fleet.enterprise(), fleet.worker()) as session,
        session.request(method, path, json={}) as response,
    ):
        return response.status, await response.json()


async def test_another_interfaces_resource_is_asked_once_and_its_403_is_the_callers() -> None:
    async with a_care_fleet() as fleet:
        status, body = await call_once(fleet, "POST", "/tokens")
        assert (status, body["error"]["type"]) == (403, "interface_not_allowed_exception")
        assert [each.path.rpartition("/")[2] for each in fleet.vendor.requests] == ["login", "tokens"]


@pytest.mark.parametrize("path", ["customers/actions/verify-credentials", "users/actions/verify-auth-token"])
async def test_a_401_about_somebody_elses_password_renews_nothing(path: str) -> None:
    async with a_care_fleet() as fleet:
        fleet.vendor.faults.add(
            Answer(401, b'{"error": {}}', {"Content-Type": "application/json"}), on="api", times=None
        )
        status, _ = await call_once(fleet, "POST", f"/{path}")
        assert status == 401
        assert (fleet.vendor.stats.api_calls, fleet.vendor.stats.token_calls) == (1, 1)
        assert fleet.told(TokenRefused) == 0


async def test_the_connection_test_tells_nothing_of_a_token_and_works_through_a_session() -> None:
    async with a_care_fleet() as fleet:
        status, body = await call_once(fleet, "GET", "/tests/connection?test_string=abc")
        assert (status, body) == (200, {"data": {"test_string": "cba"}})


async def test_a_limited_login_is_tried_again_after_a_growing_pause() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.enterprise(), fleet.worker()
        fleet.vendor.faults.add(Answer(429), on="token", times=2)
        began = fleet.clock.monotonic()
        await fleet.patiently(worker.token(scheme))
        # About 1 and 2 s, as "Integration best practices" advises, with jitter.
        assert 2.25 <= fleet.clock.monotonic() - began <= 4
        assert fleet.vendor.stats.token_calls == 3
