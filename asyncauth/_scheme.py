"""The contract of one vendor's or standard's knowledge."""

import enum
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from typing import Protocol, Self, TypeVar, final

import attrs
from yarl import URL

from asyncauth._exchange import AuthRequest, AuthResponse, Placement, place_of
from asyncauth._key import TokenKey
from asyncauth._processes import Guarded
from asyncauth._token import Token
from asyncauth._value import Value

_T = TypeVar("_T")

AuthFlow = Generator[AuthRequest, AuthResponse, _T]
"""A conversation with a vendor: yields requests, is sent their responses, returns its result."""


class Verdict(enum.Enum):
    """What a response says about the token that its request carried."""

    FINE = "fine"
    """Nothing against the token; the response is the caller's."""
    REFUSED = "refused"
    """The token is not accepted: renew it and send once more."""
    SUSPECT = "suspect"
    """It may be the token or the resource: a probe decides."""
    NEEDS_USER = "needs user"
    """Only a person can grant what is missing (a scope, a login)."""
    FORBIDDEN = "forbidden"
    """The token is good and the resource is not for it: never renew."""
    BACK_OFF = "back off"
    """The vendor asks for fewer requests."""


class ResponseHead(Protocol):
    """What `AuthScheme.classify` looks at; `aiohttp.ClientResponse` is one."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        raise NotImplementedError

    @property
    def url(self) -> URL:
        """Where the request went."""
        raise NotImplementedError

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names without case."""
        raise NotImplementedError


@final
@attrs.frozen(eq=False, repr=False)
class Pace(Value):
    """How often one process may ask for renewals.

    Attributes:
        name: What the limit is set for, such as an application; renewals of all its keys count.
        per_second: Renewals per second.
    """

    name: str
    per_second: float = attrs.field(validator=attrs.validators.gt(0))


class AuthScheme(Guarded, ABC):
    """One vendor's or standard's knowledge, without I/O.

    A scheme is a frozen value. It never opens a socket and never reads a clock: its conversations
    are generators that yield an `AuthRequest` and are sent its `AuthResponse`.

    What a conversation raises decides what the fleet does:

    - `CredentialRefusedError`: the credential is wrong; one try for all workers.
    - `GrantRefusedError`: the refresh token is refused for good.
    - `VendorBusyError`, `VendorUnreachableError`: certainly not processed; sent again.
    - `VendorFailedError`, `AnswerLostError`, `UnreadableAnswerError`: nobody knows.
    """

    can_login: bool = True
    """Whether `login` works without a person."""
    login_is_destructive: bool = False
    """Whether a login ends the token of an earlier one."""
    refresh_rotates: bool | None = None
    """Whether refresh tokens are for one use; none learns it from the answers."""
    renews_early: bool = True
    """Whether a renewal before the end gives a new token; else a token is used to its end."""
    revives: bool = False
    """Whether a refresh may make the same token good again: what changes lies on it at the vendor."""
    keep_alive: bool = False
    """Whether one of the workers is to `probe` before a token's idle limit, so that it lives on."""
    fine_below: int = 0
    """Responses with a lower status are fine whatever they are, and not shown to `classify`."""

    @property
    @abstractmethod
    def key(self) -> TokenKey:
        """Whose token it is. Equal keys share a token; no secret is part of it."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the credential: alike in all processes, another one when the credential changes."""

    @property
    @abstractmethod
    def base_url(self) -> URL | None:
        """What relative URLs of an `AuthSession` are relative to; none where there is no one place."""

    @property
    def origins(self) -> frozenset[URL]:
        """The origins that the token may be sent to."""
        return frozenset() if self.base_url is None else frozenset({self.base_url.origin()})

    @property
    def constant(self) -> Token | None:
        """The token, where it is made of the credential without asking anybody. It needs no store."""
        return None

    @property
    def pace(self) -> Pace | None:
        """How often the vendor may be asked for renewals, where it sets a limit."""
        return None

    @property
    def authorize_url(self) -> URL | None:
        """Where to send the person whose authorization is missing, if there is such a place.

        Without a `state`: whoever sends somebody there begins an authorization of his own.
        """
        return None

    def for_token(self, token: Token) -> Self:
        """Return the scheme whose token it is, where the vendor tells only now for whom it acts."""
        del token
        return self

    @abstractmethod
    def login(self) -> AuthFlow[Token]:
        """Obtain a token from the credential alone.

        Raises:
            CredentialRefusedError: The credential is wrong.
            VendorError: Anything else that went wrong.
        """

    @abstractmethod
    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Obtain the next token from the refresh token of this one.

        Raises:
            GrantRefusedError: The refresh token is refused for good.
            CredentialRefusedError: The client itself is refused.
            VendorError: Anything else that went wrong.
        """

    def logout(self, token: Token) -> AuthFlow[None]:
        """Tell the vendor that the token is not needed any more. The default has nobody to tell."""
        del token
        yield from ()

    def probe(self, token: Token) -> AuthFlow[bool]:
        """Find out, after a `Verdict.SUSPECT`, whether the token still works."""
        del token
        raise NotImplementedError(f"{type(self).__name__} judges no response as suspect")
        yield

    @abstractmethod
    def apply(self, token: Token) -> Placement:
        """Say what the token puts on each request. Called once per token, not once per request."""

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        """Judge a response to a request that carried the token. By default 401 refuses it."""
        del token
        return Verdict.REFUSED if response.status == 401 else Verdict.FINE  # noqa: PLR2004

    def reads_body(self, response: ResponseHead) -> bool:
        """Tell whether a response that `classify` finds fine needs a look at its body. By default none."""
        del response
        return False

    def classify_body(self, response: AuthResponse, token: Token) -> Verdict:
        """Judge a response by its body, where `reads_body` asks for it."""
        del response, token
        return Verdict.FINE

    def missing(self, response: ResponseHead, token: Token) -> str:
        """Say what a person has to grant, for a `Verdict.NEEDS_USER`. Without secrets."""
        del token
        return f"{response.status} of {place_of(response.url)}: the user has to authorize it"
