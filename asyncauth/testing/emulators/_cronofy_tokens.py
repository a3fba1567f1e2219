"""Cronofy's applications, authorizations and tokens, and the limits that it sets them."""

import secrets
from base64 import urlsafe_b64encode
from collections import deque
from hashlib import sha256
from typing import Literal, TypeAlias, final

import attrs

from asyncauth._errors import ConfigurationError
from asyncauth._token import Secret, Token
from asyncauth.testing.emulators._base import Emulator, plain
from asyncauth.testing.emulators._messages import RefusalError, Reply

DataCenter: TypeAlias = Literal["us", "au", "ca", "de", "sg", "uk"]

JSON_TYPE = {"Content-Type": "application/json; charset=utf-8"}

_SECOND, _MINUTE = 1.0, 60.0


@final
@attrs.define(eq=False)
class Authorization:
    """What one account has allowed one application; two of the application's users may share it."""

    client_id: str
    sub: str
    person: str
    scope: tuple[str, ...]
    refresh_token: str = ""
    refreshes: int = 0
    revoked: bool = False


@final
@attrs.define(eq=False)
class AccessToken:
    """One access token; its serial number is what the API shows of it."""

    serial: int
    authorization: Authorization
    expires_at: float
    ended: bool = False


@final
@attrs.define(eq=False)
class SpendableToken:
    """One refresh token, and when another one took its place."""

    authorization: Authorization
    replaced_at: float | None = None


@final
@attrs.frozen
class Code:
    """One authorization code."""

    client_id: str
    person: str
    sub: str
    scope: tuple[str, ...]
    redirect_uri: str
    challenge: str
    expires_at: float


@attrs.define(kw_only=True, eq=False, repr=False)
class CronofyAccounts(Emulator):
    """Who may do what, and with which tokens.

    Attributes:
        data_center: Which one the server is; a name only, as applications live in one of them.
        applications: Client secrets by client id; by default `cronofy-app` has `cronofy-secret`.
        access_lifetime: Seconds; 1800 for the service accounts of organisations.
        development: Whether the application is in development mode.
        development_lifetime: Seconds of an access token then: "a few hours".
        rotate: Whether a refresh gives another refresh token; `sometimes` is every other refresh of
            an authorization, the first one included. The vendor says that it may change.
        old_refresh: What a replaced refresh token is good for. Not documented.
        grace: Seconds for which `old_refresh="grace"` takes it.
        old_access: What a refresh does to earlier access tokens. Not documented.
        code_lifetime: Seconds of an authorization code.
        linked: Whether everybody authorizes with one browser: then all get the first one's account,
            but for those who come with `avoid_linking=true`.
        per_second: Requests that one application may send in a second; none for no limit.
        per_minute: The same for a minute.
        token_calls_count: Whether those to the token endpoint are among them.
        retry_after: What 429 says in `Retry-After`; the vendor does not mention any.
    """

    data_center: DataCenter = "us"
    applications: dict[str, str] = attrs.field(factory=lambda: {"cronofy-app": "cronofy-secret"})
    access_lifetime: float = 3600.0
    development: bool = False
    development_lifetime: float = 3 * 3600.0
    rotate: Literal["never", "always", "sometimes"] = "always"
    old_refresh: Literal["valid", "invalid", "grace"] = "invalid"
    grace: float = 60.0
    old_access: Literal["valid_until_exp", "killed"] = "valid_until_exp"
    code_lifetime: float = 60.0
    linked: bool = False
    per_second: int | None = 50
    per_minute: int | None = 500
    token_calls_count: bool = True
    retry_after: float | None = None
    _authorizations: dict[tuple[str, str], Authorization] = attrs.field(init=False, factory=dict)
    _access: dict[str, AccessToken] = attrs.field(init=False, factory=dict)
    _refresh: dict[str, SpendableToken] = attrs.field(init=False, factory=dict)
    _codes: dict[str, Code] = attrs.field(init=False, factory=dict)
    _browser: str = attrs.field(init=False, default="")
    _recent: dict[str, deque[float]] = attrs.field(init=False, factory=dict)

    @property
    def authorizations_alive(self) -> int:
        """How many authorizations were neither revoked nor lost by the account."""
        return sum(not each.revoked for each in self._authorizations.values())

    def authorize(self, person: str, scope: str = "", *, client_id: str | None = None) -> Token:
        """Issue a token as if a person had just authorized it, without a token call.

        Args:
            person: Who authorizes.
            scope: Space-separated.
            client_id: Which application; the first one if none is named.
        """
        client = client_id or next(iter(self.applications))
        authorization = self.authorization_of(client, person, self.sub_of(person), tuple(scope.split()))
        return Token(
            access_token=self.issue(authorization),
            expires_in=self.lifetime,
            refresh_token=authorization.refresh_token,
            scope=authorization.scope,
            subject=authorization.sub,
        )

    def revoke(self, sub: str) -> None:
        """End all authorizations of an account, as its owner can.

        Raises:
            ConfigurationError: There is none.
        """
        found = [each for each in self._authorizations.values() if each.sub == sub]
        if not found:
            raise ConfigurationError("this emulator has no authorization of that account")
        for authorization in found:
            authorization.revoked = True

    def revoke_access(self, token: str | Secret) -> None:
        """Have the API refuse one access token from now on; its refresh token works on.

        Raises:
            ConfigurationError: It was never issued here.
        """
        access = self._access.get(plain(token))
        if access is None:
            raise ConfigurationError("this emulator never issued that token")
        access.ended = True

    @property
    def lifetime(self) -> float:
        """Seconds that an access token is issued for now."""
        return self.development_lifetime if self.development else self.access_lifetime

    def sub_of(self, person: str, *, avoid_linking: bool = True) -> str:
        """Return the account that a person authorizes with."""
        own = f"acc_{sha256(person.encode()).hexdigest()[:24]}"
        if not self.linked or avoid_linking:
            return own
        self._browser = self._browser or own
        return self._browser

    def authorization_of(
        self, client_id: str, person: str, sub: str, scope: tuple[str, ...]
    ) -> Authorization:
        """Return an account's authorization, extended by scopes; a new one if there is none alive."""
        authorization = self._authorizations.get((client_id, sub))
        if authorization is None or authorization.revoked:
            authorization = Authorization(client_id, sub, person, scope)
            self._authorizations[client_id, sub] = authorization
            self._give_refresh_token(authorization)
        authorization.scope = tuple(dict.fromkeys((*authorization.scope, *scope)))
        return authorization

    def issue(self, authorization: Authorization) -> str:
        """Return a new access token."""
        text = secrets.token_urlsafe(24)
        self.stats.tokens_issued += 1
        expires = self.clock.wall() + self.lifetime
        self._access[text] = AccessToken(self.stats.tokens_issued, authorization, expires)
        return text

    def give_code(self, code: Code) -> str:
        """Return the text of an authorization code."""
        text = secrets.token_urlsafe(24)
        self._codes[text] = code
        return text

    def spend_code(self, text: str, client_id: str, redirect_uri: str) -> Code | None:
        """Return a code and use it up; nothing if it is not good for this."""
        code = self._codes.pop(text, None)
        if code is None or self.clock.wall() >= code.expires_at:
            return None
        return code if (code.client_id, code.redirect_uri) == (client_id, redirect_uri) else None

    def spend(self, text: str, client_id: str) -> Authorization | None:
        """Use a refresh token, and replace it if it is its turn; nothing if it is not good for this."""
        token = self._refresh.get(text)
        if token is None or token.authorization.client_id != client_id or token.authorization.revoked:
            return None
        if not self._is_spendable(token):
            self.stats.reuses_detected += 1
            return None
        authorization = token.authorization
        authorization.refreshes += 1
        if self.old_access == "killed":
            self.end_access(authorization)
        if self.rotate == "always" or (self.rotate == "sometimes" and authorization.refreshes % 2):
            token.replaced_at = self.clock.wall() if token.replaced_at is None else token.replaced_at
            self._give_refresh_token(authorization)
        return authorization

    def end_access(self, authorization: Authorization) -> None:
        """End all access tokens of an authorization."""
        for access in self._access.values():
            access.ended = access.ended or access.authorization is authorization

    def find(self, client_id: str, token: str, sub: str) -> Authorization | None:
        """Return what a token or an account's id names; an expired access token names nothing."""
        refresh, access = self._refresh.get(token), self._access.get(token)
        if refresh is not None:
            found: Authorization | None = refresh.authorization
        elif access is not None:
            found = access.authorization if self.clock.wall() < access.expires_at else None
        else:
            found = None if token else self._authorizations.get((client_id, sub))
        return found if found is not None and found.client_id == client_id else None

    def access_of(self, text: str) -> AccessToken | None:
        """Return an access token that is good now."""
        access = self._access.get(text)
        if access is None or access.ended or access.authorization.revoked:
            return None
        return access if self.clock.wall() < access.expires_at else None

    def admit(self, client_id: str) -> None:
        """Count a request against its application's limits; declined ones do not count."""
        now = self.clock.wall()
        recent = self._recent.setdefault(client_id, deque())
        while recent and now - recent[0] >= _MINUTE:
            recent.popleft()
        in_a_second = sum(now - moment < _SECOND for moment in recent)
        if _reached(self.per_second, in_a_second) or _reached(self.per_minute, len(recent)):
            headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}
            raise RefusalError("rate", Reply(status=429, headers=headers))
        recent.append(now)

    def _give_refresh_token(self, authorization: Authorization) -> None:
        authorization.refresh_token = secrets.token_urlsafe(24)
        self._refresh[authorization.refresh_token] = SpendableToken(authorization)

    def _is_spendable(self, token: SpendableToken) -> bool:
        if token.replaced_at is None or self.old_refresh == "valid":
            return True
        return self.old_refresh == "grace" and self.clock.wall() - token.replaced_at < self.grace


def proves(challenge: str, verifier: str) -> bool:
    """Tell whether a verifier belongs to an S256 challenge (RFC 7636, section 4.6)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=") == challenge


def _reached(limit: int | None, count: int) -> bool:
    return limit is not None and count >= limit
