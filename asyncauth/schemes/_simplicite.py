"""Simplicité's login in its forms, and reading what its servers answer, whatever they were asked for."""

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from yarl import URL

from asyncauth._errors import AuthError, CredentialRefusedError, UnreadableAnswerError
from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth.schemes._answers import (
    clamp,
    is_success,
    now_of,
    number,
    raise_for_failure,
    server_time,
    token_text,
)

# The form of both kinds of token (opaque, JWT). The shortest in the documents has 50 characters; less
# than 20 is more likely a word such as "Unauthorized".
_BARE_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{20,8192}")

# RFC 6265, section 4.1.1: cookie-name "=" cookie-value, where quotes may stand around the value.
_COOKIE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=\"?([!#-+\--:<-\[\]-~]+)\"?")

_SESSION = "JSESSIONID"

_OUT_OF_PLACE = {
    404: "there is no login service: does the base URL have the application's path, as in "
    "https://host/myapp/api?",
    405: "this is no login service: is the base URL that of the API endpoint?",
}


# "Services authentication": the Accept header asks for JSON from 5.2.39 on only, parameters always did.
_ASKING: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"json": {"format": "json", "_json": "true"}, "oauth2": {"_oauth2": "true"}}
)


def asking_for(answer: str, redirect_uri: URL | None) -> dict[str, str]:
    """Return the query that asks a login for a form of answer; without one it is the bare token."""
    redirect = {} if redirect_uri is None else {"redirect_uri": str(redirect_uri)}
    return {**_ASKING.get(answer, {}), **redirect}


def login_request(way: str, url: URL, fields: Mapping[str, str], basic: Mapping[str, str]) -> AuthRequest:
    """Return a login.

    Args:
        way: `basic`, `form` or `query`.
        url: The login service, with what it is asked for.
        fields: The credentials for a form or query.
        basic: The same as a header.
    """
    if way == "form":
        return multipart(url, fields)
    if way == "query":
        return AuthRequest(method="GET", url=url.with_query({**fields, **url.query}))
    return AuthRequest(method="GET", url=url, headers=basic)


def multipart(url: URL, fields: Mapping[str, str]) -> AuthRequest:
    """Return a POST of `multipart/form-data`, as the vendor's page sends it with `curl --form`."""
    # Random, as RFC 2046, section 5.1.1 suggests: a digest of the fields would tell of the password.
    boundary = "-" * 24 + secrets.token_hex(8)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return AuthRequest(
        method="POST",
        url=url,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        body="".join([*parts, f"--{boundary}--\r\n"]).encode(),
    )


def members_of(response: AuthResponse) -> dict[str, Any]:
    """Return the members of a login's JSON, with the token as `authtoken` whichever form was given.

    Old servers know fewer forms than they may be asked for, and send a bare token instead.

    Raises:
        UnreadableAnswerError: There is no token in it.
    """
    if response.status // 100 == 3:  # noqa: PLR2004 - the class of the status
        return {"authtoken": _redirected_token(response)}
    answer = json_members(response)
    if answer is None:
        text = response.text.removesuffix("\n").removesuffix("\r")
        return {"authtoken": _bare_token(response, text, "is neither JSON nor a bare token")}
    if "authtoken" not in answer and "access_token" in answer:
        kind = answer.get("token_type") or "bearer"
        # RFC 6749, section 7.1: a type that is not understood must not be used. Case means nothing.
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise UnreadableAnswerError(f"{response} brings a token of another type than Bearer")
        return {**answer, "authtoken": token_text(response, answer, "access_token")}
    return answer


def json_members(response: AuthResponse) -> dict[str, Any] | None:
    """Return the JSON object of an answer, or nothing where it is something else."""
    if response.body.lstrip()[:1] == b"{" or response.content_type == "application/json":
        return response.json_object()
    return None


def _redirected_token(response: AuthResponse) -> str:
    query = response.headers.get("Location", "").partition("#")[0].partition("?")[2]
    pairs = (pair.partition("=") for pair in query.split("&"))
    # The last one: the vendor adds its own to a query that the URI may have. A "+" is no space here.
    texts = [unquote(value) for name, _, value in pairs if name == "access_token"]
    return _bare_token(response, texts[-1] if texts else "", "redirects without an access_token")


def _bare_token(response: AuthResponse, text: str, trouble: str) -> str:
    if response.is_html or not _BARE_TOKEN.fullmatch(text):
        raise UnreadableAnswerError(f"{response} {trouble}: a proxy or a login page may have answered")
    return text


def check_status(response: AuthResponse, *, redirects: bool, oauth2: bool) -> None:
    """Raise what the status of a login's answer says.

    Args:
        response: The answer.
        redirects: Whether a redirect was asked for.
        oauth2: Whether the OAuth 2 style answer was asked for.

    Raises:
        CredentialRefusedError: 401 and 403.
        VendorError: Any other that brings no token.
    """
    raise_for_failure(response)
    if response.status in {401, 403}:
        raise _refusal(response, oauth2=oauth2)
    asked_for = redirects and response.status // 100 == 3  # noqa: PLR2004 - the class of the status
    if not is_success(response) and not asked_for:
        hint = _OUT_OF_PLACE.get(response.status, "this is no answer of a login: is the base URL right?")
        raise UnreadableAnswerError(f"{response}: {hint}")


def _refusal(response: AuthResponse, *, oauth2: bool) -> AuthError:
    words = "check login and password, and the user's rights"
    if response.status == 403 and oauth2:  # noqa: PLR2004
        words = "the OAuth 2 style answer is given over https only; otherwise " + words
    elif "WWW-Authenticate" in response.headers:
        words += '; or a reverse proxy asks for its own: then pass login_header="X-Simplicite-Authorization"'
    return CredentialRefusedError(f"{response}: {words}")


def cookies_of(response: AuthResponse, answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the cookies that a session is made of: `JSESSIONID`, and those of a load balancer.

    Raises:
        UnreadableAnswerError: There is no session cookie.
    """
    lines = response.headers.getall("Set-Cookie", [])
    found = [_COOKIE.fullmatch(line.partition(";")[0].strip()) for line in lines]
    cookies = {match[1]: match[2] for match in found if match is not None}
    stated = _COOKIE.fullmatch(f"{_SESSION}={answer.get('sessionid') or ''}")
    if _SESSION not in cookies and stated is not None:
        cookies[_SESSION] = stated[2]
    if _SESSION not in cookies:
        raise UnreadableAnswerError(
            f"{response} brings no {_SESSION}: without session_cookie, as from version 4 on, none is needed"
        )
    return cookies


def idle_of(answer: Mapping[str, Any]) -> float | None:
    """Return the server session's timeout, which the OAuth 2 style answer calls `expires_in`."""
    seconds = number(answer.get("expires_in"))
    return clamp(seconds) if seconds is not None and seconds > 0 else None


def life_of_token(response: AuthResponse, answer: Mapping[str, Any]) -> float | None:
    """Return the seconds until the token's end, as far as the server states it.

    Raises:
        UnreadableAnswerError: What it states is no time, or the token had ended before it came.
    """
    stated = [answer.get("authtokenexpiry"), answer.get("authtokenexpires")]
    if stated == [None, None]:
        return None
    ends = (_milliseconds(stated[0]), _iso(stated[1]))
    lives = [end - now_of(response) for end in ends if end is not None]
    if not lives:
        raise UnreadableAnswerError(f"{response} states an end of its token that is no time")
    # Two statements of one moment: a server that writes seconds for milliseconds is far in the past.
    life = max(lives)
    if life > 0:
        return clamp(life)
    if server_time(response) is None:
        # Compared with this machine's clock, which may be the one that is wrong: 401 will tell.
        return None
    raise UnreadableAnswerError(f"{response} brings a token that is dead on arrival")


def _milliseconds(value: object) -> float | None:
    stated = number(value)
    return None if stated is None else stated / 1000


def _iso(value: object) -> float | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
