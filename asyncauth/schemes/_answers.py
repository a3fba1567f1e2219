"""Reading vendors' answers with suspicion: statuses, times, token texts, and what may be shown of them."""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote_plus

from asyncauth._errors import UnreadableAnswerError, VendorBusyError, VendorFailedError
from asyncauth._exchange import AuthResponse
from asyncauth._token import is_printable

# Some servers write "never" as a huge number. Ten years is as good, and no date overflows.
_LONGEST = 10 * 365 * 86_400.0

# Seconds: one that `Date` cuts off, one for the answer's way.
_AGREEMENT = 2.0

_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")

# How much of an error description helps, and how many characters in a row give a secret away.
# Both numbers are judgement, not measurement.
_SHOWN = 200
_TELLING = 8


def is_success(response: AuthResponse) -> bool:
    """Tell whether the status is one of the 2xx."""
    return response.status // 100 == 2  # noqa: PLR2004 - the class of the status


def raise_for_failure(response: AuthResponse) -> None:
    """Raise what 429 and 5xx mean, whatever the body says: the page of a gateway often fills it.

    Raises:
        VendorBusyError: 429 (RFC 6585, section 4).
        VendorFailedError: 5xx.
    """
    if response.status == 429:  # noqa: PLR2004
        raise VendorBusyError(f"{response} asks for fewer requests", retry_after=retry_after(response))
    if response.status >= 500:  # noqa: PLR2004
        raise VendorFailedError(
            f"{response} is a failure on the vendor's side", retry_after=retry_after(response)
        )


def retry_after(response: AuthResponse) -> float | None:
    """Return the seconds that the vendor asks to wait (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), _LONGEST)
    until = _http_date(text)
    return None if until is None else max(0.0, until - now_of(response))


def server_time(response: AuthResponse) -> float | None:
    """Return the server's own clock from its `Date` header, in UTC seconds since 1970."""
    return _http_date(response.headers.get("Date", ""))


def now_of(response: AuthResponse) -> float:
    """Return when the answer was given, by the server's clock as far as one can tell.

    `Date` has whole seconds. A clock of this machine that agrees with it is the finer one; one that
    does not is the wrong one.
    """
    stated = server_time(response)
    if stated is None or stated <= response.received_at < stated + _AGREEMENT:
        return response.received_at
    return stated


def _http_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def token_text(response: AuthResponse, answer: Mapping[str, Any], name: str) -> str:
    """Return a token from an answer, fit for a header (RFC 6749, appendix A.12: VSCHAR only).

    Raises:
        UnreadableAnswerError: It is absent, no string, empty, or holds a line break.
    """
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableAnswerError(f"{response} holds no {name}")
    if not is_printable(value):
        raise UnreadableAnswerError(f"{response} has characters in its {name} that no header may carry")
    return value


def number(value: object) -> float | None:
    """Return a JSON number, or a number written as a string, if it is finite; else nothing."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def life_of(response: AuthResponse, answer: Mapping[str, Any]) -> float | None:
    """Return `expires_in`; nothing where the vendor does not say (RFC 6749, section 5.1).

    Raises:
        UnreadableAnswerError: It is no number, or the token would be dead on arrival.
    """
    stated = answer.get("expires_in")
    if stated is None:
        return None
    seconds = number(stated)
    if seconds is None:
        raise UnreadableAnswerError(f"{response} holds an expires_in that is no number of seconds")
    if seconds <= 0:
        raise UnreadableAnswerError(
            f"{response} brings a token that is dead on arrival: its expires_in is not more than 0"
        )
    return clamp(seconds)


def clamp(seconds: float) -> float:
    """Return a life no longer than ten years."""
    return min(seconds, _LONGEST)


def shown(text: object, secrets: Iterable[str]) -> str:
    """Return as much of a vendor's own words as a message may hold.

    Vendors repeat what they were sent. A text with a telling part of one of our secrets in it, also
    percent-encoded or cut off, is withheld whole.
    """
    if not isinstance(text, str):
        return ""
    # What is cut off here is not shown, and a search of all of it could take the event loop's seconds.
    text = text[: 2 * _SHOWN]
    if any(_repeats(text, secret) for secret in secrets):
        return "(withheld, as they may repeat what was sent)"
    line = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(line.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _repeats(text: str, secret: str) -> bool:
    size = min(len(secret), _TELLING)
    haystacks = (text.casefold(), unquote_plus(text).casefold())
    needle = secret.casefold()
    parts = {needle[start : start + size] for start in range(len(needle) - size + 1)}
    return size > 0 and any(part in haystack for part in parts for haystack in haystacks)
