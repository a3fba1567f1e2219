"""What a token endpoint refuses, and which of its words are shown."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._errors import (
    CredentialRefusedError,
    GrantRefusedError,
    UnreadableAnswerError,
    VendorBusyError,
    VendorFailedError,
)
from flow_driver import drive, reply
from oauth2_samples import (
    CLIENT,
    RFC_REFRESH,
    held,
    refusal,
    service,
    user,
)


@pytest.mark.parametrize("status", [400, 401, 403, 200])
@pytest.mark.parametrize(
    "code",
    ["invalid_client", "unauthorized_client", "invalid_request", "invalid_scope", "unsupported_grant_type"],
)
def test_what_no_repetition_cures_refuses_the_credential(status: int, code: str) -> None:
    for flow in (service().login(), user().refresh(held())):
        with pytest.raises(CredentialRefusedError, match=code):
            drive(flow, refusal(status, code))


@pytest.mark.parametrize("status", [400, 401, 200])
def test_invalid_grant_refuses_the_refresh_token(status: int) -> None:
    with pytest.raises(GrantRefusedError, match=r"invalid_grant; .*a new authorization is needed"):
        drive(user().refresh(held()), refusal(status, "invalid_grant"))


def test_invalid_grant_for_a_login_refuses_the_credential() -> None:
    with pytest.raises(CredentialRefusedError):
        drive(service().login(), refusal(400, "invalid_grant"))


def test_an_unknown_code_refuses_the_grant_of_a_refresh_and_the_credential_of_a_login() -> None:
    with pytest.raises(GrantRefusedError, match="bad_refresh_token"):
        drive(user().refresh(held()), refusal(400, "bad_refresh_token"))
    with pytest.raises(CredentialRefusedError, match="invalid_target"):
        drive(service().login(), refusal(400, "invalid_target"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (302, "Found"),
        (400, "Bad Request"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (404, "no_such_path"),
        (405, "Method not allowed"),
        (408, "Request Timeout"),
        (415, "Unsupported Media Type"),
    ],
)
def test_a_gateways_error_is_no_word_on_the_grant_or_the_client(status: int, words: str) -> None:
    for flow in (service().login(), user().refresh(held())):
        with pytest.raises(UnreadableAnswerError, match=f"{words}; .* is its URL right"):
            drive(flow, reply({"timestamp": 1, "status": status, "error": words, "path": "/token"}, status))


@pytest.mark.parametrize("code", ["temporarily_unavailable", "server_error"])
def test_a_passing_trouble_is_the_vendors_failure(code: str) -> None:
    with pytest.raises(VendorFailedError):
        drive(service().login(), refusal(400, code))


def test_a_401_without_a_body_refuses_the_credential() -> None:
    with pytest.raises(CredentialRefusedError, match="client_secret"):
        drive(service().login(), reply(status=401))


@pytest.mark.parametrize("status", [302, 400, 403, 404, 405])
def test_another_status_without_an_error_code_is_unreadable(status: int) -> None:
    with pytest.raises(UnreadableAnswerError, match="is its URL right"):
        drive(service().login(), reply("<html>no</html>", status))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:27:00 GMT"}, 60),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0),
        ({"Retry-After": "Sun, 15 Jun 2025 15:16:40 GMT"}, 600),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "9" * 5000}, 315_360_000),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(VendorBusyError) as busy:
        drive(service().login(), reply(status=429, headers=headers))
    with pytest.raises(VendorFailedError) as failed:
        drive(service().login(), reply("<html>Gateway Time-out</html>", 504, headers))
    assert (busy.value.retry_after, failed.value.retry_after) == (seconds, seconds)


def test_the_vendors_words_are_shown_short_and_printable() -> None:
    words = "Zugriff\r\nverweigert\x1b[31m für diesen Client " + "x" * 5000
    with pytest.raises(CredentialRefusedError) as caught:
        drive(service().login(), refusal(401, "invalid_client", words))
    message = str(caught.value)
    assert "Zugriff verweigert [31m für diesen Client xxx" in message
    assert message.isprintable()
    assert len(message) < 500


SECRET = "p:%+ é-Very-Secret"
ECHOES = [
    SECRET,
    SECRET.upper(),
    SECRET[:-3],
    "p%3A%25%2B+%C3%A9-Very-Secret",
    b64encode(f"{CLIENT}:{SECRET}".encode()).decode(),
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("member", ["error", "error_description"])
def test_words_that_repeat_our_secret_are_withheld(echo: str, member: str) -> None:
    scheme = service(client_secret=SECRET, urlencode_basic=False)
    answer = {"error": "invalid_client", member: f"bad credentials {echo} given"}
    with pytest.raises(CredentialRefusedError, match="withheld") as caught:
        drive(scheme.login(), reply(answer, 401))
    assert echo not in str(caught.value)


def test_words_that_repeat_the_refresh_token_are_withheld() -> None:
    for scheme in (user(), user(client_secret=None)):
        with pytest.raises(GrantRefusedError, match="withheld") as caught:
            drive(scheme.refresh(held()), refusal(400, "invalid_grant", f"unknown token {RFC_REFRESH}"))
        assert RFC_REFRESH not in str(caught.value)


HINT = "reads Basic in the other way: try urlencode_basic="


@pytest.mark.parametrize("options", [{"client_id": "an app"}, {"client_secret": "100%"}])
@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client"])
def test_where_encoding_matters_the_other_way_of_basic_is_hinted_at(
    options: dict[str, str], code: str
) -> None:
    for encoded in (True, False):
        with pytest.raises(CredentialRefusedError, match=f"{HINT}{not encoded}"):
            drive(service(urlencode_basic=encoded, **options).login(), refusal(401, code))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "invalid_client"),
        ({"client_id": "an app"}, "invalid_scope"),
        ({"client_id": "an app", "client_auth": "body"}, "invalid_client"),
        ({"client_id": "an app", "client_secret": None}, "invalid_client"),
    ],
)
def test_where_basic_is_not_the_matter_it_is_not_hinted_at(options: dict[str, Any], code: str) -> None:
    with pytest.raises(CredentialRefusedError) as caught:
        drive(user(**options).refresh(held()), refusal(401, code))
    assert HINT not in str(caught.value)


def test_of_an_endless_text_only_what_is_shown_is_searched() -> None:
    words = "no luck " * 100_000 + RFC_REFRESH
    with pytest.raises(GrantRefusedError, match="no luck no luck") as caught:
        drive(user().refresh(held()), refusal(400, "invalid_grant", words))
    assert RFC_REFRESH not in str(caught.value)


@given(
    secret=st.text(st.characters(categories=["L", "N", "P"]), min_size=1),
    before=st.text(max_size=300),
    after=st.text(),
)
def test_no_text_of_the_vendor_gives_the_secret_away(secret: str, before: str, after: str) -> None:
    with pytest.raises(CredentialRefusedError) as caught:
        drive(service(client_secret=secret).login(), refusal(401, "invalid_client", before + secret + after))
    assert "withheld" in str(caught.value)
