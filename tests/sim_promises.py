"""What PROTOCOL.md, section 9, promises, as checks on a simulated fleet."""

from collections.abc import Collection, Mapping

from asyncauth import (
    AuthorizationRequiredError,
    RenewalFailedError,
    StoreUnavailableError,
    TokenUnavailableError,
    WaitTimeoutError,
)
from model_store import ViolationError
from model_vendor import Kind

# Section 9's table: what each fault adds to the one contact per expiry (`retries` 1).
EXTRA: Mapping[str, Mapping[str, int]] = {
    "crash": {"N1": 2, "other": 1},
    "stall": {"N1": 2, "N": 1, "RL": 1, "other": 0},
    "answer lost": {"other": 1},
    "answer hangs": {"other": 1},
    "dropped": {"other": 1},
    "5xx": {"other": 1},
    "processed 5xx": {"other": 1},
    "429": {"other": 1},
    "unsent": {"other": 1},
    "mistaken": {"other": 1},
    "delayed": {"N1": 2, "other": 1},
    "late": {"other": 0},
    # One that never comes is an outage, for the process that waits for it.
    "store answer lost": {"N": 1, "other": 0},
    # RL logs in after a grant that was replicated and is lost; in the table the store keeps its word.
    "fail-over": {"N": 1, "N1": 2, "RL": 1, "other": 0},
    # A slow vendor's answer and an outage together outlast a lease, which logins do not wait beyond.
    "outage": {"N": 3, "N1": 1, "RL": 1, "other": 0},
    "cancel": {"other": 0},
    "revoked": {"other": 0},
}
HARMLESS = frozenset({"late", "cancel", "missed", "start"})
"""Faults after which no caller is told of anything."""


def most_contacts(kind: Kind, faults: Collection[str]) -> int:
    """Return how often the fleet may contact the vendor for one expiry."""
    extra = 0
    for fault in faults:
        row = EXTRA.get(fault, {"other": 1})
        extra += row.get(kind.name, row["other"])
    return 1 + extra


def check_error(error: Exception, faults: Collection[str], *, hopeless: bool, excused: bool) -> None:
    """Judge what a caller was told.

    Args:
        error: What was raised.
        faults: What went wrong so far.
        hopeless: Whether nobody can have a token without a person.
        excused: Whether a mistake of the vendor's, or a logout, explains an authorization that is missing.

    Raises:
        ViolationError: It is none of the errors that are promised.
    """
    if isinstance(error, AuthorizationRequiredError):
        if not (hopeless or excused):
            raise ViolationError(f"'authorize again', while there is a living token: {error!r}") from error
        return
    expected = (RenewalFailedError, WaitTimeoutError, StoreUnavailableError)
    if not isinstance(error, expected) and type(error) is not TokenUnavailableError:
        raise ViolationError(f"a caller was told {error!r}") from error
    if not set(faults) - HARMLESS:
        raise ViolationError(f"a caller was told {error!r}, though nothing went wrong") from error
