"""Cronofy's schemes by hand: whose token it is, where it goes, how responses are judged, wrong arguments."""

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from asyncauth._errors import (
    AuthorizationRequiredError,
    ConfigurationError,
    InsecureURLError,
)
from asyncauth._exchange import AuthRequest
from asyncauth._token import Token
from asyncauth.abc import Verdict
from asyncauth.schemes import AuthorizationRequest
from cronofy_samples import (
    CALLBACK,
    CLIENT,
    HOSTS,
    REFRESH,
    REFRESHED,
    SECRET,
    application,
    held,
    nobody,
    user,
)
from flow_driver import Head, drive, reply

centres = pytest.mark.parametrize("centre", HOSTS)

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


def test_the_seeds_example_of_a_users_call() -> None:
    assert user().base_url / "v1/calendars" == URL("https://api.cronofy.com/v1/calendars")
    assert user().apply(Token(access_token="{ACCESS_TOKEN}")).headers == {
        "Authorization": "Bearer {ACCESS_TOKEN}"
    }


@centres
def test_a_token_goes_to_the_api_of_its_data_centre_only(centre: str) -> None:
    for scheme in (user(data_center=centre), application(data_center=centre)):
        assert scheme.origins == {URL(HOSTS[centre][0])}
        assert str(scheme.base_url) == HOSTS[centre][0]


def test_the_key_is_data_centre_application_and_user() -> None:
    keys = [
        user(),
        user(data_center="de"),
        user(client_id="other"),
        user(sub="acc_other"),
        application(),
        application(data_center="de"),
    ]
    assert len({scheme.key for scheme in keys}) == len(keys)
    assert user().key == user(scope="x", body="form", client_secret="new", redirect_uri=CALLBACK).key
    assert SECRET not in repr(user().key)


def test_the_fingerprint_changes_with_what_a_401_may_be_about() -> None:
    assert user().fingerprint == user(scope="read_events", redirect_uri=CALLBACK).fingerprint
    others = [user(client_secret="new"), user(body="form"), user(data_center="de"), user(client_id="x")]
    assert len({scheme.fingerprint for scheme in [user(), *others]}) == 5
    assert (
        application().fingerprint == application().fingerprint != application(client_secret="x").fingerprint
    )


def test_all_users_of_an_application_share_one_pace() -> None:
    assert user().pace == user(sub="acc_other").pace
    assert user().pace.per_second == 2
    assert user(renewals_per_second=8).pace.per_second == 8
    assert user().pace.name != user(data_center="de").pace.name


def test_the_place_to_authorize_is_shown_without_a_state() -> None:
    assert user().authorize_url is None
    url = nobody(data_center="uk").authorize_url
    assert url is not None
    assert str(url).startswith("https://app-uk.cronofy.com/oauth/authorize?response_type=code&client_id=")
    assert "state" not in url.query


@pytest.mark.parametrize(
    ("status", "path", "verdict"),
    [
        (200, "/v1/calendars", Verdict.FINE),
        (401, "/v1/calendars", Verdict.REFUSED),
        (402, "/v1/calendars", Verdict.FINE),
        (403, "/v1/calendars", Verdict.NEEDS_USER),
        (404, "/v1/calendars", Verdict.FINE),
        (422, "/v1/calendars", Verdict.FINE),
        (423, "/v1/calendars", Verdict.FINE),
        (429, "/v1/calendars", Verdict.BACK_OFF),
        (503, "/v1/calendars", Verdict.FINE),
        (401, "/v1/real_time_scheduling/abc", Verdict.FINE),
        (401, "/v1/smart_invites", Verdict.FINE),
        (401, "/v1/element_tokens", Verdict.FINE),
    ],
)
def test_a_users_responses_are_judged_by_their_status(status: int, path: str, verdict: Verdict) -> None:
    head = Head(status=status, url=URL("https://api.cronofy.com") / path.lstrip("/"))
    assert user().classify(head, held()) is verdict


def test_what_is_missing_names_the_granted_scopes_and_what_to_do() -> None:
    head = Head(status=403, url=URL("https://api.cronofy.com/v1/events?tzid=x"))
    assert user().missing(head, held()) == (
        "403 of https://api.cronofy.com/v1/events: the user granted create_event delete_event, and this call"
        " needs another scope: begin an authorization(scope=...) with it"
    )
    assert "unknown scopes" in user().missing(head, held(scope=""))


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.FINE),
        (401, Verdict.FINE),
        (403, Verdict.FORBIDDEN),
        (422, Verdict.FINE),
        (429, Verdict.BACK_OFF),
    ],
)
def test_an_applications_refusal_renews_nothing(status: int, verdict: Verdict) -> None:
    assert application().classify(Head(status=status), application().constant) is verdict


def test_the_seeds_example_of_an_applications_call() -> None:
    scheme = application(client_secret="{API_KEY}")
    assert scheme.apply(scheme.constant).headers == {"Authorization": "Bearer {API_KEY}"}
    assert drive(scheme.login()).result is drive(scheme.refresh(held())).result is scheme.constant
    assert scheme.constant.expires_in is None


def test_a_body_with_credentials_is_the_vendors_example_and_shows_no_secret() -> None:
    body = application().with_credentials({"application_calendar_id": "my-unique-string"})
    assert json.dumps(body) == (
        '{"client_id": "{CLIENT_ID}", "client_secret": "{CLIENT_SECRET}",'
        ' "application_calendar_id": "my-unique-string"}'
    )
    assert repr(body) == str(body) == "<a body with client_id, client_secret, application_calendar_id>"
    with pytest.raises(ConfigurationError, match="client_secret already"):
        application().with_credentials(body)


def test_an_application_calendar_is_a_user_that_the_application_makes() -> None:
    """The answer of "Application Calendars"."""
    answer = {
        **REFRESHED,
        "scope": "read_write",
        "application_calendar_id": "my-unique-string",
        "sub": "apc_64b17fbb8090ea21640c9152",
        "linking_profile": {"provider_name": "cronofy", "profile_id": "pro_n23kjnwrw2"},
    }
    talk = drive(nobody().application_calendar("my-unique-string"), reply(answer))
    assert str(talk.request.url) == "https://api.cronofy.com/v1/application_calendars"
    assert fields_of(talk.request, "json") == {**WHO, "application_calendar_id": "my-unique-string"}
    assert talk.result.subject == "apc_64b17fbb8090ea21640c9152"
    assert nobody().for_token(talk.result).key.subject == "apc_64b17fbb8090ea21640c9152"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client_id": ""}, "client_id is empty"),
        ({"client_secret": ""}, "client_secret is empty"),
        ({"client_secret": "s\n"}, "client_secret has a line break"),
        ({"data_center": "eu"}, "data_center must be one of us, au, ca, de, sg, uk"),
        ({"body": "xml"}, "body must be one of json, form"),
        ({"renewals_per_second": 0}, "renewals_per_second must be more than 0"),
        ({"redirect_uri": "/callback"}, "redirect_uri has to be an absolute URL"),
    ],
)
def test_arguments_that_cannot_work_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        user(**options)


def test_arguments_of_an_application_that_cannot_work_are_named() -> None:
    with pytest.raises(ConfigurationError, match="no header may carry"):
        application(client_secret="clé")
    with pytest.raises(InsecureURLError):
        application(api_url="http://api.cronofy.com")
    with pytest.raises(InsecureURLError):
        user(app_url="http://app.cronofy.com")
    with pytest.raises(ConfigurationError, match="redirect_uri is needed"):
        user().authorization()


def test_nothing_that_is_shown_holds_a_secret() -> None:
    begun = nobody(pkce=True).authorization()
    exchange = nobody().exchange(answered(begun, "the-code"), begun)
    shown = f"{user()!r} {application()!r} {next(user().refresh(held()))!r} {next(exchange)!r} {begun!r}"
    shown += f"{user().key} {application().constant!r} {user().pace} {nobody().authorize_url}"
    assert begun.code_verifier is not None
    secrets = [SECRET, REFRESH, "old-access", "the-code", begun.state.reveal(), begun.code_verifier.reveal()]
    assert not [secret for secret in secrets if secret in shown]


@given(sub=st.text(), expected=st.text())
def test_a_token_is_kept_under_its_own_user_or_not_at_all(sub: str, expected: str) -> None:
    try:
        scheme = user(sub=expected).for_token(held(subject=sub))
    except (AuthorizationRequiredError, ConfigurationError):
        assert not sub or (expected and expected != sub)
    else:
        assert scheme.key.subject == scheme.sub == sub
