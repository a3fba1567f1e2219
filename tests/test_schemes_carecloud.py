"""CareCloud's enterprise interface driven by hand, with the vendor's examples."""

import json
from typing import Any

import pytest
from yarl import URL

from asyncauth._errors import (
    ConfigurationError,
    CredentialRefusedError,
    InsecureURLError,
    UnreadableAnswerError,
    VendorBusyError,
    VendorError,
    VendorFailedError,
)
from asyncauth._exchange import AuthResponse
from asyncauth._token import Secret, Token
from asyncauth.abc import Verdict
from asyncauth.schemes import CareCloudEnterprise
from carecloud_samples import BASE, BEARER, DATA, carecloud, held
from flow_driver import Head, drive, reply


def test_the_login_is_the_documented_request() -> None:
    scheme = carecloud(accept_language="cs, en-gb;q=0.8")
    request = drive(scheme.login(), reply({"data": DATA})).request
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/users/actions/login")
    assert dict(request.headers) == {
        "Accept-Language": "cs, en-gb;q=0.8",
        "Content-Type": "application/json",
    }
    assert request.body == (
        b'{"user_external_application_id": "89d1a6111b3fb6e74665d948", '
        b'"login": "fabulous_user", "password": "password_example"}'
    )


@pytest.mark.parametrize("status", [200, 201])
def test_both_documented_statuses_are_a_success(status: int) -> None:
    token = drive(carecloud().login(), reply({"data": DATA}, status)).result
    assert token == Token(access_token=BEARER, expires_in=25_200, subject="fabulous_user")
    assert carecloud().apply(token).headers == {"Authorization": f"Bearer {BEARER}"}


def envelope(status: int, **error: Any) -> AuthResponse:
    return reply({"error": error}, status)


def invalid(name: str, reason: str, value: str = "") -> dict[str, Any]:
    return {"invalid_params": [{"name": name, "reason": reason, "value": value, "message": value}]}


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (reply(status=401), "login or password may be wrong"),
        (envelope(401, title="Unauthorized"), "login or password may be wrong"),
        (reply(status=403), "missing in the group webservice"),
        (reply("<html>", 403), "missing in the group webservice"),
        (envelope(403, type="interface_not_allowed_exception"), "this interface is not allowed"),
        (
            envelope(403, title="Not in\nthe group"),
            r"closed to the application\. Its words: Not in the group$",
        ),
        (envelope(400, error_data=invalid("password", "not_allowed_value")), "password is not_allowed_value"),
        (
            envelope(400, error_data=invalid("user_external_application_id", "not_found")),
            "application_id is not_found",
        ),
        (envelope(400, exception="missing_argument_exception"), "check the application id"),
    ],
)
def test_a_refused_login_refuses_the_credential_and_says_what_it_may_be(
    response: AuthResponse, words: str
) -> None:
    with pytest.raises(CredentialRefusedError, match=words):
        drive(carecloud().login(), response)


def test_words_that_repeat_what_was_sent_are_withheld() -> None:
    password = carecloud().password.reveal()
    with pytest.raises(CredentialRefusedError, match="Its words: .withheld") as caught:
        drive(carecloud().login(), envelope(401, title=f"no such password: {password}"))
    assert password not in str(caught.value)


ODD_ENVELOPES: list[Any] = [
    [],
    "no",
    None,
    {"error_data": []},
    {"error_data": {"invalid_params": {}}},
    {"error_data": {"invalid_params": [1, None, {"name": [], "reason": {}}]}},
    {"type": [], "exception": {}},
]


@pytest.mark.parametrize("error", ODD_ENVELOPES)
def test_an_odd_error_envelope_does_not_hide_the_refusal(error: object) -> None:
    with pytest.raises(CredentialRefusedError):
        drive(carecloud().login(), reply({"error": error}, 401))


def test_values_that_the_error_envelope_repeats_are_not_shown() -> None:
    error = {
        "title": "password_example",
        "detail": "password_example",
        "error_data": invalid("password", "not_allowed_value", "password_example"),
    }
    with pytest.raises(CredentialRefusedError) as caught:
        drive(carecloud().login(), reply({"error": error}, 400))
    assert "password_example" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, UnreadableAnswerError),
        (404, UnreadableAnswerError),
        (405, UnreadableAnswerError),
        (302, UnreadableAnswerError),
        (429, VendorBusyError),
        (500, VendorFailedError),
        (503, VendorFailedError),
    ],
)
def test_other_failures_are_not_about_the_credential(status: int, error: type[VendorError]) -> None:
    with pytest.raises(error):
        drive(carecloud().login(), reply(status=status))


def test_a_refresh_is_a_login() -> None:
    request = drive(carecloud().refresh(held()), reply({"data": DATA})).request
    assert str(request.url) == f"{BASE}/users/actions/login"


@pytest.mark.parametrize("status", [204, 401, 404])
def test_logout_names_the_token_in_header_and_body(status: int) -> None:
    request = drive(carecloud().logout(held()), reply(status=status)).request
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/users/actions/logout")
    assert request.headers["Authorization"] == f"Bearer {BEARER}"
    assert json.loads(request.body) == {
        "user_external_application_id": "89d1a6111b3fb6e74665d948",
        "bearer_token": BEARER,
    }


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, UnreadableAnswerError), (403, UnreadableAnswerError), (500, VendorFailedError)],
)
def test_a_logout_that_is_not_confirmed_is_an_error(status: int, error: type[VendorError]) -> None:
    with pytest.raises(error):
        drive(carecloud().logout(held()), reply(status=status))


def test_a_portals_page_confirms_no_logout() -> None:
    with pytest.raises(UnreadableAnswerError, match="does not confirm the logout"):
        drive(carecloud().logout(held()), reply("<html>who are you?"))


def answered(path: str, status: int) -> Head:
    return Head(status=status, url=URL(f"{BASE}/{path}"))


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.FINE),
        (401, Verdict.REFUSED),
        (403, Verdict.FORBIDDEN),
        (404, Verdict.FINE),
        (429, Verdict.BACK_OFF),
    ],
)
def test_responses_are_judged_by_their_status(status: int, verdict: Verdict) -> None:
    assert carecloud().classify(answered("customers", status), held()) is verdict


@pytest.mark.parametrize(
    "path",
    ["users/actions/verify-auth-token", "customers/actions/verify-credentials", "users/actions/sso-login"],
)
def test_a_wrong_password_inside_a_call_does_not_renew_the_token(path: str) -> None:
    assert carecloud().classify(answered(path, 401), held()) is Verdict.FINE
    assert carecloud().classify(answered(path, 403), held()) is Verdict.FORBIDDEN


@pytest.mark.parametrize(
    "project",
    [
        "sandbox.crmcarecloud.com",
        "https://Sandbox.crmcarecloud.com/",
        URL("https://sandbox.crmcarecloud.com"),
    ],
)
def test_the_project_url_is_a_domain_with_or_without_https(project: str | URL) -> None:
    scheme = CareCloudEnterprise(project, application_id="a", login="b", password="c")
    assert str(scheme.base_url) == BASE
    assert scheme.key.issuer == BASE
    assert scheme.origins == {URL("https://sandbox.crmcarecloud.com")}


def test_the_key_is_the_project_the_application_and_the_user() -> None:
    schemes = [
        carecloud(),
        carecloud(password="x", timezone="UTC", accept_language="cs"),
        carecloud(application_id="x"),
        carecloud(login="x"),
    ]
    assert len({scheme.key for scheme in schemes}) == 3
    assert carecloud().fingerprint != carecloud(password="x").fingerprint
    assert carecloud().fingerprint == carecloud(timezone="UTC").fingerprint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"application_id": ""}, "application_id is empty"),
        ({"login": ""}, "login is empty"),
        ({"password": ""}, "password is empty"),
        ({"timezone": "Prague"}, "no IANA name"),
        ({"timezone": ""}, "no IANA name"),
        ({"timezone": "../../etc/passwd"}, "no IANA name"),
        ({"validity": 0}, "validity must be more than 0 s"),
        ({"validity": float("nan")}, "validity must be more than 0 s"),
        ({"validity": float("inf")}, "validity must be more than 0 s and finite"),
        ({"accept_language": "cs\r\nX-Evil: 1"}, "accept_language is empty or has characters"),
        ({"accept_language": ""}, "accept_language is empty"),
    ],
)
def test_arguments_that_cannot_work_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        carecloud(**options)


@pytest.mark.parametrize("project", [BASE, "sandbox.crmcarecloud.com/path", "https://x.example/?a=b", ""])
def test_a_project_url_with_more_than_the_domain_is_refused(project: str) -> None:
    with pytest.raises(ConfigurationError):
        CareCloudEnterprise(project, application_id="a", login="b", password="c")


def test_http_is_for_this_machine_only() -> None:
    with pytest.raises(InsecureURLError):
        CareCloudEnterprise("http://sandbox.crmcarecloud.com", application_id="a", login="b", password="c")
    local = CareCloudEnterprise("http://127.0.0.1:8080", application_id="a", login="b", password="c")
    assert local.base_url.port == 8080


def test_nothing_that_is_shown_holds_the_password() -> None:
    scheme = carecloud()
    assert "password_example" not in f"{scheme!r} {next(scheme.login())!r} {scheme.key!r}"


def test_odd_members_of_the_user_do_not_matter() -> None:
    data = {**DATA, "user": {"phone": "420", "user_role_ids": ["a"]}, "news": 1}
    assert drive(carecloud().login(), reply({"data": data})).result.access_token == Secret(BEARER)


def test_its_repr_has_the_names_of_its_arguments_and_no_password() -> None:
    shown = repr(
        CareCloudEnterprise("crm.example", application_id="app", login="api-user", password="topsecret")
    )
    assert shown.startswith(
        "CareCloudEnterprise(project_url=URL('https://crm.example'), application_id='app', login="
    )
    assert "topsecret" not in shown
