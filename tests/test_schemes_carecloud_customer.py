"""CareCloud's customer interface driven by hand, with the vendor's examples."""

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from yarl import URL

from asyncauth._errors import (
    AuthError,
    AuthorizationRequiredError,
    ConfigurationError,
    CredentialRefusedError,
    GrantRefusedError,
    UnreadableAnswerError,
    VendorBusyError,
    VendorError,
    VendorFailedError,
)
from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth._token import Secret, Token
from asyncauth.abc import AuthFlow, Verdict
from asyncauth.schemes import CareCloudCustomer, CustomerLogin
from carecloud_samples import CUSTOMER_BASE, CUSTOMER_ID, JOHN, LANGUAGES, TOKEN_ID, device, installation
from flow_driver import Head, drive, reply

CREATED = {"data": {"token_id": TOKEN_ID}}
LOGGED_IN = {"data": {"customer_id": CUSTOMER_ID}}
STORES: dict[str, Any] = {"data": {"stores": [], "total_items": 0}}
DEAD = [reply(status=401)] * 2
JANE = CustomerLogin("card", "4711", password="another-password")


def sent(request: AuthRequest) -> tuple[str, str]:
    return request.method, str(request.url)


def test_the_device_token_is_made_by_the_documented_request() -> None:
    request = drive(installation(accept_language=LANGUAGES).login(), reply(CREATED, 201)).request
    assert sent(request) == ("POST", f"{CUSTOMER_BASE}/tokens")
    assert dict(request.headers) == {"Accept-Language": LANGUAGES, "Content-Type": "application/json"}
    assert request.body == (
        b'{"device": {"device_id": "123456", "device_system": "OSX", "device_name": "Test device", '
        b'"device_type": "iPhone"}, '
        b'"setup": {"language_id": "en", "allowed_gps": true, "allowed_notifications": false}, '
        b'"external_application_id": "81eaeea13b8984a169c490a325"}'
    )


def test_the_customers_login_is_the_documented_request() -> None:
    scheme = installation(accept_language=LANGUAGES, customer=JOHN)
    request = drive(scheme.refresh(device()), reply(LOGGED_IN)).request
    assert sent(request) == ("POST", f"{CUSTOMER_BASE}/tokens/{TOKEN_ID}/actions/login")
    assert dict(request.headers) == {
        "Accept-Language": LANGUAGES,
        "Authorization": f"Bearer {TOKEN_ID}",
        "Content-Type": "application/json",
    }
    assert request.body == (
        b'{"login_type": "email", "login_value": "user@example.com", "password": "password_example"}'
    )


@pytest.mark.parametrize("kind", ["email", "phone", "card"])
def test_customers_log_in_by_email_phone_or_card(kind: Any) -> None:
    scheme = installation(customer=CustomerLogin(kind, "4711", password="p"))
    request = drive(scheme.refresh(device()), reply(LOGGED_IN)).request
    assert json.loads(request.body) == {"login_type": kind, "login_value": "4711", "password": "p"}


def test_the_customers_logout_has_no_body_and_its_204_is_not_read() -> None:
    scheme = installation(accept_language=LANGUAGES)
    talk = drive(scheme.customer_logout()(device(subject=CUSTOMER_ID)), reply(status=204))
    assert sent(talk.request) == ("POST", f"{CUSTOMER_BASE}/tokens/{TOKEN_ID}/actions/logout")
    assert dict(talk.request.headers) == {
        "Accept-Language": LANGUAGES,
        "Authorization": f"Bearer {TOKEN_ID}",
    }
    assert talk.request.body == b""
    assert talk.result == device()


def test_a_call_carries_the_token_id() -> None:
    assert installation().apply(device()).headers == {"Authorization": f"Bearer {TOKEN_ID}"}


def test_a_push_token_is_sent_where_there_is_one() -> None:
    request = drive(installation(push_token="4f7f658bfa7a").login(), reply(CREATED, 201)).request
    assert json.loads(request.body)["push_token"] == "4f7f658bfa7a"


@pytest.mark.parametrize("status", [200, 201])
def test_without_a_customer_the_device_token_is_the_token_and_has_no_end(status: int) -> None:
    token = drive(installation().login(), reply(CREATED, status)).result
    assert token == device()
    assert token.expires_in is None


def test_with_a_customer_the_device_token_is_stored_before_the_login_is_tried() -> None:
    scheme = installation(customer=JOHN)
    bare = drive(scheme.login(), reply(CREATED, 201)).result
    assert bare == Token(refresh_token=TOKEN_ID, expires_in=0)
    token = drive(scheme.refresh(bare), reply(LOGGED_IN)).result
    assert (token.access_token, token.refresh_token) == (Secret(TOKEN_ID), Secret(TOKEN_ID))
    assert (token.subject, token.expires_in) == (CUSTOMER_ID, None)


def test_a_function_tells_who_is_there_now() -> None:
    there: list[CustomerLogin] = []
    scheme = installation(customer=lambda: there[-1] if there else None)
    nobody = scheme.fingerprint
    assert drive(scheme.login(), reply(CREATED, 201)).result == device()
    there.append(JOHN)
    assert scheme.fingerprint == installation(customer=JOHN).fingerprint != nobody
    assert drive(scheme.login(), reply(CREATED, 201)).result.access_token is None
    assert drive(scheme.refresh(device()), reply(LOGGED_IN)).result.subject == CUSTOMER_ID


@pytest.mark.parametrize("answer", [reply(STORES), reply(status=403), reply(status=204)])
def test_without_a_customer_a_refused_token_is_probed_and_kept_if_it_lives(answer: AuthResponse) -> None:
    token = device(subject=CUSTOMER_ID, extra={"customer": "mark"})
    talk = drive(installation(accept_language=LANGUAGES).refresh(token), answer)
    assert sent(talk.request) == ("GET", f"{CUSTOMER_BASE}/stores?count=1")
    assert dict(talk.request.headers) == {
        "Accept-Language": LANGUAGES,
        "Authorization": f"Bearer {TOKEN_ID}",
    }
    assert talk.result == token


def test_without_a_customer_a_dead_token_is_not_good_for_a_refresh() -> None:
    with pytest.raises(GrantRefusedError, match="same device id and application"):
        drive(installation().refresh(device()), *DEAD)


def test_a_token_of_which_nobody_knows_whose_login_is_on_it_serves_once_everybody_is_logged_out() -> None:
    bare = Token(refresh_token=TOKEN_ID, expires_in=0)
    talk = drive(installation().refresh(bare), reply(status=204), reply(STORES))
    assert talk.result == device()
    assert sent(talk.requests[0]) == ("POST", f"{CUSTOMER_BASE}/tokens/{TOKEN_ID}/actions/logout")


def test_the_probes_resource_is_an_option() -> None:
    scheme = installation(probe_path="/store-groups")
    request = drive(scheme.refresh(device()), reply(STORES)).request
    assert sent(request) == ("GET", f"{CUSTOMER_BASE}/store-groups")


@pytest.mark.parametrize("answer", [reply(status=404), reply(status=302), reply("<html>")])
def test_a_probe_that_tells_nothing_says_so(answer: AuthResponse) -> None:
    with pytest.raises(UnreadableAnswerError, match="probe_path has to be"):
        drive(installation().refresh(device()), answer)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_customer_login_on_a_living_token_is_about_the_customer(status: int) -> None:
    scheme = installation(customer=JOHN)
    refused = reply({"error": {"title": "password_example"}}, status)
    with pytest.raises(CredentialRefusedError, match="check its kind, value and password") as caught:
        drive(scheme.refresh(device()), refused, reply(STORES))
    assert "device token is kept" in str(caught.value)
    assert "password_example" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_customer_login_on_a_dead_token_is_about_the_token(status: int) -> None:
    scheme = installation(customer=JOHN)
    with pytest.raises(GrantRefusedError, match="device token is dead"):
        drive(scheme.refresh(device()), reply({"error": {}}, status), *DEAD)


def test_the_field_that_the_vendor_names_is_named() -> None:
    params = {"invalid_params": [{"name": "login_type", "reason": "not_allowed_value"}]}
    refused = reply({"error": {"error_data": params}}, 400)
    with pytest.raises(CredentialRefusedError, match="kind is not_allowed_value"):
        drive(installation(customer=JOHN).refresh(device()), refused, reply(STORES))


def invalid(name: str) -> dict[str, Any]:
    return {"error": {"error_data": {"invalid_params": [{"name": name, "reason": "not_found"}]}}}


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (reply(status=401), "application id may be wrong"),
        (reply(status=403), "application id may be wrong, or the interface closed"),
        (reply({"error": {"type": "interface_not_allowed_exception"}}, 403), "this interface is not allowed"),
        (reply(invalid("external_application_id"), 400), "application_id is not_found"),
        (reply(invalid("language_id"), 400), "language_id is not_found"),
        (reply(invalid("other"), 400), "check the application id, the device and the setup$"),
    ],
)
def test_a_refused_installation_says_what_it_may_be(response: AuthResponse, words: str) -> None:
    with pytest.raises(CredentialRefusedError, match=words):
        drive(installation().login(), response)


def in_login() -> AuthFlow[Token]:
    return installation().login()


def in_customer_login() -> AuthFlow[Token]:
    return installation(customer=JOHN).refresh(device())


def in_probe() -> AuthFlow[Token]:
    return installation().refresh(device())


def in_customer_logout() -> AuthFlow[Token]:
    return installation().customer_logout()(device())


@pytest.mark.parametrize("flow", [in_login, in_customer_login, in_probe, in_customer_logout])
@pytest.mark.parametrize(
    ("response", "error"),
    [
        (reply(status=302), UnreadableAnswerError),
        (reply(status=405), UnreadableAnswerError),
        (reply(status=429), VendorBusyError),
        (reply(status=500), VendorFailedError),
        (reply(status=503), VendorFailedError),
    ],
)
def test_other_failures_refuse_nothing(
    flow: Callable[[], AuthFlow[Token]], response: AuthResponse, error: type[VendorError]
) -> None:
    with pytest.raises(error):
        drive(flow(), response)


@pytest.mark.parametrize("flow", [in_login, in_customer_login])
@pytest.mark.parametrize(
    "body", [b"", "<html>", {}, {"data": []}, {"data": {}}, {"data": {"token_id": 1, "customer_id": ""}}]
)
def test_a_success_without_what_is_documented_is_unreadable(
    flow: Callable[[], AuthFlow[Token]], body: Any
) -> None:
    with pytest.raises(UnreadableAnswerError):
        drive(flow(), reply(body, 200))


def test_a_logout_where_nobody_is_logged_in_any_more_is_done() -> None:
    assert drive(installation().customer_logout()(device()), reply(status=401)).result == device()


def test_a_logout_ends_the_customers_login_where_there_is_one() -> None:
    talk = drive(installation().logout(device(subject=CUSTOMER_ID)), reply(status=204))
    assert sent(talk.request) == ("POST", f"{CUSTOMER_BASE}/tokens/{TOKEN_ID}/actions/logout")
    assert drive(installation().logout(device())).requests == []


def test_a_customer_login_by_hand_keeps_the_token_and_names_the_customer() -> None:
    scheme = installation()
    talk = drive(scheme.customer_login(JANE)(device()), reply(LOGGED_IN))
    assert json.loads(talk.request.body)["login_value"] == "4711"
    assert (talk.result.access_token, talk.result.subject) == (Secret(TOKEN_ID), CUSTOMER_ID)
    assert drive(scheme.customer_logout()(talk.result), reply(status=204)).result == device()


def test_a_token_of_another_customer_is_not_put_on_requests() -> None:
    anybody, john, jane = installation(), installation(customer=JOHN), installation(customer=lambda: JANE)
    of_john = drive(john.refresh(device()), reply(LOGGED_IN)).result
    for scheme in (anybody, john, installation(customer=lambda: JOHN)):
        assert scheme.apply(of_john).headers
        assert scheme.apply(device()).headers
    with pytest.raises(AuthorizationRequiredError, match="give each customer a device_id"):
        jane.apply(of_john)
    of_jane = drive(jane.customer_login(JANE)(of_john), reply(LOGGED_IN)).result
    assert jane.apply(of_jane).headers


def test_the_mark_of_a_customer_is_no_address() -> None:
    token = drive(installation(customer=JOHN).refresh(device()), reply(LOGGED_IN)).result
    assert "user@example.com" not in json.dumps(dict(token.extra))


def test_the_key_is_the_project_the_application_and_the_device_whoever_is_logged_in() -> None:
    same = [installation(), installation(customer=JOHN), installation(customer=JANE, allowed_gps=False)]
    assert len({scheme.key for scheme in same}) == 1
    others = [installation(device_id="x"), installation(application_id="x"), installation("x.example")]
    assert len({scheme.key for scheme in (*same, *others)}) == 4
    assert same[0].key.issuer == CUSTOMER_BASE
    assert "user@example.com" not in repr(same[1].key)


@pytest.mark.parametrize(
    "change",
    [
        {"customer": JANE},
        {"customer": attrs.evolve(JOHN, password="x")},
        {"customer": attrs.evolve(JOHN, kind="card")},
        {"customer": None},
        {"language_id": "cs"},
        {"push_token": "x"},
    ],
)
def test_whatever_a_refusal_may_have_been_about_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert installation(customer=JOHN).fingerprint != installation(**{"customer": JOHN, **change}).fingerprint
    assert installation(customer=JOHN).fingerprint == installation(customer=lambda: JOHN).fingerprint


def test_the_fleet_knows_how_gently_to_treat_the_token() -> None:
    scheme = installation()
    assert (scheme.can_login, scheme.login_is_destructive, scheme.refresh_rotates) == (True, True, False)
    assert (scheme.revives, installation(customer=JOHN).revives) == (False, True)


@pytest.mark.parametrize(
    ("path", "status", "verdict"),
    [
        ("customers", 200, Verdict.FINE),
        ("customers", 401, Verdict.REFUSED),
        ("customers", 403, Verdict.FORBIDDEN),
        ("customers", 429, Verdict.BACK_OFF),
        (f"tokens/{TOKEN_ID}/actions/login", 401, Verdict.FINE),
        (f"tokens/{TOKEN_ID}/actions/social-network-login", 401, Verdict.FINE),
        (f"tokens/{TOKEN_ID}/actions/authentication-token-login", 401, Verdict.FINE),
        (f"tokens/{TOKEN_ID}/actions/login-test-customer", 401, Verdict.FINE),
        (f"tokens/{TOKEN_ID}/actions/login", 403, Verdict.FORBIDDEN),
        (f"tokens/{TOKEN_ID}", 401, Verdict.REFUSED),
    ],
)
def test_responses_are_judged_by_status_and_by_what_they_check(
    path: str, status: int, verdict: Verdict
) -> None:
    head = Head(status=status, url=URL(f"{CUSTOMER_BASE}/{path}"))
    of_john = drive(installation(customer=JOHN).refresh(device()), reply(LOGGED_IN)).result
    assert installation(customer=JOHN).classify(head, of_john) is verdict
    assert installation().classify(head, of_john) is installation().classify(head, device()) is verdict


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device_id": ""}, "device_id is empty"),
        ({"device_id": "  "}, "device_id is empty"),
        ({"device_name": ""}, "device_name is empty"),
        ({"device_system": "a\nb"}, "device_system has a line break"),
        ({"device_type": ""}, "device_type is empty"),
        ({"application_id": ""}, "application_id is empty"),
        ({"language_id": ""}, "language_id is empty"),
        ({"probe_path": ""}, "probe_path is empty"),
        ({"customer": "user@example.com"}, "customer is a CustomerLogin, or a function"),
        ({"accept_language": "cs\r\nX: 1"}, "accept_language is empty or has characters"),
        ({"project": f"{CUSTOMER_BASE}/tokens"}, "the domain alone"),
    ],
)
def test_arguments_that_cannot_work_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        installation(**options)


@pytest.mark.parametrize("missing", ["device_id", "device_name", "device_system", "device_type"])
def test_nothing_about_the_device_is_made_up(missing: str) -> None:
    names = ("application_id", "device_id", "device_name", "device_system", "device_type")
    fields: dict[str, Any] = {name: "x" for name in names if name != missing}
    with pytest.raises(TypeError, match=missing):
        CareCloudCustomer("crm.example", **fields)


@pytest.mark.parametrize(
    ("kind", "value", "password", "words"),
    [
        ("mail", "a", "b", "kind must be one of email, phone, card"),
        ("email", "", "b", "value is empty"),
        ("email", "a", "", "password is empty"),
        ("email", "a", "b\n", "password has a line break"),
    ],
)
def test_a_customer_login_that_cannot_work_is_named(kind: Any, value: str, password: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        CustomerLogin(kind, value, password=password)


def conversations(scheme: CareCloudCustomer) -> list[AuthRequest]:
    flows = [scheme.login(), scheme.refresh(device()), scheme.logout(device(subject="x"))]
    return [next(flow) for flow in flows]


def test_nothing_that_is_shown_holds_a_password_an_address_or_the_token() -> None:
    scheme = installation(customer=JOHN, push_token="push-secret")
    shown = f"{scheme!r} {scheme.key!r} {JOHN!r} {JOHN} {conversations(scheme)!r}"
    for secret in ("password_example", "user@example.com", TOKEN_ID, "push-secret"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("flow", "status"),
    [(in_customer_login, 302), (in_customer_login, 401), (in_customer_login, 429), (in_customer_logout, 500)],
)
def test_no_error_shows_the_token_that_is_part_of_the_path(
    flow: Callable[[], AuthFlow[Token]], status: int
) -> None:
    talk = flow()
    request = next(talk)
    answer = AuthResponse(status=status, url=request.url, place=request.place)
    with pytest.raises(AuthError, match="/tokens/{token_id}/actions/log") as caught:
        drive_on(talk, answer, reply(STORES))
    assert TOKEN_ID not in f"{caught.value} {caught.value!r}"


def drive_on(talk: AuthFlow[Token], *responses: AuthResponse) -> None:
    for response in responses:
        talk.send(response)


def test_an_id_that_is_no_hex_stays_one_segment_of_the_path() -> None:
    odd = Token(access_token="a/../b?c#d", refresh_token="a/../b?c#d")
    request = drive(installation(customer=JOHN).refresh(odd), reply(LOGGED_IN)).request
    assert request.url.raw_path.endswith("/tokens/a%2F..%2Fb%3Fc%23d/actions/login")
