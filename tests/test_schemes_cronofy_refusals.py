"""What Cronofy's refusals say to whoever has to put them right: which error, in which words."""

import pytest

from asyncauth._errors import (
    AuthError,
    CredentialRefusedError,
    GrantRefusedError,
    UnreadableAnswerError,
    VendorBusyError,
    VendorFailedError,
)
from asyncauth._exchange import AuthResponse
from asyncauth.abc import AuthFlow
from cronofy_samples import REFRESH, REFRESHED, SECRET, held, nobody, user
from flow_driver import drive, reply

INVALID_GRANT = reply({"error": "invalid_grant"}, 400)
HTML = reply("<html>sign in</html>", headers={"Content-Type": "text/html"})


def exchange() -> AuthFlow[object]:
    scheme = nobody(data_center="de", pkce=True)
    begun = scheme.authorization()
    return scheme.exchange(f"?code=the-code&state={begun.state.reveal()}", begun)


def refresh() -> AuthFlow[object]:
    return user(data_center="de").refresh(held())


def revoke() -> AuthFlow[object]:
    return user(data_center="de").logout(held())


def calendar() -> AuthFlow[object]:
    return nobody(data_center="de").application_calendar("room-17")


FLOWS = {"exchange": exchange, "refresh": refresh, "revoke": revoke, "calendar": calendar}

every = pytest.mark.parametrize("name", FLOWS)


def failure(name: str, response: AuthResponse, kind: type[AuthError]) -> str:
    """Return what is said, which is one kind of error and holds no secret."""
    with pytest.raises(kind) as caught:
        drive(FLOWS[name](), response)
    assert type(caught.value) is kind
    shown = f"{caught.value} {caught.value!r}"
    assert not [secret for secret in (SECRET, REFRESH, "the-code", "old-access") if secret in shown]
    return str(caught.value)


@every
@pytest.mark.parametrize(
    "response", [reply({"error": "invalid_client"}, 401), reply(b"", 401), reply("<html>401</html>", 401)]
)
def test_a_refused_application_is_told_what_to_check_and_that_it_may_be_the_data_centre(
    name: str, response: AuthResponse
) -> None:
    words = failure(name, response, CredentialRefusedError)
    assert "check client_id and client_secret" in words
    assert "lives in the data centre 'de'" in words


def test_a_refused_refresh_token_needs_the_user() -> None:
    words = failure("refresh", INVALID_GRANT, GrantRefusedError)
    assert "invalid_grant" in words
    assert "the user has to authorize again" in words
    assert "of another data centre" in words


@pytest.mark.parametrize(
    "response",
    [
        INVALID_GRANT,
        reply({"errors": {"code": [{"key": "errors.unknown_or_used", "description": "x"}]}}, 422),
        reply({"error": "invalid_grant"}, 200),
    ],
)
def test_a_refused_code_needs_the_user_and_may_be_about_the_redirect_uri(response: AuthResponse) -> None:
    words = failure("exchange", response, GrantRefusedError)
    assert "the user has to authorize again" in words
    assert "redirect_uri" in words


@every
@pytest.mark.parametrize("code", ["invalid_request", "unsupported_grant_type", "something_else"])
def test_a_request_that_is_refused_as_it_is_is_not_sent_again(name: str, code: str) -> None:
    words = failure(name, reply({"error": code}, 400), CredentialRefusedError)
    assert code in words
    assert "check the arguments" in words


@every
def test_a_refused_content_type_leads_to_the_other_body(name: str) -> None:
    assert "another `body` than 'json'" in failure(name, reply(b"", 415), CredentialRefusedError)


@every
def test_a_missing_field_is_named(name: str) -> None:
    errors = {"errors": {"token": [{"key": "errors.required", "description": "is required"}]}}
    assert "token errors.required" in failure(name, reply(errors, 422), CredentialRefusedError)


@every
@pytest.mark.parametrize("errors", [{}, [], "x", None])
def test_a_422_of_another_form_is_unreadable(name: str, errors: object) -> None:
    assert "data centre's URL" in failure(name, reply({"errors": errors}, 422), UnreadableAnswerError)


@every
@pytest.mark.parametrize("problems", [[], "x", [1], {}])
def test_a_422_without_a_key_names_the_field(name: str, problems: object) -> None:
    assert "code;" in failure(name, reply({"errors": {"code": problems}}, 422), CredentialRefusedError)


@every
@pytest.mark.parametrize("status", [301, 302, 400, 402, 403, 404, 423])
def test_what_no_token_endpoint_says_may_be_a_wrong_url(name: str, status: int) -> None:
    assert "is the data centre's URL right" in failure(name, reply(b"", status), UnreadableAnswerError)


@every
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failure_of_the_vendor_is_its_own(name: str, status: int) -> None:
    assert "on the vendor's side" in failure(name, reply("<html></html>", status), VendorFailedError)


@every
@pytest.mark.parametrize(("headers", "seconds"), [({}, None), ({"Retry-After": "30"}, 30.0)])
def test_too_many_requests_are_declined(name: str, headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(VendorBusyError) as caught:
        drive(FLOWS[name](), reply(b"", 429, headers))
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("name", ["exchange", "refresh", "calendar"])
@pytest.mark.parametrize(
    "response",
    [
        HTML,
        reply(b""),
        reply("[]"),
        reply("{"),
        reply({"token_type": "bearer", "expires_in": 3600}),
        reply({**REFRESHED, "access_token": "a\nb"}),
        reply({**REFRESHED, "token_type": "mac"}),
    ],
)
def test_what_is_no_token_is_never_taken_for_one(name: str, response: AuthResponse) -> None:
    failure(name, response, UnreadableAnswerError)


@every
def test_words_that_repeat_a_secret_are_withheld(name: str) -> None:
    sent = {"exchange": "the-code", "refresh": REFRESH, "revoke": REFRESH, "calendar": SECRET}[name]
    assert "withheld" in failure(name, reply({"error": f"what is {sent}?"}, 400), CredentialRefusedError)
