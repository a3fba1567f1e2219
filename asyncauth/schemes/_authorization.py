"""A person's authorization, up to the code: sending the browser away, reading what it came back with.

RFC 6749, section 4.1, with PKCE (RFC 7636) and the issuer in the answer (RFC 9207).
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Self, final
from urllib.parse import parse_qsl, quote, urlencode

import attrs
from yarl import URL

from asyncauth._errors import (
    AuthError,
    AuthorizationRequiredError,
    ConfigurationError,
    CredentialRefusedError,
    InsecureURLError,
    VendorFailedError,
)
from asyncauth._exchange import place_of
from asyncauth._origin import is_secure
from asyncauth._token import Secret, as_optional_secret, as_secret, is_printable
from asyncauth.schemes._answers import shown
from asyncauth.schemes._fields import required

_RESERVED = {
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
}

# RFC 6749, section 4.1.2.1: what is wrong with the client or its request, whoever the person is.
_CLIENT_ERRORS = {
    "invalid_request": "the server misses a parameter or does not like one",
    "invalid_scope": "check the scopes that are asked for",
    "unauthorized_client": "check client_id, and that this client may use this grant",
    "unsupported_response_type": "this server gives the client no authorization codes",
}
_PASSING = {"server_error", "temporarily_unavailable"}

_URL_START = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/?]")

# Answers have a handful of fields; the text may be anybody's.
_MOST_FIELDS = 50


@final
@attrs.frozen(kw_only=True, repr=False)
class AuthorizationRequest:
    """One authorization that has begun: send the person's browser to `url`, and keep the rest.

    Between the two requests of a web application it lies in the person's web session, on the server's
    side or in an encrypted cookie: `dump` gives plain texts for it and `load` takes them, also in another
    process. It is for one answer; forget it then.

    Attributes:
        url: Where to send the browser. Its query holds the state: keep it out of logs.
        state: What the answer has to repeat, so that nobody else's answer is taken for it.
        code_verifier: Proves at the exchange who began (RFC 7636); none without PKCE.
        redirect_uri: Where the browser comes back to.

    Raises:
        ConfigurationError: The state or the verifier is empty.
    """

    url: URL
    # An answer without a state would match an empty one: anybody's link could be the answer (CSRF).
    state: Secret = attrs.field(converter=as_secret, validator=required)
    code_verifier: Secret | None = attrs.field(
        default=None, converter=as_optional_secret, validator=attrs.validators.optional(required)
    )
    redirect_uri: URL

    def dump(self) -> dict[str, str]:
        """Return the request as texts, two of them secret, for the person's web session."""
        texts = {"url": str(self.url), "state": self.state.reveal(), "redirect_uri": str(self.redirect_uri)}
        if self.code_verifier is not None:
            texts["code_verifier"] = self.code_verifier.reveal()
        return texts

    @classmethod
    def load(cls, texts: Mapping[str, str]) -> Self:
        """Return the request that was dumped.

        Raises:
            ConfigurationError: These are not the texts of one.
        """
        try:
            url, redirect_uri = (URL(texts[name], encoded=True) for name in ("url", "redirect_uri"))
            state, verifier = texts["state"], texts.get("code_verifier")
            return cls(url=url, state=state, code_verifier=verifier, redirect_uri=redirect_uri)
        except (AttributeError, KeyError, TypeError, ValueError):
            # What is there may be secret; the names of what is needed are not.
            raise ConfigurationError("url, state and redirect_uri of a dumped request are needed") from None

    def __repr__(self) -> str:
        return f"AuthorizationRequest({place_of(self.url)})"


def as_redirect_uri(value: str | URL) -> URL:
    """Return a redirect URI exactly as it is written, for servers compare it letter by letter.

    Raises:
        ConfigurationError: It is relative, has a fragment (RFC 6749, section 3.1.2), or cannot be sent
            as it is written.
        InsecureURLError: It is http and not of this machine.
    """
    text = str(value)
    try:
        url = URL(text, encoded=True)
        host, is_kept = url.host, str(url) == text
    except ValueError:
        raise ConfigurationError("redirect_uri is no URL") from None
    # A native application's own scheme has no host (RFC 8252, section 7.1).
    if not url.scheme or url.raw_fragment or (url.scheme in {"http", "https"} and host is None):
        raise ConfigurationError("redirect_uri has to be an absolute URL without a fragment")
    if not is_kept or not text.isascii():
        raise ConfigurationError(
            "redirect_uri cannot be sent as it is written: encode it whole, and leave out a port that goes"
            " without saying, and a ? or # with nothing behind it"
        )
    if url.scheme == "http" and not is_secure(url):
        raise InsecureURLError(
            f"a code would come back to http://{url.host} in clear text: use https (http is for loopback)"
        )
    return url


def place_to_authorize(
    authorize_endpoint: URL,
    client_id: str,
    redirect_uri: URL,
    scope: tuple[str, ...],
    extra: Mapping[str, str] | None = None,
) -> URL:
    """Return where a person authorizes, without a state: to be shown, or to be completed by `begin`.

    Args:
        authorize_endpoint: RFC 6749, section 3.1; a query that it has stays.
        client_id: The client's name.
        redirect_uri: Where the browser comes back to.
        scope: The scopes to ask for.
        extra: More parameters, such as `prompt` or `login_hint`.

    Raises:
        ConfigurationError: `extra` has a parameter that is set here.
    """
    taken = sorted(_RESERVED & (extra or {}).keys())
    if taken:
        raise ConfigurationError(f"{', '.join(taken)} cannot be extra: other arguments set them")
    fields = {"response_type": "code", "client_id": client_id, "redirect_uri": str(redirect_uri)}
    if scope:
        fields["scope"] = " ".join(scope)
    return _with_fields(authorize_endpoint, {**fields, **(extra or {})})


def begin(
    authorize_endpoint: URL,
    client_id: str,
    redirect_uri: URL,
    scope: tuple[str, ...],
    *,
    pkce: bool,
    extra: Mapping[str, str],
) -> AuthorizationRequest:
    """Begin an authorization, with a state of its own and, with `pkce`, a verifier.

    Raises:
        ConfigurationError: `extra` has a parameter that is set here.
    """
    place = place_to_authorize(authorize_endpoint, client_id, redirect_uri, scope, extra)
    # 256 bits, in the 43 characters that RFC 7636, section 4.1, recommends.
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32) if pkce else None
    proof = {} if verifier is None else {"code_challenge": challenge_of(verifier)}
    method = {} if verifier is None else {"code_challenge_method": "S256"}
    return AuthorizationRequest(
        url=_with_fields(place, {"state": state, **proof, **method}),
        state=state,
        code_verifier=verifier,
        redirect_uri=redirect_uri,
    )


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a code verifier (RFC 7636, section 4.2)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def code_of(answer: str | URL, request: AuthorizationRequest, *, issuer: str | None = None) -> str:
    """Return the code that the browser came back with.

    Args:
        answer: The URL that it came back to, or that URL's query, as it was sent.
        request: What was begun.
        issuer: The server's name for itself, if it states `iss`; then every answer has to.

    Raises:
        AuthorizationRequiredError: The person declined, or the answer is not to this request (an old
            tab, another person's link, another server), or it has no code.
        CredentialRefusedError: The server refuses the client or what it asks for.
        VendorFailedError: The server failed.
    """
    fields = _fields_of(answer)
    _check_state(fields, request)
    _check_issuer(fields, issuer, request)
    if "error" in fields:
        raise _refusal(fields, request)
    code = fields.get("code", "")
    if not is_printable(code):
        raise AuthorizationRequiredError(f"{_from(request)} has no code: begin again")
    return code


def _with_fields(url: URL, fields: Mapping[str, str]) -> URL:
    # %20, not +: both kinds of decoder read it. yarl's own would leave `:` and `/` as they are.
    query = "&".join(filter(None, (url.raw_query_string, urlencode(fields, quote_via=quote, safe=""))))
    return URL(f"{url.with_query(None).with_fragment(None)}?{query}", encoded=True)


def _fields_of(answer: str | URL) -> dict[str, str]:
    text = str(answer).partition("#")[0]
    # A field's name has no colon or slash, but values may hold anything, a whole URL too.
    query = text.partition("?")[2] if _URL_START.match(text) else text
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise AuthorizationRequiredError("the answer has too many fields: begin again") from None
    fields = dict(pairs)
    # RFC 6749, section 3.1: no parameter more than once. Of two states, which one was checked?
    if len(fields) < len(pairs):
        raise AuthorizationRequiredError("the answer repeats a field: begin again")
    return fields


def _check_state(fields: Mapping[str, str], request: AuthorizationRequest) -> None:
    # Not by Secret: the text is anybody's, and may hold what cannot be encoded.
    stated = fields.get("state", "").encode(errors="backslashreplace")
    if not hmac.compare_digest(stated, request.state.reveal().encode()):
        raise AuthorizationRequiredError(
            f"{_from(request)} is not to this request (state): it came from an old tab, or somebody else's"
            " link led here (CSRF). Begin again"
        )


def _check_issuer(fields: Mapping[str, str], issuer: str | None, request: AuthorizationRequest) -> None:
    # RFC 9207, section 2.4: compared as strings, of an error too.
    if issuer is not None and fields.get("iss") != issuer:
        raise AuthorizationRequiredError(
            f"{_from(request)} does not state the issuer that is expected (iss): another server may have"
            " answered. Check issuer, and begin again"
        )


def _refusal(fields: Mapping[str, str], request: AuthorizationRequest) -> AuthError:
    secret = [request.state, request.code_verifier, as_secret(fields.get("code", ""))]
    texts = [text.reveal() for text in secret if text]
    code = fields["error"]
    kind, advice = _meaning(code)
    words = (shown(code, texts), shown(fields.get("error_description"), texts), advice)
    return kind(f"{_from(request)}: " + "; ".join(filter(None, words)))


def _meaning(code: str) -> tuple[type[AuthError], str]:
    if code == "access_denied":
        return AuthorizationRequiredError, "the person declined"
    if code in _PASSING:
        return VendorFailedError, "the server has trouble: begin again later"
    if code in _CLIENT_ERRORS:
        return CredentialRefusedError, _CLIENT_ERRORS[code]
    return AuthorizationRequiredError, "begin again"


def _from(request: AuthorizationRequest) -> str:
    return f"the answer of {place_of(request.url)}"
