"""OAuth 2.0 for people: `AuthorizationCode`, from the browser to a token that the fleet keeps alive.

A person authorizes the application in the browser (RFC 6749, section 4.1, with PKCE), and its workers
renew and share what came of it. Register the redirect URI at the server, and ask for whatever makes it
give a refresh token (often the scope `offline_access`).

>>> from asyncauth.schemes import AuthorizationCode, AuthorizationRequest
>>> scheme = AuthorizationCode(
...     "https://id.example.com/token",
...     authorization_url="https://id.example.com/authorize",
...     client_id="s6BhdRkqt3",
...     client_secret="gX1fBat3bV",
...     redirect_uri="https://app.example.com/authorized",
...     scope="calendar offline_access",
...     subject="user-17",
...     base_url="https://api.example.com/v1",
... )

**Web application.** The page "connect my calendar" begins an authorization, keeps it in the person's web
session and sends the browser away:

>>> request = scheme.authorization(prompt="consent")
>>> sorted(request.url.query)  # doctest: +NORMALIZE_WHITESPACE
['client_id', 'code_challenge', 'code_challenge_method', 'prompt', 'redirect_uri', 'response_type',
 'scope', 'state']
>>> web_session = {"authorization": request.dump()}  # on the server's side, or in an encrypted cookie

The page at the redirect URI, perhaps in another process, takes it out again, whatever comes of it:

>>> saved = AuthorizationRequest.load(web_session.pop("authorization"))
>>> answer = f"https://app.example.com/authorized?code=SplxlOBeZQQYbYS6WxSbIA&state={saved.state.reveal()}"
>>> exchange = scheme.exchange(answer, saved)  # then: await manager.authorize(scheme, exchange)

`TokenManager.authorize` holds the conversation and stores the token, for all workers. By hand it is:

>>> from asyncauth.abc import AuthResponse
>>> [field.partition("=")[0] for field in next(exchange).body.decode().split("&")]
['grant_type', 'code', 'redirect_uri', 'code_verifier']
>>> try:
...     exchange.send(AuthResponse(status=200, body=b'{"access_token": "2Yot", "refresh_token": "tGzv"}'))
... except StopIteration as end:
...     token = end.value
>>> token.subject, scheme.apply(token).headers["Authorization"]
('user-17', 'Bearer 2Yot')

**Command line.** `LoopbackRedirect` waits for the browser on this machine (RFC 8252); opening the browser
is yours. The port is another one each time, so the redirect URI is given per authorization:

```python
from asyncauth.redirect import LoopbackRedirect

async with LoopbackRedirect() as redirect:
    request = scheme.authorization(redirect_uri=redirect.redirect_uri)
    webbrowser.open(str(request.url))
    await manager.authorize(scheme, scheme.exchange(await redirect.answer(), request))
```

Leave out `client_secret` for programs that people install: those can keep no secret, and PKCE takes its
place.

**Many people.** `subject` is the application's own name for a person. It is part of the token's identity
and never sent; one scheme per person, made when it is needed (`attrs.evolve(scheme, subject=...)`). A new
authorization may be stored while workers use the old one: they all take the new one at once. `forget`
logs a person out, and no worker uses that token again.

**At expiry** one worker of the fleet refreshes, one-time refresh tokens included. Without a refresh token
the person is asked for when the access token has ended.

**When a person is needed again**, requests raise `AuthorizationRequiredError` with `authorize_url`, and the
event `AuthorizationNeeded` tells the application once per fleet. That URL has no state: it says where, but
begin with `authorization` instead of sending anybody there.

**Logout** revokes the refresh token at `revocation_url` (RFC 7009), if there is one.

**Failures, and what to do**

- `AuthorizationRequiredError`: the person declined, or the answer is not to this request (another tab,
  somebody else's link) or not of this server (`iss`). Show a page from which to begin again.
- `GrantRefusedError`: `invalid_grant`. The code was used before, too old, or for another redirect URI or
  verifier; later on, the refresh token has ended or was revoked. Begin again.
- `CredentialRefusedError`: the client or what it asks for is refused, by the server's page or its token
  endpoint. The message has the server's code and words; correct what they name.
- `VendorFailedError`, `VendorBusyError`, `UnreadableAnswerError`: as in `asyncauth.schemes.oauth2`. A code is
  for one use: after a lost answer the person begins again, unless the server remembers the consent.
- 403 of the API with `insufficient_scope`: `AuthorizationRequiredError`, which names the scopes.

No message shows the code, the state or the verifier.

Sources: RFC 6749 (sections 3.1, 4.1, 5, 6, 10.12), RFC 7636, RFC 8252, RFC 9207, RFC 7009, RFC 9700.
"""

from typing import final

import attrs
from yarl import URL

from asyncauth._errors import AuthorizationRequiredError, ConfigurationError
from asyncauth._key import TokenKey
from asyncauth._origin import secure_url
from asyncauth._token import Secret, Token
from asyncauth.abc import AuthFlow
from asyncauth.schemes._authorization import (
    AuthorizationRequest,
    as_redirect_uri,
    begin,
    code_of,
    place_to_authorize,
)
from asyncauth.schemes._oauth2_person import PersonScheme


@final
@attrs.frozen
class AuthorizationCode(PersonScheme):
    """A person's authorization, by the code that the browser brings (RFC 6749, section 4.1).

    Attributes:
        token_url: The token endpoint.
        authorization_url: The authorization endpoint: the page that asks the person.
        client_id: The client's name.
        client_secret: None for a public client.
        redirect_uri: Where the browser comes back to; sent as it is written. None where each
            authorization has its own.
        scope: The scopes to ask for, as a sequence or one string with spaces.
        subject: Who authorizes, by the application's own name. It tells apart the tokens of one client
            and is never sent; a program with one user may name him as it likes.
        pkce: Bind the code to this client (RFC 7636, S256). Switch it off for servers that refuse it.
        issuer: The server's name for itself, where it states `iss` (RFC 9207): other answers are refused.
        revocation_url: Where a logout revokes the refresh token (RFC 7009); without it nobody is told.
        base_url: The API. Without it a session needs absolute URLs of the `origins`.
        client_auth: `basic` sends the secret in a Basic header, `body` as form fields.
        urlencode_basic: Form-encode id and secret before Basic, as section 2.3.1 says. Switch it off
            for servers that do not decode them.
        refresh_rotates: Whether refresh tokens are for one use; none learns it from the answers.
        origins: Further origins that the token may be sent to.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: A URL is http and not of this machine.
    """

    authorization_url: URL = attrs.field(kw_only=True, converter=secure_url)
    redirect_uri: URL | None = attrs.field(
        kw_only=True, default=None, converter=attrs.converters.optional(as_redirect_uri)
    )
    pkce: bool = attrs.field(kw_only=True, default=True)
    issuer: str | None = attrs.field(kw_only=True, default=None)

    def _identity(self) -> TokenKey:
        return TokenKey(
            scheme="oauth2.authorization_code",
            issuer=str(self.token_url),
            client=self.client_id,
            subject=self.subject,
            scopes=self.scope,
        )

    @property
    def authorize_url(self) -> URL | None:
        """The page that asks the person, without a state; none without a `redirect_uri`."""
        if self.redirect_uri is None:
            return None
        return place_to_authorize(self.authorization_url, self.client_id, self.redirect_uri, self.scope)

    def authorization(self, *, redirect_uri: str | URL | None = None, **extra: str) -> AuthorizationRequest:
        """Begin an authorization: send the person's browser to its `url`, and keep it for `exchange`.

        Args:
            redirect_uri: Instead of the scheme's own, such as that of a `LoopbackRedirect`.
            extra: More parameters for the page, such as `prompt`, `login_hint` or `access_type`.

        Raises:
            ConfigurationError: There is no redirect URI, or `extra` has what other arguments set.
            InsecureURLError: The redirect URI is http and not of this machine.
        """
        place = self.redirect_uri if redirect_uri is None else as_redirect_uri(redirect_uri)
        if place is None:
            raise ConfigurationError("redirect_uri is needed, here or as an argument of the scheme")
        return begin(self.authorization_url, self.client_id, place, self.scope, pkce=self.pkce, extra=extra)

    def exchange(self, answer: str | URL, request: AuthorizationRequest) -> AuthFlow[Token]:
        """Turn what the browser came back with into a token; for `TokenManager.authorize`.

        Args:
            answer: The URL that it came back to, or that URL's query.
            request: What `authorization` began. It is spent by this, whatever comes of it.

        Raises:
            AuthorizationRequiredError: The person declined, or the answer is none to this request.
            GrantRefusedError: The server refuses the code for good.
            CredentialRefusedError: The client is refused, or what it asks for.
            VendorError: Anything else that is no token.
        """
        code = code_of(answer, request, issuer=self.issuer)
        sent = [Secret(code), request.state]
        if request.code_verifier is not None:
            sent.append(request.code_verifier)
        response = yield self._client.exchanging(code, request.redirect_uri, request.code_verifier)
        token = self._client.token(response, self.scope, grant=tuple(sent))
        return attrs.evolve(token, subject=self.subject)

    def login(self) -> AuthFlow[Token]:
        """Nothing but a person's authorization gives the first token.

        Raises:
            AuthorizationRequiredError: Always.
        """
        raise AuthorizationRequiredError(
            "somebody has to authorize: begin with authorization(), then authorize(scheme, exchange(...))",
            authorize_url=self.authorize_url,
        )
        yield
