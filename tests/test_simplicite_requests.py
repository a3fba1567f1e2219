"""Simplicité's requests, byte for byte as the vendor's page shows them with curl."""

import re
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from asyncauth._errors import ConfigurationError, InsecureURLError
from asyncauth._exchange import AuthRequest
from asyncauth.testing.emulators import ReceivedRequest
from flow_driver import drive, reply
from simplicite_samples import PASSWORD, TOKEN, held, simplicite

BASE = "https://erp.example.com/myapp/api"
BASIC = "Basic " + b64encode(b"svc:s3cret-Passw0rd").decode()
BACK = "https://app.example.com/back?a=1"
PAGE_SPELLING = "_x_simplicite_autorization_"


def login_of(**options: Any) -> AuthRequest:
    return next(simplicite(**options).login())


# The page's URLs are "<base URL>/login[<optional parameter(s)>]".
@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({"answer": "text"}, ""),
        ({"answer": "oauth2"}, "?_oauth2=true"),
        ({"answer": "json"}, "?format=json&_json=true"),
        (
            {"answer": "redirect", "redirect_uri": BACK},
            "?redirect_uri=https://app.example.com/back?a%3D1",
        ),
    ],
    ids=["text", "oauth2", "json", "redirect"],
)
@pytest.mark.parametrize("header", ["Authorization", "X-Simplicite-Authorization"])
def test_a_basic_login_asks_for_each_documented_answer(
    options: dict[str, Any], query: str, header: str
) -> None:
    request = login_of(login_header=header, **options)
    assert (request.method, str(request.url)) == ("GET", f"{BASE}/login{query}")
    assert dict(request.headers) == {header: BASIC}
    assert request.body == b""


def test_a_login_by_url_parameters_is_the_pages_get() -> None:
    request = login_of(login_with="query", answer="text")
    assert (request.method, str(request.url)) == (
        "GET",
        f"{BASE}/login?username=svc&password=s3cret-Passw0rd",
    )
    assert (dict(request.headers), request.body) == ({}, b"")


def test_a_login_by_form_is_the_multipart_post_of_curls_form_option() -> None:
    request = login_of(login_with="form", answer="text")
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/login")
    assert list(request.headers) == ["Content-Type"]
    kind, _, boundary = request.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    assert re.fullmatch(r"-{24}[0-9a-f]{16}", boundary)
    assert request.body.decode() == (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="username"\r\n'
        "\r\n"
        "svc\r\n"
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="password"\r\n'
        "\r\n"
        "s3cret-Passw0rd\r\n"
        f"--{boundary}--\r\n"
    )


@pytest.mark.parametrize("answer", ["json", "oauth2"])
def test_other_answers_are_asked_for_beside_the_credentials(answer: str) -> None:
    asked = login_of(answer=answer).url.raw_query_string
    form = login_of(login_with="form", answer=answer)
    assert form.url.raw_query_string == asked
    query = login_of(login_with="query", answer=answer)
    assert query.url.raw_query_string == f"username=svc&password=s3cret-Passw0rd&{asked}"


def test_credentials_are_in_the_url_or_a_form_only_when_asked_for() -> None:
    default = login_of()
    assert PASSWORD not in str(default.url) + default.body.decode()
    form = login_of(login_with="form")
    assert PASSWORD not in str(form.url) + str(form.headers)


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(login=texts, password=texts)
def test_any_credentials_arrive_as_they_are(login: str, password: str) -> None:
    wanted = {"username": login, "password": password}
    query = login_of(login=login, password=password, login_with="query", answer="text")
    assert dict(parse_qsl(query.url.raw_query_string)) == wanted
    form = login_of(login=login, password=password, login_with="form")
    received = ReceivedRequest(
        method="POST",
        path_qs="/",
        url=URL("/"),
        headers=CIMultiDictProxy(CIMultiDict(form.headers)),
        body=form.body,
    )
    assert dict(received.form()) == wanted


def test_a_colon_in_the_login_is_a_matter_of_basic_alone() -> None:
    assert login_of(login="a:b", login_with="query").url.query["username"] == "a:b"
    with pytest.raises(ConfigurationError, match="login has a colon"):
        simplicite(login="a:b")


SENDING: list[tuple[dict[str, Any], str, dict[str, str]]] = [
    ({}, "", {"X-Simplicite-Authorization": f"Bearer {TOKEN}"}),
    ({"header": "Authorization"}, "", {"Authorization": f"Bearer {TOKEN}"}),
    ({"send_in": "url"}, f"_x_simplicite_authorization_={TOKEN}", {}),
    ({"send_in": "url", "url_param": PAGE_SPELLING}, f"_x_simplicite_autorization_={TOKEN}", {}),
]
sending = pytest.mark.parametrize(
    ("options", "query", "headers"), SENDING, ids=["custom header", "header", "url", "url as on the page"]
)


@sending
def test_a_token_is_sent_in_each_documented_way(
    options: dict[str, Any], query: str, headers: dict[str, str]
) -> None:
    placed = simplicite(**options).apply(held())
    assert dict(placed.headers) == headers
    assert "&".join(f"{name}={value}" for name, value in placed.query.items()) == query
    assert TOKEN not in repr(placed)


@sending
@pytest.mark.parametrize("answer", ["text", "oauth2"])
def test_a_logout_is_the_pages_call(
    options: dict[str, Any], query: str, headers: dict[str, str], answer: str
) -> None:
    request = drive(simplicite(answer=answer, **options).logout(held()), reply(b"")).request
    assert (request.method, str(request.url)) == ("GET", f"{BASE}/logout{'?' if query else ''}{query}")
    assert dict(request.headers) == headers


@sending
def test_a_logout_asks_for_json_where_the_login_does(
    options: dict[str, Any], query: str, headers: dict[str, str]
) -> None:
    request = drive(simplicite(**options).logout(held()), reply({})).request
    assert request.url.raw_query_string == "&".join(filter(None, ["format=json", query]))
    assert dict(request.headers) == headers


@sending
def test_a_probe_is_the_recommended_keep_alive_call(
    options: dict[str, Any], query: str, headers: dict[str, str]
) -> None:
    request = drive(simplicite(**options).probe(held()), reply({})).request
    assert (request.method, request.url.path) == ("GET", "/myapp/api/rest")
    assert request.url.raw_query_string == "&".join(filter(None, ["session=true", query]))
    assert dict(request.headers) == headers


@pytest.mark.parametrize("options", [{}, {"header": "Authorization"}, {"send_in": "url"}])
def test_version_3_sends_the_cookie_with_the_token_everywhere(options: dict[str, Any]) -> None:
    scheme = simplicite(session_cookie=True, **options)
    token = held(cookies={"JSESSIONID": "FD22", "ROUTE": "n1"})
    assert dict(scheme.apply(token).cookies) == {"JSESSIONID": "FD22", "ROUTE": "n1"}
    for request in (
        drive(scheme.logout(token), reply({})).request,
        drive(scheme.probe(token), reply({})).request,
    ):
        assert request.headers["Cookie"] == "JSESSIONID=FD22; ROUTE=n1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"login_with": "digest"}, "login_with must be one of basic, form, query"),
        ({"answer": "xml"}, "answer must be one of json, text, oauth2, redirect"),
        ({"send_in": "cookie"}, "send_in must be one of header, url"),
        ({"send_in": "url", "url_param": ""}, "url_param is empty"),
        ({"answer": "redirect"}, "redirect_uri belong together"),
        ({"redirect_uri": BACK}, "redirect_uri belong together"),
        ({"keep_alive": True}, "keep_alive needs idle_timeout"),
        ({"idle_timeout": 0}, "idle_timeout must be more than 0 s and finite, not 0 s"),
        ({"idle_timeout": float("inf")}, "and finite, not inf s"),
        ({"idle_timeout": float("nan")}, "idle_timeout must be more than 0 s"),
        ({"answer": "redirect", "redirect_uri": "not a URL"}, "absolute URL is needed"),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        simplicite(**options)


def test_a_token_is_asked_to_go_to_safe_places_only() -> None:
    with pytest.raises(InsecureURLError):
        simplicite(answer="redirect", redirect_uri="http://app.example.com/back")


@pytest.mark.parametrize("way", ["basic", "form", "query"])
def test_no_way_to_log_in_shows_the_password(way: str) -> None:
    scheme = simplicite(login_with=way)
    flow = scheme.login()
    shown = f"{scheme!r} {next(flow)!r} {flow!r}"
    assert PASSWORD not in shown
    assert BASIC.removeprefix("Basic ") not in shown


@pytest.mark.parametrize(
    "options",
    [
        {"login_with": "form"},
        {"login_header": "X-Simplicite-Authorization"},
        {"answer": "text"},
        {"session_cookie": True},
        {"whoami": True},
        {"expect_user": False},
    ],
)
def test_another_way_to_log_in_is_tried_though_the_fleet_was_refused(options: dict[str, Any]) -> None:
    assert simplicite(**options).fingerprint != simplicite().fingerprint
    assert simplicite(**options).key == simplicite().key


@pytest.mark.parametrize("options", [{"header": "Authorization"}, {"send_in": "url"}, {"idle_timeout": 60}])
def test_what_a_refused_login_does_not_depend_on_tries_it_no_second_time(options: dict[str, Any]) -> None:
    assert simplicite(**options).fingerprint == simplicite().fingerprint
