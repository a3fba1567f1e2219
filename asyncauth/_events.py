"""What happens to tokens, as typed values without secrets, for logs, metrics and applications."""

import logging
from collections.abc import Callable
from typing import final

import attrs
from yarl import URL

from asyncauth._key import TokenKey
from asyncauth._value import Value

_log = logging.getLogger("asyncauth")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TokenEvent(Value):
    """Base of all events.

    Attributes:
        key: Whose token.
    """

    key: TokenKey


@attrs.frozen(kw_only=True, eq=False, repr=False)
class _EntryEvent(TokenEvent):
    """Base of events about one stored version of a token."""

    entry_id: str


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class RenewalStarted(TokenEvent):
    """This worker was granted the right to renew, and asks the vendor now."""

    attempt: str
    mode: str


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class TokenRenewed(TokenEvent):
    """This worker obtained a token and stored it."""

    entry_id: str
    mode: str
    expires_in: float | None


@final
class TokenAdopted(_EntryEvent):
    """Another worker's token was taken over."""

    __slots__ = ()


@final
class TokenRestored(_EntryEvent):
    """The store had lost a token that this worker still had, and has it back."""

    __slots__ = ()


@final
class TokenRefused(_EntryEvent):
    """The vendor refused a token on a request."""

    __slots__ = ()


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class RenewalFailed(TokenEvent):
    """A renewal of this worker failed; the fleet stands back."""

    reason: str
    message: str
    retry_in: float | None


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class TokenDied(TokenEvent):
    """The vendor refused the credential or the grant for good: somebody has to act."""

    reason: str
    message: str


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class AuthorizationNeeded(TokenEvent):
    """A person has to authorize (again). Told once in the whole fleet for each stored token.

    Attributes:
        message: What is missing, without secrets.
        authorize_url: Where to send that person, where the scheme knows; without a `state`.
    """

    message: str
    authorize_url: URL | None


@final
class TokenForgotten(TokenEvent):
    """The application logged out."""

    __slots__ = ()


@final
class TokenGivenUp(_EntryEvent):
    """A token that the vendor issued could not be stored before this worker closed."""

    __slots__ = ()


Listener = Callable[[TokenEvent], None]
"""Called in the event loop, in order; must be quick. What it raises is logged and goes no further."""


@final
class Listeners:
    """Those who are told of events."""

    def __init__(self) -> None:
        self._all: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Tell somebody from now on; once, however often he is added."""
        if listener not in self._all:
            self._all.append(listener)

    def tell(self, event: TokenEvent) -> None:
        """Tell everybody; what a listener raises is logged."""
        _log.debug("%s: %s", event.key.scheme, type(event).__name__)
        for listener in self._all:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a listener's bug is not the renewal's
                _log.exception("a token listener failed")
