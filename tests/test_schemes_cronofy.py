"""Cronofy driven by hand: the requests and answers of the vendor's pages, in all six data centres."""

import json
from urllib.parse import parse_qsl

import pytest

from asyncauth._errors import (
    AuthorizationRequiredError,
    ConfigurationError,
    GrantRefusedError,
    UnreadableAnswerError,
)
from asyncauth._exchange import AuthRequest
from asyncauth._token import Secret, Token
from asyncauth.schemes import AuthorizationRequest
from cronofy_samples import (
    CALLBACK,
    CLIENT,
    EXCHANGED,
    HOSTS,
    PROFILE,
    REFRESH,
    REFRESHED,
    SECRET,
    SUB,
    held,
    nobody,
    user,
)
from flow_driver import drive, reply

centres = pytest.mark.parametrize("centre", HOSTS)
bodies = pytest.mark.parametrize("body", ["json", "form"])

WHO = {"client_id": CLIENT, "client_secret": SECRET}


def fields_of(request: AuthRequest, body: str) -> dict[str, str]:
    """Return what a request says, which has to be written as the vendor's pages show it."""
    assert request.method == "POST"
    assert "Authorization" not in request.headers
    if body == "json":
        assert dict(request.headers) == {"Content-Type": "application/json; charset=utf-8"}
        return dict(json.loads(request.body))
    assert dict(request.headers) == {"Content-Type": "application/x-www-form-urlencoded"}
    return dict(parse_qsl(request.body.decode()))


def answered(begun: AuthorizationRequest, code: str = "c0de") -> str:
    return f"{CALLBACK}?code={code}&state={begun.state.reveal()}"


@centres
@bodies
def test_the_refresh_is_the_vendors_example(centre: str, body: str) -> None:
    talk = drive(user(data_center=centre, body=body).refresh(held()), reply(REFRESHED))
    assert str(talk.request.url) == f"{HOSTS[centre][0]}/oauth/token"
    fields = {**WHO, "grant_type": "refresh_token", "refresh_token": REFRESH}
    assert list(fields_of(talk.request, body).items()) == list(fields.items())
    assert talk.result == Token(
        access_token="P531x88i05Ld2yXHIQ7WjiEyqlmOHsgI",
        expires_in=3600,
        refresh_token="3gBYG1XamYDUEXUyybbummQWEe5YqPmf",
        scope="create_event delete_event",
        subject=SUB,
    )


def test_the_refresh_is_the_vendors_example_byte_for_byte() -> None:
    assert drive(user().refresh(held()), reply(REFRESHED)).request.body == (
        b'{"client_id": "{CLIENT_ID}", "client_secret": "{CLIENT_SECRET}",'
        b' "grant_type": "refresh_token", "refresh_token": "{REFRESH_TOKEN}"}'
    )
    form = drive(user(body="form").refresh(held()), reply(REFRESHED)).request.body
    assert form == (
        b"client_id=%7BCLIENT_ID%7D&client_secret=%7BCLIENT_SECRET%7D"
        b"&grant_type=refresh_token&refresh_token=%7BREFRESH_TOKEN%7D"
    )


@centres
@bodies
def test_the_exchange_is_the_vendors_example(centre: str, body: str) -> None:
    scheme = nobody(data_center=centre, body=body)
    begun = scheme.authorization()
    talk = drive(scheme.exchange(answered(begun), begun), reply(EXCHANGED))
    assert str(talk.request.url) == f"{HOSTS[centre][0]}/oauth/token"
    grant = {"grant_type": "authorization_code", "code": "c0de", "redirect_uri": CALLBACK}
    assert list(fields_of(talk.request, body).items()) == list({**WHO, **grant}.items())
    assert talk.result.subject == SUB
    assert talk.result.extra == {"account_id": SUB, "linking_profile": PROFILE}
    assert scheme.for_token(talk.result) == nobody(data_center=centre, body=body, sub=SUB)


@centres
@bodies
def test_the_revocation_is_the_vendors_example_with_the_refresh_token(centre: str, body: str) -> None:
    talk = drive(user(data_center=centre, body=body).logout(held()), reply())
    assert str(talk.request.url) == f"{HOSTS[centre][0]}/oauth/token/revoke"
    assert list(fields_of(talk.request, body).items()) == [*WHO.items(), ("token", REFRESH)]


def test_without_a_refresh_token_the_revocation_names_the_user_and_never_the_access_token() -> None:
    """An expired access token revokes nothing, with the same answer (pycronofy, issue 59)."""
    request = drive(user().logout(held(refresh_token=None)), reply()).request
    assert fields_of(request, "json") == {**WHO, "sub": SUB}


@centres
def test_the_page_of_an_authorization_is_the_vendors_example(centre: str) -> None:
    begun = nobody(data_center=centre).authorization()
    assert str(begun.url.with_query(None)) == f"{HOSTS[centre][1]}/oauth/authorize"
    assert list(begun.url.query.items()) == [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", CALLBACK),
        ("scope", "create_event delete_event"),
        ("state", begun.state.reveal()),
    ]


def test_an_authorization_takes_other_scopes_and_the_vendors_further_parameters() -> None:
    begun = nobody().authorization(scope="read_events", avoid_linking="true", provider_name="office365")
    assert begun.url.query["scope"] == "read_events"
    assert (begun.url.query["avoid_linking"], begun.url.query["provider_name"]) == ("true", "office365")


def test_with_pkce_the_verifier_goes_with_the_code_and_without_it_there_is_none() -> None:
    begun = nobody(pkce=True).authorization()
    assert begun.url.query["code_challenge_method"] == "S256"
    assert begun.code_verifier is not None
    request = drive(nobody().exchange(answered(begun), begun), reply(EXCHANGED)).request
    assert fields_of(request, "json")["code_verifier"] == begun.code_verifier.reveal()
    assert not {"code_challenge", "code_challenge_method"} & set(nobody().authorization().url.query)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("?error=access_denied&state={}", "declined"),
        ("?code=c0de&state=another", "not to this request"),
        ("?code=c0de", "not to this request"),
        ("?state={}", "has no code"),
    ],
)
def test_an_answer_without_a_code_of_this_request_asks_nobody(answer: str, words: str) -> None:
    begun = nobody().authorization()
    with pytest.raises(AuthorizationRequiredError, match=words):
        next(nobody().exchange(answer.format(begun.state.reveal()), begun))


@pytest.mark.parametrize("name", ["sub", "refresh_token"])
def test_an_exchange_that_names_no_user_or_nothing_to_renew_with_is_unreadable(name: str) -> None:
    begun = nobody().authorization()
    answer = {key: value for key, value in EXCHANGED.items() if key != name}
    with pytest.raises(UnreadableAnswerError, match=name):
        drive(nobody().exchange(answered(begun), begun), reply(answer))


def test_an_unreadable_life_loses_no_authorization() -> None:
    begun = nobody().authorization()
    talk = drive(nobody().exchange(answered(begun), begun), reply({**EXCHANGED, "expires_in": "soon"}))
    assert talk.result.expires_in is None
    assert talk.result.refresh_token == Secret("3gBYG1XamYDUEXUyybbummQWEe5YqPmf")


@pytest.mark.parametrize("seconds", [1, 1800, 3600, 10_800, 2_147_483_647])
def test_the_life_is_what_the_answer_says(seconds: int) -> None:
    token = drive(user().refresh(held()), reply({**REFRESHED, "expires_in": seconds})).result
    assert token.expires_in == min(seconds, 315_360_000)


def test_what_an_answer_to_a_refresh_leaves_out_stays_as_it_was() -> None:
    answer = {"token_type": "bearer", "access_token": "new", "expires_in": 3600}
    token = drive(user().refresh(held(extra={"account_id": SUB})), reply(answer)).result
    assert (token.refresh_token, token.scope) == (Secret(REFRESH), ("create_event", "delete_event"))
    assert (token.subject, dict(token.extra)) == (SUB, {"account_id": SUB})


def test_a_refresh_of_a_bare_refresh_token_names_the_user() -> None:
    bare = Token(refresh_token=REFRESH, expires_in=0)
    assert drive(user().refresh(bare), reply(REFRESHED)).result.subject == SUB


def test_a_refresh_that_answers_for_another_user_is_unreadable() -> None:
    with pytest.raises(UnreadableAnswerError, match="another user"):
        drive(user().refresh(held()), reply({**REFRESHED, "sub": "acc_other"}))


def test_without_a_refresh_token_only_the_user_can_help() -> None:
    with pytest.raises(GrantRefusedError, match="has to authorize again"):
        next(user().refresh(held(refresh_token=None)))
    with pytest.raises(AuthorizationRequiredError, match="has to authorize"):
        next(user().login())
    assert not user().can_login


def test_a_refresh_token_may_change_at_any_use_so_each_is_for_one() -> None:
    assert user().refresh_rotates is True


def test_the_scheme_of_another_user_is_not_made() -> None:
    with pytest.raises(AuthorizationRequiredError, match="another user authorized .acc_other. than"):
        user().for_token(held(subject="acc_other"))
    with pytest.raises(ConfigurationError, match="names no user"):
        user(sub="").for_token(held(subject=None))
    assert user().for_token(held()) == user()


def test_a_scheme_without_a_user_puts_no_token_on_requests() -> None:
    with pytest.raises(ConfigurationError, match=r"no sub: .* TokenManager.authorize"):
        nobody().apply(held())
    assert user().apply(held()).headers == {"Authorization": "Bearer old-access"}
