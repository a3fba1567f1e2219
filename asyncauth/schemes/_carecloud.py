"""Reading CareCloud's answers: its local wall times and its error envelope."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from asyncauth._errors import AuthError, CredentialRefusedError, UnreadableAnswerError
from asyncauth._exchange import AuthResponse

# Undocumented which of them a refused login gets, so the words offer what it may be.
_MAYBE = {
    400: "a field was not accepted: check the application id, login and password",
    401: "login or password may be wrong",
    403: "login, password or application id may be wrong, the user missing in the group webservice, "
    "or the interface closed to the application",
}

_FIELDS = {
    "user_external_application_id": "application_id",
    "login": "login",
    "password": "password",
}

_REASONS = {"empty", "invalid_value_format", "not_allowed_value", "not_found", "required"}


def instant(value: object, zone: ZoneInfo) -> float | None:
    """Return what `valid_to` means in UTC seconds since 1970; nothing if it is no such time.

    Autumn's repeated hour has two readings (fold=0 the earlier); spring's skipped hour none that is real,
    and two that bracket it (fold=1 the earlier). The earlier one is never too late.
    """
    try:
        text = value if isinstance(value, str) else ""
        wall = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
    except ValueError:
        return None
    return min(wall.replace(fold=fold).timestamp() for fold in (0, 1))


def refusal(response: AuthResponse) -> AuthError:
    """Return the error for a login that was not accepted."""
    error = _error(response)
    if response.status == 400 and not error:  # noqa: PLR2004
        return UnreadableAnswerError(f"{response} does not say what was wrong")
    if response.status not in _MAYBE:
        return UnreadableAnswerError(f"{response} is no answer of a login: is the project URL right?")
    parts = (_MAYBE[response.status], *_named_fields(error), _interface_hint(error))
    return CredentialRefusedError(f"{response}: " + "; ".join(filter(None, parts)))


def _error(response: AuthResponse) -> Mapping[str, Any]:
    try:
        error = response.json_object().get("error")
    except UnreadableAnswerError:
        return {}
    return error if isinstance(error, dict) else {}


def _named_fields(error: Mapping[str, Any]) -> list[str]:
    # The envelope repeats the values that were sent, so only names and reasons that we know are shown.
    data = error.get("error_data")
    params = data.get("invalid_params") if isinstance(data, dict) else None
    entries = [entry for entry in params if isinstance(entry, dict)] if isinstance(params, list) else []
    pairs = [(str(entry.get("name")), str(entry.get("reason"))) for entry in entries]
    return [
        f"{_FIELDS[name]} is {reason}" for name, reason in pairs if name in _FIELDS and reason in _REASONS
    ]


def _interface_hint(error: Mapping[str, Any]) -> str:
    closed = "interface_not_allowed_exception" in (error.get("type"), error.get("exception"))
    return "the vendor says that this interface is not allowed" if closed else ""
