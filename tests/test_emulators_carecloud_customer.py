"""CareCloud's Customer interface: device tokens, customers' logins on them, refusals."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncauth._errors import ConfigurationError
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import CareCloudEmulator, CareCloudPerson
from emulator_http import Client, Got, open_client

APP = "81eaeea13b8984a169c490a325"
DEVICE = {
    "device_id": "123456",
    "device_system": "OSX",
    "device_name": "Test device",
    "device_type": "iPhone",
}
SETUP = {"language_id": "en", "allowed_gps": True, "allowed_notifications": False}
BODY: dict[str, Any] = {"device": DEVICE, "setup": SETUP, "external_application_id": APP}
JOHN = "8ea6abece4cd0a4ded0a29f093"
LOGIN = {"login_type": "email", "login_value": "user@example.com", "password": "password_example"}


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def server(**knobs: Any) -> CareCloudEmulator:
    return CareCloudEmulator(clock=ManualClock(), **knobs)


async def create(http: Client, vendor: CareCloudEmulator, body: object = BODY) -> Got:
    return await http.call("POST", vendor.customer_url / "tokens", json=body)


async def token_of(http: Client, vendor: CareCloudEmulator, device_id: str = "123456") -> str:
    got = await create(http, vendor, {**BODY, "device": {**DEVICE, "device_id": device_id}})
    return str(got.data["data"]["token_id"])


async def act(
    http: Client,
    vendor: CareCloudEmulator,
    token: str,
    action: str,
    body: object = None,
    *,
    bearer: str | None = None,
    method: str = "POST",
) -> Got:
    url = vendor.customer_url / "tokens" / token
    headers = {"Authorization": f"Bearer {bearer or token}"}
    return await http.call(method, url / action if action else url, json=body, headers=headers)


async def sign_in(http: Client, vendor: CareCloudEmulator, token: str, **changes: str) -> Got:
    return await act(http, vendor, token, "actions/login", {**LOGIN, **changes})


async def status_of(http: Client, vendor: CareCloudEmulator, path: str, token: str | None) -> int:
    return (await http.get(vendor.customer_url / path, token)).status


def problems(got: Got) -> list[tuple[str, str]]:
    params = got.data["error"]["error_data"]["invalid_params"]
    return [(param["name"], param["reason"]) for param in params]


async def test_a_device_token_has_72_hexadecimal_digits_and_comes_with_201(http: Client) -> None:
    async with server() as vendor:
        assert vendor.customer_url.path == "/webservice/rest-api/customer-interface/v1.0"
        got = await create(http, vendor)
        assert got.status == 201
        assert set(got.data) == {"data"}
        assert set(got.data["data"]) == {"token_id"}
        assert len(got.data["data"]["token_id"]) == 72
        assert int(got.data["data"]["token_id"], 16)
        counts = (vendor.device_tokens_created, vendor.customer_logins, vendor.stats.token_calls)
        assert counts == (1, 0, 1)


async def test_a_device_token_has_no_end(http: Client) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        vendor.clock.advance(10 * 365 * 86_400)
        assert await status_of(http, vendor, "stores", token) == 200


async def test_the_next_token_of_the_same_device_and_application_kills_the_one_before(http: Client) -> None:
    applications = frozenset({APP, "another"})
    async with server(device_applications=applications) as vendor:
        first, elsewhere = await token_of(http, vendor), await token_of(http, vendor, "other device")
        other = (await create(http, vendor, {**BODY, "external_application_id": "another"})).data["data"]
        second = await token_of(http, vendor)
        tokens = (first, elsewhere, other["token_id"], second)
        statuses = [await status_of(http, vendor, "stores", token) for token in tokens]
        assert statuses == [401, 200, 200, 200]
        assert vendor.device_tokens_alive == 3
        assert vendor.stats.refusals == {"replaced": 1}
        third = vendor.replace_device_token(second)
        assert [await status_of(http, vendor, "stores", token) for token in (second, third)] == [401, 200]


@pytest.mark.parametrize("carried_over", [True, False])
async def test_a_customer_is_carried_over_only_by_knob(http: Client, *, carried_over: bool) -> None:
    async with server(customer_carried_over=carried_over) as vendor:
        first = await token_of(http, vendor)
        await sign_in(http, vendor, first)
        second = await token_of(http, vendor)
        assert vendor.customer_on(second) == (JOHN if carried_over else None)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"device": None}, [("device", "invalid_value_format")]),
        ({"device": {**DEVICE, "device_id": ""}}, [("device_id", "empty")]),
        ({"device": {"device_id": "1", "device_system": 2}}, None),
        (
            {"setup": {"language_id": "en"}},
            [("allowed_gps", "required"), ("allowed_notifications", "required")],
        ),
        ({"setup": {}}, [("language_id", "required")]),
        ({"external_application_id": ""}, [("external_application_id", "empty")]),
    ],
)
async def test_missing_and_empty_fields_are_named(
    http: Client, change: dict[str, Any], named: list[tuple[str, str]] | None
) -> None:
    async with server() as vendor:
        got = await create(http, vendor, {**BODY, **change})
        assert got.status == 400
        expected = [
            ("device_system", "invalid_value_format"),
            ("device_name", "required"),
            ("device_type", "required"),
        ]
        assert problems(got) == (expected if named is None else named)
        assert vendor.device_tokens_created == 0


async def test_a_body_without_device_and_setup_or_without_json_is_refused(http: Client) -> None:
    async with server() as vendor:
        bare = await create(http, vendor, {"external_application_id": APP})
        assert problems(bare) == [("device", "required"), ("setup", "required")]
        got = await http.call("POST", vendor.customer_url / "tokens", data=b"no JSON")
        assert (got.status, got.data["error"]["exception"]) == (400, "bad_request_exception")


@pytest.mark.parametrize("status", [400, 403])
async def test_an_unknown_application_is_refused_by_knob(http: Client, status: int) -> None:
    async with server(unknown_application=status) as vendor:
        got = await create(http, vendor, {**BODY, "external_application_id": "unknown"})
        assert got.status == status
        if status == 400:
            assert problems(got) == [("external_application_id", "not_found")]


@pytest.mark.parametrize(
    ("kind", "value"), [("email", "user@example.com"), ("phone", "420523828931"), ("card", "1000000001")]
)
async def test_customers_log_in_by_each_kind_and_the_token_stays_the_same(
    http: Client, kind: str, value: str
) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        got = await sign_in(http, vendor, token, login_type=kind, login_value=value)
        assert (got.status, got.data) == (200, {"data": {"customer_id": JOHN}})
        record = (await http.get(vendor.customer_url / "customers", token)).data["data"]
        assert ([each["customer_id"] for each in record["customers"]], record["total_items"]) == ([JOHN], 1)
        assert (vendor.customer_logins, vendor.device_tokens_created) == (1, 1)


async def test_a_customer_sees_nobody_else(http: Client) -> None:
    people = {
        "1": CareCloudPerson(password="a", email="a@example.com"),
        "2": CareCloudPerson(password="b", email="b@example.com"),
    }
    async with server(people=people) as vendor:
        tokens = [await token_of(http, vendor, name) for name in "ab"]
        for token, name in zip(tokens, "ab", strict=True):
            await sign_in(http, vendor, token, login_value=f"{name}@example.com", password=name)
        seen = [(await http.get(vendor.customer_url / "customers", token)).data["data"] for token in tokens]
        assert [[each["customer_id"] for each in data["customers"]] for data in seen] == [["1"], ["2"]]


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    "changes", [{"password": "wrong"}, {"login_value": "nobody"}, {"login_type": "card"}, {"login_value": ""}]
)
async def test_a_wrong_customer_login_is_refused_by_knob_and_changes_nothing(
    http: Client, status: int, changes: dict[str, str]
) -> None:
    async with server(customer_login_failure=status) as vendor:
        token = await token_of(http, vendor)
        await sign_in(http, vendor, token)
        got = await sign_in(http, vendor, token, **changes)
        assert got.status == (400 if changes == {"login_value": ""} else status)
        assert vendor.customer_on(token) == JOHN
        assert vendor.customer_logins == 1


async def test_an_unknown_kind_of_login_is_named(http: Client) -> None:
    async with server() as vendor:
        got = await sign_in(http, vendor, await token_of(http, vendor), login_type="name")
        assert problems(got) == [("login_type", "not_allowed_value")]


async def test_what_is_below_a_token_wants_a_living_one_in_header_and_path(http: Client) -> None:
    async with server() as vendor:
        dead, alive = await token_of(http, vendor), await token_of(http, vendor)
        other = await token_of(http, vendor, "other device")
        assert (await sign_in(http, vendor, dead)).status == 401
        got = await act(http, vendor, other, "actions/login", LOGIN, bearer=alive)
        assert (got.status, got.data["error"]["type"]) == (403, "forbidden_exception")
        assert vendor.customer_on(other) is None
        assert (await act(http, vendor, alive, "actions/dance")).status == 404
        assert vendor.stats.refusals == {"replaced": 1, "another token": 1}


async def test_logout_takes_the_customer_off_and_keeps_the_token(http: Client) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        await sign_in(http, vendor, token)
        got = await act(http, vendor, token, "actions/logout")
        assert (got.status, got.body, vendor.customer_on(token)) == (204, b"", None)
        assert await status_of(http, vendor, "stores", token) == 200
        await sign_in(http, vendor, token)
        vendor.log_out_customer(token)
        assert vendor.customer_on(token) is None
        with pytest.raises(ConfigurationError, match="never issued"):
            vendor.customer_on("unknown")


async def test_the_setup_can_be_changed(http: Client) -> None:
    async with server() as vendor:
        token = await token_of(http, vendor)
        got = await act(http, vendor, token, "", {"setup": SETUP, "push_token": "x"}, method="PUT")
        assert (got.status, got.body) == (204, b"")
        assert problems(await act(http, vendor, token, "", {}, method="PUT")) == [("setup", "required")]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_customers_resource_without_a_customer_is_refused_by_knob(http: Client, status: int) -> None:
    async with server(without_customer=status) as vendor:
        token = await token_of(http, vendor)
        for path in ("customers", "customers/property-records"):
            assert await status_of(http, vendor, path, token) == status
        assert await status_of(http, vendor, "stores", token) == 200
        assert vendor.stats.refusals == {"no customer": 2}


async def test_all_resources_but_public_ones_want_a_token_of_this_interface(http: Client) -> None:
    async with server() as vendor:
        fields = {"user_external_application_id": "89d1a6111b3fb6e74665d948", "login": "fabulous_user"}
        body = {**fields, "password": "password_example"}
        login = await http.call("POST", vendor.enterprise_url / "users/actions/login", json=body)
        bearer, token = login.data["data"]["bearer_token"], await token_of(http, vendor)
        for bad in (None, "unknown", bearer):
            got = await http.get(vendor.customer_url / "stores", bad)
            assert got.status == 401
            assert set(got.data["error"]) == {"type", "exception", "title", "detail", "error_data"}
        assert await status_of(http, vendor, "languages", None) == 200
        assert (await http.get(vendor.enterprise_url / "stores", token)).status == 401
        assert await status_of(http, vendor, "stores", token) == 200


@pytest.mark.parametrize("path", ["users", "users/actions/login", "users/838b73aacb5ac326cec4030c80"])
async def test_users_belong_to_the_other_interface(http: Client, path: str) -> None:
    async with server() as vendor:
        error = (await http.get(vendor.customer_url / path)).data["error"]
        assert error["type"] == error["exception"] == "interface_not_allowed_exception"
        assert error["title"] == "Customer API is not allowed for this resource"
        assert error["error_data"] == {"invalid_resource_name": "users", "interface": "customer"}


async def test_the_limiter_counts_both_interfaces_and_declines_with_an_empty_429(http: Client) -> None:
    async with server(rate_limit=2) as vendor:
        assert (await http.get(vendor.enterprise_url / "tests/connection")).status == 200
        assert (await create(http, vendor)).status == 201
        got = await create(http, vendor)
        assert (got.status, got.body, vendor.device_tokens_created) == (429, b"", 1)
        vendor.clock.advance(1)
        assert (await create(http, vendor)).status == 201
