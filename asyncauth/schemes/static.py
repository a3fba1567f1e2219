"""Credentials that never change: `StaticBearer` for a token from elsewhere, `Basic` for user and password.

Nobody is asked for anything and nothing is stored: what the application holds goes onto each request,
to the origins that the scheme names and nowhere else.

>>> from asyncauth.schemes import Basic, StaticBearer
>>> scheme = StaticBearer("mF_9.B5f-4.1JqM", base_url="https://api.example.com/v1")
>>> dict(scheme.apply(scheme.constant).headers)
{'Authorization': 'Bearer mF_9.B5f-4.1JqM'}
>>> scheme = Basic("Aladdin", "open sesame", base_url="https://api.example.com/v1")
>>> dict(scheme.apply(scheme.constant).headers)
{'Authorization': 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='}
>>> scheme
Basic(https://api.example.com/v1)

**At expiry** there is nothing to renew. A 401 is the caller's, like any other response: the token was
revoked or has ended, or the password is wrong. Make a scheme with the new one.

**Options**: `base_url` is what a session's relative URLs are relative to, and its origin is where the
credential goes. `origins` names further ones. Without any of them a request would carry nothing.

**Failures**: `ConfigurationError` for an empty credential, one with a line break in it (read from a file,
for example), or a colon in Basic's user name, which Basic cannot carry. `InsecureURLError` for http.

Sources: RFC 6750, section 2.1; RFC 7617 (Basic is sent in UTF-8).
"""

from abc import abstractmethod
from typing import final

import attrs
from yarl import URL

from asyncauth._errors import ConfigurationError
from asyncauth._exchange import Placement, basic_auth
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret, is_printable
from asyncauth.abc import AuthFlow, AuthScheme, ResponseHead, Verdict
from asyncauth.schemes._fields import (
    as_optional_url,
    as_origins,
    credential_fingerprint,
    without_colon,
    without_controls,
)


def _as_printable(value: str | Secret) -> Secret:
    secret = as_secret(value)
    if not is_printable(secret.reveal()):
        raise ConfigurationError("token is empty or has characters that no header may carry")
    return secret


@attrs.frozen(repr=False)
class StaticScheme(AuthScheme):
    """A credential that is its own token."""

    base_url: URL | None = attrs.field(kw_only=True, default=None, converter=as_optional_url)
    _origins: frozenset[URL] = attrs.field(
        kw_only=True, default=frozenset(), converter=as_origins, alias="origins"
    )
    # Once per scheme, not once per request: the manager asks for both each time.
    _key: TokenKey = attrs.field(init=False, eq=False)
    _constant: Token = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not self.origins:
            raise ConfigurationError("base_url or origins is needed: the credential would go nowhere")
        object.__setattr__(self, "_constant", self._token())
        object.__setattr__(self, "_key", self._identity())

    @abstractmethod
    def _token(self) -> Token:
        """Return the credential as a token."""

    @abstractmethod
    def _identity(self) -> TokenKey:
        """Return the token's key, made of the arguments."""

    @property
    def key(self) -> TokenKey:
        """Whose credential it is; nothing is stored under it."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the credential."""
        return credential_fingerprint(self.key, _text(self._constant))

    @property
    def origins(self) -> frozenset[URL]:
        """The origin of the base URL, and the further ones that were named."""
        return super().origins | self._origins

    @property
    def constant(self) -> Token:
        """The credential as a token."""
        return self._constant

    def login(self) -> AuthFlow[Token]:
        """Return the constant; nobody is asked."""
        yield from ()
        return self._constant

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Return the constant; nobody is asked."""
        del token
        return self.login()

    def apply(self, token: Token) -> Placement:
        """Put the credential into the `Authorization` header."""
        return Placement(headers={"Authorization": f"{token.token_type} {_text(token)}"})

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        """Find nothing wrong that a renewal could cure: every response is the caller's."""
        del response, token
        return Verdict.FINE

    def _place(self) -> str:
        return str(self.base_url) if self.base_url else " ".join(sorted(map(str, self.origins)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place()})"


@final
@attrs.frozen(repr=False)
class StaticBearer(StaticScheme):
    """A bearer token that was issued elsewhere, such as a personal access token.

    Attributes:
        token: The token.
        base_url: The API. Without it a session needs absolute URLs of the `origins`.
        origins: Further origins that the token may be sent to.

    Raises:
        ConfigurationError: The token is empty or unfit for a header, or it would go nowhere.
        InsecureURLError: A URL is http and not of this machine.
    """

    token: Secret = attrs.field(converter=_as_printable)

    def _token(self) -> Token:
        return Token(access_token=self.token)

    def _identity(self) -> TokenKey:
        return TokenKey(scheme="static.bearer", issuer=self._place())


@final
@attrs.frozen(repr=False)
class Basic(StaticScheme):
    """User and password on each request (RFC 7617), without waiting for a 401.

    Attributes:
        user: The user name, without colon; it may be empty.
        password: It may be empty, too.
        base_url: The API. Without it a session needs absolute URLs of the `origins`.
        origins: Further origins that the credential may be sent to.

    Raises:
        ConfigurationError: Both are empty, one cannot be sent, or the credential would go nowhere.
        InsecureURLError: A URL is http and not of this machine.
    """

    # Either may be empty: there are vendors that want a key in the one alone.
    user: str = attrs.field(validator=[without_colon, without_controls])
    password: Secret = attrs.field(converter=as_secret, validator=without_controls)

    def _token(self) -> Token:
        if not self.user and not self.password:
            raise ConfigurationError("user and password are both empty")
        credentials = basic_auth(self.user, self.password.reveal()).removeprefix("Basic ")
        return Token(access_token=credentials, token_type="Basic")  # noqa: S106 - a type, not a secret

    def _identity(self) -> TokenKey:
        return TokenKey(scheme="static.basic", issuer=self._place(), client=self.user)


def _text(token: Token) -> str:
    return "" if token.access_token is None else token.access_token.reveal()
