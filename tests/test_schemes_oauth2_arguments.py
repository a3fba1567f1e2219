"""What the OAuth 2 schemes are given, what identifies their tokens, and how they judge responses."""

from typing import Any

import pytest
from yarl import URL

from asyncauth._errors import (
    ConfigurationError,
    InsecureURLError,
)
from asyncauth._token import Secret, Token
from asyncauth.abc import Verdict
from asyncauth.schemes import ClientCredentials
from flow_driver import Head
from oauth2_samples import CLIENT, RFC_REFRESH, TOKEN_URL, held, service, user


def test_an_authorization_brings_both_tokens() -> None:
    token = user().token(refresh_token=RFC_REFRESH, access_token="now", expires_in=60)
    assert (token.access_token, token.expires_in) == (Secret("now"), 60)
    assert user().token(refresh_token=RFC_REFRESH, access_token="now").expires_in is None


@pytest.mark.parametrize("text", ["", "two\nlines", "ends\n", "é"])
def test_the_first_token_is_checked(text: str) -> None:
    with pytest.raises(ConfigurationError, match="refresh_token"):
        user().token(refresh_token=text)
    with pytest.raises(ConfigurationError, match="access_token"):
        user().token(refresh_token=RFC_REFRESH, access_token=text)


def test_one_time_refresh_tokens_are_learned_or_declared() -> None:
    assert user().refresh_rotates is None
    assert user(refresh_rotates=True).refresh_rotates is True
    assert user(refresh_rotates=False).refresh_rotates is False


def test_the_key_tells_tokens_apart_and_nothing_else() -> None:
    assert service(scope="a b").key == service(scope=["b", "a", "b"], client_secret="x").key
    different = [
        service(),
        service(scope="a"),
        service(client_id="other"),
        service(params={"audience": "a"}),
        service(params={"audience": "a", "resource": "b"}),
        ClientCredentials("https://other.example/token", client_id=CLIENT, client_secret="x"),
        user(),
        user(subject="user-18"),
    ]
    assert len({scheme.key for scheme in different}) == len(different)


def test_the_fingerprint_changes_with_the_credential_and_how_it_is_sent() -> None:
    changed = [
        service(),
        service(client_secret="other"),
        service(client_auth="body"),
        service(urlencode_basic=False),
        service(client_id="other"),
        user(),
        user(client_secret=None),
    ]
    prints = [scheme.fingerprint for scheme in changed]
    assert len(set(prints)) == len(prints)
    assert service().fingerprint == service().fingerprint


def test_the_fingerprint_is_alike_in_all_processes() -> None:
    assert service().fingerprint == "dcf1c170fabf18db"


def test_tokens_go_to_the_base_url_and_the_named_origins_only() -> None:
    scheme = service(base_url="https://api.example/v1", origins=["https://files.example/x"])
    assert scheme.origins == {URL("https://api.example"), URL("https://files.example")}
    assert service().origins == frozenset()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client_id": ""}, "client_id is empty"),
        ({"client_secret": "  "}, "client_secret is empty"),
        ({"client_secret": None}, "client_secret is empty"),
        ({"client_secret": "from-a-file\n"}, "client_secret has a line break"),
        ({"client_auth": "post"}, "client_auth must be one of basic, body"),
        ({"client_id": "a:b", "urlencode_basic": False}, "client_id has a colon"),
        ({"params": {"scope": "x", "grant_type": "y"}}, "params holds grant_type, scope"),
        ({"origins": "https://api.example"}, "origins takes several"),
        ({"base_url": "api.example"}, "absolute URL"),
        ({"base_url": "https://["}, "no URL"),
        ({"base_url": "https://user:pass@api.example"}, "holds credentials"),
    ],
)
def test_arguments_that_cannot_work_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        service(**options)


def test_a_user_scheme_needs_a_subject() -> None:
    with pytest.raises(ConfigurationError, match="subject is empty"):
        user(subject="")


@pytest.mark.parametrize("argument", ["token_url", "base_url", "origins"])
def test_http_is_for_this_machine_only(argument: str) -> None:
    plain = "http://vendor.example/token"
    with pytest.raises(InsecureURLError, match="use https"):
        ClientCredentials(
            plain if argument == "token_url" else TOKEN_URL,
            client_id=CLIENT,
            client_secret="x",
            base_url=plain if argument == "base_url" else None,
            origins=[plain] if argument == "origins" else [],
        )
    assert (
        ClientCredentials("http://127.0.0.1:8080/token", client_id="a", client_secret="b").token_url.port
        == 8080
    )


@pytest.mark.parametrize(
    ("status", "challenge", "verdict"),
    [
        (200, "", Verdict.FINE),
        (401, "", Verdict.REFUSED),
        (403, "", Verdict.FORBIDDEN),
        (403, 'Bearer error="insufficient_scope", scope="write"', Verdict.NEEDS_USER),
        (404, "", Verdict.FINE),
        (429, "", Verdict.BACK_OFF),
        (503, "", Verdict.FINE),
    ],
)
def test_responses_are_judged_by_their_status(status: int, challenge: str, verdict: Verdict) -> None:
    response = Head(status=status, headers={"WWW-Authenticate": challenge})
    assert user().classify(response, held()) is verdict
    without_user = Verdict.FORBIDDEN if verdict is Verdict.NEEDS_USER else verdict
    assert service().classify(response, held()) is without_user


def test_nothing_that_is_shown_holds_the_secret() -> None:
    scheme = service(client_secret="very-secret-text")
    request = next(scheme.login())
    assert "very-secret-text" not in f"{scheme!r} {scheme} {request!r} {scheme.key!r} {scheme.fingerprint}"


def test_schemes_are_values() -> None:
    assert service(params={"a": "b"}) == service(params={"a": "b"})
    assert hash(service(params={"a": "b"})) == hash(service(params={"a": "b"}))
    assert service() != service(client_secret="other")


def test_a_token_that_is_a_refresh_token_only_has_to_have_ended() -> None:
    with pytest.raises(ValueError, match="expires_in has to be 0"):
        Token(refresh_token=RFC_REFRESH)
    with pytest.raises(ValueError, match="needs an access token, cookies or a refresh token"):
        Token(expires_in=0)
