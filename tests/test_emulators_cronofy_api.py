"""Cronofy's API: two kinds of credentials that are not interchangeable, refusals, limits."""

from collections.abc import AsyncIterator

import pytest

from emulator_cronofy import WHO, post, refresh, server, texts
from emulator_http import Client, open_client

ALL = "read_account list_calendars read_events"
USERS = ["v1/userinfo", "v1/account", "v1/calendars", "v1/events"]
APPLICATIONS = [
    ("GET", "v1/real_time_scheduling/sch_1"),
    ("POST", "v1/real_time_scheduling"),
    ("POST", "v1/smart_invites"),
    ("POST", "v1/element_tokens"),
    ("POST", "v1/availability"),
]
IN_BODY = ["v1/application_calendars", "v1/add_to_calendar", "v1/real_time_sequencing"]


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def test_users_calls_take_an_access_token_alone(http: Client) -> None:
    async with server() as vendor:
        access, token = texts(vendor.authorize("ada", ALL))
        for path in USERS:
            assert (await http.get(vendor.api_url / path, access)).status == 200
            for wrong in (None, token, "unknown", "cronofy-secret"):
                got = await http.get(vendor.api_url / path, wrong)
                assert (got.status, got.body, "WWW-Authenticate" in got.headers) == (401, b"", False)


async def test_applications_calls_take_the_client_secret_alone(http: Client) -> None:
    async with server() as vendor:
        access = texts(vendor.authorize("ada", ALL))[0]
        for method, path in APPLICATIONS:
            headers = {"Authorization": "Bearer cronofy-secret"}
            assert (await http.call(method, vendor.api_url / path, headers=headers)).status == 200
            headers = {"Authorization": f"Bearer {access}"}
            assert (await http.call(method, vendor.api_url / path, headers=headers)).status == 401


@pytest.mark.parametrize(("knob", "body"), [("empty", b""), ("json", b'{"error": "refused"}')])
async def test_a_scope_that_is_missing_is_403(http: Client, knob: str, body: bytes) -> None:
    async with server(refusal_body=knob) as vendor:
        access = texts(vendor.authorize("ada", "read_account"))[0]
        assert (await http.get(vendor.api_url / "v1/userinfo", access)).status == 200
        assert (await http.get(vendor.api_url / "v1/account", access)).status == 200
        for path in ("v1/calendars", "v1/calendars/cal_1", "v1/events"):
            got = await http.get(vendor.api_url / path, access)
            assert (got.status, got.body) == (403, body)
        assert (await http.get(vendor.api_url / "v1/userinfo", "x")).body == body
        assert vendor.stats.refusals == {"scope": 3, "access token": 1}


async def test_calls_with_credentials_in_the_body(http: Client) -> None:
    async with server() as vendor:
        for path in IN_BODY:
            got = await post(http, vendor, path, application_calendar_id="room-17")
            assert got.status == 200
            assert (await post(http, vendor, path, client_secret="wrong")).status == 401
            form = await http.form(vendor.api_url / path, {**WHO, "application_calendar_id": "room-17"})
            assert form.status == 200


@pytest.mark.parametrize(("knob", "status"), [("ignored", 200), ("refused", 401)])
async def test_a_header_beside_the_body_is_a_knob(http: Client, knob: str, status: int) -> None:
    async with server(bearer_beside_body=knob) as vendor:
        headers = {"Authorization": "Bearer cronofy-secret"}
        got = await http.call("POST", vendor.api_url / "v1/add_to_calendar", json=WHO, headers=headers)
        assert got.status == status


async def test_an_application_calendar_is_made_once_and_found_again(http: Client) -> None:
    async with server() as vendor:
        answers = [
            (await post(http, vendor, "v1/application_calendars", application_calendar_id=name)).data
            for name in ("room-17", "room-17", "room-18")
        ]
        assert answers[0]["sub"].startswith("apc_")
        assert [each["sub"] == answers[0]["sub"] for each in answers] == [True, True, False]
        assert answers[0]["application_calendar_id"] == "room-17"
        assert (await http.get(vendor.api_url / "v1/calendars", answers[1]["access_token"])).status == 200
        got = await post(http, vendor, "v1/application_calendars")
        assert (got.status, got.data["errors"]["application_calendar_id"][0]["key"]) == (
            422,
            "errors.required",
        )


async def test_a_plan_a_lock_and_a_missing_field_have_their_statuses(http: Client) -> None:
    async with server(plan_lacks={"/v1/events", "/v1/smart_invites"}, locked={"ada"}) as vendor:
        access = texts(vendor.authorize("ada", ALL))[0]
        headers = {"Authorization": f"Bearer {access}"}
        assert (await http.get(vendor.api_url / "v1/events", access)).status == 402
        secret = {"Authorization": "Bearer cronofy-secret"}
        assert (await http.call("POST", vendor.api_url / "v1/smart_invites", headers=secret)).status == 402
        url = vendor.api_url / "v1/calendars/cal_1/events"
        assert (await http.get(url, access)).status == 200
        assert (await http.call("POST", url, headers=headers, json={"event_id": "e"})).status == 423
        vendor.locked.clear()
        assert (await http.call("POST", url, headers=headers, json={"event_id": "e"})).status == 200
        got = await http.call("POST", url, headers=headers, json={})
        assert (got.status, set(got.data)) == (422, {"errors"})
        assert got.data["errors"]["event_id"][0] == {
            "key": "errors.required",
            "description": "event_id: errors.required",
        }
        assert (await http.get(vendor.api_url / "v1/unknown", access)).status == 404


async def test_userinfo_names_the_user_the_scope_and_the_profiles(http: Client) -> None:
    async with server(disconnected={"bob"}) as vendor:
        for person in ("ada", "bob"):
            token = vendor.authorize(person, "read_account")
            got = await http.get(vendor.api_url / "v1/userinfo", texts(token)[0])
            # A provider that is disconnected is no failure of the authorization.
            assert (got.status, got.data["sub"]) == (200, token.subject)
            data = got.data["cronofy"]["data"]
            assert data["authorization"] == {"scope": "read_account", "status": "active"}
            assert data["profiles"][0]["profile_connected"] is (person == "ada")
            assert ("profile_relink_url" in data["profiles"][0]) is (person == "bob")


async def test_the_limit_of_a_second_is_the_applications(http: Client) -> None:
    async with server() as vendor:
        ada, bob = (texts(vendor.authorize(person))[0] for person in ("ada", "bob"))
        url = vendor.api_url / "v1/userinfo"
        statuses = [(await http.get(url, ada if number % 2 else bob)).status for number in range(51)]
        assert statuses == [200] * 50 + [429]
        assert (await http.get(url, "unknown")).status == 401
        vendor.clock.advance(1)
        assert (await http.get(url, ada)).status == 200


@pytest.mark.parametrize(("knob", "value"), [(None, None), (30, "30")])
async def test_the_limit_of_a_minute_and_retry_after(
    http: Client, knob: float | None, value: str | None
) -> None:
    async with server(per_second=None, per_minute=3, retry_after=knob) as vendor:
        access = texts(vendor.authorize("ada"))[0]
        url = vendor.api_url / "v1/userinfo"
        answers = [await http.get(url, access) for _ in range(5)]
        assert [got.status for got in answers] == [200] * 3 + [429] * 2
        assert answers[-1].headers.get("Retry-After") == value
        vendor.clock.advance(60)
        assert (await http.get(url, access)).status == 200


@pytest.mark.parametrize(("counted", "status"), [(True, 429), (False, 200)])
async def test_whether_token_calls_count_is_a_knob_and_a_declined_one_spends_nothing(
    http: Client, *, counted: bool, status: int
) -> None:
    async with server(per_second=1, token_calls_count=counted) as vendor:
        access, token = texts(vendor.authorize("ada"))
        assert (await http.get(vendor.api_url / "v1/userinfo", access)).status == 200
        got = await refresh(http, vendor, token)
        assert got.status == status
        vendor.clock.advance(1)
        if status == 429:
            assert (await refresh(http, vendor, token)).status == 200


async def test_applications_have_limits_of_their_own(http: Client) -> None:
    async with server(per_second=1, applications={"a": "sa", "b": "sb"}) as vendor:
        url = vendor.api_url / "v1/element_tokens"
        for secret, status in (("sa", 200), ("sa", 429), ("sb", 200)):
            headers = {"Authorization": f"Bearer {secret}"}
            assert (await http.call("POST", url, headers=headers)).status == status
