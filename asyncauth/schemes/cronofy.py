"""Cronofy, the calendar API: `CronofyUser` for calls on behalf of a person, `CronofyApplication` for others.

The two are not interchangeable: what belongs to a user (calendars, events, userinfo) wants the user's
access token, what belongs to the application (real-time scheduling, smart invites, element tokens) wants
the client secret. Neither scheme ever sends the other's. Pass `data_center` as the dashboard's "SDK
identifier" names it: `us`, `au`, `ca`, `de`, `sg` or `uk`. An application lives in one of them.

**A user authorizes.** Send the browser to the URL of an authorization, and give what comes back to the
manager, which exchanges the code and stores the tokens for all workers under the user's `sub`:

>>> from asyncauth.schemes import CronofyApplication, CronofyUser
>>> application = CronofyUser(
...     client_id="armzr1h5", client_secret="not-a-real-one", data_center="de",
...     redirect_uri="https://service.example.com/callback", scope="read_events create_event",
... )
>>> begun = application.authorization(avoid_linking="true")   # keep it in the person's web session
>>> begun.url.host, begun.url.query["scope"]
('app-de.cronofy.com', 'read_events create_event')

```python
user = await manager.authorize(application, application.exchange(str(request.url), begun))
... # keep user.sub; the same scheme at any later time, in any process:
user = CronofyUser(client_id=..., client_secret=..., data_center="de", sub="acc_567236000909002")
async with AuthSession(user, store=store) as session, session.get("/v1/calendars") as response: ...
```

The events `TokenDied` and `AuthorizationNeeded` tell the application once per fleet that this user is needed.
Begin another `authorization()` then. The `authorize_url` of errors and events, which is there with a
`redirect_uri`, has no state: what comes back from it alone cannot be exchanged.

An authorization from elsewhere is stored with `put(user, Token(refresh_token=..., expires_in=0))`. People who
authorize in one browser are linked by default: they get the same `sub` and share one token here, and its
logout is everybody's. `avoid_linking="true"` keeps them apart.

A scheme does no I/O; its conversations can be held by hand:

>>> from asyncauth.abc import AuthResponse
>>> exchange = application.exchange(f"?code=c0de&state={begun.state.reveal()}", begun)
>>> next(exchange)
AuthRequest(POST https://api-de.cronofy.com/oauth/token)
>>> answer = b'''{"token_type": "bearer", "access_token": "P531x88i05Ld2yXHIQ7WjiEyqlmOHsgI",
...     "expires_in": 3600, "refresh_token": "3gBYG1Xa", "scope": "read_events create_event",
...     "account_id": "acc_567236000909002", "sub": "acc_567236000909002"}'''
>>> try:
...     exchange.send(AuthResponse(status=200, body=answer))
... except StopIteration as end:
...     token = end.value
>>> token.subject, token.expires_in, token.scope
('acc_567236000909002', 3600.0, ('create_event', 'read_events'))

**At expiry** one worker spends the refresh token; id, secret and refresh token go into the body. A refresh
token may change whenever it is used, so each counts as being for one use: it is spent once, and what
came back is stored before anybody uses it. Without a new one in the answer the old one stays.

**Options**

- `body="form"` for form fields instead of the JSON that the vendor recommends.
- `renewals_per_second`, of one process and all its users together. The vendor allows an application 50
  requests per second and 500 per minute, and issuing tokens counts. The default of 2 is a quarter of
  that. Lower it where many processes renew at once; raise it if the vendor raised the limit.
- `pkce=True` adds a code challenge. The vendor documents none, so it is off.

**Application calendars** are users without a person, and are made by the application alone, now or again:
`await manager.authorize(application, application.application_calendar("room-17"))`.

**Applications' calls** go through a session of their own. Some endpoints (application calendars, add to
calendar, real-time sequencing) want id and secret in the body, and no header; send those with any client:

>>> app = CronofyApplication(client_id="armzr1h5", client_secret="not-a-real-one", data_center="de")
>>> dict(app.with_credentials({"event": {"event_id": "e1"}}))
{'client_id': 'armzr1h5', 'client_secret': 'not-a-real-one', 'event': {'event_id': 'e1'}}

```python
async with AuthSession(app, store=store) as session:
    await session.post("/v1/smart_invites", json={...})
await client.post(app.base_url / "v1/add_to_calendar", json=app.with_credentials({...}))
```

**Logout** (`/oauth/token/revoke`) ends the authorization with all its tokens; only the user can give it
again. It names the refresh token, for an expired access token would revoke nothing and say nothing.

**Failures, and what to do**

- `GrantRefusedError`: `invalid_grant`, which comes with 400: the user withdrew, or the refresh token was
  spent elsewhere. All workers stop; begin another `authorization()` and send the user to its `url`.
- `AuthorizationRequiredError` for a call that was answered with 403: the user did not grant the scope it
  needs. The message has those that were granted. Begin an `authorization(scope=...)` with more.
- `CredentialRefusedError`: 401 of the token endpoint. Id or secret is wrong, or the data centre. It concerns
  all users of the application.
- 401 of a user's call: the token is renewed once and the call sent once more. 401 of an application's call
  is yours: there is nothing to renew. So are 402 (not in the plan), 404, 422 and 423 (account locked).
- `RenewalFailedError` after 429 or 5xx: the fleet waits; a token that is still valid is used meanwhile.

Sources: Cronofy, "Authentication", "Request Authorization", "Refresh an Access Token", "Revoking
Authorization", "Application Calendars", "Rate limits", "Errors"; the vendor's Ruby, Python, Node, C# and
PHP clients.
"""

from collections.abc import Mapping
from typing import Any, final

import attrs
from yarl import URL

from asyncauth._errors import ConfigurationError
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret, is_printable
from asyncauth.abc import AuthFlow, ResponseHead, Verdict
from asyncauth.schemes._bearer import BearerScheme
from asyncauth.schemes._cronofy import DataCenter, host, known_data_center
from asyncauth.schemes._cronofy_user import CronofyUser
from asyncauth.schemes._fields import as_optional_url, credential_fingerprint, required

__all__ = ["CronofyApplication", "CronofyUser"]


class _Unshown(dict[str, Any]):
    """A body that JSON encoders take like any other, and that no log or traceback shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<a body with {', '.join(self)}>"


def _sendable(instance: object, attribute: "attrs.Attribute[Secret]", value: Secret) -> None:
    del instance
    if not is_printable(value.reveal()):
        raise ConfigurationError(f"{attribute.alias} has characters that no header may carry")


@final
@attrs.frozen(kw_only=True)
class CronofyApplication(BearerScheme):
    """An application itself, whose token is the client secret; the module's docstring is its guide.

    Attributes:
        client_id: The application's id.
        client_secret: Its secret, which the vendor's pages also call API key.
        data_center: Where the application lives.
        api_url: Another place of the API, such as a test server.

    Raises:
        ConfigurationError: A credential is empty or cannot be a token, or an argument cannot work.
        InsecureURLError: The URL is http and not of this machine.
    """

    client_id: str = attrs.field(validator=required)
    client_secret: Secret = attrs.field(converter=as_secret, validator=[required, _sendable])
    data_center: DataCenter = attrs.field(default="us", validator=known_data_center)
    api_url: URL | None = attrs.field(default=None, converter=as_optional_url)
    _base_url: URL = attrs.field(init=False, repr=False, eq=False)
    _key: TokenKey = attrs.field(init=False, repr=False, eq=False)
    _constant: Token = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_base_url", self.api_url or host("api", self.data_center))
        issuer = str(self._base_url.origin())
        key = TokenKey(scheme="cronofy.application", issuer=issuer, client=self.client_id)
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "_constant", Token(access_token=self.client_secret))

    @property
    def base_url(self) -> URL:
        """The data centre's API."""
        return self._base_url

    @property
    def key(self) -> TokenKey:
        """Whose token it is: one per data centre and application."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the secret."""
        return credential_fingerprint(self._key, self.client_secret.reveal())

    @property
    def constant(self) -> Token:
        """The client secret, as a token that lives until it is changed."""
        return self._constant

    def login(self) -> AuthFlow[Token]:
        """Return the client secret: nobody has to be asked."""
        yield from ()
        return self._constant

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Return the client secret: nobody has to be asked."""
        del token
        return self.login()

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        """Judge by the status; 401 is the caller's, as there is nothing to renew."""
        verdict = super().classify(response, token)
        return Verdict.FINE if verdict is Verdict.REFUSED else verdict

    def with_credentials(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body of a call that wants id and secret in it; its `repr` shows names only.

        Raises:
            ConfigurationError: The fields hold an id or a secret already.
        """
        taken = sorted({"client_id", "client_secret"} & fields.keys())
        if taken:
            raise ConfigurationError(f"the body holds {', '.join(taken)} already")
        return _Unshown(client_id=self.client_id, client_secret=self.client_secret.reveal(), **fields)
