"""Cronofy's data centres, and an application at its token endpoint (RFC 6749, with its own habits)."""

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, final

import attrs
from yarl import URL

from asyncauth._errors import (
    AuthError,
    ConfigurationError,
    CredentialRefusedError,
    GrantRefusedError,
    UnreadableAnswerError,
)
from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth._token import Secret, Token, is_printable
from asyncauth.schemes._answers import is_success, raise_for_failure, shown
from asyncauth.schemes._fields import one_of
from asyncauth.schemes._oauth2 import Client

DataCenter: TypeAlias = Literal["us", "au", "ca", "de", "sg", "uk"]
Body: TypeAlias = Literal["json", "form"]

known_data_center = one_of("us", "au", "ca", "de", "sg", "uk")

# What the vendor's FAQ says of codes, beside the documented `invalid_grant`.
_SPENT = "errors.unknown_or_used"


def host(name: Literal["api", "app"], data_center: DataCenter) -> URL:
    """Return a data centre's host; that of the United States has no suffix."""
    suffix = "" if data_center == "us" else f"-{data_center}"
    return URL(f"https://{name}{suffix}.cronofy.com")


def positive(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    """Refuse a rate that is not above 0."""
    del instance
    if not value > 0:
        raise ConfigurationError(f"{attribute.name} must be more than 0, not {value:g}")


@final
@attrs.frozen(kw_only=True)
class Application:
    """An application at one data centre, with its id and secret in the body of each request.

    Attributes:
        api_url: The data centre's API.
        data_center: Its name, for messages.
        client_id: The application's id.
        client_secret: Its secret.
        body: How bodies are written.
    """

    api_url: URL
    data_center: DataCenter
    client_id: str
    client_secret: Secret
    body: Body

    def request(self, path: str, fields: Mapping[str, str]) -> AuthRequest:
        """Return a request with id, secret and these fields, in the order of the vendor's pages."""
        who = {"client_id": self.client_id, "client_secret": self.client_secret.reveal()}
        url = self.api_url / path
        if self.body == "form":
            return AuthRequest.form(url, {**who, **fields})
        return AuthRequest(
            method="POST",
            url=url,
            headers={"Content-Type": "application/json; charset=utf-8"},
            body=json.dumps({**who, **fields}).encode(),
        )

    def token(
        self, response: AuthResponse, refused: str, sent: tuple[Secret, ...], spent: Token | None = None
    ) -> Token:
        """Return the token of a successful answer.

        Args:
            response: What the token endpoint answered.
            refused: What it means if the grant is refused, and what to do.
            sent: Secrets of the request that are spent by it.
            spent: The token that was refreshed. What the answer does not repeat is carried over.

        Raises:
            GrantRefusedError: The code or refresh token is refused for good.
            CredentialRefusedError: The application is refused, or what it asks for.
            VendorError: Anything else that is no token.
        """
        self.check(response, refused, sent)
        client = Client(
            token_url=self.api_url, client_id=self.client_id, client_secret=self.client_secret, auth="body"
        )
        return client.token(response, spent=spent, grant=sent)

    def check(self, response: AuthResponse, refused: str, sent: tuple[Secret, ...]) -> None:
        """Raise what an answer means that is no success; see `token`."""
        raise_for_failure(response)
        answer = _object(response)
        # Some servers answer an error with 200; no token comes with one.
        if not is_success(response) or answer.get("error"):
            secrets = [secret.reveal() for secret in (self.client_secret, *sent)]
            raise self._refusal(response, answer, refused, secrets)
        if response.is_html:
            raise UnreadableAnswerError(f"{response} is an HTML page: a proxy or login page answered")

    def _refusal(
        self, response: AuthResponse, answer: Mapping[str, Any], refused: str, secrets: list[str]
    ) -> AuthError:
        parts = (answer.get("error"), answer.get("error_description"), _first_error(answer))
        words = "; ".join(filter(None, (shown(part, secrets) for part in parts)))
        said = f"{response}: {words}; " if words else f"{response}: "
        if response.status == 401 or answer.get("error") == "invalid_client":  # noqa: PLR2004
            return CredentialRefusedError(
                f"{said}the application is misconfigured: check client_id and client_secret, and whether it"
                f" lives in the data centre {self.data_center!r}: no other one knows it"
            )
        if answer.get("error") == "invalid_grant" or _SPENT in _first_error(answer):
            return GrantRefusedError(f"{said}{refused}")
        if words or response.status == 415:  # noqa: PLR2004
            # Nothing of it gets better by asking again: one try for all workers.
            return CredentialRefusedError(
                f"{said}the request is refused as it is: check the arguments, and try another `body`"
                f" than {self.body!r}"
            )
        return UnreadableAnswerError(f"{said}this is not what Cronofy says: is the data centre's URL right?")


def of_its_user(response: AuthResponse, token: Token) -> Token:
    """Return the token of a first answer with its user's id, which everything else is kept under.

    Raises:
        UnreadableAnswerError: It names no user, or there is nothing to renew it with.
    """
    extra = dict(token.extra)
    sub = extra.pop("sub", None)
    if not isinstance(sub, str) or not is_printable(sub):
        raise UnreadableAnswerError(f"{response} names no user (sub)")
    if token.refresh_token is None:
        raise UnreadableAnswerError(f"{response} holds no refresh_token")
    return attrs.evolve(token, subject=sub, extra=extra)


def _object(response: AuthResponse) -> Mapping[str, Any]:
    # A revocation's success has no body, and a refusal may have any.
    try:
        return response.json_object()
    except UnreadableAnswerError:
        return {}


def _first_error(answer: Mapping[str, Any]) -> str:
    """Return the field and the key of `{"errors": {"field": [{"key": "errors.required"}]}}`."""
    errors = answer.get("errors")
    if not isinstance(errors, dict) or not errors:
        return ""
    field, problems = next(iter(errors.items()))
    first = problems[0] if isinstance(problems, list) and problems else None
    return f"{field} {first.get('key')}" if isinstance(first, dict) else str(field)
