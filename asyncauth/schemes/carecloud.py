"""CareCloud, the CRM: `CareCloudEnterprise`, for the enterprise interface.

For tills, shops' back ends and reports. Mobile applications, portals and kiosks use the customer
interface: see `CareCloudCustomer` in `asyncauth.schemes.carecloud_customer`.

Pass the project URL (the domain of the CareCloud installation), the external application id, and login
and password of an API user. The administrator of the project provides them. Relative URLs of a session
continue the interface's base URL, as in `session.get("/customers")`.

>>> from asyncauth.schemes import CareCloudEnterprise
>>> scheme = CareCloudEnterprise(
...     "sandbox.crmcarecloud.com",
...     application_id="89d1a6111b3fb6e74665d948",
...     login="fabulous_user",
...     password="password_example",
...     timezone="Europe/Prague",
... )
>>> str(scheme.base_url)
'https://sandbox.crmcarecloud.com/webservice/rest-api/enterprise-interface/v1.0'

A scheme does no I/O; its login can be held by hand:

>>> from asyncauth.abc import AuthResponse
>>> login = scheme.login()
>>> next(login)
AuthRequest(POST https://sandbox.crmcarecloud.com/webservice/rest-api/enterprise-interface/v1.0/users/actions/login)
>>> answer = AuthResponse(
...     status=200,
...     headers={"Date": "Wed, 04 Jan 2023 02:31:56 GMT"},
...     body=b'{"data": {"bearer_token": "09359095c5da43c7", "valid_to": "2023-01-04 10:31:56"}}',
... )
>>> try:
...     login.send(answer)
... except StopIteration as end:
...     token = end.value
>>> token.expires_in, scheme.apply(token).headers["Authorization"]
(25200.0, 'Bearer 09359095c5da43c7')

**At expiry** (7 hours by default; a project may have another validity) one worker logs in again; there
are no refresh tokens. `valid_to` is wall time of the project's own zone, without an offset: pass that zone
as `timezone`. Without it, or where the result cannot be true (not above 0, more than 48 hours), `validity`
counts from the login, and a 401 ends a token that lived shorter. Of two moments that a wall time can
mean, in the hour that autumn repeats, and of none, in the one that spring skips, the earlier is taken
that is still to come.

**Logout** names the token to end in its body and ends that one alone.

**Failures, and what to do**

- `CredentialRefusedError`: the login was refused (400, 401 or 403; the vendor publishes no rule). The message
  says what the answer allows to say. It may be login or password, the application id, an API user who is
  not in the user group `webservice`, or a project where this interface is closed. Tried once by the
  whole fleet.
- `RenewalFailedError` that speaks of 404: most likely the project URL.
- 401 of a call: the token is renewed once and the call sent once more, except for calls that check
  somebody's password or code, where 401 is about that.
- 403 of a call: never renewed; the response is yours. With `interface_not_allowed_exception` in it, the
  resource belongs to the customer interface (`/tokens` does): use `CareCloudCustomer` for it.
- 429 and 5xx of a login: tried again after about 1, 2, 4, 8 ... seconds, as the vendor advises, by one
  worker for the whole fleet. 429 of a call is yours: the vendor asks for fewer requests.

Logins by `sso_token`, which last no longer than somebody's session elsewhere, and the deprecated Basic
with an hourly hash are not offered.

Sources: CareCloud REST API, "Getting started", "Authentication", "Integration best practices", and its
specification of `POST /users/actions/login` and `/users/actions/logout`.
"""

import logging
from collections.abc import Mapping
from math import inf
from typing import Any, final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs
from yarl import URL

from asyncauth._errors import ConfigurationError, UnreadableAnswerError
from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret
from asyncauth.abc import AuthFlow
from asyncauth.schemes._answers import is_success, now_of, raise_for_failure, token_text
from asyncauth.schemes._bearer import bearer
from asyncauth.schemes._carecloud import (
    USER_LOGIN,
    CareCloudScheme,
    as_project,
    confirms,
    data_of,
    header_value,
    instants,
    refusal,
)
from asyncauth.schemes._fields import credential_fingerprint, required, shown_as_called

_INTERFACE = "webservice/rest-api/enterprise-interface/v1.0"

_HOUR = 3600.0
_LONGEST_PLAUSIBLE = 48 * _HOUR

_log = logging.getLogger("asyncauth.schemes.carecloud")


def _as_zone(value: str | ZoneInfo | None) -> ZoneInfo | None:
    if value is None or isinstance(value, ZoneInfo):
        return value
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"timezone {value!r} is no IANA name, such as Europe/Prague") from None


def _positive(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    del instance
    if not 0 < value < inf:
        raise ConfigurationError(f"{attribute.name} must be more than 0 s and finite, not {value:g} s")


def _key_of(scheme: "CareCloudEnterprise") -> TokenKey:
    return TokenKey(
        scheme="carecloud.enterprise",
        issuer=str(scheme.base_url),
        client=scheme.user,
        tenant=scheme.application_id,
    )


@final
@attrs.frozen(repr=False)
class CareCloudEnterprise(CareCloudScheme):
    """An API user of a CareCloud project; the module's docstring is its guide.

    Attributes:
        project_url: The domain of the installation, with or without `https://`.
        application_id: The external application id.
        user: The API user's login; the argument's name is `login`.
        password: The API user's password.
        timezone: The project's zone by its IANA name, in which `valid_to` is written. Its rules are read
            from disk when the scheme is made.
        validity: Seconds that a token lives where `valid_to` cannot tell.
        accept_language: The `Accept-Language` of login and logout; the headers of calls are yours.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: The URL is http and not of this machine.
    """

    project_url: URL = attrs.field(converter=as_project)
    application_id: str = attrs.field(kw_only=True, validator=required)
    user: str = attrs.field(kw_only=True, alias="login", validator=required)
    password: Secret = attrs.field(kw_only=True, converter=as_secret, validator=required)
    timezone: ZoneInfo | None = attrs.field(kw_only=True, default=None, converter=_as_zone)
    validity: float = attrs.field(kw_only=True, default=7 * _HOUR, validator=_positive)
    accept_language: str | None = attrs.field(kw_only=True, default=None, validator=header_value)
    _base_url: URL = attrs.field(init=False, repr=False, eq=False)
    _key: TokenKey = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_base_url", self.project_url / _INTERFACE)
        object.__setattr__(self, "_key", _key_of(self))

    def __repr__(self) -> str:
        return shown_as_called(self)

    @property
    def base_url(self) -> URL:
        """The enterprise interface of the project."""
        return self._base_url

    @property
    def key(self) -> TokenKey:
        """Whose token it is: one per project, application and API user."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the password, so that a change of it is tried at once."""
        return credential_fingerprint(self.key, self.password.reveal())

    def login(self) -> AuthFlow[Token]:
        """Log in as the API user.

        Raises:
            CredentialRefusedError: The login is refused.
            VendorError: Anything else that is no token.
        """
        fields = {
            "user_external_application_id": self.application_id,
            "login": self.user,
            "password": self.password.reveal(),
        }
        response = yield self._post("users/actions/login", fields)
        raise_for_failure(response)
        if not is_success(response):
            raise refusal(response, USER_LOGIN, fields.values())
        data = data_of(response)
        text = token_text(response, data, "bearer_token")
        return Token(access_token=text, expires_in=self._life(response, data), subject=self.user)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Log in again: this vendor has no refresh tokens."""
        del token
        return self.login()

    def logout(self, token: Token) -> AuthFlow[None]:
        """End this token, and no other of the same user.

        Raises:
            VendorError: The vendor did not confirm it.
        """
        header = bearer(token)
        fields = {
            "user_external_application_id": self.application_id,
            "bearer_token": header.removeprefix("Bearer "),
        }
        response = yield self._post("users/actions/logout", fields, {"Authorization": header})
        raise_for_failure(response)
        # 401 and 404: there is no such token any more.
        if not confirms(response) and response.status not in {401, 404}:
            raise UnreadableAnswerError(f"{response} does not confirm the logout")

    def _post(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> AuthRequest:
        language = {"Accept-Language": self.accept_language} if self.accept_language else {}
        return AuthRequest.json(self._base_url / path, fields, {**language, **(headers or {})})

    def _life(self, response: AuthResponse, data: Mapping[str, Any]) -> float:
        if self.timezone is None:
            return self.validity
        now = now_of(response)
        lives = (end - now for end in instants(data.get("valid_to"), self.timezone))
        # The earlier reading is never too late; one that is over was not meant.
        life = next((life for life in lives if life > 0), 0.0)
        if 0 < life <= _LONGEST_PLAUSIBLE:
            return life
        _log.warning(
            "%s: its valid_to makes no plausible life in %s; is that the project's zone? Counting %g s",
            response,
            self.timezone.key,
            self.validity,
        )
        return self.validity
