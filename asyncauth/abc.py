"""The contracts that others implement: `TokenStore` (where tokens are shared) and `AuthScheme`."""

import enum
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Protocol, Self, TypeVar, final

import attrs
from yarl import URL

from asyncauth._exchange import AuthRequest, AuthResponse, Placement
from asyncauth._key import TokenKey
from asyncauth._token import Token

_T = TypeVar("_T")

AuthFlow = Generator[AuthRequest, AuthResponse, _T]
"""A conversation with a vendor: yields requests, is sent their responses, returns its result."""


@final
@attrs.frozen(kw_only=True)
class Snapshot:
    """What a store holds for one name, at one moment.

    Attributes:
        value: The opaque bytes, or none if nothing is stored.
        version: Opaque and unique for every write ever made, so that a restored older value has its
            own version again; empty if nothing is stored.
        now: The store's own clock, in milliseconds since 1970.
        incarnation: Opaque; changes whenever acknowledged writes may have been lost. Constant where
            the store cannot tell.
    """

    value: bytes | None = attrs.field(repr=False)
    version: str
    now: int
    incarnation: str = ""


class Liveness(enum.Enum):
    """What a store knows about the process behind an attempt."""

    ALIVE = "alive"
    """It holds its mark."""
    DEAD = "dead"
    """Its mark is there, and the operating system says that its process has gone."""
    UNKNOWN = "unknown"
    """The store cannot tell, or there is no mark (any more)."""


class TokenStore(ABC):
    """A place where workers share records, by name.

    A store knows nothing of tokens, leases or failures: it keeps one opaque value per name and
    changes it by compare-and-set. Write one for your own database and check it with
    `asyncauth.testing.check_token_store`.

    Every operation may be called from several tasks at once. None of them may block the event loop.

    Attributes:
        namespace: One application's part of a shared place; part of every name.
        name_key: Makes names keyed hashes. It must never change: the records would not be found.
    """

    namespace: str = "asyncauth"
    name_key: bytes = b""

    def __init__(self) -> None:
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def name(self, key: TokenKey) -> str:
        """Return the name of a key's record in this store: 64 hexadecimal digits."""
        return key.name(self.namespace, self.name_key)

    @abstractmethod
    async def read(self, name: str) -> Snapshot:
        """Return what is stored now. A snapshot without a value is an answer, not an error.

        Raises:
            StoreUnavailableError: The store cannot be reached.
            UnreadableRecordError: There is something that cannot be opened; it is left as it is.

        Idempotent; cancellation leaves nothing behind.
        """

    @abstractmethod
    async def write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None = None,
        wake: bool = True,
        replicated: bool = False,
    ) -> Snapshot:
        """Replace a value if version and incarnation are still those of `expected`, atomically.

        Args:
            name: As `name()` returned it.
            value: The new value, or none to remove what is there.
            expected: A snapshot from `read`, `write` or a conflict.
            keep: The store may drop the value after so many seconds; none keeps it for ever.
            wake: Whether those who wait in `changed` need to look.
            replicated: Return only when the value is on as many replicas as the store was set up
                with. Without any it means nothing.

        Returns:
            The snapshot after the write, with its new version.

        Raises:
            WriteConflictError: Nothing was written; it carries the snapshot found instead.
            NotReplicatedError: Written, but not replicated; it carries the snapshot.
            StoreUnavailableError: Nobody knows whether it was written: read again.
            UnreadableRecordError: What is stored now cannot be opened, and `expected` is another
                version; nothing was written.

        Not idempotent: the second of two equal calls conflicts. Cancellation may leave the value
        written or not, but never half of it.
        """

    @abstractmethod
    async def changed(self, name: str, since: str, timeout: float) -> None:
        """Wait until the version may differ from `since`, at most `timeout` seconds.

        It may return too early, and for no reason; it compares with what is stored when it is
        called, so a change between a read and this call is never missed. A write with `wake=False`
        need not end the wait.

        Raises:
            StoreUnavailableError: The store cannot be reached.

        Cancellation leaves nothing behind.
        """

    @abstractmethod
    def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of all stored records of this namespace, in no order.

        Records that are written or removed meanwhile may be missed or named.
        """

    def hold(self, name: str, attempt: str) -> AbstractAsyncContextManager[None]:
        """Return a context in which the operating system vouches for this process.

        Optional: the default marks nothing. A store that can end a mark when its process dies (a
        file lock) marks the attempt on entry and removes the mark on exit.
        """
        del name, attempt
        return nullcontext()

    async def is_held(self, name: str, attempt: str) -> Liveness:
        """Tell whether the process behind an attempt lives, where the store knows (see `hold`)."""
        del name, attempt
        return Liveness.UNKNOWN

    @final
    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Have something ended before the store: `aclose` awaits it first."""
        self._closers.append(closer)

    async def aclose(self) -> None:
        """End what works on this store, then the store itself. May be called again.

        A store that has something of its own to end overrides this and calls it first.
        """
        while self._closers:
            await self._closers.pop()()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


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

    @property
    def url(self) -> URL:
        """Where the request went."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names without case."""


class AuthScheme(ABC):
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
