"""`AuthorizationCode` driven by hand: exchange, refresh, revocation, and what it says of a missing scope."""

import traceback
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest
from yarl import URL

from asyncauth._errors import (
    AuthError,
    AuthorizationRequiredError,
    ConfigurationError,
    CredentialRefusedError,
    GrantRefusedError,
    InsecureURLError,
    UnreadableAnswerError,
    VendorBusyError,
    VendorFailedError,
)
from asyncauth._token import Secret, Token
from asyncauth.abc import Verdict
from asyncauth.schemes import AuthorizationCode, AuthorizationRequest
from flow_driver import Head, Talk, drive, reply
from oauth2_samples import BASIC, BASIC_SECRET, CLIENT, GOOD, RFC_REFRESH, TOKEN_URL, held, refusal

CODE = "SplxlOBeZQQYbYS6WxSbIA"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
BACK = "https://client.example.com/cb"


def person(**options: Any) -> AuthorizationCode:
    fields = {
        "authorization_url": "https://server.example.com/authorize",
        "client_id": CLIENT,
        "client_secret": BASIC_SECRET,
        "redirect_uri": BACK,
        "subject": "user-17",
        "revocation_url": "https://server.example.com/revoke",
        **options,
    }
    return AuthorizationCode(TOKEN_URL, **fields)


def exchanged(scheme: AuthorizationCode, answer: Any, request: AuthorizationRequest | None = None) -> Any:
    begun = request or scheme.authorization()
    came_back = f"{BACK}?code={CODE}&state={begun.state.reveal()}"
    return drive(scheme.exchange(came_back, begun), answer)


def test_the_exchange_is_that_of_rfc_6749_4_1_3() -> None:
    talk: Talk[Token] = exchanged(person(pkce=False), reply(GOOD))
    request = talk.request
    assert (request.method, str(request.url)) == ("POST", TOKEN_URL)
    assert request.headers["Authorization"] == BASIC
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    # The RFC writes the two dots as %2E, too.
    assert request.body == (
        b"grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA"
        b"&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb"
    )


def test_the_answer_is_that_of_rfc_6749_4_1_4() -> None:
    token = exchanged(person(scope="read", subject="user-17"), reply(GOOD)).result
    assert token.access_token == Secret("2YotnFZFEjr1zCsicMWpAA")
    assert (token.expires_in, token.refresh_token) == (3600, Secret(RFC_REFRESH))
    assert (token.scope, token.subject) == (("read",), "user-17")
    assert token.extra == {"example_parameter": "example_value"}


def test_the_exchange_proves_who_began_as_rfc_7636_4_5_says() -> None:
    scheme = person()
    begun = attrs.evolve(scheme.authorization(), code_verifier=VERIFIER)
    fields = dict(parse_qsl(exchanged(scheme, reply(GOOD), begun).request.body.decode()))
    assert fields["code_verifier"] == VERIFIER


def test_a_public_client_names_itself() -> None:
    scheme = person(client_secret=None)
    request = exchanged(scheme, reply(GOOD)).request
    assert "Authorization" not in request.headers
    assert dict(parse_qsl(request.body.decode()))["client_id"] == CLIENT


def test_the_redirect_uri_may_be_each_authorizations_own() -> None:
    scheme = person(redirect_uri=None)
    begun = scheme.authorization(redirect_uri="http://127.0.0.1:51004/")
    assert begun.url.query["redirect_uri"] == "http://127.0.0.1:51004/"
    body = exchanged(scheme, reply(GOOD), begun).request.body
    assert b"redirect_uri=http%3A%2F%2F127.0.0.1%3A51004%2F&" in body
    assert scheme.authorize_url is None
    with pytest.raises(ConfigurationError, match="redirect_uri is needed"):
        scheme.authorization()


def test_the_place_to_authorize_has_no_state() -> None:
    url = person(scope="read").authorize_url
    assert url is not None
    assert dict(url.query) == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "scope": "read",
    }


def test_nothing_is_sent_for_an_answer_that_is_none_to_this_request() -> None:
    scheme = person()
    flow = scheme.exchange(f"{BACK}?code={CODE}&state=x", scheme.authorization())
    with pytest.raises(AuthorizationRequiredError, match="CSRF"):
        next(flow)


def test_the_servers_issuer_is_checked_where_it_is_known() -> None:
    scheme = person(issuer="https://server.example.com")
    begun = scheme.authorization()
    came_back = f"{BACK}?code={CODE}&state={begun.state.reveal()}"
    with pytest.raises(AuthorizationRequiredError, match="issuer"):
        next(scheme.exchange(came_back, begun))
    flow = scheme.exchange(f"{came_back}&iss=https%3A%2F%2Fserver.example.com", begun)
    assert drive(flow, reply(GOOD)).result.refresh_token


REFUSALS: list[tuple[int, str, type[AuthError], str]] = [
    (400, "invalid_grant", GrantRefusedError, "invalid_grant"),
    (400, "made_up", GrantRefusedError, "made_up"),
    (401, "invalid_client", CredentialRefusedError, "check client_id, client_secret"),
    (400, "unauthorized_client", CredentialRefusedError, "may use this grant"),
    (400, "unsupported_grant_type", CredentialRefusedError, "does not offer this grant"),
    (400, "temporarily_unavailable", VendorFailedError, "temporarily_unavailable"),
    (503, "", VendorFailedError, "vendor's side"),
    (429, "", VendorBusyError, "fewer requests"),
    (404, "", UnreadableAnswerError, "is its URL right"),
]


@pytest.mark.parametrize(("status", "code", "kind", "words"), REFUSALS)
def test_a_refused_exchange_says_what_is_wrong(
    status: int, code: str, kind: type[AuthError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        exchanged(person(), refusal(status, code) if code else reply(status=status))
    assert type(caught.value) is kind


@pytest.mark.parametrize("where", ["error", "error_description"])
def test_a_refused_exchange_shows_nothing_of_what_was_sent(where: str) -> None:
    scheme = person()
    begun = scheme.authorization()
    assert begun.code_verifier is not None
    for sent in (CODE, begun.code_verifier.reveal(), begun.state.reveal(), BASIC_SECRET):
        words = {"error": "invalid_grant", where: f"what is {sent}?"}
        with pytest.raises(AuthError) as caught:
            exchanged(scheme, reply(words, 400), begun)
        text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert sent not in text
        assert "withheld" in text


@pytest.mark.parametrize("life", ["abc", 0, -1])
def test_an_unreadable_life_does_not_lose_the_refresh_token_of_a_spent_code(life: object) -> None:
    token = exchanged(person(), reply({**GOOD, "expires_in": life})).result
    assert (token.expires_in, token.refresh_token) == (None, Secret(RFC_REFRESH))
    without = {"access_token": "a", "expires_in": life}
    with pytest.raises(UnreadableAnswerError, match="expires_in"):
        exchanged(person(), reply(without))


def test_a_refresh_asks_for_what_was_granted_and_not_for_what_was_asked() -> None:
    talk = drive(person(scope="read write").refresh(held(scope="read")), reply({"access_token": "new"}))
    assert talk.request.body == f"grant_type=refresh_token&refresh_token={RFC_REFRESH}".encode()
    assert talk.result.scope == ("read",)
    assert talk.result.refresh_token == Secret(RFC_REFRESH)


def test_a_token_without_a_refresh_token_ends_with_itself() -> None:
    with pytest.raises(GrantRefusedError, match="authorize again"):
        next(person().refresh(Token(access_token="a")))


def test_only_a_person_gives_the_first_token() -> None:
    assert not person().can_login
    with pytest.raises(AuthorizationRequiredError, match="begin with authorization") as caught:
        next(person().login())
    assert caught.value.authorize_url == person().authorize_url


def test_a_logout_revokes_the_refresh_token_as_rfc_7009_2_1_shows() -> None:
    # The RFC's example, with its token.
    token = Token(access_token="a", refresh_token="45ghiukldjahdnhzdauz")
    request = drive(person().logout(token), reply()).request
    assert (request.method, str(request.url)) == ("POST", "https://server.example.com/revoke")
    assert request.headers["Authorization"] == BASIC
    assert request.body == b"token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token"


def test_a_logout_without_a_refresh_token_revokes_the_access_token() -> None:
    request = drive(person().logout(Token(access_token="a")), reply()).request
    assert request.body == b"token=a&token_type_hint=access_token"


def test_a_logout_without_a_place_tells_nobody() -> None:
    assert drive(person(revocation_url=None).logout(held())).requests == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(401, "invalid_client"), CredentialRefusedError),
        (refusal(400, "unsupported_token_type"), UnreadableAnswerError),
        (reply(status=503), VendorFailedError),
        (reply("<html>", 404), UnreadableAnswerError),
        (reply({"error": "x", "error_description": RFC_REFRESH}, 400), UnreadableAnswerError),
    ],
)
def test_a_revocation_that_is_not_confirmed_is_an_error(answer: Any, kind: type[AuthError]) -> None:
    with pytest.raises(kind) as caught:
        drive(person().logout(held()), answer)
    assert RFC_REFRESH not in str(caught.value)


def test_a_missing_scope_needs_the_person_and_is_named() -> None:
    challenge = 'Bearer realm="x", error="insufficient_scope", scope="calendar.write mail"'
    head = Head(status=403, headers={"WWW-Authenticate": challenge}, url=URL("https://api.example/v1?key=k"))
    assert person().classify(head, held()) is Verdict.NEEDS_USER
    words = "403 of https://api.example/v1: the person has to authorize calendar.write mail"
    assert person().missing(head, held()) == words
    unnamed = Head(status=403, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
    assert person().missing(unnamed, held()).endswith("a scope that is missing")
    leaking = Head(status=403, headers={"WWW-Authenticate": f'scope="{RFC_REFRESH}"'})
    assert RFC_REFRESH not in person().missing(leaking, held())


@pytest.mark.parametrize("status", [401, 403])
def test_other_refusals_are_judged_by_status(status: int) -> None:
    verdicts = {401: Verdict.REFUSED, 403: Verdict.FORBIDDEN}
    assert person().classify(Head(status=status), held()) is verdicts[status]


def test_each_person_has_a_token_of_their_own_and_the_redirect_uri_does_not_matter() -> None:
    same = [person(), person(redirect_uri=None), person(pkce=False), person(client_secret="x")]
    other = [person(subject="a"), person(subject="b"), person(scope="x"), person(client_id="y")]
    assert len({scheme.key for scheme in same}) == 1
    assert len({scheme.key for scheme in [*same, *other]}) == 5
    assert attrs.evolve(person(), subject="a") == person(subject="a")


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"authorization_url": "http://server.example.com/authorize"}, InsecureURLError),
        ({"revocation_url": "http://server.example.com/revoke"}, InsecureURLError),
        ({"redirect_uri": "http://client.example.com/cb"}, InsecureURLError),
        ({"redirect_uri": "/cb"}, ConfigurationError),
        ({"client_id": ""}, ConfigurationError),
        ({"client_secret": "\n"}, ConfigurationError),
    ],
)
def test_arguments_that_cannot_work_are_refused(
    options: dict[str, Any], kind: type[ConfigurationError]
) -> None:
    with pytest.raises(kind):
        person(**options)


def test_no_secret_is_shown() -> None:
    scheme = person(subject="user-17")
    begun = scheme.authorization()
    assert begun.code_verifier is not None
    text = f"{scheme} {scheme.key} {begun!r} {begun} {scheme.exchange('', begun)} {scheme.fingerprint}"
    for secret in (BASIC_SECRET, begun.state.reveal(), begun.code_verifier.reveal()):
        assert secret not in text
