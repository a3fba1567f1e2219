"""ITCare driven by hand, with the error bodies of both lines of Keycloak."""

from typing import Any

import pytest
from yarl import URL

from asyncauth._errors import (
    AuthError,
    ConfigurationError,
    CredentialRefusedError,
    GrantRefusedError,
    UnreadableAnswerError,
    VendorFailedError,
)
from asyncauth._token import Secret, Token
from asyncauth.abc import Verdict
from asyncauth.schemes import ITCare
from flow_driver import Head, drive, reply

TOKEN_URL = "https://accounts.cegedim.cloud/auth/realms/cloud/protocol/openid-connect/token"

# The vendor's sample answer, with values.
ANSWER = {
    "access_token": "eyJhbGciOi.access",
    "expires_in": 1200,
    "refresh_expires_in": 7200,
    "refresh_token": "eyJhbGciOi.refresh",
    "token_type": "bearer",
}
KEYCLOAK = {
    **ANSWER,
    "token_type": "Bearer",
    "not-before-policy": 0,
    "session_state": "5d1c0d6c",
    "scope": "profile email",
}


def itcare(**options: Any) -> ITCare:
    return ITCare(**{"client_id": "CLIENT_ID", "client_secret": "CLIENT_SECRET", **options})


def held() -> Token:
    return Token(access_token="old", refresh_token="eyJhbGciOi.refresh")


def test_the_login_is_the_documented_request() -> None:
    request = drive(itcare().login(), reply(ANSWER)).request
    assert (request.method, str(request.url)) == ("POST", TOKEN_URL)
    assert request.headers["Authorization"] == "Basic Q0xJRU5UX0lEOkNMSUVOVF9TRUNSRVQ="
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.body == b"grant_type=client_credentials"


def test_a_long_credential_stays_on_one_line() -> None:
    # The vendor's shell example wraps it after 76 characters.
    request = drive(itcare(client_secret="s" * 200).login(), reply(ANSWER)).request
    assert request.headers["Authorization"].isprintable()


def test_id_and_secret_go_raw_into_basic_unless_asked_otherwise() -> None:
    raw = drive(itcare(client_secret="a+b%").login(), reply(ANSWER)).request
    encoded = drive(itcare(client_secret="a+b%", urlencode_basic=True).login(), reply(ANSWER)).request
    assert raw.headers["Authorization"] == "Basic Q0xJRU5UX0lEOmErYiU="
    assert encoded.headers["Authorization"] == "Basic Q0xJRU5UX0lEOmElMkJiJTI1"


def test_by_default_there_is_nothing_to_refresh_with() -> None:
    token = drive(itcare().login(), reply(ANSWER)).result
    assert (token.expires_in, token.refresh_token, token.refresh_expires_in) == (1200, None, None)
    assert itcare().apply(token).headers == {"Authorization": "Bearer eyJhbGciOi.access"}


def test_the_refresh_token_is_kept_on_request() -> None:
    token = drive(itcare(renew_with="refresh_token").login(), reply(KEYCLOAK)).result
    assert (token.refresh_token, token.refresh_expires_in) == (Secret("eyJhbGciOi.refresh"), 7200)
    assert token.scope == ("email", "profile")
    assert token.extra == {"not-before-policy": 0, "session_state": "5d1c0d6c"}


def test_the_refresh_is_the_real_grant_and_not_the_documented_one() -> None:
    talk = drive(
        itcare(renew_with="refresh_token").refresh(held()), reply({**ANSWER, "refresh_token": "next"})
    )
    assert talk.request.body == b"grant_type=refresh_token&refresh_token=eyJhbGciOi.refresh"
    assert talk.request.headers["Authorization"].startswith("Basic ")
    assert talk.result.refresh_token == Secret("next")


def test_by_default_a_refresh_is_a_login_also_for_a_token_of_a_worker_that_refreshes() -> None:
    talk = drive(itcare().refresh(held()), reply(ANSWER))
    assert talk.request.body == b"grant_type=client_credentials"
    assert talk.result.refresh_token is None


def test_the_documented_refresh_is_sent_to_the_letter() -> None:
    talk = drive(itcare(renew_with="documented").refresh(held()), reply({**ANSWER, "refresh_token": "next"}))
    assert (talk.request.method, str(talk.request.url)) == ("POST", TOKEN_URL)
    assert talk.request.headers["Authorization"] == "Basic Q0xJRU5UX0lEOkNMSUVOVF9TRUNSRVQ="
    assert talk.request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert talk.request.body == b"grant_type=client_credentials&refresh_token=eyJhbGciOi.refresh"
    assert talk.result.refresh_token == Secret("next")


def test_the_documented_refresh_asks_for_its_scopes_as_a_login_does() -> None:
    scheme = itcare(renew_with="documented", scope="openid")
    assert drive(scheme.refresh(held()), reply(ANSWER)).request.body.endswith(b"&scope=openid")


def test_the_documented_refresh_carries_nothing_over_from_the_session_before() -> None:
    token = Token(access_token="old", refresh_token="r", extra={"session_state": "before"})
    got = drive(itcare(renew_with="documented").refresh(token), reply({"access_token": "a"})).result
    assert (got.refresh_token, got.extra) == (None, {})


@pytest.mark.parametrize("renew_with", ["login", "refresh_token", "documented"])
def test_without_a_refresh_token_each_way_is_a_plain_login(renew_with: str) -> None:
    scheme = itcare(renew_with=renew_with)
    assert (
        drive(scheme.refresh(Token(access_token="a")), reply(ANSWER)).request.body
        == b"grant_type=client_credentials"
    )


def test_nothing_is_spent_where_the_refresh_token_is_not_read() -> None:
    ways = ("login", "refresh_token", "documented")
    assert [itcare(renew_with=way).refresh_rotates for way in ways] == [None, None, False]


def test_another_way_to_renew_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="renew_with must be one of login, refresh_token"):
        itcare(renew_with="revoke")


@pytest.mark.parametrize(
    ("answer", "token", "life"),
    [
        ({"refresh_expires_in": 0}, None, None),
        ({}, None, None),
        ({"refresh_expires_in": 0, "refresh_token": "r"}, Secret("r"), None),
        ({"refresh_token": "r"}, Secret("r"), None),
        ({"refresh_expires_in": 60, "refresh_token": "r"}, Secret("r"), 60),
        ({"refresh_expires_in": 60}, None, None),
        ({"refresh_expires_in": "abc", "refresh_token": "r"}, Secret("r"), None),
    ],
)
def test_a_refresh_life_of_zero_is_none_stated(
    answer: dict[str, Any], token: Secret | None, life: float | None
) -> None:
    got = drive(itcare(renew_with="refresh_token").login(), reply({"access_token": "a", **answer})).result
    assert (got.refresh_token, got.refresh_expires_in) == (token, life)


# Keycloak 11 and the 21 line, VENDORS 4.1b: status, code, words.
FATAL = [
    (400, "unauthorized_client", "Invalid client credentials"),
    (401, "unauthorized_client", "Invalid client secret"),
    (400, "unauthorized_client", "Invalid client secret"),
    (401, "unauthorized_client", "Client secret not provided in request"),
    (401, "unauthorized_client", "Client not enabled to retrieve service account"),
    (401, "unauthorized_client", "Public client not allowed to retrieve service account"),
    (401, "unauthorized_client", "Invalid client or Invalid client credentials"),
    (401, "invalid_client", "Invalid client or Invalid client credentials"),
    (400, "invalid_client", "Missing client_id parameter"),
    (400, "invalid_request", "Missing form parameter: grant_type"),
    (400, "invalid_request", "duplicated parameter"),
    (400, "unsupported_grant_type", "Unsupported grant_type"),
    (400, "invalid_scope", "Invalid scopes: nope"),
    (401, "invalid_request", "User 'service-account-x' disabled"),
    (403, "invalid_request", "HTTPS required"),
    (403, "access_denied", "Realm not enabled"),
]

DEAD = [
    "Token is not active",
    "Invalid refresh token",
    "Session not active",
    "Stale token",
    "Invalid refresh token. Token client and authorized client don't match",
    "Maximum allowed refresh token reuse exceeded",
    "Session doesn't have required client",
    "User disabled",
]


@pytest.mark.parametrize(("status", "code", "words"), FATAL)
def test_a_refused_account_is_fatal(status: int, code: str, words: str) -> None:
    with pytest.raises(CredentialRefusedError) as caught:
        drive(itcare().login(), reply({"error": code, "error_description": words}, status))
    assert f"{code}; {words}" in str(caught.value)


@pytest.mark.parametrize("words", DEAD)
def test_a_dead_session_is_a_refused_grant_so_that_a_login_follows(words: str) -> None:
    scheme = itcare(renew_with="refresh_token")
    with pytest.raises(GrantRefusedError, match="invalid_grant"):
        drive(scheme.refresh(held()), reply({"error": "invalid_grant", "error_description": words}, 400))
    assert scheme.can_login


def test_an_undecodable_basic_is_refused_with_an_empty_body() -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="cloud"'}
    with pytest.raises(CredentialRefusedError):
        drive(itcare().login(), reply(status=401, headers=challenge))


@pytest.mark.parametrize("scheme", [itcare(), itcare(renew_with="refresh_token")])
def test_logout_ends_the_own_session(scheme: ITCare) -> None:
    token = drive(scheme.login(), reply(KEYCLOAK)).result
    request = drive(scheme.logout(token), reply(status=204)).request
    assert (request.method, request.url) == ("POST", URL(TOKEN_URL).with_name("logout"))
    assert request.body == b"refresh_token=eyJhbGciOi.refresh"
    assert request.headers["Authorization"].startswith("Basic ")


def test_logout_without_a_session_has_nobody_to_tell() -> None:
    token = drive(itcare().login(), reply({"access_token": "a", "refresh_expires_in": 0})).result
    assert drive(itcare().logout(token)).requests == []


def test_logout_of_an_ended_session_is_fine() -> None:
    words = {"error": "invalid_grant", "error_description": "Invalid refresh token"}
    assert drive(itcare().logout(held()), reply(words, 400)).result is None


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (503, VendorFailedError),
        (401, CredentialRefusedError),
        (400, UnreadableAnswerError),
        (404, UnreadableAnswerError),
    ],
)
def test_a_logout_that_is_not_confirmed_is_an_error(status: int, error: type[AuthError]) -> None:
    with pytest.raises(error):
        drive(itcare().logout(held()), reply(status=status))


@pytest.mark.parametrize(("status", "code", "words"), FATAL)
def test_a_refused_accounts_logout_has_ended_nothing(status: int, code: str, words: str) -> None:
    # That the realm is switched off is no word on the account.
    error = UnreadableAnswerError if code == "access_denied" else CredentialRefusedError
    with pytest.raises(error, match=code):
        drive(itcare().logout(held()), reply({"error": code, "error_description": words}, status))


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, Verdict.FINE), (401, Verdict.REFUSED), (403, Verdict.FORBIDDEN), (409, Verdict.FINE)],
)
def test_the_empty_answers_of_the_api_are_judged_by_status(status: int, verdict: Verdict) -> None:
    assert itcare().classify(Head(status=status), held()) is verdict


def test_production_is_the_default_and_everything_can_be_elsewhere() -> None:
    assert str(itcare().base_url) == "https://itcare.cegedim.cloud/itcare"
    assert itcare().origins == {URL("https://itcare.cegedim.cloud")}
    moved = itcare(token_url="http://127.0.0.1:9/t/token", base_url="http://127.0.0.1:9/itcare")
    assert str(next(moved.login()).url) == "http://127.0.0.1:9/t/token"


def test_the_key_is_the_endpoint_the_account_and_the_scopes() -> None:
    same = [itcare(), itcare(client_secret="x"), itcare(renew_with="refresh_token")]
    other = [itcare(client_id="x"), itcare(scope="a"), itcare(token_url="https://id.example/token")]
    assert len({scheme.key for scheme in same}) == 1
    assert len({scheme.key for scheme in [*same, *other]}) == 4


def test_a_new_secret_or_encoding_is_another_credential() -> None:
    schemes = [itcare(), itcare(client_secret="x"), itcare(urlencode_basic=True)]
    assert len({scheme.fingerprint for scheme in schemes}) == 3


@pytest.mark.parametrize("argument", ["client_id", "client_secret"])
def test_an_empty_credential_is_named(argument: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{argument} is empty"):
        itcare(**{argument: ""})
