"""CareCloud's Enterprise interface: user logins, tokens with an end, resources."""

import secrets
from collections.abc import Mapping
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
    require,
    unauthorized,
)
from asyncauth.testing.emulators._messages import ReceivedRequest, Reply

ENTERPRISE = "/webservice/rest-api/enterprise-interface/v1.0"

_APPLICATION = "user_external_application_id"


@final
@attrs.define
class CareCloudUser:
    """One API user.

    Attributes:
        password: What the login compares.
        webservice: Whether the user is in the group of that name, which the API demands.
    """

    password: str = attrs.field(repr=False)
    webservice: bool = True


@final
@attrs.define(eq=False)
class UserToken:
    """One bearer token of a user."""

    login: str
    expires: float
    serial: int
    ended: bool = False


# Interfaces have a `__dict__`, so that one class can inherit from several of them.
@attrs.define(kw_only=True, eq=False, repr=False, slots=False)
class EnterpriseInterface(CareCloudProject):
    """The Enterprise interface of one project.

    Attributes:
        applications: The external application ids that it knows.
        validity: Seconds that a token is good for; seven hours unless the project says otherwise.
        users: API users by login.
        login_status: What a good login answers with; the API description lists both.
        urlencoded_login: Whether a login may be a form. Not documented.
        login_failure: What a wrong login or password gets. Not documented.
        single_token: Whether a login ends the user's earlier token. Not documented.
        logout_unknown: What a logout gets that names an unknown token. Not documented.
    """

    applications: frozenset[str] = frozenset({"89d1a6111b3fb6e74665d948"})
    validity: float = 7 * 3600.0
    users: dict[str, CareCloudUser] = attrs.field(
        factory=lambda: {"fabulous_user": CareCloudUser("password_example")}
    )
    login_status: Literal[200, 201] = 200
    urlencoded_login: bool = False
    login_failure: Literal[400, 401, 403] = 401
    single_token: bool = False
    logout_unknown: Literal[400, 404] = 400
    _user_tokens: dict[str, UserToken] = attrs.field(init=False, factory=dict)

    @property
    def enterprise_url(self) -> URL:
        """Where the Enterprise interface's paths begin."""
        return self.url.with_path(ENTERPRISE)

    @property
    def tokens_alive(self) -> int:
        """How many user tokens would be accepted now."""
        now = self.clock.wall()
        return sum(not token.ended and now < token.expires for token in self._user_tokens.values())

    def revoke_access(self, token: str | Secret) -> None:
        """End one token as a logout does.

        Raises:
            ConfigurationError: It was never issued here.
        """
        found = self._user_tokens.get(plain(token))
        if found is None:
            raise ConfigurationError("this emulator never issued that token")
        found.ended = True

    def enterprise_routes(self) -> Mapping[str, Route]:
        """Return the interface's paths."""
        return {
            f"{ENTERPRISE}/users/actions/login": self.limited("token", self._login, "POST"),
            f"{ENTERPRISE}/users/actions/logout": self.limited("other", self._logout, "POST"),
            f"{ENTERPRISE}/tests/connection": self.limited("other", self.test_connection, "GET"),
            f"{ENTERPRISE}/tokens": self.limited("other", self._customers_only),
            f"{ENTERPRISE}/tokens/*": self.limited("other", self._customers_only),
            f"{ENTERPRISE}/customers": self.limited("api", self._customers, "GET"),
            f"{ENTERPRISE}/*": self.limited("api", self._resource),
        }

    def _login(self, request: ReceivedRequest) -> Reply:
        form = dict(request.form()) if self.urlencoded_login else {}
        fields = form or request.json_object()
        if fields is None:
            raise care_refusal("invalid", 400, "The body is not JSON", kind="bad_request_exception")
        require(fields, _APPLICATION, "login", "password")
        self.check_application(_APPLICATION, fields[_APPLICATION], self.applications)
        login = self._checked(fields["login"], fields["password"])
        if self.single_token:
            self._end_tokens_of(login)
        text, token = self._issue(login)
        data = {"bearer_token": text, "valid_to": self.wall_time(token.expires), "user": _person(login)}
        return Reply.json({"data": data}, status=self.login_status)

    def _checked(self, login: str, password: str) -> str:
        user = self.users.get(login)
        if user is None or user.password != password:
            raise field_refusal("credentials", self.login_failure, "password", "not_allowed_value")
        if not user.webservice:
            raise care_refusal("group", 403, "The user is not in the group webservice")
        return login

    def _end_tokens_of(self, login: str) -> None:
        for token in self._user_tokens.values():
            token.ended = token.ended or token.login == login

    def _issue(self, login: str) -> tuple[str, UserToken]:
        text = secrets.token_hex(20)
        self.stats.tokens_issued += 1
        # To the second, so that `valid_to` names the very instant.
        expires = float(int(self.clock.wall() + self.validity))
        token = UserToken(login, expires, self.stats.tokens_issued)
        self._user_tokens[text] = token
        return text, token

    def _logout(self, request: ReceivedRequest) -> Reply:
        # A dead token cannot log out, not even another one.
        self._admit(request)
        fields = request.json_object() or {}
        require(fields, _APPLICATION, "bearer_token")
        self.check_application(_APPLICATION, fields[_APPLICATION], self.applications)
        # The token to end is the body's, whoever's it is; the header only lets the caller in.
        token = self._user_tokens.get(fields["bearer_token"])
        if token is None or token.ended:
            raise field_refusal("unknown", self.logout_unknown, "bearer_token", "not_found")
        token.ended = True
        return Reply(status=204)

    def _customers_only(self, request: ReceivedRequest) -> Reply:
        del request
        raise self.wrong_segment("enterprise", "tokens")

    def _customers(self, request: ReceivedRequest) -> Reply:
        token = self._admit(request)
        customer = {"customer_id": "8ea6abece4cd0a4ded0a29f093", "state": 1}
        return Reply.json({"data": {"customers": [customer], "total_items": 1, "serial": token.serial}})

    def _resource(self, request: ReceivedRequest) -> Reply:
        token = self._admit(request)
        return Reply.json({"data": echo(request, login=token.login, serial=token.serial)})

    def _admit(self, request: ReceivedRequest) -> UserToken:
        text = request.credentials("bearer")
        if text is None:
            raise unauthorized("missing")
        token = self._user_tokens.get(text)
        if token is None:
            raise unauthorized("unknown")
        if token.ended:
            raise unauthorized("ended")
        if self.clock.wall() >= token.expires:
            raise unauthorized("expired")
        return token


def _person(login: str) -> dict[str, object]:
    return {
        "user_id": "838b73aacb5ac326cec4030c80",
        "login": login,
        "first_name": "Fabulous",
        "last_name": "Legend",
        "email": "user@example.com",
        "phone": 420123828931,
        "user_role_id": "86e05affc7a7befcd513ab400",
        "store_id": "86e05affc7a7abecd513ab400",
    }
