"""The page of the generic OAuth 2 server where people authorize, and the codes that it gives."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import final

import attrs
from multidict import MultiDict, MultiDictProxy
from yarl import URL

from asyncauth._origin import is_loopback
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply, oauth_refusal
from asyncauth.testing.emulators._oauth2_tokens import Family, OAuth2Tokens


@final
@attrs.define(eq=False)
class Code:
    """One authorization code, and what the exchange has to repeat or prove."""

    family: Family
    redirect_uri: str
    challenge: str
    method: str
    expires_at: float
    spent: bool = False


@attrs.define(kw_only=True, eq=False, repr=False)
class OAuth2Codes(OAuth2Tokens):
    """The authorization endpoint. Whoever comes has decided already, and is sent back at once.

    A code that comes again ends what it gave (RFC 6749, section 4.1.2).

    Attributes:
        scopes: What may be asked for; empty for anything.
        redirect_uris: Where browsers may be sent back to; empty for anywhere. Ports of loopback
            addresses do not count (RFC 8252, section 7.3).
        person: Who is at the browser, unless a `login_hint` says so.
        declines_with: The error that people are sent back with, such as `access_denied`, instead of
            a code; none if they authorize.
        code_lifetime: Seconds.
        require_pkce: Whether a `code_challenge` is needed.
        issuer: What answers state as `iss` (RFC 9207); none if they do not.
    """

    scopes: frozenset[str] = frozenset()
    redirect_uris: frozenset[str] = frozenset()
    person: str = "ada"
    declines_with: str | None = None
    code_lifetime: float = 60.0
    require_pkce: bool = False
    issuer: str | None = None
    _codes: dict[str, Code] = attrs.field(init=False, factory=dict)

    @property
    def authorization_url(self) -> URL:
        """The authorization endpoint."""
        return self.url / "oauth/authorize"

    def page(self, request: ReceivedRequest) -> Reply:
        """Send the browser back with a code or an error (section 4.1.2)."""
        query = request.query
        place = query.get("redirect_uri", "")
        # Section 4.1.2.1: nobody is sent to a place that the client did not register.
        if query.get("client_id") not in self.clients or not self._registered(place):
            raise RefusalError("redirect_uri", Reply(status=400, body=b"unknown client or redirect_uri\n"))
        fields = self._decided(query)
        if "error" in fields:
            self.stats.refusals[fields["error"]] += 1
        echoed = {"state": query["state"]} if "state" in query else {}
        stated = {} if self.issuer is None else {"iss": self.issuer}
        return Reply(
            status=302, headers={"Location": str(URL(place).update_query({**fields, **echoed, **stated}))}
        )

    def exchanged(self, client_id: str, form: MultiDict[str]) -> Reply:
        """Give tokens for a code (section 4.1.3)."""
        if "code" not in form:
            raise oauth_refusal("invalid_request", "code is missing")
        code = self._codes.get(form["code"])
        if code is None or code.family.client_id != client_id:
            raise oauth_refusal("invalid_grant", "no such code of this client")
        if code.spent:
            code.family.revoked = True
            raise oauth_refusal("invalid_grant", "the code was used before")
        if self.clock.wall() >= code.expires_at:
            raise oauth_refusal("invalid_grant", "the code expired")
        if form.get("redirect_uri") != code.redirect_uri:
            raise oauth_refusal("invalid_grant", "redirect_uri is not that of the authorization")
        if not _proves(code, form.get("code_verifier")):
            raise oauth_refusal("invalid_grant", "code_verifier does not match")
        code.spent = True
        return self.issue_pair(code.family)

    def granted(
        self, fields: Mapping[str, str], allowed: frozenset[str] | tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the scopes that are asked for, if they may be."""
        asked = tuple(fields.get("scope", "").split())
        if allowed and not set(asked) <= set(allowed):
            raise oauth_refusal("invalid_scope", "a scope is unknown or was never granted")
        return asked

    def _registered(self, place: str) -> bool:
        return bool(place) and (
            not self.redirect_uris or _portless(place) in map(_portless, self.redirect_uris)
        )

    def _decided(self, query: MultiDictProxy[str]) -> dict[str, str]:
        method = query.get("code_challenge_method", "plain")
        if query.get("response_type") != "code":
            return _error("unsupported_response_type", "only codes are given here")
        if method not in {"S256", "plain"} or (self.require_pkce and "code_challenge" not in query):
            return _error("invalid_request", "a code_challenge of S256 or plain is needed")
        if self.scopes and not set(query.get("scope", "").split()) <= self.scopes:
            return _error("invalid_scope", "a scope is unknown")
        if self.declines_with is not None:
            return _error(self.declines_with, "as the emulator was told")
        return {"code": self._issue_code(query, method)}

    def _issue_code(self, query: MultiDictProxy[str], method: str) -> str:
        person = query.get("login_hint", self.person)
        family = Family(query["client_id"], person, tuple(query.get("scope", "").split()))
        text = secrets.token_urlsafe(32)
        self._codes[text] = Code(
            family=family,
            redirect_uri=query["redirect_uri"],
            challenge=query.get("code_challenge", ""),
            method=method,
            expires_at=self.clock.wall() + self.code_lifetime,
        )
        return text


def _error(code: str, words: str) -> dict[str, str]:
    return {"error": code, "error_description": words}


def _portless(text: str) -> str:
    url = URL(text, encoded=True)
    return str(url.with_port(None)) if url.scheme == "http" and is_loopback(url.host) else text


def _proves(code: Code, verifier: str | None) -> bool:
    # RFC 9700, section 4.8.2: a verifier without a challenge is somebody's downgrade.
    if not code.challenge or verifier is None:
        return not code.challenge and verifier is None
    digest = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    return hmac.compare_digest(digest if code.method == "S256" else verifier, code.challenge)
