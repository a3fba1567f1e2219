"""What the OAuth 2 schemes share: how a client proves itself, and how a token endpoint answers (RFC 6749)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal, final
from urllib.parse import quote_plus

import attrs
from yarl import URL

from asyncauth._errors import (
    AuthError,
    ConfigurationError,
    CredentialRefusedError,
    GrantRefusedError,
    UnreadableAnswerError,
    VendorFailedError,
)
from asyncauth._exchange import AuthRequest, AuthResponse, basic_auth
from asyncauth._token import Secret, Token
from asyncauth.schemes._answers import is_success, life_of, number, raise_for_failure, shown, token_text

ClientAuth = Literal["basic", "body"]

_NAMED = {"access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in", "scope"}

# RFC 6749, section 5.2. Keycloak says unauthorized_client for a wrong secret too. None of these gets
# better by asking again, so all of them count as the credential's: one try for the whole fleet.
_ADVICE = {
    "invalid_client": "check client_id, client_secret and how the client has to authenticate",
    "unauthorized_client": "check client_id and client_secret, and that this client may use this grant",
    "invalid_request": "the server misses a parameter or does not like one",
    "invalid_scope": "check the scopes that are asked for",
    "unsupported_grant_type": "this server does not offer this grant to the client",
}

# RFC 6749, section 4.1.2.1: there they stand in for 500 and 503; some servers use them here as well.
_PASSING = {"server_error", "temporarily_unavailable"}

_KNOWN = {"invalid_grant", *_ADVICE, *_PASSING}

_OVER = "it has ended, was used before or was revoked: a new authorization is needed"


@final
@attrs.frozen(kw_only=True)
class Client:
    """A client at its token endpoint.

    Attributes:
        token_url: The token endpoint.
        client_id: The client's name.
        client_secret: None for a public client, which only names itself (section 3.2.1).
        auth: Whether the secret goes into a Basic header or into the body (section 2.3.1).
        urlencode_basic: Whether id and secret are form-encoded before Basic encodes them.
    """

    token_url: URL
    client_id: str
    client_secret: Secret | None
    auth: ClientAuth = "basic"
    urlencode_basic: bool = True

    def __attrs_post_init__(self) -> None:
        # RFC 7617, section 2: Basic splits at the first colon.
        if self.auth == "basic" and not self.urlencode_basic and ":" in self.client_id:
            raise ConfigurationError("client_id has a colon in it, which Basic carries only form-encoded")

    def request(self, fields: Mapping[str, str], url: URL | None = None) -> AuthRequest:
        """Return an authenticated request with these form fields, to the token endpoint by default."""
        headers = {"Accept": "application/json"}
        if self.client_secret is None:
            fields = {**fields, "client_id": self.client_id}
        elif self.auth == "body":
            secret = self.client_secret.reveal()
            fields = {**fields, "client_id": self.client_id, "client_secret": secret}
        else:
            headers["Authorization"] = self._basic(self.client_secret)
        return AuthRequest.form(url or self.token_url, fields, headers)

    def _basic(self, secret: Secret) -> str:
        pair = (self.client_id, secret.reveal())
        user, password = map(quote_plus, pair) if self.urlencode_basic else pair
        return basic_auth(user, password)

    def _secrets(self, sent: tuple[Secret, ...]) -> list[str]:
        """Return every text that was sent and that no message may repeat."""
        texts = [secret.reveal() for secret in sent]
        if self.client_secret is not None:
            texts += [self.client_secret.reveal(), self._basic(self.client_secret).removeprefix("Basic ")]
        return texts

    def exchanging(self, code: str, redirect_uri: URL, verifier: Secret | None) -> AuthRequest:
        """Return the request of section 4.1.3, with the proof of RFC 7636, section 4.5."""
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": str(redirect_uri)}
        proof = {} if verifier is None else {"code_verifier": verifier.reveal()}
        return self.request({**fields, **proof})

    def refreshing(self, token: Token, scope: tuple[str, ...] = ()) -> AuthRequest:
        """Return the request of section 6.

        Raises:
            GrantRefusedError: There is no refresh token to send.
        """
        if token.refresh_token is None:
            raise GrantRefusedError("the stored token has no refresh token: authorize again, then put it")
        fields = {"grant_type": "refresh_token", "refresh_token": token.refresh_token.reveal()}
        return self.request({**fields, **scope_field(scope)})

    def token(
        self,
        response: AuthResponse,
        scope: tuple[str, ...] = (),
        spent: Token | None = None,
        grant: tuple[Secret, ...] = (),
    ) -> Token:
        """Return the token of a successful answer (section 5.1).

        Args:
            response: What the token endpoint answered.
            scope: What was asked for; it counts as granted where the answer names no other.
            spent: The token whose refresh token was sent. What the answer does not repeat is carried
                over from it: the refresh token, the scope, the subject and the vendor's other words.
            grant: What else was sent and cannot be sent again: a code and its verifier.

        Raises:
            GrantRefusedError: The refresh token or the code is refused for good.
            CredentialRefusedError: The client is refused, or what it asks for.
            VendorError: Anything else that is no token.
        """
        if spent is not None and spent.refresh_token is not None:
            grant = (*grant, spent.refresh_token)
        answer = self._answer(response, grant)
        _check_type(response, answer)
        fresh = token_text(response, answer, "refresh_token") if answer.get("refresh_token") else None
        token = Token(
            access_token=token_text(response, answer, "access_token"),
            expires_in=_life(response, answer, replaced=bool(grant) and fresh is not None),
            refresh_token=fresh,
            refresh_expires_in=_refresh_life(answer) if fresh else None,
            scope=_granted(answer) or scope,
            extra={name: value for name, value in answer.items() if name not in _NAMED},
        )
        return token if spent is None else _carried_over(token, spent)

    def check(self, response: AuthResponse, sent: tuple[Secret, ...], *, moot: str = "") -> None:
        """Check the answer to something that gives no token, such as a revocation (RFC 7009).

        Args:
            response: What was answered.
            sent: Secrets of the request, which no message may repeat.
            moot: The error code that says that what was asked for is so already.

        Raises:
            CredentialRefusedError: The client is refused, or what it asks for.
            VendorError: Anything else that is no success.
        """
        raise_for_failure(response)
        if is_success(response):
            return
        answer = _error_object(response)
        if not moot or answer.get("error") != moot:
            raise self._refusal(response, answer, sent, UnreadableAnswerError)

    def _answer(self, response: AuthResponse, grant: tuple[Secret, ...]) -> dict[str, Any]:
        raise_for_failure(response)
        answer = response.json_object() if is_success(response) else _error_object(response)
        # Some servers answer an error with 200; no token comes with one.
        if is_success(response) and not answer.get("error"):
            return answer
        about_grant = GrantRefusedError if grant else CredentialRefusedError
        raise self._refusal(response, answer, grant, about_grant)

    def _refusal(
        self,
        response: AuthResponse,
        answer: Mapping[str, Any],
        sent: tuple[Secret, ...],
        about_grant: type[AuthError],
    ) -> AuthError:
        code, secrets = _code(response, answer), self._secrets(sent)
        told = (shown(code, secrets), shown(answer.get("error_description"), secrets))
        if _is_strange(response, code):
            kind: type[AuthError] = UnreadableAnswerError
            advice = "this is not what a token endpoint says: is its URL right?"
        else:
            kind = _error_class(response, code, about_grant)
            advice = _OVER if kind is GrantRefusedError else _ADVICE.get(code, "")
        return kind(f"{response}: " + "; ".join(filter(None, (*told, advice, self._hint(code)))))

    def _hint(self, code: str) -> str:
        if self.client_secret is None or self.auth == "body":
            return ""
        # Servers differ in whether they decode what section 2.3.1 has clients encode.
        pair = self.client_id + self.client_secret.reveal()
        if code not in {"invalid_client", "unauthorized_client"} or quote_plus(pair) == pair:
            return ""
        return f"or the server reads Basic in the other way: try urlencode_basic={not self.urlencode_basic}"


def scope_field(scope: tuple[str, ...]) -> dict[str, str]:
    """Return the form field for scopes; without any, what the client is allowed or had counts."""
    return {"scope": " ".join(scope)} if scope else {}


def _carried_over(token: Token, spent: Token) -> Token:
    return attrs.evolve(
        token,
        refresh_token=token.refresh_token or spent.refresh_token,
        scope=token.scope or spent.scope,
        subject=spent.subject,
        extra={**spent.extra, **token.extra},
    )


def _code(response: AuthResponse, answer: Mapping[str, Any]) -> str:
    code = answer.get("error")
    if isinstance(code, str):
        return code
    # Section 5.2 keeps 401 for this; Keycloak's has no body where it cannot decode Basic.
    return "invalid_client" if response.status == 401 else ""  # noqa: PLR2004


def _is_strange(response: AuthResponse, code: str) -> bool:
    """Tell whether it is no token endpoint that speaks: gateways write a status' own name as `error`."""
    if not code:
        return True
    if code in _KNOWN or response.status == 401 or is_success(response):  # noqa: PLR2004
        return False
    return (
        response.status not in {400, 403} or code.casefold() == HTTPStatus(response.status).phrase.casefold()
    )


def _error_class(response: AuthResponse, code: str, about_grant: type[AuthError]) -> type[AuthError]:
    if code in _PASSING:
        return VendorFailedError
    # A code that section 5.2 does not know, in answer to a refresh, is most likely about the refresh
    # token; where a login is possible it will tell.
    unknown = code not in _ADVICE and response.status != 401  # noqa: PLR2004
    return about_grant if code == "invalid_grant" or unknown else CredentialRefusedError


def _error_object(response: AuthResponse) -> dict[str, Any]:
    try:
        return response.json_object()
    except UnreadableAnswerError:
        return {}


def _check_type(response: AuthResponse, answer: Mapping[str, Any]) -> None:
    # Section 7.1: a type that the client does not understand must not be used. Case means nothing.
    kind = answer.get("token_type") or "Bearer"
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise UnreadableAnswerError(f"{response} brings a token of another type than Bearer")


def _life(response: AuthResponse, answer: Mapping[str, Any], *, replaced: bool) -> float | None:
    try:
        return life_of(response, answer)
    except UnreadableAnswerError:
        # The old refresh token or the code is spent: to refuse this answer would lose what replaces
        # it. An unknown life costs at most one request that is answered with 401.
        if replaced:
            return None
        raise


def _refresh_life(answer: Mapping[str, Any]) -> float | None:
    # Keycloak writes 0 for "not stated" (its plain number field has no other way to be empty).
    seconds = number(answer.get("refresh_expires_in"))
    return seconds if seconds is not None and seconds > 0 else None


def _granted(answer: Mapping[str, Any]) -> tuple[str, ...]:
    scope = answer.get("scope")
    return tuple(scope.split()) if isinstance(scope, str) else ()
