"""Simplicité driven by hand, with the answers that the vendor's pages and forum show."""

from base64 import b64encode
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from asyncauth._errors import (
    ConfigurationError,
    CredentialRefusedError,
    InsecureURLError,
    UnreadableAnswerError,
    VendorError,
    VendorFailedError,
)
from asyncauth._token import Secret, Token
from asyncauth.abc import Verdict
from asyncauth.schemes import Simplicite
from flow_driver import NOW, Head, drive, reply
from simplicite_samples import NEW_ANSWER, OLD_ANSWER, TOKEN, held, simplicite


def test_the_login_is_a_get_with_basic_that_asks_for_json_by_query() -> None:
    request = drive(simplicite().login(), reply(NEW_ANSWER)).request
    assert request.method == "GET"
    assert str(request.url) == "https://erp.example.com/myapp/api/login?format=json&_json=true"
    assert dict(request.headers) == {"Authorization": "Basic " + b64encode(b"svc:s3cret-Passw0rd").decode()}
    assert request.body == b""


@pytest.mark.parametrize("base", ["https://erp.example.com/api", "https://erp.example.com/api/"])
def test_a_slash_at_the_end_of_the_base_url_means_nothing(base: str) -> None:
    scheme = Simplicite(base, login="svc", password="p")
    assert next(scheme.login()).url.path == "/api/login"
    assert scheme.key == Simplicite("https://ERP.example.com/api", login="svc", password="q").key


def test_a_token_goes_into_the_vendors_header() -> None:
    token = drive(simplicite().login(), reply(NEW_ANSWER)).result
    assert simplicite().apply(token).headers == {"X-Simplicite-Authorization": f"Bearer {TOKEN}"}


def test_both_headers_can_be_chosen() -> None:
    scheme = simplicite(header="Authorization", login_header="X-Simplicite-Authorization")
    assert next(scheme.login()).headers["X-Simplicite-Authorization"].startswith("Basic ")
    assert scheme.apply(held()).headers == {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("answer", "life"),
    [
        (NEW_ANSWER, 86_400),
        ({"authtokenexpiry": 1_750_086_400_000}, 86_400),
        ({"authtokenexpires": "2025-06-16T15:06:40Z"}, 86_400),
        ({"authtokenexpires": "2025-06-16T17:06:40+02:00"}, 86_400),
        ({"authtokenexpires": "2025-06-16T15:06:40"}, 86_400),
        ({"authtokenexpiry": "1750086400000"}, 86_400),
        ({"authtokenexpiry": 1_750_086_400, "authtokenexpires": "2025-06-16T15:06:40Z"}, 86_400),
        ({"authtokenexpiry": "abc", "authtokenexpires": "2025-06-16T15:06:40Z"}, 86_400),
        ({"authtokenexpiry": None}, None),
        (OLD_ANSWER, None),
        ({"expires_in": 300}, None),
    ],
)
def test_the_life_comes_from_the_stated_end_and_never_from_expires_in(
    answer: dict[str, Any], life: float | None
) -> None:
    token = drive(simplicite().login(), reply({"authtoken": TOKEN, **answer})).result
    assert (token.access_token, token.expires_in, token.idle_timeout) == (Secret(TOKEN), life, None)


def test_the_life_is_measured_against_the_servers_own_date() -> None:
    date = {"Date": "Mon, 16 Jun 2025 14:06:40 GMT"}
    assert drive(simplicite().login(), reply(NEW_ANSWER, headers=date)).result.expires_in == 3600


@pytest.mark.parametrize("stated", ["abc", True, [], float("nan"), "1750086400000x"])
def test_an_end_that_is_no_time_is_unreadable(stated: object) -> None:
    with pytest.raises(UnreadableAnswerError, match="no time"):
        drive(simplicite().login(), reply({"authtoken": TOKEN, "authtokenexpiry": stated}))
    with pytest.raises(UnreadableAnswerError, match="no time"):
        drive(simplicite().login(), reply({"authtoken": TOKEN, "authtokenexpires": stated}))


@pytest.mark.parametrize("stated", [0, -5, 1_750_000_000_000])
def test_a_token_that_had_ended_by_the_servers_clock_is_refused(stated: object) -> None:
    answer = {"authtoken": TOKEN, "authtokenexpiry": stated}
    with pytest.raises(UnreadableAnswerError, match="dead on arrival"):
        drive(simplicite().login(), reply(answer, headers={"Date": "Sun, 15 Jun 2025 15:06:40 GMT"}))


def test_a_token_that_had_ended_by_this_machines_clock_alone_has_an_unknown_life() -> None:
    answer = {"authtoken": TOKEN, "authtokenexpiry": (NOW - 60) * 1000}
    assert drive(simplicite().login(), reply(answer)).result.expires_in is None


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_bare_token_is_accepted(end: str) -> None:
    answer = reply(TOKEN + end, headers={"Content-Type": "text/plain; charset=UTF-8"})
    token = drive(simplicite().login(), answer).result
    assert (token.access_token, token.expires_in) == (Secret(TOKEN), None)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<html><body>504 Gateway Time-out</body></html>", "text/html"),
        ("<!DOCTYPE html><title>Sign in</title>", "text/plain"),
        (TOKEN, "text/html"),
        ("Unauthorized", "text/plain"),
        (f"{TOKEN}\n{TOKEN}", "text/plain"),
        (f"{TOKEN} {TOKEN}", "text/plain"),
        ("x" * 10_000, "text/plain"),
        ("", "text/plain"),
        ("   ", "text/plain"),
    ],
)
def test_what_is_no_bare_token_is_never_taken_for_one(body: str, kind: str) -> None:
    with pytest.raises(UnreadableAnswerError):
        drive(simplicite().login(), reply(body, headers={"Content-Type": kind}))


def test_a_gateways_page_with_504_is_the_vendors_failure() -> None:
    with pytest.raises(VendorFailedError):
        drive(simplicite().login(), reply("<html>504 Gateway Time-out</html>", 504))


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", b'{"error":"Unauthorized","status":401}', b"<html>401</html>"])
def test_a_refused_login_refuses_the_credential(status: int, body: bytes) -> None:
    with pytest.raises(CredentialRefusedError, match="check login and password"):
        drive(simplicite().login(), reply(body, status))


@pytest.mark.parametrize("status", [302, 400, 404])
def test_another_status_is_unreadable(status: int) -> None:
    with pytest.raises(UnreadableAnswerError, match="base URL"):
        drive(simplicite().login(), reply(status=status))


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "Invalid credentials"},
        {"error": {"status": 401}},
        {"authtoken": TOKEN, "error": "Invalid credentials"},
        {"type": "error", "response": {"message": "no"}},
    ],
)
def test_an_error_inside_a_200_refuses_the_credential(answer: dict[str, Any]) -> None:
    with pytest.raises(CredentialRefusedError, match="carries an error"):
        drive(simplicite().login(), reply(answer))


def test_an_error_text_that_repeats_the_password_is_withheld() -> None:
    encoded = b64encode(b"svc:s3cret-Passw0rd").decode()
    for echo in ("s3cret-Passw0rd", encoded):
        with pytest.raises(CredentialRefusedError, match="withheld") as caught:
            drive(simplicite().login(), reply({"error": f"cannot log in with {echo}"}))
        assert echo not in str(caught.value)


def test_a_null_error_is_none() -> None:
    assert drive(simplicite().login(), reply({**OLD_ANSWER, "error": None})).result == Token(
        access_token=TOKEN, subject="svc"
    )


def test_a_login_in_another_users_name_is_refused_unless_accepted() -> None:
    answer = reply({**OLD_ANSWER, "login": "public"})
    with pytest.raises(CredentialRefusedError, match="another user"):
        drive(simplicite().login(), answer)
    accepted = drive(simplicite(expect_user=False).login(), answer).result
    assert accepted.access_token == Secret(TOKEN)
    assert drive(simplicite(login="SVC").login(), reply(OLD_ANSWER)).result.subject == "SVC"


def test_a_refresh_is_a_login() -> None:
    assert drive(simplicite().refresh(held()), reply(NEW_ANSWER)).request.url.path == "/myapp/api/login"


@pytest.mark.parametrize(
    "answer", [reply({"result": "ok"}), reply(b"bye"), reply(b""), reply(status=204), reply(status=401)]
)
def test_logout_tells_the_server_and_takes_401_for_gone(answer: Any) -> None:
    request = drive(simplicite().logout(held()), answer).request
    assert (request.method, str(request.url)) == (
        "GET",
        "https://erp.example.com/myapp/api/logout?format=json",
    )
    assert dict(request.headers) == {"X-Simplicite-Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b'{"error": "no"}', 200, UnreadableAnswerError),
        (b"<html>sign in</html>", 200, UnreadableAnswerError),
        (b"", 404, UnreadableAnswerError),
        (b"", 502, VendorFailedError),
    ],
)
def test_a_logout_that_is_not_confirmed_is_an_error(
    body: bytes, status: int, error: type[VendorError]
) -> None:
    with pytest.raises(error):
        drive(simplicite().logout(held()), reply(body, status))


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, Verdict.FINE), (401, Verdict.REFUSED), (403, Verdict.FORBIDDEN)]
)
def test_responses_are_judged_by_their_status(status: int, verdict: Verdict) -> None:
    assert simplicite().classify(Head(status=status), held()) is verdict


def test_the_key_is_the_endpoint_and_the_user() -> None:
    assert simplicite().key == simplicite(password="x", header="Authorization").key
    assert simplicite().key != simplicite(login="other").key
    assert simplicite().origins == {URL("https://erp.example.com")}
    assert simplicite().fingerprint != simplicite(password="x").fingerprint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"login": ""}, "login is empty"),
        ({"login": "a:b"}, "login has a colon"),
        ({"password": ""}, "password is empty"),
        ({"password": "p\n"}, "password has a line break"),
        ({"header": "X-Other"}, "header must be one of"),
    ],
)
def test_arguments_that_cannot_work_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        simplicite(**options)


def test_the_base_url_has_to_be_secure() -> None:
    with pytest.raises(InsecureURLError):
        Simplicite("http://erp.example.com/api", login="svc", password="p")


def test_nothing_that_is_shown_holds_the_password() -> None:
    scheme = simplicite()
    shown = f"{scheme!r} {next(scheme.login())!r} {scheme.key!r}"
    assert "s3cret-Passw0rd" not in shown
    assert b64encode(b"svc:s3cret-Passw0rd").decode() not in shown


@given(text=st.text())
def test_a_text_is_a_token_or_unreadable(text: str) -> None:
    try:
        token = drive(simplicite().login(), reply(text)).result
    except (UnreadableAnswerError, CredentialRefusedError):
        return
    assert token.access_token is not None
    assert token.access_token.reveal() in text


def test_a_clock_that_agrees_with_the_servers_date_is_the_finer_one() -> None:
    answer = attrs.evolve(
        reply(NEW_ANSWER, headers={"Date": "Sun, 15 Jun 2025 15:06:40 GMT"}), received_at=NOW + 0.75
    )
    assert drive(simplicite().login(), answer).result.expires_in == 86_399.25


def test_no_login_is_spent_on_an_early_renewal() -> None:
    assert not simplicite().renews_early


def test_its_repr_has_the_names_of_its_arguments_and_no_password() -> None:
    shown = repr(Simplicite("https://simplicite.example/api", login="designer", password="topsecret"))
    assert shown.startswith(
        "Simplicite(base_url=URL('https://simplicite.example/api'), login='designer', password=<"
    )
    assert "topsecret" not in shown
