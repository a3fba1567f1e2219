"""CareCloud, the CRM: `CareCloudCustomer`, for the customer interface.

For mobile applications, portals and kiosks; tills, shops' back ends and reports use `CareCloudEnterprise`.

Pass the project URL (the domain of the CareCloud installation), the external application id that the
administrator of the project provides, and the device: its id, name, system and type are all required by
the vendor. Relative URLs of a session continue the interface's base URL, as in `session.get("/stores")`.

>>> from asyncauth.schemes import CareCloudCustomer
>>> scheme = CareCloudCustomer(
...     "sandbox.crmcarecloud.com",
...     application_id="81eaeea13b8984a169c490a325",
...     device_id="123456",
...     device_name="Test device",
...     device_system="OSX",
...     device_type="iPhone",
... )
>>> str(scheme.base_url)
'https://sandbox.crmcarecloud.com/webservice/rest-api/customer-interface/v1.0'

A scheme does no I/O; its conversations can be held by hand:

>>> from asyncauth.abc import AuthResponse
>>> login = scheme.login()
>>> next(login)
AuthRequest(POST https://sandbox.crmcarecloud.com/webservice/rest-api/customer-interface/v1.0/tokens)
>>> try:
...     login.send(AuthResponse(status=201, body=b'{"data": {"token_id": "4d8121dea8ae3c7b"}}'))
... except StopIteration as end:
...     token = end.value
>>> scheme.apply(token).headers["Authorization"], token.expires_in
('Bearer 4d8121dea8ae3c7b', None)

**The device token** has no end. One thing kills it: the next token for the same device id and
application. So the fleet makes one and keeps it, in a store that lasts. A token that is refused is looked for
in the store first, then tried at `probe_path` and, if that answers 401, with its setup; only a dead one is
replaced. To go on with one that you have, `put` it as `Token(access_token=token_id, refresh_token=token_id)`.
Its setup and push token are sent when it is made; changes are yours to send (`PUT /tokens/{token_id}`).

**The device id** is one per installation: one for a service with all its workers, another for each kiosk or
phone. It is required, and never random: a new one at each start would make tokens without end, and
two installations with one id would end each other's token for ever.

**Customers.** Calls that need no customer work with the device token alone. A customer's login lies on the
token, at the vendor; the token stays the same text. There are two ways to it:

- `customer=CustomerLogin("email", "user@example.com", password=...)`, or by `"phone"` or `"card"`: whom the
  installation works for. The fleet logs him in after it made the device token, and again when a call is
  answered with 401 while the token lives, or with 403 while nobody is known to be on it. A function
  is asked often, so it has to be quick, and may return none while nobody is there.
- Without `customer`, the application logs people in and out while it runs:

```python
token = await manager.amend(scheme, scheme.customer_login(CustomerLogin("card", number, password=typed)))
token.subject                                                  # the customer's id
await manager.amend(scheme, scheme.customer_logout())          # the device token is kept
```

If the device token is replaced, the login is gone: an `AuthorizationNeeded` event tells so once. With
`customer`, the fleet logs him in again by itself, also after a `customer_logout`.

The token has room for one customer at a time, so schemes of one device share a token whatever their
`customer` is. One that finds another customer's login on it sends nothing and logs nobody out; it raises
`AuthorizationRequiredError` until `amend` with its own `customer_login` (`TokenManager.token` does not look).
Serve customers side by side with a device id for each. Log a function's customer out with `amend` before it
tells of the next: calls in between go out under the old login, and raise instead of showing what came back.

**Logout** logs the customer out and forgets the device token, which stays good: no call ends it. The next
use makes another. To log out the customer alone, amend with `customer_logout`.

**Failures, and what to do**

- `CredentialRefusedError` of `/tokens`: the application id, a field of device or setup, or a project where
  this interface is closed; the message says what the answer allows to say. Tried once by the whole fleet.
- `CredentialRefusedError` of the customer's login (400, 401, 403 or 404, while the device token lives):
  check kind, value and password. Tried once by the whole fleet until the login changes, and the device
  token is kept. So it is if `probe_path` does not tell whether that lives; the message says so then.
  From `amend`, it is about that call only.
- A device token that turns out dead during `amend` is replaced, and the change made on the new one.
- 401 of a call: see above. With a living token and no `customer` it is yours, and most likely wants a
  customer. 401 of a call that checks a password or code is about that.
- 403 of a call: yours, but for a `customer` who is not on the token yet. The resource may want one or, with
  `interface_not_allowed_exception` in the body, belong to the enterprise interface (`/users` does).
- 429 and 5xx of a login: tried again after about 1, 2, 4, 8 ... seconds, as the vendor advises, by one
  worker for the whole fleet. 429 of a call is yours: the vendor asks for fewer requests.

The token's id is a part of some URLs; messages of asyncauth show `{token_id}` in its place.

Sources: CareCloud REST API, "Getting started", "Authentication", "Use cases", and its specification of
`/tokens` and what is below it. Which status a refused login and a call without customer get is not published.
"""

import json
from collections.abc import Callable
from typing import Any, final

import attrs
from yarl import URL

from asyncauth._errors import AuthorizationRequiredError, GrantRefusedError
from asyncauth._exchange import Placement
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_optional_secret
from asyncauth.abc import AuthFlow, ResponseHead, Verdict
from asyncauth.schemes._carecloud import CareCloudScheme, as_project, checks_a_credential, header_value
from asyncauth.schemes._carecloud_customer import (
    ANOTHER,
    DEAD,
    CustomerLogin,
    CustomerSource,
    Tokens,
    customer_source,
    device_token,
    id_of,
    installation,
    setup_of,
)
from asyncauth.schemes._fields import credential_fingerprint, required

# In `Token.extra`: a hash of whose login lies on the token. The vendor tells its customer id only after one.
_CUSTOMER = "customer"


@final
@attrs.frozen
class CareCloudCustomer(CareCloudScheme):
    """An installation of an application for customers; the module's docstring is its guide.

    Attributes:
        project_url: The domain of the CareCloud installation, with or without `https://`.
        application_id: The external application id.
        device_id: One per installation of the application, the same at each start.
        device_name: The device's name.
        device_system: Its operating system.
        device_type: Its product line.
        language_id: The installation's language (ISO 639-1).
        allowed_gps: Whether the application may track the device's place.
        allowed_notifications: Whether it may send notifications.
        push_token: Where to send those, from Apple or Google.
        customer: Who is logged in on the token, or a function that tells; by default nobody.
        accept_language: The `Accept-Language` of the scheme's own requests; the headers of calls are yours.
        probe_path: A resource that needs a token and no customer. Which ones do is not published.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: The URL is http and not of this machine.
    """

    login_is_destructive = True
    refresh_rotates = False
    fine_below = 0  # any response may be somebody else's; see `classify`

    project_url: URL = attrs.field(converter=as_project)
    application_id: str = attrs.field(kw_only=True, validator=required)
    device_id: str = attrs.field(kw_only=True, validator=required)
    device_name: str = attrs.field(kw_only=True, validator=required)
    device_system: str = attrs.field(kw_only=True, validator=required)
    device_type: str = attrs.field(kw_only=True, validator=required)
    language_id: str = attrs.field(kw_only=True, default="en", validator=required)
    allowed_gps: bool = attrs.field(kw_only=True, default=False)
    allowed_notifications: bool = attrs.field(kw_only=True, default=False)
    push_token: Secret | None = attrs.field(kw_only=True, default=None, converter=as_optional_secret)
    customer: CustomerSource = attrs.field(kw_only=True, default=None, validator=customer_source)
    accept_language: str | None = attrs.field(kw_only=True, default=None, validator=header_value)
    probe_path: str = attrs.field(kw_only=True, default="stores?count=1", validator=required)
    revives: bool = attrs.field(init=False, repr=False, eq=False)
    _key: TokenKey = attrs.field(init=False, repr=False, eq=False)
    _tokens: Tokens = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "revives", self.customer is not None)
        tokens = Tokens.of(self.project_url, self.accept_language, self.probe_path, setup_of(self))
        object.__setattr__(self, "_tokens", tokens)
        object.__setattr__(self, "_key", tokens.key(self.application_id, self.device_id))

    @property
    def base_url(self) -> URL:
        """The customer interface of the project."""
        return self._tokens.base_url

    @property
    def key(self) -> TokenKey:
        """Whose token it is: one per project, application and device, whoever is logged in on it."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the customer's login and of what makes a device token: a change is tried at once."""
        login = self._login_now()
        customer = [] if login is None else [login.kind, login.value, login.password.reveal()]
        return credential_fingerprint(self.key, json.dumps(self._installation()), *customer)

    def login(self) -> AuthFlow[Token]:
        """Make a device token, which ends the one before it.

        With a `customer` it is returned as a refresh token alone, so that it is stored before the
        customer's login is tried: a wrong password must not cost a device token.

        Raises:
            CredentialRefusedError: Application, device or setup are refused.
            VendorError: Anything else that is no token.
        """
        token_id = yield from self._tokens.create(self._installation())
        if self._login_now() is None:
            return device_token(token_id)
        return Token(refresh_token=token_id, expires_in=0)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Log the customer in again on the device token; without one, see whether the token lives.

        Raises:
            GrantRefusedError: The device token is dead; a login makes another.
            CredentialRefusedError: The customer's login is refused.
            VendorError: Anything else that went wrong.
        """
        if (login := self._login_now()) is not None:
            return (yield from self._customer_on(token, login))
        if token.access_token is None:  # a change was made whose answer was lost
            yield from self._tokens.log_out(id_of(token))
        if (yield from self._tokens.lives(id_of(token))):
            return attrs.evolve(device_token(id_of(token)), subject=token.subject, extra=token.extra)
        raise GrantRefusedError(DEAD)

    def logout(self, token: Token) -> AuthFlow[None]:
        """Log out the customer, if there is one. No call ends the device token itself.

        Raises:
            VendorError: The vendor did not confirm it.
        """
        if token.subject is not None:
            yield from self._tokens.log_out(id_of(token))

    def customer_login(self, login: CustomerLogin) -> Callable[[Token], AuthFlow[Token]]:
        """Return the change that logs a customer in on the device token, for `TokenManager.amend`.

        The conversation raises:
            CredentialRefusedError: The login is refused; the token is as before.
            GrantRefusedError: The device token is dead.
            VendorError: Anything else that went wrong.
        """
        return lambda token: self._customer_on(token, login)

    def customer_logout(self) -> Callable[[Token], AuthFlow[Token]]:
        """Return the change that logs the customer out and keeps the token, for `TokenManager.amend`.

        The conversation raises:
            VendorError: The vendor did not confirm it.
        """
        return self._nobody_on

    def apply(self, token: Token) -> Placement:
        """Put the token on requests, unless somebody else than this scheme's customer is logged in.

        Raises:
            AuthorizationRequiredError: Somebody else is.
        """
        if self._is_anothers(token):
            raise AuthorizationRequiredError(ANOTHER)
        return super().apply(token)

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        """Judge by the status, and by whose login was on the token.

        A 403 with nobody on it may be for want of this scheme's customer, who is logged in then.
        """
        if callable(self.customer) and self._is_anothers(token):  # it tells of somebody else by now
            return Verdict.NEEDS_USER
        verdict = super().classify(response, token)
        known = verdict is not Verdict.FORBIDDEN or _CUSTOMER in token.extra or self._login_now() is None
        return verdict if known or checks_a_credential(response) else Verdict.REFUSED

    def missing(self, response: ResponseHead, token: Token) -> str:
        """Say that it is another customer's login that lies on the token."""
        del response, token
        return ANOTHER

    def _is_anothers(self, token: Token) -> bool:
        on_token, login = token.extra.get(_CUSTOMER), self._login_now()
        return on_token is not None and login is not None and bool(on_token != self._mark(login))

    def _customer_on(self, token: Token, login: CustomerLogin) -> AuthFlow[Token]:
        token_id = id_of(token)
        customer = yield from self._tokens.log_in(token_id, login)
        extra = {_CUSTOMER: self._mark(login)}
        return attrs.evolve(device_token(token_id), subject=customer, extra=extra)

    def _nobody_on(self, token: Token) -> AuthFlow[Token]:
        yield from self._tokens.log_out(id_of(token))
        return device_token(id_of(token))

    def _login_now(self) -> CustomerLogin | None:
        return self.customer() if callable(self.customer) else self.customer

    def _mark(self, login: CustomerLogin) -> str:
        return credential_fingerprint(self.key, login.kind, login.value)

    def _installation(self) -> dict[str, Any]:
        return installation(self, self.application_id, self.push_token)
