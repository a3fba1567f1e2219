"""ClicRDV's emulator: calls with Basic or a session, and what nobody gets, by its knob."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncauth._errors import ConfigurationError
from asyncauth._exchange import basic_auth
from asyncauth.testing.emulators import ClicRDVPerson
from emulator_clicrdv import BASIC, KEY, groups, log_in, server, sha1, sid_of
from emulator_http import Client, open_client


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


@pytest.mark.parametrize("path", ["groups", "groups.json"])
async def test_basic_or_a_cookie_opens_a_collection(http: Client, path: str) -> None:
    async with server() as vendor:
        sid = sid_of(await log_in(http, vendor))
        by_basic = await groups(http, vendor, path=path, Authorization=BASIC)
        by_cookie = await groups(http, vendor, sid, path=path)
        assert by_basic.data == by_cookie.data
        assert set(by_basic.data) == {
            "records", "sort", "dir", "totalRecords", "startIndex", "recordsReturned", "pageSize"
        }  # fmt: skip
        assert [record["id"] for record in by_basic.data["records"]] == [4]
        assert "Set-Cookie" not in by_cookie.headers


async def test_a_calendar_is_created_and_listed(http: Client) -> None:
    async with server() as vendor:
        url = (vendor.api_url / "groups/4/calendars").with_query(apikey=KEY)
        headers = {"Authorization": BASIC}
        made = await http.call("POST", url, json={"calendar": {"name": "c"}}, headers=headers)
        assert (made.status, made.data) == (201, {"id": 1, "group_id": 4, "name": "c"})
        assert (await http.call("GET", url, headers=headers)).data["records"] == [made.data]
        assert (await http.call("POST", url, json={}, headers=headers)).status == 400
        assert (await groups(http, vendor, path="groups/4.json", Authorization=BASIC)).data["id"] == 4


MODES = {"403": 403, "404": 404, "401_no_challenge": 401, "200_empty": 200, "302_login_html": 302}


@pytest.mark.parametrize(("mode", "status"), MODES.items())
async def test_whoever_is_nobody_is_answered_by_knob_and_never_challenged(
    http: Client, mode: Any, status: int
) -> None:
    async with server(unauth_mode=mode) as vendor:
        sid = sid_of(await log_in(http, vendor))
        vendor.end_session(sid)
        answers = [
            await groups(http, vendor),
            await groups(http, vendor, "unknown"),
            await groups(http, vendor, sid),
            await groups(http, vendor, Authorization=basic_auth("pro@example.com", sha1("pro-password"))),
        ]
        assert {(got.status, got.body) for got in answers} == {(status, answers[0].body)}
        assert not any({"WWW-Authenticate", "Set-Cookie"} & set(got.headers) for got in answers)
        assert vendor.stats.refusals == {"missing": 1, "unknown": 1, "expired": 1, "credentials": 1}
        if mode == "200_empty":
            assert answers[0].data["records"] == []
        elif mode == "302_login_html":
            page = await http.get(vendor.url.join(vendor.url.with_path(answers[0].headers["Location"])))
            assert (page.status, page.headers["Content-Type"]) == (200, "text/html")
        else:
            assert set(answers[0].data) == {"error"}


@pytest.mark.parametrize("status", [403, 404])
async def test_another_groups_objects_look_like_a_dead_session(http: Client, status: Any) -> None:
    people = {
        "pro@example.com": ClicRDVPerson("pro-password"),
        "b@example.com": ClicRDVPerson("b", group_id=5),
    }
    async with server(unauth_mode=str(status), foreign_object=status, pros=people) as vendor:
        foreign = await groups(http, vendor, path="groups/5/calendars", Authorization=BASIC)
        dead = await groups(http, vendor, path="groups/5/calendars")
        assert (foreign.status, foreign.body) == (dead.status, dead.body)
        assert foreign.status == status
        absent = await groups(http, vendor, path="groups/77", Authorization=BASIC)
        assert absent.status == 404
        assert vendor.stats.refusals == {"foreign": 1, "missing": 1, "not found": 1}


async def test_a_session_ends_an_hour_after_its_last_answered_call(http: Client) -> None:
    async with server() as vendor:
        sid = sid_of(await log_in(http, vendor))
        for _ in range(3):
            vendor.clock.advance(3599)
            assert (await groups(http, vendor, sid)).status == 200
        vendor.clock.advance(3600)
        assert (await groups(http, vendor, sid)).status == 403
        assert vendor.sessions_alive == 0


async def test_a_refused_call_keeps_no_session_alive(http: Client) -> None:
    async with server(idle_timeout=100) as vendor:
        sid = sid_of(await log_in(http, vendor))
        vendor.clock.advance(60)
        assert (await groups(http, vendor, sid, path="groups/77")).status == 404
        assert (await groups(http, vendor, sid, apikey="unknown")).status == 403
        vendor.clock.advance(40)
        assert vendor.sessions_alive == 0


async def test_sessions_of_one_user_live_beside_each_other(http: Client) -> None:
    async with server() as vendor:
        sids = {sid_of(await log_in(http, vendor)) for _ in range(3)}
        assert len(sids) == vendor.sessions_alive == 3


async def test_a_session_may_need_no_api_key_by_knob(http: Client) -> None:
    async with server(session_without_apikey=True) as vendor:
        sid = sid_of(await log_in(http, vendor))
        assert (await groups(http, vendor, sid, apikey="")).status == 200
        assert (await groups(http, vendor, "unknown", apikey="")).status == 400
        vendor.apikeys[KEY].enabled = False
        assert (await groups(http, vendor, sid, apikey="")).status == 403


async def test_a_dead_session_is_given_an_anonymous_one_by_knob(http: Client) -> None:
    async with server(reissue_cookie=True) as vendor:
        got = await groups(http, vendor, "dead")
        assert (got.status, len(sid_of(got))) == (403, 24)
        again = await groups(http, vendor, sid_of(got))
        assert again.status == 403
        assert sid_of(again) != sid_of(got)
        assert "Set-Cookie" not in (await groups(http, vendor)).headers


async def test_answered_calls_set_their_own_cookie_again_by_knob(http: Client) -> None:
    async with server(resend_cookie=True) as vendor:
        sid = sid_of(await log_in(http, vendor))
        assert sid_of(await groups(http, vendor, sid)) == sid
        assert "Set-Cookie" not in (await groups(http, vendor, Authorization=BASIC)).headers


async def test_basic_is_for_pros_unless_the_knob_says_otherwise(http: Client) -> None:
    header = {"Authorization": basic_auth("account@example.com", "account-password")}
    async with server() as vendor:
        assert (await groups(http, vendor, **header)).status == 403
        vendor.basic_for_accounts = True
        assert (await groups(http, vendor, **header)).status == 200


async def test_there_is_no_logout_and_no_other_method(http: Client) -> None:
    async with server() as vendor:
        assert (await http.call("POST", vendor.api_url / "sessions/logout")).status == 404
        assert (await http.get(vendor.api_url / "sessions/login")).status == 405


async def test_only_an_opened_session_can_be_ended() -> None:
    with pytest.raises(ConfigurationError, match="never opened"):
        server().end_session("unknown")
