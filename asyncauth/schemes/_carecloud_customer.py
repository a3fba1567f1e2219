"""The conversations of CareCloud's customer interface: a device token, and a customer's login on it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, TypeAlias, final
from urllib.parse import quote

import attrs
from yarl import URL

from asyncauth._errors import (
    ConfigurationError,
    CredentialRefusedError,
    GrantRefusedError,
    UnreadableAnswerError,
    VendorError,
)
from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth._token import Secret, Token, as_secret
from asyncauth.abc import AuthFlow
from asyncauth.schemes._answers import is_success, raise_for_failure, token_text
from asyncauth.schemes._carecloud import CLOSED, REFUSED_FIELD, Refusals, confirms, data_of, refusal
from asyncauth.schemes._fields import one_of, required

DEAD = "the device token is dead: another one was made for the same device id and application"

_INTERFACE = "webservice/rest-api/customer-interface/v1.0"

_UNAUTHORIZED = 401
_FORBIDDEN = 403

DEVICE_FIELDS = ("device_id", "device_system", "device_name", "device_type")
SETUP_FIELDS = ("language_id", "allowed_gps", "allowed_notifications")

_DEVICE_TOKEN = Refusals(
    {
        400: f"{REFUSED_FIELD}the application id, the device and the setup",
        401: "the application id may be wrong",
        403: f"the application id may be wrong{CLOSED}",
    },
    {
        "external_application_id": "application_id",
        **{name: name for name in (*DEVICE_FIELDS, *SETUP_FIELDS, "push_token")},
    },
)

_REFUSED = "the customer login is refused: check its kind, value and password; the device token is kept"
_CUSTOMER_LOGIN = Refusals(
    dict.fromkeys((400, 401, 403, 404), _REFUSED),
    {"login_type": "kind", "login_value": "value", "password": "password"},
)


@final
@attrs.frozen
class CustomerLogin:
    """What one customer of CareCloud logs in with.

    Attributes:
        kind: What `value` is: an e-mail address, a phone number or a card number.
        value: As the customer gives it. Not shown.
        password: The customer's password.

    Raises:
        ConfigurationError: A part is empty, or there is no such kind.
    """

    kind: Literal["email", "phone", "card"] = attrs.field(validator=one_of("email", "phone", "card"))
    value: str = attrs.field(repr=False, validator=required)
    password: Secret = attrs.field(kw_only=True, converter=as_secret, validator=required)


CustomerSource: TypeAlias = CustomerLogin | Callable[[], CustomerLogin | None] | None


def customer_source(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse what is neither a login, nor tells one, nor means that nobody logs in."""
    del instance
    if not (value is None or isinstance(value, CustomerLogin) or callable(value)):
        raise ConfigurationError(f"{attribute.name} is a CustomerLogin, or a function that returns one")


@final
@attrs.frozen
class Tokens:
    """The resource `/tokens` of one project.

    Attributes:
        base_url: The customer interface.
        headers: Sent with each request.
        probe_url: Needs a token and no customer.
    """

    base_url: URL
    headers: Mapping[str, str]
    probe_url: URL

    @classmethod
    def of(cls, project_url: URL, accept_language: str | None, probe_path: str) -> Self:
        """Return the resource of a project."""
        base_url = project_url / _INTERFACE
        headers = {} if accept_language is None else {"Accept-Language": accept_language}
        return cls(base_url, headers, URL(f"{base_url}/{probe_path.lstrip('/')}"))

    def create(self, fields: Mapping[str, Any]) -> AuthFlow[str]:
        """Make a device token, which ends the one before it. Returns its id."""
        response = yield AuthRequest.json(self.base_url / "tokens", fields, self.headers)
        raise_for_failure(response)
        if not is_success(response):
            raise refusal(response, _DEVICE_TOKEN)
        return token_text(response, data_of(response), "token_id")

    def log_in(self, token_id: str, login: CustomerLogin) -> AuthFlow[str]:
        """Log a customer in on a device token. Returns the customer's id.

        Raises:
            CredentialRefusedError: The login is refused, and the device token lives.
            GrantRefusedError: The device token is dead.
            VendorError: Anything else that is no customer's id.
        """
        fields = {
            "login_type": login.kind,
            "login_value": login.value,
            "password": login.password.reveal(),
        }
        response = yield self._action(token_id, "login", fields)
        raise_for_failure(response)
        if response.status in _CUSTOMER_LOGIN.maybe:
            yield from self._check_lives(token_id, response)
            raise refusal(response, _CUSTOMER_LOGIN)
        return _customer_id(response)

    def log_out(self, token_id: str) -> AuthFlow[None]:
        """Log the customer out and keep the device token."""
        response = yield self._action(token_id, "logout")
        raise_for_failure(response)
        # 401: no customer is on it any more, or the device token is dead.
        if not confirms(response) and response.status != _UNAUTHORIZED:
            raise UnreadableAnswerError(f"{response} does not confirm the logout")

    def lives(self, token_id: str) -> AuthFlow[bool]:
        """Tell whether a device token is accepted, with or without a customer."""
        headers = {**self.headers, **_bearer(token_id)}
        response = yield AuthRequest(method="GET", url=self.probe_url, headers=headers)
        raise_for_failure(response)
        if response.status == _UNAUTHORIZED:
            return False
        if response.status == _FORBIDDEN or confirms(response):
            return True
        raise UnreadableAnswerError(
            f"{response} tells nothing of the device token: "
            "probe_path has to be a resource that needs a token and no customer"
        )

    def _check_lives(self, token_id: str, refused: AuthResponse) -> AuthFlow[None]:
        # 401 is documented for a wrong password and for a dead token alike.
        try:
            alive = yield from self.lives(token_id)
        except VendorError as error:
            # Not the probe's failure, after which the refused password would be sent again and again.
            raise CredentialRefusedError(
                f"{refused}: {_REFUSED}, as far as one can tell: {error}"
            ) from error
        if not alive:
            raise GrantRefusedError(DEAD)

    def _action(self, token_id: str, action: str, fields: Mapping[str, str] | None = None) -> AuthRequest:
        url = self.base_url.joinpath("tokens", quote(token_id, safe=""), "actions", action, encoded=True)
        headers = {**self.headers, **_bearer(token_id)}
        place = f"{self.base_url}/tokens/{{token_id}}/actions/{action}"
        if fields is None:
            return AuthRequest(method="POST", url=url, headers=headers, place=place)
        return attrs.evolve(AuthRequest.json(url, fields, headers), place=place)


def device_token(token_id: str) -> Token:
    """Return a device token that nobody is known to be logged in on; its id is also what renews it."""
    return Token(access_token=token_id, refresh_token=token_id)


def id_of(token: Token) -> str:
    """Return a device token's id."""
    secret = token.refresh_token or token.access_token
    assert secret is not None  # noqa: S101 - a token without cookies has one of the two
    return secret.reveal()


def _bearer(token_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_id}"}


def _customer_id(response: AuthResponse) -> str:
    if not is_success(response):
        raise UnreadableAnswerError(f"{response} is no answer of a login: is the project URL right?")
    return token_text(response, data_of(response), "customer_id")
