"""ClicRDV driven by hand: requests as the vendor's pages show them, and every outcome of a login."""

from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from asyncauth._errors import (
    AuthError,
    ConfigurationError,
    CredentialRefusedError,
    InsecureURLError,
    TokenUnavailableError,
    UnreadableAnswerError,
    VendorBusyError,
    VendorFailedError,
)
from asyncauth._exchange import AuthResponse
from asyncauth._token import Secret, Token
from asyncauth.schemes import ClicRDV
from flow_driver import drive, reply

# "Authentication": the sample's cookie, and its SHA1 of the password `test`.
SID = "4e8c5362ed2abeddca00000c"
COOKIE = {"Set-Cookie": f"_session_id={SID}; path=/; HttpOnly"}
SHA1_OF_TEST = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"
PERSON = {
    "created_at": "2007-03-30 15:09:07",
    "updated_at": "2011-10-05 14:52:07",
    "synched_at": "2011-09-29 19:50:18",
    "lastname": "Fake",
    "id": 9,
    "firstname": "User",
    "cellphone": "06 12 34 56 78",
    "email": "user@example.com",
}
LOGGED_IN: dict[str, Any] = {"pro": PERSON, "error": None}


def clicrdv(**options: Any) -> ClicRDV:
    fields = {
        "apikey": "xxxxxx",
        "email": "user@example.com",
        "password": "test",
        "auth": "session",
        **options,
    }
    return ClicRDV(**fields)


def answered(body: Any = LOGGED_IN, status: int = 200, headers: dict[str, str] | None = None) -> AuthResponse:
    return reply(body, status, COOKIE if headers is None else headers)


def test_the_login_is_a_form_with_the_api_key_alone_in_the_query() -> None:
    request = drive(clicrdv().login(), answered()).request
    assert (request.method, str(request.url)) == (
        "POST",
        "https://www.clicrdv.com/api/v1/sessions/login?apikey=xxxxxx",
    )
    assert dict(request.headers) == {"Content-Type": "application/x-www-form-urlencoded"}
    expected = f"pro%5Bemail%5D=user%40example.com&pro%5Bpassword%5D={SHA1_OF_TEST}"
    assert request.body == expected.encode()


def test_the_login_in_the_query_has_encoded_brackets_as_in_the_vendors_sample() -> None:
    request = drive(clicrdv(login_in="query").login(), answered()).request
    assert request.url.raw_path_qs == (
        "/api/v1/sessions/login?apikey=xxxxxx"
        f"&pro%5Bemail%5D=user%40example.com&pro%5Bpassword%5D={SHA1_OF_TEST}"
    )
    assert (request.method, request.body, dict(request.headers)) == ("POST", b"", {})


def test_the_booking_api_has_fields_and_an_answer_of_its_own() -> None:
    talk = drive(clicrdv(profile="account").login(), answered({"account": PERSON, "error": None}))
    assert [name for name, _ in parse_qsl(talk.request.body.decode())] == [
        "account[email]",
        "account[password]",
    ]
    assert talk.result.extra == {"profile_id": 9}


@pytest.mark.parametrize("login_in", ["body", "query"])
@given(email=st.text("ab+@[]&=%é. ", min_size=3).filter(str.strip), password=st.text("p+&%é", min_size=1))
def test_whatever_is_in_them_e_mail_and_key_arrive_as_they_are(
    login_in: Any, email: str, password: str
) -> None:
    scheme = clicrdv(apikey=f"k+&={password}", email=email, password=password, login_in=login_in)
    request = next(scheme.login())
    pairs = parse_qsl(request.url.raw_query_string) + parse_qsl(request.body.decode())
    assert pairs[:2] == [("apikey", f"k+&={password}"), ("pro[email]", email)]
    assert (len(pairs), len(pairs[2][1])) == (3, 40)


def test_the_password_is_hashed_as_utf_8() -> None:
    fields = dict(parse_qsl(next(clicrdv(password="pässwörd").login()).body.decode()))
    assert fields["pro[password]"] == "f517ddf1d32a112ff1ad55c66d1b12cb38e7e8f7"


def test_a_session_is_a_cookie_that_idles_out_after_an_hour() -> None:
    token = drive(clicrdv().login(), answered({"pro": {**PERSON, "group_id": 4}, "error": None})).result
    assert token == Token(cookies={"_session_id": SID}, idle_timeout=3600, subject="user@example.com",
                          extra={"profile_id": 9, "group_id": 4})  # fmt: skip
    assert (token.access_token, token.expires_in) == (None, None)


def test_a_session_puts_key_and_cookie_on_a_call_and_nothing_else() -> None:
    placement = clicrdv().apply(Token(cookies={"_session_id": SID}))
    assert placement.query == {"apikey": "xxxxxx"}
    assert placement.cookies == {"_session_id": SID}
    assert not placement.headers


def test_a_token_that_is_no_session_is_not_put_on_a_call() -> None:
    with pytest.raises(TokenUnavailableError, match="no _session_id"):
        clicrdv().apply(Token(access_token="from-elsewhere"))


def test_basic_is_sent_with_every_call_and_asks_nobody() -> None:
    scheme = clicrdv(auth="basic", password="sécret:x")
    encoded = b64encode("user@example.com:sécret:x".encode()).decode()
    constant = Token(access_token=encoded, token_type="Basic")
    assert scheme.constant == constant
    assert drive(scheme.login()).result is drive(scheme.refresh(constant)).result is scheme.constant
    placement = scheme.apply(constant)
    assert (placement.query, placement.headers) == (
        {"apikey": "xxxxxx"},
        {"Authorization": f"Basic {encoded}"},
    )
    assert not placement.cookies


def test_a_session_has_no_constant_and_a_refresh_of_it_is_a_login() -> None:
    scheme, old = clicrdv(), Token(cookies={"_session_id": "old"})
    assert scheme.constant is None
    assert drive(scheme.refresh(old), answered()).result.cookies == {"_session_id": Secret(SID)}
    assert drive(scheme.logout(old)).requests == []


CHECK = (
    "check e-mail and password of this pro, and the API key: .* sandbox and production have different keys"
)
REFUSALS: list[tuple[Any, int, str]] = [
    ({"pro": None, "error": "Unknown e-mail"}, 401, CHECK + ". Its words: Unknown e-mail"),
    ({"pro": None, "error": "Unknown e-mail"}, 200, CHECK + ". Its words: Unknown e-mail"),
    ({"pro": None, "error": "Unknown e-mail"}, 403, CHECK + ". Its words: Unknown e-mail"),
    ({"pro": None, "error": None}, 200, CHECK + "$"),
    ({"pro": PERSON, "error": {"code": 3}}, 200, CHECK),
    ({"error": "Forbidden"}, 403, CHECK),
    (b"", 401, CHECK + "$"),
    (b"<html>403</html>", 403, CHECK),
    ({"error": "Not Found"}, 404, "check the key .sandbox and production .* and the base URL"),
    ({"error": "Bad Request"}, 400, "a parameter is missing or not accepted: .* drops the query"),
]


@pytest.mark.parametrize(("body", "status", "words"), REFUSALS)
def test_a_refused_login_says_what_may_be_wrong(body: Any, status: int, words: str) -> None:
    with pytest.raises(CredentialRefusedError, match=words):
        drive(clicrdv().login(), answered(body, status))


@pytest.mark.parametrize(
    ("body", "status", "headers", "words"),
    [
        (LOGGED_IN, 200, {}, "sets no _session_id cookie"),
        (LOGGED_IN, 200, {"Set-Cookie": "other=1; path=/"}, "sets no _session_id cookie"),
        (LOGGED_IN, 200, {"Set-Cookie": "_session_id=; path=/"}, "sets no _session_id cookie"),
        (LOGGED_IN, 200, {"Set-Cookie": '_session_id="a b"; path=/'}, "sets no _session_id cookie"),
        ({"error": None}, 200, COOKIE, "holds no pro"),
        ({"account": PERSON, "error": None}, 200, COOKIE, "holds no pro"),
        ({"pro": True, "error": None}, 200, COOKIE, "holds no pro"),
        (LOGGED_IN, 201, COOKIE, "no answer of a login"),
        (b"", 302, {"Location": "/login"}, "no answer of a login: check the base URL"),
        (b"<html>not here</html>", 404, {}, "no answer of a login: check the base URL"),
        (b"<html>sign in</html>", 200, {"Content-Type": "text/html", **COOKIE}, "HTML page"),
        (b"", 200, COOKIE, "empty body"),
        (b"[]", 200, COOKIE, "not an object"),
        (b"{", 200, COOKIE, "not JSON"),
    ],
)
def test_what_opens_no_session_is_unreadable(
    body: Any, status: int, headers: dict[str, str], words: str
) -> None:
    with pytest.raises(UnreadableAnswerError, match=words):
        drive(clicrdv().login(), answered(body, status, headers))


@pytest.mark.parametrize(("status", "error"), [(429, VendorBusyError), (500, VendorFailedError)])
def test_trouble_of_the_vendor_is_no_refusal(status: int, error: type[AuthError]) -> None:
    with pytest.raises(error):
        drive(clicrdv().login(), answered(b"<html></html>", status))


def test_the_last_of_several_cookies_is_the_session() -> None:
    response = answered()
    headers = response.headers.copy()
    for value in ("lang=fr", "_session_id=zzz; path=/; HttpOnly"):
        headers.add("Set-Cookie", value)
    token = drive(clicrdv().login(), attrs.evolve(response, headers=headers)).result
    assert token.cookies == {"_session_id": Secret("zzz")}


@pytest.mark.parametrize("index", [0, 1, 2], ids=["apikey", "password", "SHA1"])
def test_words_that_repeat_a_secret_are_withheld(index: int) -> None:
    scheme = clicrdv(apikey="hidden-apikey", password="hidden-password")
    digest = dict(parse_qsl(next(scheme.login()).body.decode()))["pro[password]"]
    secret = ("hidden-apikey", "hidden-password", digest)[index]
    with pytest.raises(CredentialRefusedError, match="withheld") as caught:
        drive(scheme.login(), answered({"pro": None, "error": f"no {secret}"}))
    assert secret not in str(caught.value)


def test_nothing_that_is_shown_holds_a_secret() -> None:
    for login_in in ("body", "query"):
        scheme = clicrdv(apikey="hidden-apikey", password="hidden-password", login_in=login_in)
        basic = clicrdv(apikey="hidden-apikey", password="hidden-password", auth="basic")
        request = next(scheme.login())
        session = Token(cookies={"_session_id": "hidden-session"})
        values = [scheme, basic, scheme.key, request, request.url.path, scheme.fingerprint, session]
        values += [basic.constant, scheme.apply(session), basic.apply(session), next(scheme.probe(session))]
        digest = parse_qsl(request.url.raw_query_string + "&" + request.body.decode())[-1][1]
        shown = repr(values) + "".join(map(str, values))
        encoded = b64encode(b"user@example.com:hidden-password").decode()
        assert [text for text in ("hidden", digest, encoded) if text in shown] == []


def test_the_key_tells_systems_keys_profiles_and_users_apart() -> None:
    ours = clicrdv()
    others = [
        clicrdv(environment="sandbox"),
        clicrdv(apikey="yyyyyy"),
        clicrdv(profile="account"),
        clicrdv(email="other@example.com"),
        clicrdv(auth="basic"),
    ]
    assert len({scheme.key for scheme in (ours, *others)}) == 6
    assert ours.key == clicrdv(password="other", base_url="https://WWW.clicrdv.com/").key
    assert "xxxxxx" not in repr(ours.key)


def test_a_changed_password_is_another_credential() -> None:
    assert clicrdv().fingerprint == clicrdv().fingerprint
    changed = [clicrdv(password="other"), clicrdv(login_in="query"), clicrdv(profile="account")]
    assert len({scheme.fingerprint for scheme in (clicrdv(), *changed)}) == 4


@pytest.mark.parametrize(
    ("options", "base"),
    [
        ({}, "https://www.clicrdv.com"),
        ({"environment": "sandbox"}, "https://sandbox.clicrdv.com"),
        ({"base_url": "https://proxy.example.com/clicrdv/"}, "https://proxy.example.com/clicrdv"),
    ],
)
def test_the_environment_says_where_unless_a_base_url_does(options: dict[str, Any], base: str) -> None:
    scheme = clicrdv(**options)
    assert str(scheme.base_url).rstrip("/") == base
    assert str(next(scheme.login()).url) == f"{base}/api/v1/sessions/login?apikey=xxxxxx"
    assert scheme.origins == {URL(base).origin()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"apikey": ""}, "apikey is empty"),
        ({"apikey": "key\n"}, "apikey has a line break"),
        ({"email": ""}, "email is empty"),
        ({"email": "a:b"}, "email has a colon"),
        ({"password": ""}, "password is empty"),
        ({"auth": "cookie"}, "auth must be one of basic, session"),
        ({"profile": "user"}, "profile must be one of pro, account"),
        ({"environment": "test"}, "environment must be one of production, sandbox"),
        ({"login_in": "header"}, "login_in must be one of body, query"),
        ({"probe_path": ""}, "probe_path is empty"),
        ({"probe_path": "groups.json?results=1"}, "probe_path is a path below /api/v1, without a query"),
        ({"probe_path": "groups.json#1"}, "probe_path is a path below /api/v1, without a query"),
        ({"base_url": "https://www.clicrdv.com/api/v1/"}, "what comes before /api/v1"),
        ({"auth": "basic", "profile": "account"}, 'use auth="session" for profile="account"'),
    ],
)
def test_arguments_that_cannot_work_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        clicrdv(**options)


def test_the_base_url_has_to_be_secure() -> None:
    with pytest.raises(InsecureURLError):
        clicrdv(base_url="http://www.clicrdv.com")
