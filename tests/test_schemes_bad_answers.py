"""What no token endpoint should answer, for every scheme: an error of our tree that shows nothing."""

import json
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._errors import (
    AuthError,
    TokenUnavailableError,
    UnreadableAnswerError,
    VendorBusyError,
    VendorError,
    VendorFailedError,
)
from asyncauth._exchange import AuthResponse
from asyncauth._token import Token
from asyncauth.abc import AuthFlow, AuthScheme
from asyncauth.schemes import (
    AuthorizationCode,
    CareCloudEnterprise,
    ClientCredentials,
    ITCare,
    RefreshToken,
    Simplicite,
)
from flow_driver import NOW, drive, reply

PASSWORD = "correct-horse-battery"
SPENT = "spent-refresh-token-text"
MARK = "what-the-vendor-keeps-secret"
HELD = Token(access_token="held-access-token", refresh_token=SPENT)
TOKEN_URL = "https://id.example/token"


@attrs.frozen
class Case:
    """A conversation that gets a token, and where in its answer the token stands."""

    flow: Callable[[], AuthFlow[Token]]
    member: str
    wrap: Callable[[dict[str, Any]], dict[str, Any]] = dict


def _data(answer: dict[str, Any]) -> dict[str, Any]:
    return {"data": answer}


SERVICE = ClientCredentials(TOKEN_URL, client_id="app", client_secret=PASSWORD)
USER = RefreshToken(TOKEN_URL, client_id="app", client_secret=PASSWORD, subject="user-17")
ITCARE = ITCare(client_id="app", client_secret=PASSWORD)
ITCARE_REFRESH = ITCare(client_id="app", client_secret=PASSWORD, renew_with="refresh_token")
ITCARE_DOCUMENTED = ITCare(client_id="app", client_secret=PASSWORD, renew_with="documented")
PERSON = AuthorizationCode(
    TOKEN_URL,
    authorization_url="https://id.example/authorize",
    subject="user-17",
    client_id="app",
    client_secret=PASSWORD,
    redirect_uri="https://app.example/authorized",
)
BEGUN = PERSON.authorization()
CAME_BACK = f"state={BEGUN.state.reveal()}&code={SPENT}"
SIMPLICITE = Simplicite("https://erp.example/api", login="svc", password=PASSWORD)
CARECLOUD = CareCloudEnterprise(
    "crm.example", application_id="app", login="svc", password=PASSWORD, timezone="Europe/Prague"
)
SCHEMES: list[AuthScheme] = [SERVICE, USER, PERSON, ITCARE, ITCARE_REFRESH, SIMPLICITE, CARECLOUD]

CASES = {
    "service": Case(SERVICE.login, "access_token"),
    "user": Case(lambda: USER.refresh(HELD), "access_token"),
    "itcare": Case(ITCARE.login, "access_token"),
    "itcare-refresh": Case(lambda: ITCARE_REFRESH.refresh(HELD), "access_token"),
    "itcare-documented": Case(lambda: ITCARE_DOCUMENTED.refresh(HELD), "access_token"),
    "person": Case(lambda: PERSON.exchange(CAME_BACK, BEGUN), "access_token"),
    "simplicite": Case(SIMPLICITE.login, "authtoken"),
    "carecloud": Case(CARECLOUD.login, "bearer_token", _data),
}

BAD_BODIES = {
    "HTML": b"<html><body>Sign in</body></html>",
    "HTML in capitals": b"\n<!DOCTYPE HTML>",
    "empty": b"",
    "blank": b" \n",
    "a list": b'["access_token"]',
    "a string": b'"access_token"',
    "null": b"null",
    "cut JSON": b'{"access_token": "abc',
    "no UTF-8": b"\xff\xfe\x00",
    "a deep nest": b"[" * 100_000,
    "a long number": b'{"expires_in": ' + b"9" * 10_000 + b"}",
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def failure(case: Case, response: AuthResponse) -> AuthError | None:
    try:
        drive(case.flow(), response)
    except AuthError as error:
        return error
    return None


def shown(error: AuthError | None) -> str:
    return "" if error is None else "".join([*traceback.format_exception(error), repr(error)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/html", ""])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_success_without_a_json_object_is_unreadable(case: Case, body: bytes, kind: str) -> None:
    with pytest.raises(UnreadableAnswerError):
        drive(case.flow(), reply(body, headers={"Content-Type": kind}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer", [{}, {"token_type": "bearer", "expires_in": 60}, {"data": None}, {"data": []}]
)
def test_an_answer_without_a_token_is_unreadable(case: Case, answer: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswerError):
        drive(case.flow(), reply(case.wrap(answer)))
    with pytest.raises(UnreadableAnswerError):
        drive(case.flow(), reply(answer))


@pytest.mark.parametrize(
    "token",
    [
        "",
        None,
        17,
        True,
        [],
        {},
        f"{MARK}\n",
        f"{MARK}\r\nX-Evil: 1",
        f" {MARK}",
        f"{MARK}\x00",
        "é",
        "\ud800",
    ],
)
def test_a_token_that_no_header_may_carry_is_unreadable_and_not_shown(case: Case, token: object) -> None:
    with pytest.raises(UnreadableAnswerError) as caught:
        drive(case.flow(), reply(case.wrap({case.member: token})))
    assert case.member in str(caught.value)
    assert MARK not in shown(caught.value)


@pytest.mark.parametrize("refresh_token", [17, True, ["a"], f"{MARK}\n{MARK}"])
def test_a_refresh_token_that_is_none_is_unreadable_and_not_shown(refresh_token: object) -> None:
    for flow in (SERVICE.login(), USER.refresh(HELD), ITCARE_REFRESH.login()):
        with pytest.raises(UnreadableAnswerError) as caught:
            drive(flow, reply({"access_token": "abc", "refresh_token": refresh_token}))
        assert MARK not in shown(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b'{"error": "invalid_grant"}'])
def test_the_status_counts_more_than_the_body_where_the_vendor_fails(case: Case, body: bytes) -> None:
    for status in (500, 502, 503, 504):
        with pytest.raises(VendorFailedError):
            drive(case.flow(), reply(body, status))
    with pytest.raises(VendorBusyError):
        drive(case.flow(), reply(body, 429))


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_no_answer(case: Case, status: int) -> None:
    with pytest.raises(UnreadableAnswerError):
        drive(case.flow(), reply(status=status, headers={"Location": "https://stranger.example/"}))


NAMES = [
    *("access_token", "refresh_token", "expires_in", "refresh_expires_in", "token_type", "scope"),
    *("authtoken", "authtokenexpiry", "authtokenexpires", "login", "type", "exception"),
    *("data", "bearer_token", "valid_to", "error", "error_description", "error_data", "invalid_params"),
    *("name", "reason"),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["invalid_grant", "invalid_client", "bearer", "svc", "2026-10-25 02:30:00", "password"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=10).map(
    lambda value: json.dumps(value).encode()
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(["application/json", "text/plain", "text/html", "x"]),
        "Date": st.text(max_size=30) | st.just("Sun, 25 Oct 2026 00:30:00 GMT"),
        "Retry-After": st.text(max_size=30) | st.sampled_from(["5", "Sun, 25 Oct 2026 00:30:00 -9999"]),
    },
)
ANSWERS = st.builds(
    lambda status, headers, body: AuthResponse(status=status, headers=headers, body=body, received_at=NOW),
    status=st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503]),
    headers=HEADERS,
    body=st.binary(max_size=60) | OBJECTS,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@given(answer=ANSWERS)
def test_whatever_comes_it_is_a_token_or_an_error_of_ours(name: str, answer: AuthResponse) -> None:
    try:
        token = drive(CASES[name].flow(), answer).result
    except (TokenUnavailableError, VendorError):
        return
    assert token.access_token is not None
    assert token.expires_in is None or token.expires_in > 0


PLACES = st.sampled_from(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@given(
    place=PLACES,
    status=st.sampled_from([200, 400, 401, 403, 500]),
    # Of what was sent: the vendors without refresh tokens never saw one.
    sent=st.sampled_from([PASSWORD, SPENT]),
    base=st.sampled_from([{}, {"error": "invalid_client"}, {"error": "invalid_grant"}]),
)
def test_no_error_shows_what_was_sent_wherever_the_vendor_repeats_it(
    name: str, place: str, status: int, sent: str, base: dict[str, Any]
) -> None:
    secret = sent if name in {"user", "itcare-refresh", "itcare-documented", "person"} else PASSWORD
    answer = {**base, place: f"we got {secret}!"}
    for body in (answer, {"error": answer}, {"data": answer}, {"error": {"error_data": answer}}):
        assert secret not in shown(failure(CASES[name], reply(body, status)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@given(
    before=st.binary(max_size=20), after=st.binary(max_size=20), status=st.sampled_from([200, 400, 401, 403])
)
def test_no_error_shows_the_body(name: str, before: bytes, after: bytes, status: int) -> None:
    body = b"<" + before + MARK.encode() + after
    with pytest.raises(AuthError) as caught:
        drive(CASES[name].flow(), reply(body, status))
    assert MARK not in shown(caught.value)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: type(scheme).__name__)
def test_no_scheme_shows_its_secret(scheme: AuthScheme) -> None:
    texts = [repr(scheme), str(scheme), repr(scheme.key), scheme.fingerprint, scheme.key.name("")]
    assert PASSWORD not in " ".join(texts)
    assert len(scheme.fingerprint) == 16
