"""CareCloud's Customer interface: device tokens without end, and customers' logins on them."""

import secrets
from collections.abc import Callable, Mapping
from typing import Literal, final

import attrs
from yarl import URL

from asyncauth._errors import ConfigurationError
from asyncauth._token import Secret
from asyncauth.testing.emulators._base import Route, echo, plain
from asyncauth.testing.emulators._carecloud_project import (
    CareCloudProject,
    care_refusal,
    field_refusal,
    invalid_params,
    require,
    unauthorized,
)
from asyncauth.testing.emulators._messages import ReceivedRequest, Reply

CUSTOMER = "/webservice/rest-api/customer-interface/v1.0"

_KINDS = ("email", "phone", "card")
_DEVICE = ("device_id", "device_system", "device_name", "device_type")


@final
@attrs.define(kw_only=True)
class CareCloudPerson:
    """One customer of a project.

    Attributes:
        password: What the login compares.
        email: A login value, as are the others.
        phone: With country code, without plus.
        card: The number of a customer card.
    """

    password: str = attrs.field(repr=False)
    email: str = ""
    phone: str = ""
    card: str = ""


@final
@attrs.define(eq=False)
class DeviceToken:
    """One installation's token."""

    device: tuple[str, str]
    serial: int
    customer: str | None = None
    replaced: bool = False


def _john() -> dict[str, CareCloudPerson]:
    john = CareCloudPerson(
        password="password_example",  # noqa: S106 - the vendor's example
        email="user@example.com",
        phone="420523828931",
        card="1000000001",
    )
    return {"8ea6abece4cd0a4ded0a29f093": john}


@attrs.define(kw_only=True, eq=False, repr=False, slots=False)
class CustomerInterface(CareCloudProject):
    """The Customer interface of one project.

    `stats.token_calls` counts calls of `POST /tokens`; faults meet them as "token", and what is below
    `/tokens/` as "other".

    Attributes:
        device_applications: The external application ids that may make device tokens.
        people: The customers by id.
        customer_login_failure: What a wrong customer login gets. The API description lists both.
        without_customer: What a customer's resource gets without one. Not documented.
        customer_carried_over: Whether a device's next token inherits the customer. Not documented.
        public_resources: What needs no token. All others need one, and customers' a customer.
        device_tokens_created: How many were, also those whose answer was lost.
        customer_logins: How many succeeded.
    """

    device_applications: frozenset[str] = frozenset({"81eaeea13b8984a169c490a325"})
    people: dict[str, CareCloudPerson] = attrs.field(factory=_john)
    customer_login_failure: Literal[400, 401] = 401
    without_customer: Literal[401, 403] = 403
    customer_carried_over: bool = False
    public_resources: frozenset[str] = frozenset({"languages"})
    device_tokens_created: int = attrs.field(init=False, default=0)
    customer_logins: int = attrs.field(init=False, default=0)
    _device_tokens: dict[str, DeviceToken] = attrs.field(init=False, factory=dict)

    @property
    def customer_url(self) -> URL:
        """Where the Customer interface's paths begin."""
        return self.url.with_path(CUSTOMER)

    @property
    def device_tokens_alive(self) -> int:
        """How many device tokens would be accepted now."""
        return sum(not token.replaced for token in self._device_tokens.values())

    def replace_device_token(self, token: str | Secret) -> str:
        """Make the next token for a token's device, as another installation with its id would.

        Raises:
            ConfigurationError: It was never issued here.
        """
        return self._next_token(self._issued(token).device)

    def log_out_customer(self, token: str | Secret) -> None:
        """Take the customer off a device token, as a logout from elsewhere would.

        Raises:
            ConfigurationError: It was never issued here.
        """
        self._issued(token).customer = None

    def customer_on(self, token: str | Secret) -> str | None:
        """Return the id of the customer that is logged in on a device token.

        Raises:
            ConfigurationError: It was never issued here.
        """
        return self._issued(token).customer

    def customer_routes(self) -> Mapping[str, Route]:
        """Return the interface's paths."""
        return {
            f"{CUSTOMER}/tokens": self.limited("token", self._create, "POST"),
            f"{CUSTOMER}/tokens/*": self.limited("other", self._below_tokens),
            f"{CUSTOMER}/tests/connection": self.limited("other", self.test_connection, "GET"),
            f"{CUSTOMER}/users": self.limited("other", self._enterprise_only),
            f"{CUSTOMER}/users/*": self.limited("other", self._enterprise_only),
            f"{CUSTOMER}/customers": self.limited("api", self._own_customers, "GET"),
            f"{CUSTOMER}/customers/*": self.limited("api", self._own_customers),
            f"{CUSTOMER}/*": self.limited("api", self._device_resource),
        }

    def _issued(self, token: str | Secret) -> DeviceToken:
        found = self._device_tokens.get(plain(token))
        if found is None:
            raise ConfigurationError("this emulator never issued that token")
        return found

    def _create(self, request: ReceivedRequest) -> Reply:
        fields = request.json_object()
        if fields is None:
            raise care_refusal("invalid", 400, "The body is not JSON", kind="bad_request_exception")
        device, setup = fields.get("device"), fields.get("setup")
        if not isinstance(device, dict) or not isinstance(setup, dict):
            raise invalid_params(*_no_objects(fields, "device", "setup"))
        require({**fields, **device, **setup}, "external_application_id", *_DEVICE, "language_id")
        missing = [name for name in ("allowed_gps", "allowed_notifications") if name not in setup]
        if missing:
            raise invalid_params(*((name, "required") for name in missing))
        application = fields["external_application_id"]
        self.check_application("external_application_id", application, self.device_applications)
        token_id = self._next_token((device["device_id"], application))
        return Reply.json({"data": {"token_id": token_id}}, status=201)

    def _next_token(self, device: tuple[str, str]) -> str:
        text = secrets.token_hex(36)
        self.device_tokens_created += 1
        self.stats.tokens_issued += 1
        token = DeviceToken(device, self.device_tokens_created)
        for older in self._device_tokens.values():
            if older.device == device and not older.replaced:
                older.replaced = True
                token.customer = older.customer if self.customer_carried_over else None
        self._device_tokens[text] = token
        return text

    def _below_tokens(self, request: ReceivedRequest) -> Reply:
        token = self._admit_device(request)
        token_id, _, action = request.path.removeprefix(f"{CUSTOMER}/tokens/").partition("/")
        if token_id != request.credentials("bearer"):
            raise care_refusal("another token", 403, "The token of the path is not the one in the header")
        act = self._actions().get((request.method, action))
        return Reply(status=404) if act is None else act(request, token)

    def _actions(self) -> Mapping[tuple[str, str], Callable[[ReceivedRequest, DeviceToken], Reply]]:
        return {
            ("POST", "actions/login"): self._customer_login,
            ("POST", "actions/logout"): self._customer_logout,
            ("PUT", ""): self._change_setup,
        }

    def _customer_login(self, request: ReceivedRequest, token: DeviceToken) -> Reply:
        fields = request.json_object() or {}
        require(fields, "login_type", "login_value", "password")
        if fields["login_type"] not in _KINDS:
            raise invalid_params(("login_type", "not_allowed_value"))
        for customer, person in self.people.items():
            value = getattr(person, fields["login_type"])
            if (value, person.password) == (fields["login_value"], fields["password"]):
                token.customer = customer
                self.customer_logins += 1
                return Reply.json({"data": {"customer_id": customer}})
        raise field_refusal("customer", self.customer_login_failure, "password", "not_allowed_value")

    def _customer_logout(self, request: ReceivedRequest, token: DeviceToken) -> Reply:
        del request
        token.customer = None
        return Reply(status=204)

    def _change_setup(self, request: ReceivedRequest, token: DeviceToken) -> Reply:
        del token
        if not isinstance((request.json_object() or {}).get("setup"), dict):
            raise invalid_params(("setup", "required"))
        return Reply(status=204)

    def _enterprise_only(self, request: ReceivedRequest) -> Reply:
        del request
        raise self.wrong_segment("customer", "users")

    def _own_customers(self, request: ReceivedRequest) -> Reply:
        token = self._admit_device(request)
        if token.customer is None:
            raise care_refusal("no customer", self.without_customer, "No customer is logged in")
        customer = {"customer_id": token.customer, "state": 1}
        return Reply.json({"data": {"customers": [customer], "total_items": 1, "serial": token.serial}})

    def _device_resource(self, request: ReceivedRequest) -> Reply:
        if request.path.removeprefix(f"{CUSTOMER}/") in self.public_resources:
            return Reply.json({"data": echo(request)})
        token = self._admit_device(request)
        return Reply.json({"data": echo(request, customer=token.customer, serial=token.serial)})

    def _admit_device(self, request: ReceivedRequest) -> DeviceToken:
        text = request.credentials("bearer")
        if text is None:
            raise unauthorized("missing")
        token = self._device_tokens.get(text)
        if token is None:
            raise unauthorized("unknown")
        if token.replaced:
            raise unauthorized("replaced")
        return token


def _no_objects(fields: Mapping[str, object], *names: str) -> list[tuple[str, str]]:
    wrong = [name for name in names if not isinstance(fields.get(name), dict)]
    return [(name, "invalid_value_format" if name in fields else "required") for name in wrong]
