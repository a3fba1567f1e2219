"""What Cronofy's endpoints should never answer: an error of our tree that shows nothing."""

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._errors import (
    AuthError,
    AuthorizationRequiredError,
    TokenUnavailableError,
    UnreadableAnswerError,
    VendorError,
)
from asyncauth._exchange import AuthResponse
from asyncauth._token import Token
from asyncauth.abc import AuthFlow
from asyncauth.schemes import CronofyUser
from flow_driver import NOW, drive, reply

SECRET = "correct-horse-battery"
SPENT = "spent-refresh-token-text"
MARK = "what-the-vendor-keeps-secret"
HELD = Token(access_token="held-access-token", refresh_token=SPENT)
USER = CronofyUser(
    client_id="app", client_secret=SECRET, sub="acc_1", redirect_uri="https://app.example/back", pkce=True
)
BEGUN = USER.authorization()

FLOWS: dict[str, Callable[[], AuthFlow[Token | None]]] = {
    "refresh": lambda: USER.refresh(HELD),
    "exchange": lambda: USER.exchange(f"?state={BEGUN.state.reveal()}&code={SPENT}", BEGUN),
    "calendar": lambda: USER.application_calendar("room-17"),
    "revoke": lambda: USER.logout(HELD),
}
every = pytest.mark.parametrize("name", FLOWS)
tokens = pytest.mark.parametrize("name", ["refresh", "exchange", "calendar"])

GOOD = {"access_token": "abc", "expires_in": 60, "refresh_token": "def", "sub": "acc_1"}


def shown(error: AuthError) -> str:
    return "".join([*traceback.format_exception(error), repr(error)])


def said(flow: AuthFlow[object], response: AuthResponse) -> str:
    """Return what an answer's error shows, if it is one."""
    try:
        drive(flow, response)
    except AuthError as error:
        return shown(error)
    return ""


@tokens
@pytest.mark.parametrize("token", ["", None, 17, True, [], {}, f"{MARK}\n", f" {MARK}", f"{MARK}\x00", "é"])
def test_a_token_that_no_header_may_carry_is_unreadable_and_not_shown(name: str, token: object) -> None:
    with pytest.raises(UnreadableAnswerError, match="access_token") as caught:
        drive(FLOWS[name](), reply({**GOOD, "access_token": token}))
    assert MARK not in shown(caught.value)


@tokens
@pytest.mark.parametrize("token", [17, True, ["a"], f"{MARK}\n{MARK}"])
def test_a_refresh_token_that_is_none_is_unreadable_and_not_shown(name: str, token: object) -> None:
    with pytest.raises(UnreadableAnswerError, match="refresh_token") as caught:
        drive(FLOWS[name](), reply({**GOOD, "refresh_token": token}))
    assert MARK not in shown(caught.value)


@pytest.mark.parametrize("name", ["exchange", "calendar"])
@pytest.mark.parametrize("sub", ["", None, 17, [], {}])
def test_a_user_without_a_name_is_unreadable(name: str, sub: object) -> None:
    with pytest.raises(UnreadableAnswerError, match="sub"):
        drive(FLOWS[name](), reply({**GOOD, "sub": sub}))


NAMES = [
    *("access_token", "refresh_token", "expires_in", "token_type", "scope", "sub", "account_id"),
    *("linking_profile", "error", "error_description", "errors", "code", "key", "description"),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["invalid_grant", "invalid_client", "bearer", "acc_1", "errors.unknown_or_used"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=10).map(
    lambda value: json.dumps(value).encode()
)
ANSWERS = st.builds(
    lambda status, body: AuthResponse(status=status, body=body, received_at=NOW),
    status=st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 415, 422, 429, 500]),
    body=st.binary(max_size=60) | OBJECTS,
)


@pytest.mark.slow
@every
@given(answer=ANSWERS)
def test_whatever_comes_it_is_a_token_or_an_error_of_ours(name: str, answer: AuthResponse) -> None:
    try:
        token = drive(FLOWS[name](), answer).result
    except (TokenUnavailableError, VendorError):
        return
    assert name == "revoke" or isinstance(token, Token)
    if token is not None:
        assert token.access_token is not None
        assert token.refresh_token is not None
        assert token.subject
        assert token.expires_in is None or token.expires_in > 0


@pytest.mark.slow
@every
@given(
    place=st.sampled_from(NAMES),
    status=st.sampled_from([200, 400, 401, 422]),
    base=st.sampled_from([{}, {"error": "invalid_client"}, {"error": "invalid_grant"}]),
)
def test_no_error_shows_what_was_sent_wherever_the_vendor_repeats_it(
    name: str, place: str, status: int, base: dict[str, Any]
) -> None:
    for secret in (SECRET,) if name == "calendar" else (SECRET, SPENT):
        words = f"we got {secret}!"
        answer = {**base, place: words}
        for body in (answer, {"error": answer}, {"errors": {words: [{"key": words}]}}):
            assert secret not in said(FLOWS[name](), reply(body, status))


@pytest.mark.parametrize("body", ["<html>who are you?", "<!DOCTYPE html>"])
def test_a_portals_page_confirms_no_revocation(body: str) -> None:
    with pytest.raises(UnreadableAnswerError, match="a proxy or login page answered"):
        drive(USER.logout(HELD), reply(body))


@pytest.mark.parametrize("sub", ["", 7, "acc_1\n\x1b[31m", "\ud800"])
def test_a_name_that_is_none_names_no_user(sub: object) -> None:
    answer = {"access_token": "a", "refresh_token": "r", "sub": sub}
    for name in ("exchange", "calendar"):
        with pytest.raises(UnreadableAnswerError, match="names no user"):
            drive(FLOWS[name](), reply(answer))


def test_of_another_users_long_name_not_all_is_shown() -> None:
    with pytest.raises(AuthorizationRequiredError, match="another user authorized") as caught:
        USER.for_token(Token(access_token="a", subject="acc_" + 1000 * "x"))
    assert len(str(caught.value)) < 500
