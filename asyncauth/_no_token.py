"""What callers are told where the store's answer is that there is no token."""

from asyncauth._answers import Absent, BackOff, Refused
from asyncauth._errors import (
    AuthorizationRequiredError,
    CredentialRefusedError,
    GrantRefusedError,
    LoggedOutError,
    RenewalFailedError,
    TokenUnavailableError,
)

_KINDS = {kind.__name__: kind for kind in (CredentialRefusedError, GrantRefusedError)}


def logged_out() -> LoggedOutError:
    """Return the error for a token that the application dropped."""
    return LoggedOutError("the application logged this token out: somebody has to authorize again")


def explained(no: Refused | BackOff | Absent, scheme: str) -> TokenUnavailableError:
    """Return the error for what another attempt found out, or for nobody having authorized."""
    if isinstance(no, Absent):
        missing = f"no authorization is stored for {scheme}: begin one, or store one with put()"
        return logged_out() if no.logged_out else AuthorizationRequiredError(missing)
    reason = no.reason
    if isinstance(no, BackOff):
        message = f"a renewal failed a moment ago: {reason.message}"
        return RenewalFailedError(message, reason=reason.kind, retry_in=no.retry_in)
    return _KINDS.get(reason.kind, TokenUnavailableError)(reason.message, retry_in=no.retry_in)
