"""What Simplicité answers, in the documented forms and in those that nobody asked for."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncauth._errors import (
    AuthError,
    CredentialRefusedError,
    TokenRefusedError,
    UnreadableAnswerError,
    VendorBusyError,
    VendorFailedError,
)
from asyncauth._exchange import AuthResponse
from asyncauth._token import Secret, Token
from asyncauth.abc import Verdict
from flow_driver import Head, drive, reply
from simplicite_samples import (
    NEW_ANSWER,
    OAUTH2_ANSWER,
    OLD_ANSWER,
    PASSWORD,
    SESSION,
    TOKEN,
    held,
    simplicite,
)

BACK = "https://app.example.com/back"
COOKIE = {"Set-Cookie": f"JSESSIONID={SESSION}; Path=/myapp; HttpOnly"}

ASKING: dict[str, dict[str, Any]] = {
    "json": {},
    "text": {"answer": "text"},
    "oauth2": {"answer": "oauth2"},
    "redirect": {"answer": "redirect", "redirect_uri": BACK},
}
asking = pytest.mark.parametrize("options", ASKING.values(), ids=ASKING.keys())

REDIRECT = reply(status=302, headers={"Location": f"{BACK}?access_token={TOKEN}"})


def login(answer: AuthResponse, /, **options: Any) -> Token:
    return drive(simplicite(**options).login(), answer).result


def refusal(answer: AuthResponse, /, **options: Any) -> AuthError:
    with pytest.raises(AuthError) as caught:
        login(answer, **options)
    return caught.value


@asking
@pytest.mark.parametrize(
    "answer",
    [reply(OLD_ANSWER), reply(NEW_ANSWER), reply(TOKEN), reply(TOKEN + "\n"), reply(OAUTH2_ANSWER)],
    ids=["json", "newer json", "text", "text with a newline", "oauth2"],
)
def test_each_form_of_answer_is_understood_whatever_was_asked_for(
    options: dict[str, Any], answer: AuthResponse
) -> None:
    assert login(answer, **options).access_token == Secret(TOKEN)


@pytest.mark.parametrize(
    "location",
    [
        f"{BACK}?access_token={TOKEN}",
        f"{BACK}?a=1&access_token={TOKEN}",
        f"{BACK}?access_token=an-older-one-of-the-uri&access_token={TOKEN}",
        f"{BACK}?access_token={TOKEN}#top",
        f"/back?access_token={TOKEN}",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307])
def test_the_token_is_read_from_the_redirect_which_is_not_followed(location: str, status: int) -> None:
    answer = reply(status=status, headers={"Location": location})
    talk = drive(simplicite(**ASKING["redirect"]).login(), answer)
    assert talk.result.access_token == Secret(TOKEN)
    assert talk.request.url.path == "/myapp/api/login"


def test_a_token_may_be_quoted_in_a_redirect() -> None:
    text = "abc+def/ghi=jkl~mno.pqr-stu"
    for written in (text, "abc%2Bdef%2Fghi%3Djkl~mno.pqr-stu"):
        answer = reply(status=302, headers={"Location": f"{BACK}?access_token={written}"})
        assert login(answer, **ASKING["redirect"]).access_token == Secret(text)


@pytest.mark.parametrize(
    "location",
    [
        "",
        BACK,
        f"{BACK}?access_token=",
        f"{BACK}#access_token={TOKEN}",
        f"{BACK}?access_token={TOKEN}%0d%0aX:1",
        f"{BACK}?code={TOKEN}",
        "https://sso.example.com/login?next=/myapp",
        "http://[",
    ],
)
def test_a_redirect_without_a_token_is_unreadable_and_not_shown(location: str) -> None:
    error = refusal(reply(status=302, headers={"Location": location}), **ASKING["redirect"])
    assert isinstance(error, UnreadableAnswerError)
    assert "redirects without an access_token: a proxy or a login page may have answered" in str(error)
    assert TOKEN not in f"{error!r} {vars(error)}"


@pytest.mark.parametrize("name", ["json", "text", "oauth2"])
def test_a_redirect_that_nobody_asked_for_is_unreadable(name: str) -> None:
    error = refusal(REDIRECT, **ASKING[name])
    assert isinstance(error, UnreadableAnswerError)
    assert "is the base URL right?" in str(error)
    assert TOKEN not in str(error)


def test_expires_in_of_the_oauth2_answer_is_never_the_tokens_life() -> None:
    token = login(reply(OAUTH2_ANSWER), answer="oauth2")
    assert (token.expires_in, token.idle_timeout) == (None, None)


@pytest.mark.parametrize(
    ("stated", "options", "idle"),
    [
        (300, {}, 300),
        ("300", {}, 300),
        (300, {"idle_timeout": 600}, 300),
        (0, {"idle_timeout": 600}, 600),
        (-1, {"idle_timeout": 600}, 600),
        ("abc", {"idle_timeout": 600}, 600),
        (None, {"idle_timeout": 600}, 600),
        (None, {}, None),
    ],
)
def test_in_version_3_expires_in_is_the_sessions_idle_time(
    stated: object, options: dict[str, Any], idle: float | None
) -> None:
    answer = reply({**OAUTH2_ANSWER, "expires_in": stated}, headers=COOKIE)
    token = login(answer, answer="oauth2", session_cookie=True, **options)
    assert (token.expires_in, token.idle_timeout) == (None, idle)


def test_both_limits_are_kept_side_by_side() -> None:
    token = login(reply(NEW_ANSWER), idle_timeout=900)
    assert (token.expires_in, token.idle_timeout) == (86_400, 900)


@pytest.mark.parametrize("kind", [None, "", "Bearer", "BEARER"])
def test_the_token_types_case_means_nothing(kind: str | None) -> None:
    assert login(reply({**OAUTH2_ANSWER, "token_type": kind})).access_token == Secret(TOKEN)


@pytest.mark.parametrize("kind", ["mac", 7, ["bearer"]])
def test_another_token_type_is_not_used(kind: object) -> None:
    error = refusal(reply({**OAUTH2_ANSWER, "token_type": kind}))
    assert isinstance(error, UnreadableAnswerError)
    assert "another type than Bearer" in str(error)


@pytest.mark.parametrize(
    ("answer", "headers", "cookies"),
    [
        (OLD_ANSWER, {}, {"JSESSIONID": SESSION}),
        (OLD_ANSWER, {"Set-Cookie": "JSESSIONID=AB12.node1; Path=/"}, {"JSESSIONID": "AB12.node1"}),
        (TOKEN, {"Set-Cookie": 'JSESSIONID="AB12"; HttpOnly'}, {"JSESSIONID": "AB12"}),
        (OAUTH2_ANSWER, COOKIE, {"JSESSIONID": SESSION}),
        (OLD_ANSWER, {"Set-Cookie": "ROUTE=n1; Path=/"}, {"ROUTE": "n1", "JSESSIONID": SESSION}),
        (OLD_ANSWER, {"Set-Cookie": "JSESSIONID=; Max-Age=0"}, {"JSESSIONID": SESSION}),
    ],
)
def test_version_3_keeps_token_and_cookies_as_one_unit(
    answer: Any, headers: dict[str, str], cookies: dict[str, str]
) -> None:
    token = login(reply(answer, headers=headers), session_cookie=True)
    assert token.access_token == Secret(TOKEN)
    assert {name: value.reveal() for name, value in token.cookies.items()} == cookies
    assert SESSION not in repr(token)


def test_a_load_balancers_cookie_stays_with_the_session() -> None:
    headers = CIMultiDict([("Set-Cookie", "ROUTE=n1"), ("Set-Cookie", COOKIE["Set-Cookie"])])
    token = login(attrs.evolve(reply(TOKEN), headers=headers), session_cookie=True)
    assert sorted(token.cookies) == ["JSESSIONID", "ROUTE"]


@pytest.mark.parametrize("answer", [TOKEN, OAUTH2_ANSWER, NEW_ANSWER, {**OLD_ANSWER, "sessionid": "a;b"}])
@pytest.mark.parametrize("headers", [{}, {"Set-Cookie": "JSESSIONID=a b"}, {"Set-Cookie": "nonsense"}])
def test_version_3_takes_no_token_without_its_session(answer: Any, headers: dict[str, str]) -> None:
    error = refusal(reply(answer, headers=headers), session_cookie=True)
    assert isinstance(error, UnreadableAnswerError)
    assert "brings no JSESSIONID: without session_cookie" in str(error)


def test_from_version_4_on_a_cookie_is_no_part_of_the_token() -> None:
    assert login(reply(OLD_ANSWER, headers=COOKIE)).cookies == {}


@asking
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "does the base URL have the application's path, as in https://host/myapp/api?"),
        (405, "is the base URL that of the API endpoint?"),
        (400, "is the base URL right?"),
    ],
)
def test_a_login_at_a_wrong_place_hints_at_the_base_url(
    options: dict[str, Any], status: int, words: str
) -> None:
    error = refusal(reply(status=status), **options)
    assert isinstance(error, UnreadableAnswerError)
    assert words in str(error)


@asking
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_says_what_to_check(options: dict[str, Any], status: int) -> None:
    error = refusal(reply(status=status), **options)
    assert isinstance(error, CredentialRefusedError)
    assert "check login and password, and the user's rights" in str(error)
    https = "the OAuth 2 style answer is given over https only" in str(error)
    assert https == (status == 403 and options.get("answer") == "oauth2")


def test_a_proxys_challenge_hints_at_the_vendors_header() -> None:
    challenged = refusal(reply(status=401, headers={"WWW-Authenticate": 'Basic realm="proxy"'}))
    assert 'login_header="X-Simplicite-Authorization"' in str(challenged)
    assert "login_header" not in str(refusal(reply(status=401)))


@asking
@pytest.mark.parametrize(
    ("status", "error"), [(429, VendorBusyError), (500, VendorFailedError), (504, VendorFailedError)]
)
def test_the_servers_own_trouble_is_no_word_on_the_credential(
    options: dict[str, Any], status: int, error: type[AuthError]
) -> None:
    assert type(refusal(reply("<html>504 Gateway Time-out</html>", status), **options)) is error


@asking
@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/json"])
def test_a_page_with_200_is_never_a_token(options: dict[str, Any], kind: str) -> None:
    page = reply("<html><body>504 Gateway Time-out</body></html>", headers={"Content-Type": kind})
    assert isinstance(refusal(page, **options), UnreadableAnswerError)


def test_a_login_in_nobodys_name_is_refused_with_its_name() -> None:
    error = refusal(reply({**OLD_ANSWER, "login": "public"}))
    assert isinstance(error, CredentialRefusedError)
    assert "for another user than the one that logs in, 'public'" in str(error)


def test_a_named_user_that_repeats_the_password_is_not_shown() -> None:
    error = refusal(reply({**OLD_ANSWER, "login": PASSWORD}))
    assert PASSWORD not in str(error)


NAMING: list[dict[str, Any]] = [
    {"login": "svc"},
    {"login": "SVC"},
    {"user": {"login": "svc"}, "application": {"name": "a"}},
]
STRANGERS: list[dict[str, Any]] = [{"login": "public"}, {"user": {"login": "public"}}, {"login": "other"}]


@asking
@pytest.mark.parametrize("answer", NAMING)
def test_whoami_asks_after_the_login_with_the_new_token(
    options: dict[str, Any], answer: dict[str, Any]
) -> None:
    given_answer = REDIRECT if "redirect_uri" in options else reply(TOKEN)
    talk = drive(simplicite(whoami=True, **options).login(), given_answer, reply(answer))
    assert talk.result.access_token == Secret(TOKEN)
    second = talk.requests[1]
    assert (second.method, str(second.url)) == ("GET", "https://erp.example.com/myapp/api/rest")
    assert dict(second.headers) == {"X-Simplicite-Authorization": f"Bearer {TOKEN}"}


def test_whoami_of_version_3_sends_the_new_cookie() -> None:
    scheme = simplicite(whoami=True, session_cookie=True)
    talk = drive(scheme.login(), reply(OLD_ANSWER), reply({"login": "svc"}))
    assert talk.requests[1].headers["Cookie"] == f"JSESSIONID={SESSION}"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        *[(reply(each), CredentialRefusedError, "another user's") for each in STRANGERS],
        (reply(status=401), TokenRefusedError, "refuses the token that the login has just given"),
        (reply({}), UnreadableAnswerError, "does not name a user: whoami=True cannot work here"),
        (reply("[]"), UnreadableAnswerError, "does not name a user"),
        (reply({"login": ""}), UnreadableAnswerError, "does not name a user"),
        (reply("<html></html>"), UnreadableAnswerError, "does not tell whether the token works"),
        (reply(status=403), UnreadableAnswerError, "does not tell whether the token works"),
        (reply(status=502), VendorFailedError, "failure on the vendor's side"),
    ],
)
def test_whoami_takes_no_token_that_is_not_the_users(
    answer: AuthResponse, error: type[AuthError], words: str
) -> None:
    with pytest.raises(error, match=words):
        drive(simplicite(whoami=True).login(), reply(TOKEN), answer)


@pytest.mark.parametrize(
    ("answer", "strict", "alive"),
    [
        *[(reply(each), True, True) for each in NAMING],
        *[(reply(each), True, False) for each in STRANGERS],
        (reply({"login": "other"}), False, True),
        (reply({"login": "public"}), False, False),
        (reply({}), True, True),
        (reply(b"ok"), True, True),
        (reply(status=401), True, False),
    ],
)
def test_a_probe_believes_no_answer_in_nobodys_name(
    answer: AuthResponse, *, strict: bool, alive: bool
) -> None:
    assert drive(simplicite(expect_user=strict).probe(held()), answer).result is alive


@pytest.mark.parametrize("answer", [reply(status=403), reply(status=404), reply("<html></html>")])
def test_a_probe_that_does_not_tell_is_an_error(answer: AuthResponse) -> None:
    with pytest.raises(UnreadableAnswerError, match="does not tell"):
        drive(simplicite().probe(held()), answer)


def test_an_error_inside_a_services_200_is_the_applications() -> None:
    scheme = simplicite()
    assert scheme.classify(Head(status=200), held()) is Verdict.FINE
    assert not scheme.reads_body(Head(status=200))


headers = st.fixed_dictionaries(
    {}, optional={"Location": st.text(), "Set-Cookie": st.text(), "Content-Type": st.text()}
)


@given(
    status=st.sampled_from([200, 204, 302]),
    body=st.one_of(st.text(), st.just(TOKEN), st.binary()),
    headers=headers,
    cookie=st.booleans(),
)
def test_any_answer_is_a_token_fit_for_a_header_or_an_error_of_the_tree(
    status: int, body: str | bytes, headers: dict[str, str], *, cookie: bool
) -> None:
    try:
        token = login(reply(body, status, headers), session_cookie=cookie, **ASKING["redirect"])
    except (UnreadableAnswerError, CredentialRefusedError):
        return
    sent = simplicite().apply(token)
    assert all(value.isprintable() and value.isascii() for value in sent.headers.values())
    assert all(value.isprintable() and ";" not in value for value in sent.cookies.values())
    assert bool(sent.cookies) == cookie
