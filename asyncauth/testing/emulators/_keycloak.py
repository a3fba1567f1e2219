"""Keycloak's tokens and sessions, for one realm and the client credentials grant.

Behaviour and texts are those of Keycloak 11.0.3 (`kc11`) and of its main branch of April 2023
(`kc21`), read in their sources (`TokenEndpoint`, `TokenManager`, `AuthenticationManager`).
"""

import secrets
from typing import Literal, TypeAlias, final

import attrs

from asyncauth.testing.emulators._base import Emulator
from asyncauth.testing.emulators._messages import RefusalError, oauth_refusal

KeycloakProfile: TypeAlias = Literal["kc11", "kc21"]

# SessionTimeoutHelper: the session lives so much longer than its refresh token says.
_IDLE_TOLERANCE = 120.0


@final
@attrs.define
class KeycloakClient:
    """One API account.

    Attributes:
        secret: None makes it a public client, which gets no service account.
        enabled: Whether the client exists for callers.
        service_account: Whether client credentials are allowed.
        user_enabled: Whether the service account's user is.
        forbidden: API definitions for which its role is missing.
    """

    secret: str | None = attrs.field(repr=False)
    enabled: bool = True
    service_account: bool = True
    user_enabled: bool = True
    forbidden: frozenset[str] = frozenset()


@final
@attrs.define(eq=False)
class KeycloakSession:
    """A user session with the one client session that a service account has."""

    id: str
    client_id: str
    started: float
    refreshed: float
    attached: bool = True
    ended: bool = False
    spent_token: str = ""
    uses: int = 0


@final
@attrs.frozen(eq=False)
class KeycloakToken:
    """What is in a signed token."""

    kind: Literal["access", "refresh"]
    client_id: str
    scope: str
    issued: float
    expires: float
    serial: int
    session: KeycloakSession | None


@attrs.define(kw_only=True, eq=False, repr=False)
class KeycloakRealm(Emulator):
    """Sessions and tokens of one realm, and the switches that decide about them.

    Attributes:
        profile: Which Keycloak. Which one a vendor runs is not documented.
        clients: API accounts by client id; by default `itcare-client` has `itcare-secret`.
        scopes: What may be asked for beside the default scopes.
        access_lifetime: Seconds of an access token.
        session_idle: Seconds without refresh that end a session; a refresh starts them anew.
        session_max: Seconds that end a session whatever happens.
        revoke_refresh: Whether refresh tokens are for one use (realm switch, off by default).
        max_reuse: How often they may be used again then.
        refresh_for_client_credentials: Whether that grant makes a session and a refresh token. On
            in Keycloak up to 11; from 12 a switch of the client.
        not_before: UTC seconds since 1970; refresh tokens from before are stale.
    """

    profile: KeycloakProfile = "kc11"
    clients: dict[str, KeycloakClient] = attrs.field(
        factory=lambda: {"itcare-client": KeycloakClient("itcare-secret")}
    )
    scopes: frozenset[str] = frozenset({"openid", "profile", "email"})
    access_lifetime: float = 1200.0
    session_idle: float = 7200.0
    session_max: float = 36000.0
    revoke_refresh: bool = False
    max_reuse: int = 0
    refresh_for_client_credentials: bool = True
    not_before: int = 0
    _tokens: dict[str, KeycloakToken] = attrs.field(init=False, factory=dict)
    _sessions: dict[str, KeycloakSession] = attrs.field(init=False, factory=dict)
    _revoked: set[str] = attrs.field(init=False, factory=set)

    @property
    def sessions_alive(self) -> int:
        """How many sessions the server keeps: each token call without a refresh leaves one."""
        return sum(self.session_lives(session) for session in self._sessions.values())

    def restart(self) -> None:
        """Restart without persistence: every session is gone, signed tokens are not."""
        for session in self._sessions.values():
            session.ended = True
        self._sessions.clear()

    def session_lives(self, session: KeycloakSession) -> bool:
        """Tell whether a session is neither over nor ended."""
        now = self.clock.wall()
        idle = now - session.refreshed < self.session_idle + _IDLE_TOLERANCE
        return idle and now - session.started < self.session_max and not session.ended

    def open_session(self, client_id: str) -> KeycloakSession:
        """Begin a session; none of the client's others ends by it."""
        now = self.clock.wall()
        session = KeycloakSession(secrets.token_hex(16), client_id, now, now)
        self._sessions[session.id] = session
        return session

    def end_sessions(self, *sessions: KeycloakSession) -> None:
        """End sessions, and with them the use of their refresh tokens."""
        for session in sessions:
            session.ended = True
            self._sessions.pop(session.id, None)

    def issue(
        self,
        kind: Literal["access", "refresh"],
        client_id: str,
        scope: str,
        session: KeycloakSession | None,
    ) -> tuple[str, KeycloakToken]:
        """Sign a token that ends with its session at the latest."""
        now = self.clock.wall()
        # The idle time slides with each refresh; the session's own end caps both lifetimes.
        expires = now + (self.access_lifetime if kind == "access" else self.session_idle)
        if session is not None:
            expires = min(expires, session.started + self.session_max)
        self.stats.tokens_issued += kind == "access"
        token = KeycloakToken(kind, client_id, scope, now, expires, self.stats.tokens_issued, session)
        text = ".".join(secrets.token_urlsafe(size) for size in (24, 90, 32))
        self._tokens[text] = token
        return text, token

    def refreshable(self, text: str, client_id: str, *, logout: bool = False) -> KeycloakSession:
        """Return the session of a refresh token that is sound; for a logout it may be expired."""
        token = self._tokens.get(text)
        if token is None or token.kind != "refresh" or token.session is None:
            raise _invalid("Invalid refresh token")
        # RFC 7519, section 4.1.4: refused on or after its expiry; no tolerance here.
        if self.clock.wall() >= token.expires and not logout:
            raise _invalid("Token is not active")
        if token.client_id != client_id:
            raise _invalid("Invalid refresh token. Token client and authorized client don't match")
        return token.session

    def begin_refresh(self, text: str, client_id: str) -> tuple[KeycloakSession, str]:
        """Check and use up a refresh token; return its session, whose idle time starts anew."""
        session = self.refreshable(text, client_id)
        token = self._tokens[text]
        if not self.session_lives(session):
            raise _invalid("Session not active")
        if not self.clients[client_id].user_enabled:
            raise _invalid("User disabled")
        if token.issued < self.not_before:
            raise _invalid("Stale token")
        if not session.attached:
            raise _invalid("Session doesn't have required client")
        if self.revoke_refresh:
            self._use_up(text, token, session)
        # Only now: a refused refresh keeps no session alive.
        session.refreshed = self.clock.wall()
        return session, token.scope

    def _use_up(self, text: str, token: KeycloakToken, session: KeycloakSession) -> None:
        # TokenManager.validateTokenReuse: `spent_token` is the one that was used last, not issued last.
        if session.spent_token not in {"", text} and token.issued < session.refreshed:
            raise self._reused(session, "Stale token")
        if text != session.spent_token:
            session.spent_token, session.uses = text, 0
        if session.uses > self.max_reuse:
            raise self._reused(session, "Maximum allowed refresh token reuse exceeded")
        session.uses += 1

    def _reused(self, session: KeycloakSession, description: str) -> RefusalError:
        self.stats.reuses_detected += 1
        if self.profile == "kc21" and session.attached:
            # Since 2021 the newest refresh token dies with the reused one.
            session.attached = False
            self.stats.families_revoked += 1
        return _invalid(description)


def _invalid(description: str) -> RefusalError:
    return oauth_refusal("invalid_grant", description)
