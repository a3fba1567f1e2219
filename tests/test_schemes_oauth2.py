"""OAuth 2 conversations driven by hand with the examples of RFC 6749: requests, and answers with tokens."""

from base64 import b64encode

import pytest

from asyncauth._errors import (
    AuthorizationRequiredError,
    GrantRefusedError,
    TokenUnavailableError,
    UnreadableAnswerError,
)
from asyncauth._token import Secret, Token
from flow_driver import drive, reply
from oauth2_samples import (
    BASIC,
    BODY_SECRET,
    GOOD,
    RFC_ANSWER,
    RFC_REFRESH,
    TOKEN_URL,
    held,
    service,
    user,
)


def test_a_service_login_is_the_request_of_section_4_4_2() -> None:
    request = drive(service().login(), reply(GOOD)).request
    assert (request.method, str(request.url)) == ("POST", TOKEN_URL)
    assert request.headers["Authorization"] == BASIC
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.body == b"grant_type=client_credentials"


def test_a_refresh_is_the_request_of_section_6() -> None:
    request = drive(user().refresh(held()), reply(GOOD)).request
    assert request.headers["Authorization"] == BASIC
    assert request.body == b"grant_type=refresh_token&refresh_token=" + RFC_REFRESH.encode()


def test_the_secret_in_the_body_is_the_request_of_section_2_3_1() -> None:
    scheme = user(client_auth="body", client_secret=BODY_SECRET)
    request = drive(scheme.refresh(held()), reply(GOOD)).request
    assert "Authorization" not in request.headers
    assert request.body == (
        b"grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA"
        b"&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw"
    )


def test_a_public_client_only_names_itself() -> None:
    request = drive(user(client_secret=None).refresh(held()), reply(GOOD)).request
    assert "Authorization" not in request.headers
    assert request.body.endswith(b"&client_id=s6BhdRkqt3")


@pytest.mark.parametrize(
    ("options", "pair"),
    [({}, b"a%26b+c:p%3A%25%2B+%C3%A9"), ({"urlencode_basic": False}, "a&b c:p:%+ é".encode())],
)
def test_id_and_secret_are_form_encoded_before_basic_unless_switched_off(
    options: dict[str, bool], pair: bytes
) -> None:
    scheme = service(client_id="a&b c", client_secret="p:%+ é", **options)
    request = drive(scheme.login(), reply(GOOD)).request
    assert request.headers["Authorization"] == "Basic " + b64encode(pair).decode()


def test_scopes_and_further_parameters_are_sent_in_the_given_order() -> None:
    scheme = service(scope="write read", params={"audience": "https://api.example"})
    request = drive(scheme.login(), reply(GOOD)).request
    assert request.body == (
        b"grant_type=client_credentials&scope=write+read&audience=https%3A%2F%2Fapi.example"
    )


def test_the_answer_of_section_5_1_becomes_a_token() -> None:
    token = drive(user().refresh(held()), reply(GOOD)).result
    assert token == Token(
        access_token="2YotnFZFEjr1zCsicMWpAA",
        expires_in=3600,
        refresh_token=RFC_REFRESH,
        extra={"example_parameter": "example_value"},
    )
    assert user().apply(token).headers == {"Authorization": "Bearer 2YotnFZFEjr1zCsicMWpAA"}


def test_a_service_keeps_no_refresh_token() -> None:
    token = drive(service().login(), reply({**GOOD, "refresh_expires_in": 60})).result
    assert (token.refresh_token, token.refresh_expires_in) == (None, None)


def test_a_service_refreshes_by_logging_in() -> None:
    request = drive(service().refresh(held()), reply(GOOD)).request
    assert request.body == b"grant_type=client_credentials"


def test_a_token_of_a_type_nobody_understands_is_not_used() -> None:
    with pytest.raises(UnreadableAnswerError, match="another type than Bearer"):
        drive(service().login(), reply(RFC_ANSWER))


@pytest.mark.parametrize("kind", ["bearer", "Bearer", "BEARER", None])
def test_the_case_of_the_type_means_nothing(kind: str | None) -> None:
    token = drive(service().login(), reply({**GOOD, "token_type": kind})).result
    assert token.access_token == Secret("2YotnFZFEjr1zCsicMWpAA")


def test_what_a_refresh_does_not_repeat_is_carried_over() -> None:
    old = held(scope=["read"], subject="user-17", extra={"account_id": "acc_1", "note": 1})
    answer = {"access_token": "new", "expires_in": 60, "note": 2}
    token = drive(user().refresh(old), reply(answer)).result
    assert token == Token(
        access_token="new",
        expires_in=60,
        refresh_token=RFC_REFRESH,
        scope=["read"],
        subject="user-17",
        extra={"account_id": "acc_1", "note": 2},
    )


@pytest.mark.parametrize("stated", [None, ""])
def test_an_empty_refresh_token_in_the_answer_keeps_the_old_one(stated: str | None) -> None:
    token = drive(user().refresh(held()), reply({"access_token": "new", "refresh_token": stated})).result
    assert token.refresh_token == Secret(RFC_REFRESH)


def test_a_rotated_refresh_token_replaces_the_old_one() -> None:
    answer = {"access_token": "new", "refresh_token": "next", "refresh_expires_in": 7200}
    token = drive(user().refresh(held()), reply(answer)).result
    assert (token.refresh_token, token.refresh_expires_in) == (Secret("next"), 7200)


def test_a_granted_scope_replaces_the_requested_one() -> None:
    scheme = service(scope=["read", "write"])
    narrowed = drive(scheme.login(), reply({**GOOD, "scope": "read"})).result
    silent = drive(scheme.login(), reply(GOOD)).result
    assert (narrowed.scope, silent.scope) == (("read",), ("read", "write"))


def test_the_scope_of_a_refreshs_answer_replaces_that_of_the_spent_token() -> None:
    for answer, scope in ((GOOD, ("read", "write")), ({**GOOD, "scope": "read"}, ("read",))):
        assert drive(user().refresh(held(scope="read write")), reply(answer)).result.scope == scope


def test_scopes_are_asked_for_at_a_refresh_only_where_they_were_named() -> None:
    request = drive(user(scope="read").refresh(held()), reply(GOOD)).request
    assert request.body.endswith(b"&scope=read")


@pytest.mark.parametrize(
    ("stated", "life"),
    [(3600, 3600), (0.5, 0.5), ("3600", 3600), (" 90 ", 90), (10**15, 315_360_000), (None, None)],
)
def test_a_stated_life_is_read_leniently(stated: object, life: float | None) -> None:
    token = drive(service().login(), reply({**GOOD, "expires_in": stated})).result
    assert token.expires_in == life


def test_an_absent_life_is_unknown() -> None:
    token = drive(service().login(), reply({"access_token": "new"})).result
    assert token.expires_in is None


BAD_LIVES = ["abc", "", "1e3", True, [], {}, "٣", float("nan"), float("inf"), 10**400]


@pytest.mark.parametrize("stated", BAD_LIVES)
def test_a_life_that_is_no_number_is_an_unreadable_answer(stated: object) -> None:
    with pytest.raises(UnreadableAnswerError, match="no number of seconds"):
        drive(service().login(), reply({**GOOD, "expires_in": stated}))


@pytest.mark.parametrize("stated", [0, -5, "-5", "0", -0.0])
def test_a_token_that_is_dead_on_arrival_is_an_unreadable_answer(stated: object) -> None:
    with pytest.raises(UnreadableAnswerError, match="dead on arrival"):
        drive(service().login(), reply({**GOOD, "expires_in": stated}))


@pytest.mark.parametrize("stated", [*BAD_LIVES, 0, -5])
def test_a_new_refresh_token_is_kept_beside_an_impossible_life(stated: object) -> None:
    answer = {"access_token": "new", "refresh_token": "next", "expires_in": stated}
    token = drive(user().refresh(held()), reply(answer)).result
    assert (token.refresh_token, token.expires_in) == (Secret("next"), None)


@pytest.mark.parametrize("stated", ["abc", 0, -5])
def test_an_impossible_life_without_a_new_refresh_token_is_refused(stated: object) -> None:
    with pytest.raises(UnreadableAnswerError):
        drive(user().refresh(held()), reply({"access_token": "new", "expires_in": stated}))


def test_a_user_scheme_cannot_log_in_by_itself() -> None:
    assert (user().can_login, service().can_login) == (False, True)
    with pytest.raises(AuthorizationRequiredError, match="put"):
        drive(user().login())


def test_a_refresh_without_a_refresh_token_asks_for_an_authorization() -> None:
    with pytest.raises(GrantRefusedError, match="authorize again"):
        drive(user().refresh(Token(access_token="old")))


def test_a_bare_refresh_token_is_a_token_that_has_ended() -> None:
    token = user(scope="read").token(refresh_token=RFC_REFRESH)
    assert token == Token(refresh_token=RFC_REFRESH, expires_in=0, scope=["read"], subject="user-17")
    with pytest.raises(TokenUnavailableError, match="renewed before use"):
        user().apply(token)
    assert drive(user().refresh(token), reply(GOOD)).result.subject == "user-17"
