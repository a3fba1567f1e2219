"""ClicRDV: what an answer says of its session, which is hardly ever clear, and the probe that settles it."""

import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from yarl import URL

from asyncauth._errors import UnreadableAnswerError, VendorBusyError, VendorError, VendorFailedError
from asyncauth._exchange import AuthResponse
from asyncauth._token import Token
from asyncauth.abc import Verdict
from asyncauth.schemes import ClicRDV
from flow_driver import Head, drive, reply

TOKEN = Token(cookies={"_session_id": "4e8c5362ed2abeddca00000c"}, idle_timeout=3600)
CALL = URL("https://www.clicrdv.com/api/v1/groups/4/calendars?apikey=xxxxxx")
JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "Text/HTML; charset=utf-8"}
RECORDS = {"records": [{"id": 4}], "totalRecords": 1}
EMPTY: dict[str, Any] = {"records": [], "totalRecords": 0}


def clicrdv(**options: Any) -> ClicRDV:
    fields = {
        "apikey": "xxxxxx",
        "email": "user@example.com",
        "password": "test",
        "auth": "session",
        **options,
    }
    return ClicRDV(**fields)


def verdict(status: int, headers: Mapping[str, str] = JSON, url: URL = CALL, **options: Any) -> Verdict:
    return clicrdv(**options).classify(Head(status=status, headers=headers, url=url), TOKEN)


def body_verdict(body: bytes | dict[str, Any], **options: Any) -> Verdict:
    return clicrdv(**options).classify_body(attrs.evolve(reply(body), url=CALL), TOKEN)


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, JSON, Verdict.FINE),
        (201, JSON, Verdict.FINE),
        (204, {}, Verdict.FINE),
        (200, {"Content-Type": "text/csv"}, Verdict.FINE),
        (304, {}, Verdict.FINE),
        (400, JSON, Verdict.FINE),
        (405, JSON, Verdict.FINE),
        (500, HTML, Verdict.FINE),
        (503, HTML, Verdict.FINE),
        (401, JSON, Verdict.REFUSED),
        (401, HTML, Verdict.REFUSED),
        (403, JSON, Verdict.SUSPECT),
        (404, JSON, Verdict.SUSPECT),
        (301, {"Location": "/login"}, Verdict.SUSPECT),
        (302, {"Location": "/login"}, Verdict.SUSPECT),
        (303, {}, Verdict.SUSPECT),
        (307, {}, Verdict.SUSPECT),
        (308, {}, Verdict.SUSPECT),
        (200, HTML, Verdict.SUSPECT),
        (422, HTML, Verdict.SUSPECT),
        (429, JSON, Verdict.BACK_OFF),
    ],
)
def test_in_a_session_only_401_is_clear(status: int, headers: dict[str, str], expected: Verdict) -> None:
    assert verdict(status, headers) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Verdict.FINE),
        (302, Verdict.FINE),
        (401, Verdict.FORBIDDEN),
        (403, Verdict.FORBIDDEN),
        (404, Verdict.FINE),
        (429, Verdict.BACK_OFF),
    ],
)
def test_with_basic_every_answer_is_the_callers(status: int, expected: Verdict) -> None:
    assert verdict(status, HTML, auth="basic") is expected
    assert not clicrdv(auth="basic").reads_body(Head(status=200, headers=JSON, url=CALL))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/sessions/login",
        "/api/v1/sessions/login.json",
        "/api/v1/sessions/login.xml",
        "/login",
        "/",
        "/api/v10/groups",
    ],
)
@pytest.mark.parametrize("status", [200, 302, 401, 403, 404])
def test_a_callers_own_login_and_pages_outside_the_api_are_not_judged(path: str, status: int) -> None:
    url = CALL.with_path(path)
    assert verdict(status, HTML, url) is Verdict.FINE
    assert not clicrdv().reads_body(Head(status=status, headers=JSON, url=url))


def test_calls_behind_a_base_urls_own_path_are_judged() -> None:
    base = URL("https://proxy.example.com/clicrdv")
    assert verdict(404, url=base / "api/v1/groups", base_url=base) is Verdict.SUSPECT


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, JSON, True),
        (201, {"Content-Type": "Application/JSON"}, True),
        (404, JSON, False),
        (200, {"Content-Type": "text/csv"}, False),
        (204, {}, False),
    ],
)
def test_the_bodies_of_json_answers_alone_are_read(
    status: int, headers: dict[str, str], *, expected: bool
) -> None:
    assert clicrdv().reads_body(Head(status=status, headers=headers, url=CALL)) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": "not logged in"}, Verdict.SUSPECT),
        ({"pro": None, "error": {"code": 3}}, Verdict.SUSPECT),
        ({"error": ""}, Verdict.SUSPECT),
        ({"error": None, **RECORDS}, Verdict.FINE),
        (RECORDS, Verdict.FINE),
        (EMPTY, Verdict.FINE),
        ({"records": [{"id": 1, "error": "of a record"}]}, Verdict.FINE),
        (b'["error"]', Verdict.FINE),
        (b'{"error', Verdict.FINE),
        (b"", Verdict.FINE),
    ],
)
def test_an_error_member_is_suspect_and_nothing_else_in_a_body(body: Any, expected: Verdict) -> None:
    assert body_verdict(body) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (EMPTY, Verdict.SUSPECT),
        (RECORDS, Verdict.FINE),
        ({"records": None}, Verdict.FINE),
        ({"error": "not logged in"}, Verdict.SUSPECT),
        ({"id": 4}, Verdict.FINE),
    ],
)
def test_an_empty_list_is_suspect_where_it_is_asked_for(body: dict[str, Any], expected: Verdict) -> None:
    assert body_verdict(body, empty_is_suspect=True) is expected


def probed(response: AuthResponse, **options: Any) -> bool:
    return drive(clicrdv(**options).probe(TOKEN), response).result


def test_the_probe_asks_for_the_groups_with_key_and_cookie() -> None:
    request = drive(clicrdv().probe(TOKEN), reply(RECORDS)).request
    assert (request.method, str(request.url)) == (
        "GET",
        "https://www.clicrdv.com/api/v1/groups.json?apikey=xxxxxx",
    )
    assert dict(request.headers) == {"Cookie": "_session_id=4e8c5362ed2abeddca00000c"}


@pytest.mark.parametrize("path", ["vevents.json", "/vevents.json"])
def test_the_probe_can_ask_for_something_else(path: str) -> None:
    assert next(clicrdv(probe_path=path).probe(TOKEN)).url.path == "/api/v1/vevents.json"


@pytest.mark.parametrize(
    ("response", "lives"),
    [
        (reply(RECORDS), True),
        (reply({**RECORDS, "error": None}), True),
        (reply(EMPTY), True),
        (reply({"error": "not logged in"}), False),
        (reply(json.dumps(RECORDS), headers=HTML), False),
        (reply(status=302, headers={"Location": "/login"}), False),
        (reply({"error": "Unauthorized"}, 401), False),
        (reply({"error": "Forbidden"}, 403), False),
        (reply({"error": "Not Found"}, 404), False),
    ],
)
def test_a_session_lives_if_the_probe_gets_what_it_asks_for(response: AuthResponse, *, lives: bool) -> None:
    assert probed(response) is lives


def test_a_probe_without_records_finds_it_dead_where_empty_lists_are_suspect() -> None:
    assert not probed(reply(EMPTY), empty_is_suspect=True)
    assert probed(reply(RECORDS), empty_is_suspect=True)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (reply(status=429), VendorBusyError),
        (reply(b"<html></html>", 502, HTML), VendorFailedError),
        (reply({"error": "Bad Request"}, 400), UnreadableAnswerError),
        (reply(status=204), UnreadableAnswerError),
        (reply(b"<records/>", headers={"Content-Type": "application/xml"}), UnreadableAnswerError),
    ],
)
def test_a_probe_that_tells_nothing_is_an_error(response: AuthResponse, error: type[VendorError]) -> None:
    with pytest.raises(error):
        probed(response)
