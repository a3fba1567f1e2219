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
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret
from asyncauth.abc import AuthFlow
from asyncauth.schemes._answers import is_success, raise_for_failure, token_text
from asyncauth.schemes._carecloud import CLOSED, REFUSED_FIELD, Refusals, confirms, data_of, refusal
from asyncauth.schemes._fields import one_of, required

DEAD = "the device token is dead: another one was made for the same device id and application"
ANOTHER = (
    "another customer is logged in on the token of this device: log this scheme's customer in "
    "with amend and customer_login, or give each customer a device_id"
)

_INTERFACE = "webservice/rest-api/customer-interface/v1.0"

_UNAUTHORIZED = 401
_FORBIDDEN = 403

_DEVICE_FIELDS = ("device_id", "device_system", "device_name", "device_type")
_SETUP_FIELDS = ("language_id", "allowed_gps", "allowed_notifications")

_DEVICE_TOKEN = Refusals(
    {
        400: f"{REFUSED_FIELD}the application id, the device and the setup",
        401: "the application id may be wrong",
        403: f"the application id may be wrong{CLOSED}",
    },
    {
        "external_application_id": "application_id",
        **{name: name for name in (*_DEVICE_FIELDS, *_SETUP_FIELDS, "push_token")},
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
        setup: What the device token's setup is.
    """

    base_url: URL
    headers: Mapping[str, str]
    probe_url: URL
    setup: Mapping[str, Any]

    @classmethod
    def of(
        cls, project_url: URL, accept_language: str | None, probe_path: str, setup: Mapping[str, Any]
    ) -> Self:
        """Return the resource of a project."""
        base_url = project_url / _INTERFACE
        headers = {} if accept_language is None else {"Accept-Language": accept_language}
        return cls(base_url, headers, URL(f"{base_url}/{probe_path.lstrip('/')}"), setup)

    def key(self, application_id: str, device_id: str) -> TokenKey:
        """Return whose token a device's is."""
        issuer = str(self.base_url)
        return TokenKey(scheme="carecloud.customer", issuer=issuer, client=device_id, tenant=application_id)

    def create(self, fields: Mapping[str, Any]) -> AuthFlow[str]:
        """Make a device token, which ends the one before it. Returns its id."""
        response = yield AuthRequest.json(self.base_url / "tokens", fields, self.headers)
        raise_for_failure(response)
        if not is_success(response):
            raise refusal(response, _DEVICE_TOKEN, [str(value) for value in fields.values()])
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
        response = yield self._below(token_id, "actions", "login", fields=fields)
        raise_for_failure(response)
        if response.status in _CUSTOMER_LOGIN.maybe:
            yield from self._check_lives(token_id, response)
            raise refusal(response, _CUSTOMER_LOGIN, (login.value, login.password.reveal()))
        return _customer_id(response)

    def log_out(self, token_id: str) -> AuthFlow[None]:
        """Log the customer out and keep the device token."""
        response = yield self._below(token_id, "actions", "logout")
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
            return (yield from self._takes_setup(token_id))
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
            raise CredentialRefusedError(f"{refused}: {_REFUSED}, as far as one can tell: {error}") from error
        if not alive:
            raise GrantRefusedError(DEAD)

    def _takes_setup(self, token_id: str) -> AuthFlow[bool]:
        # Which resources want a customer is not published: the probe's own may, and that would cost a
        # device token with each 401. The setup is the token's, whoever is on it.
        response = yield self._below(token_id, method="PUT", fields={"setup": self.setup})
        raise_for_failure(response)
        return confirms(response)

    def _below(
        self, token_id: str, *path: str, method: str = "POST", fields: Mapping[str, Any] | None = None
    ) -> AuthRequest:
        url = self.base_url.joinpath("tokens", quote(token_id, safe=""), *path, encoded=True)
        headers = {**self.headers, **_bearer(token_id)}
        plain = AuthRequest(method=method, url=url, headers=headers)
        request = plain if fields is None else AuthRequest.json(url, fields, headers)
        place = "/".join((f"{self.base_url}/tokens/{{token_id}}", *path))
        return attrs.evolve(request, method=method, place=place)


def setup_of(scheme: object) -> dict[str, Any]:
    """Return the setup of a scheme's installation, in the order of the vendor's pages."""
    return {name: getattr(scheme, name) for name in _SETUP_FIELDS}


def installation(scheme: object, application_id: str, push_token: Secret | None) -> dict[str, Any]:
    """Return what a device token is made of, in the order of the vendor's pages."""
    fields = {
        "device": {name: getattr(scheme, name) for name in _DEVICE_FIELDS},
        "setup": setup_of(scheme),
        "external_application_id": application_id,
    }
    return fields if push_token is None else {**fields, "push_token": push_token.reveal()}


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
