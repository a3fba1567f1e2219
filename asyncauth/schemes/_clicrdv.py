"""Reading ClicRDV's answers: what a login came to, its cookie, and the signs of a dead session."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from asyncauth._errors import AuthError, CredentialRefusedError, UnreadableAnswerError
from asyncauth._exchange import AuthResponse
from asyncauth._token import Token
from asyncauth.abc import Verdict
from asyncauth.schemes._answers import raise_for_failure, shown

COOKIE = "_session_id"

# "Authentication": a session expires after 1 hour of inactivity.
_IDLE = 3600

# RFC 6265, section 4.1.1: cookie-octet.
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+")

_KEYS_DIFFER = "sandbox and production have different keys"

# "API responses" lists meanings that overlap, and the authentication page contradicts it.
_MEANINGS = {
    400: f"a parameter is missing or not accepted: check the e-mail and the API key ({_KEYS_DIFFER}), and "
    "whether something on the way drops the query",
    404: f"nothing here for this API key: check the key ({_KEYS_DIFFER}) and the base URL",
}

_VERDICTS = {401: Verdict.REFUSED, 429: Verdict.BACK_OFF} | dict.fromkeys(
    (301, 302, 303, 307, 308, 403, 404), Verdict.SUSPECT
)
# Members of an enumeration are slow to reach in Python 3.11, and this one is asked for each time.
_FINE = Verdict.FINE


def opened_session(response: AuthResponse, profile: str, email: str, secrets: Collection[str]) -> Token:
    """Return the session that a login opened.

    Raises:
        CredentialRefusedError: The login was refused, by its status or inside a 200.
        VendorError: Anything else that opens no session.
    """
    person = _person(response, profile, secrets)
    told = {"profile_id": person.get("id"), "group_id": person.get("group_id")}
    return Token(
        cookies={COOKIE: _session_id(response)},
        idle_timeout=_IDLE,
        subject=email,
        extra={name: value for name, value in told.items() if type(value) is int},
    )


def _person(response: AuthResponse, profile: str, secrets: Collection[str]) -> Mapping[str, Any]:
    raise_for_failure(response)
    if response.status != 200:  # noqa: PLR2004
        raise _failure(response, profile, secrets)
    answer = response.json_object()
    if answer.get("error") is not None or answer.get(profile, "absent") is None:
        raise _refusal(response, profile, answer, secrets)
    person = answer.get(profile)
    if not isinstance(person, dict):
        raise UnreadableAnswerError(f"{response} holds no {profile}, and no error either")
    return person


def _session_id(response: AuthResponse) -> str:
    pairs = (header.partition(";")[0].partition("=") for header in response.headers.getall("Set-Cookie", []))
    value = "".join([value.strip() for name, _, value in pairs if name.strip() == COOKIE][-1:])
    if not _COOKIE_VALUE.fullmatch(value):
        raise UnreadableAnswerError(
            f"{response} sets no {COOKIE} cookie: something on the way may have dropped it"
        )
    return value


def judge(status: int, content_type: str) -> Verdict:
    """Judge a call in a session by its head: most of what may mean a dead one may mean something else."""
    verdict = _VERDICTS.get(status)
    if verdict is not None:
        return verdict
    is_page = status < 500 and "html" in content_type.lower()  # noqa: PLR2004
    return Verdict.SUSPECT if is_page else _FINE


def members_of(response: AuthResponse) -> Mapping[str, Any]:
    """Return the members of a JSON object; nothing of any other answer."""
    try:
        return response.json_object()
    except UnreadableAnswerError:
        return {}


def is_doubtful(answer: Mapping[str, Any], *, empty_is_suspect: bool) -> bool:
    """Tell whether the members of an answer may mean a dead session."""
    return answer.get("error") is not None or (empty_is_suspect and answer.get("records") == [])


def _failure(response: AuthResponse, profile: str, secrets: Collection[str]) -> AuthError:
    answer = members_of(response)
    # A page with 404 is the web server's own; the API answers with members.
    if response.status in {401, 403} or (answer and response.status in _MEANINGS):
        return _refusal(response, profile, answer, secrets)
    return UnreadableAnswerError(f"{response} is no answer of a login: check the base URL and the API key")


def _refusal(
    response: AuthResponse, profile: str, answer: Mapping[str, Any], secrets: Collection[str]
) -> CredentialRefusedError:
    meaning = _MEANINGS.get(
        response.status,
        f"check e-mail and password of this {profile}, and the API key: ClicRDV does not say which of them "
        f"is wrong, and {_KEYS_DIFFER}",
    )
    words = shown(answer.get("error"), secrets)
    return CredentialRefusedError(f"{response}: {meaning}" + (f". Its words: {words}" if words else ""))
