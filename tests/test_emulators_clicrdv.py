"""ClicRDV's emulator: logins and API keys, and every undocumented refusal by its knob."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from asyncauth.testing.emulators import ClicRDVKey, Cut
from emulator_clicrdv import BASIC, KEY, fields_of, groups, log_in, server, sha1, sid_of
from emulator_http import Client, open_client


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def test_a_login_answers_as_the_vendors_sample_does(http: Client) -> None:
    async with server() as vendor:
        got = await log_in(http, vendor)
        assert (got.status, got.headers["Status"]) == (200, "200")
        assert got.headers["Content-Type"] == "application/json; charset=utf-8"
        sid, end = got.headers["Set-Cookie"].removeprefix("_session_id=").split("; ", 1)
        assert (len(sid), int(sid, 16) >= 0, end) == (24, True, "path=/; HttpOnly")
        assert got.body.startswith(b'{"pro":{"created_at":"2007-03-30 15:09:07",')
        assert got.body.endswith(b'},"error":null}')
        names = "created_at updated_at synched_at lastname id firstname cellphone email group_id"
        assert set(got.data["pro"]) == set(names.split())
        assert (vendor.stats.token_calls, vendor.stats.tokens_issued) == (1, 1)


@pytest.mark.parametrize("profile", ["pro", "account"])
@pytest.mark.parametrize("suffix", ["", ".json", ".xml"])
async def test_both_profiles_log_in_by_body_or_query(http: Client, profile: str, suffix: str) -> None:
    async with server() as vendor:
        by_body = await log_in(http, vendor, fields_of(profile), suffix=suffix)
        url = (vendor.api_url / f"sessions/login{suffix}").with_query({"apikey": KEY, **fields_of(profile)})
        by_query = await http.call("POST", url)
        for got in (by_body, by_query):
            assert got.status == 200
            assert (await groups(http, vendor, sid_of(got))).status == 200
            kind = "application/xml" if suffix == ".xml" else "application/json"
            assert got.headers["Content-Type"].startswith(kind)
        assert vendor.sessions_alive == 2


async def test_an_xml_answer_holds_the_same_members(http: Client) -> None:
    async with server() as vendor:
        body = (await log_in(http, vendor, suffix=".xml")).body
        assert body.startswith(b"<hash><pro><created_at>2007-03-30 15:09:07</created_at>")
        assert body.endswith(b'</pro><error nil="true"/></hash>')


@pytest.mark.parametrize(("knob", "status"), [("http401", 401), ("inband200", 200), ("http403", 403)])
@pytest.mark.parametrize(
    "fields",
    [
        fields_of(password="pro-password"),
        fields_of(password=sha1("wrong")),
        fields_of(password=sha1("pro-password").upper()),
        {"pro[email]": "nobody@example.com", "pro[password]": sha1("pro-password")},
        {"account[email]": "pro@example.com", "account[password]": sha1("pro-password")},
    ],
)
async def test_a_wrong_login_fails_by_knob(
    http: Client, knob: Any, status: int, fields: dict[str, str]
) -> None:
    async with server(login_failure=knob) as vendor:
        got = await log_in(http, vendor, fields)
        assert got.status == status
        assert not {"WWW-Authenticate", "Set-Cookie"} & set(got.headers)
        profile = next(iter(fields)).partition("[")[0]
        assert got.data == {profile: None, "error": "Unknown e-mail or wrong password"}
        assert vendor.stats.refusals == {"credentials": 1}


@pytest.mark.parametrize(
    "fields",
    [{}, {**fields_of(), **fields_of("account")}, {"pro[email]": "pro@example.com"}, {"pro[password]": "x"}],
)
async def test_a_login_names_one_profile_whole(http: Client, fields: dict[str, str]) -> None:
    async with server() as vendor:
        got = await log_in(http, vendor, fields)
        assert (got.status, bool(got.data["error"])) == (400, True)


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_missing_api_key_is_refused_by_knob(http: Client, status: Any) -> None:
    async with server(missing_apikey=status) as vendor:
        login = await http.form(vendor.api_url / "sessions/login", {"apikey": KEY, **fields_of()})
        sid = sid_of(await log_in(http, vendor))
        calls = [
            await groups(http, vendor, sid, apikey=""),
            await groups(http, vendor, apikey="", Authorization=BASIC),
        ]
        assert [got.status for got in (login, *calls)] == [status] * 3
        assert vendor.stats.refusals == {"missing apikey": 3}


async def test_a_key_in_the_body_counts_only_by_knob(http: Client) -> None:
    async with server() as vendor:
        url, headers = vendor.api_url / "groups/4/calendars", {"Authorization": BASIC}
        body = {"apikey": KEY, "calendar": {"name": "c"}}
        assert (await http.call("POST", url, json=body, headers=headers)).status == 400
        vendor.accept_body_apikey = True
        assert (await http.call("POST", url, json=body, headers=headers)).status == 201
        form = {"apikey": KEY, **fields_of()}
        assert (await http.form(vendor.api_url / "sessions/login", form)).status == 200


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("apikey", ["sandbox-apikey", "unknown", "disabled"])
async def test_a_wrong_api_key_is_refused_by_knob(http: Client, status: Any, apikey: str) -> None:
    keys = {"sandbox-apikey": ClicRDVKey("sandbox"), "disabled": ClicRDVKey(enabled=False)}
    async with server(wrong_apikey=status, apikeys=keys) as vendor:
        url = (vendor.api_url / "sessions/login").with_query(apikey=apikey)
        assert (await http.form(url, fields_of())).status == status
        assert (await groups(http, vendor, apikey=apikey, Authorization=BASIC)).status == status


async def test_the_sandbox_takes_its_own_keys_only(http: Client) -> None:
    async with server(environment="sandbox") as vendor:
        assert (await groups(http, vendor, Authorization=BASIC)).status == 403
        assert (await groups(http, vendor, apikey="sandbox-apikey", Authorization=BASIC)).status == 200


async def test_faults_strike_login_and_calls_apart(http: Client) -> None:
    async with server() as vendor:
        vendor.faults.add(Cut(), on="token")
        assert (await groups(http, vendor, Authorization=BASIC)).status == 200
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await log_in(http, vendor)
        assert (vendor.stats.token_calls, vendor.stats.api_calls, vendor.sessions_alive) == (1, 1, 0)
