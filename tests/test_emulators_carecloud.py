"""CareCloud's Enterprise interface: login, `valid_to` in the project's zone, logout, refusals."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from asyncauth._errors import ConfigurationError
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import CareCloudEmulator, CareCloudUser
from emulator_http import Client, Got, open_client

APP = "89d1a6111b3fb6e74665d948"
FIELDS = {"user_external_application_id": APP, "login": "fabulous_user", "password": "password_example"}


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def server(**knobs: Any) -> CareCloudEmulator:
    return CareCloudEmulator(clock=ManualClock(), **knobs)


async def post(http: Client, vendor: CareCloudEmulator, path: str, body: object, **headers: str) -> Got:
    return await http.call("POST", vendor.enterprise_url / path, json=body, headers=headers)


async def sign_in(http: Client, vendor: CareCloudEmulator, **changes: str) -> Got:
    return await post(http, vendor, "users/actions/login", {**FIELDS, **changes})


async def token_of(http: Client, vendor: CareCloudEmulator) -> str:
    return str((await sign_in(http, vendor)).data["data"]["bearer_token"])


async def sign_out(http: Client, vendor: CareCloudEmulator, header: str, body: str, app: str = APP) -> Got:
    fields = {"user_external_application_id": app, "bearer_token": body}
    return await post(http, vendor, "users/actions/logout", fields, Authorization=f"Bearer {header}")


def problems(got: Got) -> list[tuple[str, str]]:
    params = got.data["error"]["error_data"]["invalid_params"]
    assert all(set(param) == {"name", "reason", "value", "message"} for param in params)
    return [(param["name"], param["reason"]) for param in params]


@pytest.mark.parametrize("status", [200, 201])
async def test_a_login_answers_in_the_documented_shape(http: Client, status: int) -> None:
    async with server(login_status=status) as vendor:
        assert vendor.enterprise_url.path == "/webservice/rest-api/enterprise-interface/v1.0"
        got = await sign_in(http, vendor)
        data = got.data["data"]
        assert got.status == status
        assert set(data) == {"bearer_token", "valid_to", "user"}
        assert len(data["bearer_token"]) == 40
        assert int(data["bearer_token"], 16)
        assert data["user"]["login"] == "fabulous_user"


@pytest.mark.parametrize(
    ("zone", "local", "valid_to"),
    [
        ("Europe/Prague", "2025-06-01 10:00:00", "2025-06-01 17:00:00"),
        # Autumn: 20:00 summer time and seven hours is the second 02:00 of that night.
        ("Europe/Prague", "2025-10-25 20:00:00", "2025-10-26 02:00:00"),
        ("Europe/Prague", "2025-10-25 19:30:00", "2025-10-26 02:30:00"),
        # Spring: the hour from 02:00 to 03:00 does not exist.
        ("Europe/Prague", "2026-03-28 20:00:00", "2026-03-29 04:00:00"),
        ("Asia/Kolkata", "2025-06-01 23:59:59", "2025-06-02 06:59:59"),
        ("UTC", "2025-06-01 10:00:00", "2025-06-01 17:00:00"),
    ],
)
async def test_valid_to_is_the_projects_wall_time(http: Client, zone: str, local: str, valid_to: str) -> None:
    start = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).timestamp()
    async with CareCloudEmulator(clock=ManualClock(start), project_tz=zone) as vendor:
        got = await sign_in(http, vendor)
        assert got.data["data"]["valid_to"] == valid_to
        token = got.data["data"]["bearer_token"]
        vendor.clock.advance(7 * 3600 - 1)
        assert (await http.get(vendor.enterprise_url / "customers", token)).status == 200
        vendor.clock.advance(1)
        assert (await http.get(vendor.enterprise_url / "customers", token)).status == 401


async def test_the_validity_is_a_knob(http: Client) -> None:
    async with server(validity=2) as vendor:
        token = await token_of(http, vendor)
        assert vendor.tokens_alive == 1
        vendor.clock.advance(2)
        assert vendor.tokens_alive == 0
        assert (await http.get(vendor.enterprise_url / "stores", token)).status == 401
        assert vendor.stats.refusals == {"expired": 1}


async def test_missing_and_empty_fields_are_named(http: Client) -> None:
    async with server() as vendor:
        body = {"user_external_application_id": [APP], "password": ""}
        got = await post(http, vendor, "users/actions/login", body)
        assert got.status == 400
        assert problems(got) == [
            ("user_external_application_id", "invalid_value_format"),
            ("login", "required"),
            ("password", "empty"),
        ]
        assert set(got.data["error"]) == {"type", "exception", "title", "detail", "error_data"}


async def test_a_form_is_a_login_only_where_that_is_on(http: Client) -> None:
    for accepted, status in ((False, 400), (True, 200)):
        async with server(urlencoded_login=accepted) as vendor:
            got = await http.form(vendor.enterprise_url / "users/actions/login", FIELDS)
            assert got.status == status
            assert (await sign_in(http, vendor)).status == 200


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"login": "nobody"}])
async def test_wrong_credentials_are_refused_by_knob(
    http: Client, status: int, changes: dict[str, str]
) -> None:
    async with server(login_failure=status) as vendor:
        got = await sign_in(http, vendor, **changes)
        assert got.status == status
        assert "error" in got.data
        if status == 400:
            assert problems(got) == [("password", "not_allowed_value")]
        assert vendor.stats.refusals == {"credentials": 1}


@pytest.mark.parametrize("status", [400, 403])
async def test_an_unknown_application_is_refused_by_knob(http: Client, status: int) -> None:
    async with server(unknown_application=status) as vendor:
        got = await sign_in(http, vendor, user_external_application_id="unknown")
        assert got.status == status
        if status == 400:
            assert problems(got) == [("user_external_application_id", "not_found")]


async def test_a_user_outside_the_group_is_403(http: Client) -> None:
    users = {"fabulous_user": CareCloudUser("password_example", webservice=False)}
    async with server(users=users) as vendor:
        assert (await sign_in(http, vendor)).status == 403


@pytest.mark.parametrize("single", [True, False])
async def test_a_second_login_ends_the_first_token_only_by_knob(http: Client, *, single: bool) -> None:
    async with server(single_token=single) as vendor:
        first, second = await token_of(http, vendor), await token_of(http, vendor)
        assert first != second
        statuses = [
            (await http.get(vendor.enterprise_url / "stores", token)).status for token in (first, second)
        ]
        assert statuses == [401 if single else 200, 200]


async def test_logout_ends_the_token_that_the_body_names(http: Client) -> None:
    async with server() as vendor:
        mine, theirs = await token_of(http, vendor), await token_of(http, vendor)
        got = await sign_out(http, vendor, mine, theirs)
        assert (got.status, got.body) == (204, b"")
        assert (await http.get(vendor.enterprise_url / "stores", mine)).status == 200
        assert (await http.get(vendor.enterprise_url / "stores", theirs)).status == 401
        assert (await sign_out(http, vendor, mine, mine)).status == 204
        assert (await sign_out(http, vendor, mine, mine)).status == 401


@pytest.mark.parametrize("status", [400, 404])
async def test_logging_out_an_unknown_token_is_refused_by_knob(http: Client, status: int) -> None:
    async with server(logout_unknown=status) as vendor:
        token = await token_of(http, vendor)
        got = await sign_out(http, vendor, token, "unknown")
        assert got.status == status
        if status == 400:
            assert problems(got) == [("bearer_token", "not_found")]


async def test_a_logout_needs_both_fields_and_a_known_application(http: Client) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        bare = await post(http, vendor, "users/actions/logout", {}, Authorization=f"Bearer {token}")
        assert [reason for _, reason in problems(bare)] == ["required", "required"]
        assert problems(await sign_out(http, vendor, token, token, app="x")) == [
            ("user_external_application_id", "not_found")
        ]
        assert (await http.get(vendor.enterprise_url / "stores", token)).status == 200


async def test_resources_refuse_with_the_envelope(http: Client) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        customers = (await http.get(vendor.enterprise_url / "customers", token)).data["data"]
        assert (len(customers["customers"]), customers["total_items"]) == (1, 1)
        echo = (await http.get(vendor.enterprise_url / "stores", token)).data["data"]
        assert (echo["login"], echo["serial"]) == ("fabulous_user", 1)
        vendor.revoke_access(token)
        for bad in (None, "unknown", token):
            got = await http.get(vendor.enterprise_url / "customers", bad)
            assert got.status == 401
            assert set(got.data["error"]) == {"type", "exception", "title", "detail", "error_data"}
        assert vendor.stats.refusals == {"missing": 1, "unknown": 1, "ended": 1}
        with pytest.raises(ConfigurationError, match="never issued"):
            vendor.revoke_access("unknown")


@pytest.mark.parametrize(
    ("segment", "path", "resource"),
    [
        ("enterprise", "tokens", "tokens"),
        ("enterprise", "tokens/abc/actions/login", "tokens"),
        ("customer", "users/actions/login", "users"),
    ],
)
async def test_the_wrong_segment_is_403(http: Client, segment: str, path: str, resource: str) -> None:
    async with server() as vendor:
        url = vendor.url / f"webservice/rest-api/{segment}-interface/v1.0" / path
        error = (await http.call("POST", url, json={})).data["error"]
        assert error["type"] == "interface_not_allowed_exception"
        assert error["title"] == f"{segment.capitalize()} API is not allowed for this resource"
        assert error["error_data"] == {"invalid_resource_name": resource, "interface": segment}


@pytest.mark.parametrize("segment", ["enterprise", "customer"])
async def test_the_connection_test_reverses_a_text_without_a_token(http: Client, segment: str) -> None:
    async with server() as vendor:
        url = vendor.url / f"webservice/rest-api/{segment}-interface/v1.0/tests/connection"
        got = await http.get(url.with_query(test_string="abc"))
        assert got.data == {"data": {"test_string": "cba"}}


async def test_the_limiter_declines_with_an_empty_429_also_logins(http: Client) -> None:
    async with server(rate_limit=2) as vendor:
        assert [(await sign_in(http, vendor)).status for _ in range(3)] == [200, 200, 429]
        got = await sign_in(http, vendor)
        assert (got.status, got.body, vendor.stats.tokens_issued) == (429, b"", 2)
        vendor.clock.advance(1)
        assert (await sign_in(http, vendor)).status == 200
        assert vendor.stats.refusals == {"rate": 2}
