"""Every error that asyncauth raises, in one tree.

```
AuthError
├── ConfigurationError               the program's own mistake; also a ValueError
│   └── InsecureURLError             a token would travel in clear text, or to a stranger
├── ClosedError                      the manager, session or store was closed
├── TokenUnavailableError            there is no usable token now; `retry_in` says when to ask again
│   ├── AuthorizationRequiredError   somebody has to authorize (again); retrying cannot help
│   │   ├── GrantRefusedError        the vendor refused the grant for good (`invalid_grant`)
│   │   └── LoggedOutError           the application logged this token out
│   ├── CredentialRefusedError       wrong password, wrong client secret
│   ├── RenewalFailedError           a renewal failed, here or in another worker; the fleet stands back
│   └── WaitTimeoutError             another worker renews, for longer than this caller waits
├── VendorError                      one exchange with the vendor failed
│   ├── VendorUnreachableError       no connection: nothing was sent
│   ├── VendorBusyError              429: the vendor declined to look at the request
│   ├── VendorFailedError            5xx: nobody knows what the vendor did
│   ├── AnswerLostError              sent, and cut or timed out before the answer
│   ├── TokenRefusedError            the vendor refuses what it has only just issued
│   └── UnreadableAnswerError        an answer that is not what the vendor documents
└── StoreError
    ├── StoreUnavailableError        the store cannot be reached, or not in time
    ├── InsecureStoreError           other users of the machine could read or change the store
    ├── WriteConflictError           somebody else wrote first (the ledger starts over)
    ├── NotReplicatedError           written, but not where it was asked for
    └── UnreadableRecordError        a stored record cannot be opened; nothing overwrites it but `put`
        ├── PlaintextRecordError     it is not sealed at all
        ├── UnknownKeyError          it is sealed with a key that the key ring lacks
        └── TamperedRecordError      it was changed, cut, or belongs to another place
```

No error's text holds a secret, a request's body or a URL's query.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from yarl import URL

from asyncauth._store import Snapshot

_E = TypeVar("_E", bound="AuthError")


class AuthError(Exception):
    """Base of every error of asyncauth."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later, without anybody changing anything."""

    def again(self) -> Self:
        """Return a twin without traceback, for one more task that shares this failure."""
        return _remade(type(self), self.args, self.__dict__)

    def __reduce__(self) -> "tuple[Any, ...]":
        # Not by calling the class: some take more arguments than there are in `args`.
        return _remade, (type(self), self.args, dict(self.__dict__))


def _remade(kind: type[_E], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> _E:
    error = kind.__new__(kind, *args)
    error.args = args  # an OSError, which TimeoutError is, takes none from `__new__`
    error.__dict__.update(attributes)
    return error


class ConfigurationError(AuthError, ValueError):
    """An argument, or the relation between several, cannot work; the message names the numbers."""


class InsecureURLError(ConfigurationError):
    """A URL that must be https (loopback excepted) or of a known origin is not."""


class ClosedError(AuthError):
    """The object was closed; it renews nothing any more."""


class TokenUnavailableError(AuthError):
    """There is no usable token now.

    Args:
        message: What happened and what to do, without secrets.
        retry_in: Seconds after which asking again makes sense; none if only a change helps.
    """

    def __init__(self, message: str, *, retry_in: float | None = None) -> None:
        super().__init__(message)
        self.retry_in = retry_in


class AuthorizationRequiredError(TokenUnavailableError):
    """There is no authorization to work with: somebody has to authorize, then `put` stores it.

    Args:
        message: What is missing and what to do, without secrets.
        retry_in: Seconds after which asking again makes sense; none if only a person helps.
        authorize_url: Where to send that person, where the scheme knows; without a `state`.
    """

    def __init__(
        self, message: str, *, retry_in: float | None = None, authorize_url: URL | None = None
    ) -> None:
        super().__init__(message, retry_in=retry_in)
        self.authorize_url = authorize_url


class GrantRefusedError(AuthorizationRequiredError):
    """The vendor refused the refresh token or code for good (RFC 6749, section 5.2: `invalid_grant`)."""


class LoggedOutError(AuthorizationRequiredError):
    """The application logged this token out with `forget`."""


class CredentialRefusedError(TokenUnavailableError):
    """The vendor refused the application's or user's own credential: it is wrong, not expired."""


class RenewalFailedError(TokenUnavailableError):
    """The last renewal failed, in this or another worker, and the whole fleet stands back.

    Args:
        message: What happened, without secrets.
        reason: The name of the error class that the failed renewal ended with.
        retry_in: Seconds until the next try is allowed.
    """

    retryable = True

    def __init__(self, message: str, *, reason: str, retry_in: float | None = None) -> None:
        super().__init__(message, retry_in=retry_in)
        self.reason = reason


class WaitTimeoutError(TokenUnavailableError, TimeoutError):
    """The caller's patience ended while another worker held the lease; the message says since when."""

    retryable = True


class VendorError(AuthError):
    """One exchange with the vendor failed."""

    retryable = True
    not_processed: ClassVar[bool] = False
    """Whether it is certain that the vendor acted on nothing, so that sending again is harmless."""


class VendorUnreachableError(VendorError):
    """There was no connection (refused, DNS, TLS): nothing was sent."""

    not_processed = True


class VendorBusyError(VendorError):
    """The vendor declined to look at the request (429).

    Args:
        message: Who declined.
        retry_after: Seconds that the vendor asked for, where it did.
    """

    not_processed = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VendorFailedError(VendorError):
    """The vendor failed on its side (5xx); whether it acted on the request is unknown.

    Args:
        message: Which status came from where.
        retry_after: Seconds that the vendor asked for, where it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AnswerLostError(VendorError):
    """The request was sent, and its answer did not arrive; whether the vendor acted is unknown."""


class TokenRefusedError(VendorError):
    """The vendor refuses a token that it has only just issued: renewing it again would be a loop."""


class UnreadableAnswerError(VendorError):
    """An answer came that is not what the vendor documents, such as an HTML page instead of a token."""


class StoreError(AuthError):
    """A token store failed."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached, or did not answer in time."""

    retryable = True


class InsecureStoreError(StoreError):
    """The store's place is open to other users of the machine; the message says how to close it."""


class WriteConflictError(StoreError):
    """A compare-and-set found another version or incarnation than expected; nothing was written.

    Args:
        snapshot: What is stored now.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__("another worker wrote first")
        self.snapshot = snapshot


class NotReplicatedError(StoreError):
    """The value is written, but not on as many replicas as were asked for.

    Args:
        message: How many were asked for and reached.
        snapshot: What is stored now: the written value.
    """

    def __init__(self, message: str, snapshot: Snapshot) -> None:
        super().__init__(message)
        self.snapshot = snapshot


class UnreadableRecordError(StoreError):
    """A stored record cannot be opened. It is left as it is; only an explicit `put` replaces it.

    Args:
        message: What is wrong with it and what to do.
        snapshot: The place it was found in (version and clock), with no value.
    """

    def __init__(self, message: str, snapshot: Snapshot) -> None:
        super().__init__(message)
        self.snapshot = snapshot


class PlaintextRecordError(UnreadableRecordError):
    """The record is not sealed, in a store that seals: somebody else wrote it, or sealing was off."""


class UnknownKeyError(UnreadableRecordError):
    """The record is sealed with a key that is not on the key ring."""


class TamperedRecordError(UnreadableRecordError):
    """The record was changed or cut, or it was sealed for another key's place."""
