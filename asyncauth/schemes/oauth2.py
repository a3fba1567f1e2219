"""OAuth 2.0 in general: `ClientCredentials` for services, `RefreshToken` for users' authorizations.

**Client credentials.** Pass the token endpoint, the client's id and secret, and where the token may
go: `base_url` (what a session's relative URLs are relative to) or `origins`. At expiry the client
logs in again; a refresh token in the answer is kept nowhere (RFC 6749, section 4.4.3).

>>> from asyncauth.schemes import ClientCredentials
>>> scheme = ClientCredentials(
...     "https://id.example.com/token",
...     client_id="s6BhdRkqt3",
...     client_secret="7Fjfp0ZBr1KtDRbnfVdmIw",
...     base_url="https://api.example.com/v1",
...     params={"audience": "https://api.example.com"},
... )

A scheme does no I/O. Its conversation can be held by hand:

>>> from asyncauth.abc import AuthResponse
>>> login = scheme.login()
>>> request = next(login)
>>> request
AuthRequest(POST https://id.example.com/token)
>>> request.body.decode()
'grant_type=client_credentials&audience=https%3A%2F%2Fapi.example.com'
>>> try:
...     login.send(AuthResponse(status=200, body=b'{"access_token": "2YotnFZF", "expires_in": 3600}'))
... except StopIteration as end:
...     token = end.value
>>> token.expires_in, scheme.apply(token).headers["Authorization"]
(3600.0, 'Bearer 2YotnFZF')

**Refresh token.** A person has authorized the application elsewhere; the application holds what came
of it. It is stored once, a bare refresh token too, and from then on renewed by the fleet, one worker
at a time, with one-time refresh tokens spent once:

>>> from asyncauth.schemes import RefreshToken
>>> scheme = RefreshToken("https://id.example.com/token", client_id="s6BhdRkqt3", subject="user-17")
>>> first = scheme.token(refresh_token="tGzv3JOkF0XG5Qx2TlKWIA")  # then: await manager.put(scheme, first)
>>> next(scheme.refresh(first)).body.decode()
'grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA&client_id=s6BhdRkqt3'

What an answer to a refresh leaves out stays as it was: the refresh token, the scope. That refresh
tokens are for one use is learned from the answers; `refresh_rotates` says it from the start.

Where the application begins the authorization itself, use `asyncauth.schemes.authorization_code`.

**Logout** revokes the refresh token at `revocation_url` (RFC 7009), if there is one.

**Failures, and what to do**

- `CredentialRefusedError`: `invalid_client`, `unauthorized_client` and the other errors of section 5.2 that
  no repetition cures. The message has the server's code and its words, unless they repeat a secret.
  Correct what it names. Often it is `client_auth`, or `urlencode_basic` for servers that do not decode.
- `GrantRefusedError`: `invalid_grant`. The person has to authorize again; `put` stores the new token.
- `VendorBusyError`, `VendorFailedError`: 429 and 5xx; the fleet waits, for `Retry-After` if it is there.
- `UnreadableAnswerError`: no token in the answer: an HTML page, no JSON, another type than Bearer, an
  `expires_in` that is no number or not above 0. An absent `expires_in` means an unknown life: the
  token is used until it is refused. So does an unreadable one beside a new refresh token, because
  refusing that answer would lose the refresh token that replaced the spent one.

Sources: RFC 6749 (sections 2.3.1, 4.4, 5, 6), RFC 6750, RFC 7009, RFC 9110.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import final
from urllib.parse import urlencode

import attrs

from asyncauth._errors import AuthorizationRequiredError, ConfigurationError
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret, is_printable
from asyncauth.abc import AuthFlow
from asyncauth.schemes._fields import required
from asyncauth.schemes._oauth2 import scope_field
from asyncauth.schemes._oauth2_person import PersonScheme
from asyncauth.schemes._oauth2_scheme import OAuth2Scheme

_RESERVED = {"client_id", "client_secret", "grant_type", "refresh_token", "scope"}


def _as_params(value: Mapping[str, str]) -> Mapping[str, str]:
    taken = sorted(_RESERVED & value.keys())
    if taken:
        raise ConfigurationError(f"params holds {', '.join(taken)}, which other arguments set")
    return MappingProxyType(dict(value))


@final
@attrs.frozen
class ClientCredentials(OAuth2Scheme):
    """A service's own token (RFC 6749, section 4.4).

    Attributes:
        token_url: The token endpoint.
        client_id: The client's name.
        client_secret: Its secret.
        base_url: The API. Without it a session needs absolute URLs of the `origins`.
        scope: The scopes to ask for, as a sequence or one string with spaces.
        client_auth: `basic` sends the secret in a Basic header, `body` as form fields.
        urlencode_basic: Form-encode id and secret before Basic, as section 2.3.1 says. Switch it off
            for servers that do not decode them.
        origins: Further origins that the token may be sent to.
        params: More form fields, such as an `audience` (or `resource`, RFC 8707). They are part of the
            token's identity, so no secret may be among them.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: A URL is http and not of this machine.
    """

    client_secret: Secret = attrs.field(kw_only=True, converter=as_secret, validator=required)
    params: Mapping[str, str] = attrs.field(kw_only=True, factory=dict, converter=_as_params, hash=False)

    def _identity(self) -> TokenKey:
        return TokenKey(
            scheme="oauth2.client_credentials",
            issuer=str(self.token_url),
            client=self.client_id,
            scopes=self.scope,
            tenant=urlencode(sorted(self.params.items())),
        )

    def login(self) -> AuthFlow[Token]:
        """Ask for a token with the client's secret alone.

        Raises:
            CredentialRefusedError: The client, its grant or its scope is refused.
            VendorError: Anything else that is no token.
        """
        fields = {"grant_type": "client_credentials", **scope_field(self.scope), **self.params}
        response = yield self._client.request(fields)
        # Section 4.4.3: there should be no refresh token, and the secret gives the next token anyway.
        token = self._client.token(response, self.scope)
        return attrs.evolve(token, refresh_token=None, refresh_expires_in=None)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Log in again: the secret needs no refresh token."""
        del token
        return self.login()


@final
@attrs.frozen
class RefreshToken(PersonScheme):
    """A person's authorization, kept alive with its refresh token (RFC 6749, section 6).

    Attributes:
        token_url: The token endpoint.
        client_id: The client's name.
        subject: The account that authorized, by the application's or the vendor's own name for it. It
            tells apart the tokens of one client and is never sent.
        client_secret: None for a public client.
        base_url: The API. Without it a session needs absolute URLs of the `origins`.
        scope: Asked for at each refresh; must not go beyond what was granted. Empty: as granted.
        client_auth: `basic` sends the secret in a Basic header, `body` as form fields.
        urlencode_basic: Form-encode id and secret before Basic, as section 2.3.1 says. Switch it off
            for servers that do not decode them.
        refresh_rotates: Whether refresh tokens are for one use; none learns it from the answers.
        revocation_url: Where a logout revokes the refresh token (RFC 7009); without it nobody is told.
        origins: Further origins that the token may be sent to.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: A URL is http and not of this machine.
    """

    def _identity(self) -> TokenKey:
        return TokenKey(
            scheme="oauth2.refresh_token",
            issuer=str(self.token_url),
            client=self.client_id,
            subject=self.subject,
            scopes=self.scope,
        )

    def token(
        self,
        *,
        refresh_token: str | Secret,
        access_token: str | Secret | None = None,
        expires_in: float | None = None,
    ) -> Token:
        """Return the first token to `put`, from what an authorization brought.

        Args:
            refresh_token: What the authorization is about.
            access_token: Used until it ends; without one the first use renews.
            expires_in: Seconds that the access token has left; none if nobody knows.

        Raises:
            ConfigurationError: A token is empty or has a line break in it.
        """
        return Token(
            access_token=None if access_token is None else _given("access_token", access_token),
            expires_in=0 if access_token is None else expires_in,
            refresh_token=_given("refresh_token", refresh_token),
            scope=self.scope,
            subject=self.subject,
        )

    def login(self) -> AuthFlow[Token]:
        """Nothing but a person's authorization gives the first token.

        Raises:
            AuthorizationRequiredError: Always.
        """
        raise AuthorizationRequiredError("somebody has to authorize; then put(scheme, scheme.token(...))")
        yield

    @property
    def _refresh_scope(self) -> tuple[str, ...]:
        return self.scope


def _given(name: str, value: str | Secret) -> Secret:
    secret = as_secret(value)
    if not is_printable(secret.reveal()):
        raise ConfigurationError(f"{name} is empty or has characters that no header may carry")
    return secret
