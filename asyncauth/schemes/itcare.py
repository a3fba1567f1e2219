"""ITCare, the API of cegedim.cloud: `ITCare`, OAuth 2 client credentials at a Keycloak server.

Pass the client id and secret of an API account, which cegedim.cloud's support issues to an
organisation. The URLs are those of production; relative URLs of a session continue the base URL, as in
`session.get("/compute/resources")`.

>>> from asyncauth import Token
>>> from asyncauth.schemes import ITCare
>>> scheme = ITCare(client_id="CLIENT_ID", client_secret="CLIENT_SECRET")
>>> str(scheme.base_url)
'https://itcare.cegedim.cloud/itcare'

A scheme does no I/O; its login can be held by hand:

>>> from asyncauth.abc import AuthResponse
>>> login = scheme.login()
>>> request = next(login)
>>> request
AuthRequest(POST https://accounts.cegedim.cloud/auth/realms/cloud/protocol/openid-connect/token)
>>> request.headers["Authorization"], request.body
('Basic Q0xJRU5UX0lEOkNMSUVOVF9TRUNSRVQ=', b'grant_type=client_credentials')
>>> answer = b'{"access_token": "eyJh", "expires_in": 1200, "refresh_token": "eyJo", "token_type": "bearer"}'
>>> try:
...     login.send(AuthResponse(status=200, body=answer))
... except StopIteration as end:
...     token = end.value
>>> token.expires_in, token.refresh_token, scheme.apply(token).headers["Authorization"]
(1200.0, None, 'Bearer eyJh')

**At expiry** (access tokens live 1200 s in the vendor's sample) one worker of the fleet logs in again with
the client's secret. That is what Keycloak advises for this grant, and no ended session can make it fail.

**Options**

- `renew_with="refresh_token"` spends the refresh token with the real refresh grant. It saves the server a
  session per renewal, which Keycloak up to version 11 opens at each login. When the refresh token is
  refused (`Session not active`, `Token is not active`, `Stale token` ...), the same worker logs in at
  once. Its life slides with each refresh, up to the session's own end.
- `renew_with="documented"` sends what the vendor's page shows, to the letter:

  >>> scheme = ITCare(client_id="CLIENT_ID", client_secret="CLIENT_SECRET", renew_with="documented")
  >>> next(scheme.refresh(Token(access_token="eyJh", refresh_token="eyJo"))).body
  b'grant_type=client_credentials&refresh_token=eyJo'

  Keycloak does not read the second field: it is a login, works with an ended refresh token as well, and
  leaves one more session behind. It is there for whoever has to do as documented.
- `urlencode_basic=True` form-encodes id and secret before Basic, as RFC 6749 says and newer Keycloak
  versions expect. Older ones take them as they are. It matters only if they hold other characters than
  letters, digits and `-`. Which version answers is not published.
- `scope`, and `token_url` and `base_url` for another realm or a test server.

**Logout** (`POST .../logout`) ends the session that belongs to the token. An access token that is already
out stays good until its end where the API verifies it by itself. The server's `/revoke` is never called:
it ends the sessions of all workers.

**Failures, and what to do**

- `CredentialRefusedError`: Keycloak's `unauthorized_client` and `invalid_client`, with 400 or 401 depending
  on its version, for an unknown client and a wrong secret alike. Check both, then `urlencode_basic`. The
  fleet asks no more until the credential changes, or very seldom.
- `VendorFailedError`, `UnreadableAnswerError`: the server failed, or something else answered in its place.
  The fleet tries again by itself, ever more slowly.
- 401 of the API (with an empty body): the token is renewed once and the request sent once more.
- 403 of the API: the account lacks a permission; the response is yours, nothing is renewed.

Sources: cegedim.cloud, "ITCare API: Authentication" and "Errors"; Keycloak's token and logout endpoints
(11 and 21) and its upgrading guide (12); RFC 6749, sections 2.3.1, 4.4, 5 and 6.
"""

from typing import Literal, TypeAlias, final

import attrs
from yarl import URL

from asyncauth._key import TokenKey
from asyncauth._origin import secure_url
from asyncauth._token import Secret, Token, as_secret
from asyncauth.abc import AuthFlow
from asyncauth.schemes._bearer import BearerScheme
from asyncauth.schemes._fields import as_scopes, credential_fingerprint, one_of, required
from asyncauth.schemes._oauth2 import Client, scope_field

RenewWith: TypeAlias = Literal["login", "refresh_token", "documented"]

_TOKEN_URL = URL("https://accounts.cegedim.cloud/auth/realms/cloud/protocol/openid-connect/token")
_BASE_URL = URL("https://itcare.cegedim.cloud/itcare")

# Where renewals are logins the session's refresh token serves the logout only, and lies where nothing
# takes it for something to renew with.
_SESSION = "session"


def _client_of(scheme: "ITCare") -> Client:
    return Client(
        token_url=scheme.token_url,
        client_id=scheme.client_id,
        client_secret=scheme.client_secret,
        urlencode_basic=scheme.urlencode_basic,
    )


def _key_of(scheme: "ITCare") -> TokenKey:
    return TokenKey(
        scheme="itcare", issuer=str(scheme.token_url), client=scheme.client_id, scopes=scheme.scope
    )


def _rotates(scheme: "ITCare") -> bool | None:
    # Nothing is spent where the refresh token is not read; else the answers tell (realm switch
    # "Revoke Refresh Token").
    return False if scheme.renew_with == "documented" else None


@final
@attrs.frozen(kw_only=True)
class ITCare(BearerScheme):
    """An API account of ITCare; the module's docstring is its guide.

    Attributes:
        client_id: The API account's id.
        client_secret: Its secret.
        token_url: Keycloak's token endpoint.
        base_url: The API.
        scope: The scopes to ask for; empty asks for the account's own.
        renew_with: `login` asks with the secret again; `refresh_token` spends the refresh token, and
            logs in when it is refused; `documented` sends the vendor's own example.
        urlencode_basic: Form-encode id and secret before Basic (RFC 6749, section 2.3.1).

    Raises:
        ConfigurationError: A credential is empty, or a URL cannot work.
        InsecureURLError: A URL is http and not of this machine.
    """

    client_id: str = attrs.field(validator=required)
    client_secret: Secret = attrs.field(converter=as_secret, validator=required)
    token_url: URL = attrs.field(default=_TOKEN_URL, converter=secure_url)
    base_url: URL = attrs.field(default=_BASE_URL, converter=secure_url)
    scope: tuple[str, ...] = attrs.field(default=(), converter=as_scopes)
    renew_with: RenewWith = attrs.field(
        default="login", validator=one_of("login", "refresh_token", "documented")
    )
    urlencode_basic: bool = False
    refresh_rotates: bool | None = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_rotates, takes_self=True)
    )
    _key: TokenKey = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_key_of, takes_self=True)
    )
    _client: Client = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_client_of, takes_self=True)
    )

    @property
    def key(self) -> TokenKey:
        """Whose token it is: one per token endpoint, API account and scopes."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the secret and of how it is sent, so that a change of either is tried at once."""
        return credential_fingerprint(self.key, self.client_secret.reveal(), str(self.urlencode_basic))

    def login(self) -> AuthFlow[Token]:
        """Ask for a token with the account's secret.

        Raises:
            CredentialRefusedError: The account is unknown, its secret wrong, or it may not do this.
            VendorError: Anything else that is no token.
        """
        response = yield self._client.request({"grant_type": "client_credentials", **scope_field(self.scope)})
        return self._kept(self._client.token(response, self.scope))

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Renew in the way that `renew_with` names; without a refresh token it is a login.

        Raises:
            GrantRefusedError: The session or the refresh token has ended; a login helps.
            CredentialRefusedError: The account is unknown, its secret wrong, or it may not do this.
            VendorError: Anything else that is no token.
        """
        spent = token.refresh_token
        if self.renew_with == "login" or spent is None:
            return (yield from self.login())
        if self.renew_with == "documented":
            fields = {"grant_type": "client_credentials", "refresh_token": spent.reveal()}
            response = yield self._client.request({**fields, **scope_field(self.scope)})
            # A login's answer: nothing of the old token belongs to the new session.
            return self._client.token(response, self.scope, grant=(spent,))
        response = yield self._client.refreshing(token)
        return self._client.token(response, spent=token)

    def logout(self, token: Token) -> AuthFlow[None]:
        """End the token's session; where the answer named none, there is nobody to tell.

        Raises:
            CredentialRefusedError: The account is unknown or its secret wrong.
            VendorError: The server did not confirm it.
        """
        session = token.refresh_token or token.extra.get(_SESSION)
        if session is None:
            return
        secret = session if isinstance(session, Secret) else Secret(str(session))
        fields = {"refresh_token": secret.reveal()}
        response = yield self._client.request(fields, self.token_url.with_name("logout"))
        # An ended session gets `invalid_grant`.
        self._client.check(response, (secret,), moot="invalid_grant")

    def _kept(self, token: Token) -> Token:
        if self.renew_with != "login" or token.refresh_token is None:
            return token
        extra = {**token.extra, _SESSION: token.refresh_token.reveal()}
        return attrs.evolve(token, refresh_token=None, refresh_expires_in=None, extra=extra)
