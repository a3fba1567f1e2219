"""The tokens of the generic OAuth 2 server: families, rotation, reuse."""

import secrets
from typing import Literal, final

import attrs

from asyncauth._errors import ConfigurationError
from asyncauth._token import Secret, Token
from asyncauth.testing.emulators._base import Emulator, plain
from asyncauth.testing.emulators._messages import Reply, oauth_refusal

# RFC 6749, section 5.1: answers with tokens are not kept by anybody on the way.
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@final
@attrs.define(eq=False)
class Family:
    """One authorization, and all tokens that descend from it."""

    client_id: str
    subject: str | None
    scope: tuple[str, ...]
    refreshes: int = 0
    revoked: bool = False


@final
@attrs.define(eq=False)
class Access:
    """One access token; its serial number is what the API shows of it."""

    serial: int
    family: Family
    expires_at: float
    revoked: bool = False


@final
@attrs.define(eq=False)
class Refresh:
    """One refresh token, when it was first spent, and what it then gave."""

    family: Family
    expires_at: float | None
    spent_at: float | None = None
    revoked: bool = False
    children: list["Access | Refresh"] = attrs.field(factory=list)


@attrs.define(kw_only=True, eq=False, repr=False)
class OAuth2Tokens(Emulator):
    """What the server issues, and the switches that decide about it.

    A spent one-time refresh token that comes again ends its family (RFC 9700, section 4.14.2).

    Attributes:
        clients: Secrets by client id; by default `app` has `app-secret`. An empty one makes a public
            client, which names itself only.
        access_lifetime: Seconds.
        refresh_lifetime: Seconds, or none for ever.
        rotate: Whether a refresh gives a new refresh token and spends the old one; `sometimes` is
            every other refresh of a family, the first one included.
        repeat_refresh_token: Whether an answer that does not rotate repeats the refresh token.
        reuse_window: Seconds for which a spent refresh token works again.
        reuse_replaces: Whether it then ends what it gave before.
        reuse_revokes: Whether reuse outside the window ends the family, or is only refused.
    """

    clients: dict[str, str] = attrs.field(factory=lambda: {"app": "app-secret"})
    access_lifetime: float = 3600.0
    refresh_lifetime: float | None = None
    rotate: Literal["always", "never", "sometimes"] = "always"
    repeat_refresh_token: bool = False
    reuse_window: float = 0.0
    reuse_replaces: bool = False
    reuse_revokes: bool = True
    _access: dict[str, Access] = attrs.field(init=False, factory=dict)
    _refresh: dict[str, Refresh] = attrs.field(init=False, factory=dict)

    def authorize(self, subject: str, scope: str = "", *, client_id: str | None = None) -> Token:
        """Issue a token as if a person had just authorized it, without a token call.

        Args:
            subject: Who authorizes.
            scope: Space-separated.
            client_id: Which client; the first one if none is named.
        """
        family = Family(client_id or next(iter(self.clients)), subject, tuple(scope.split()))
        return Token(
            access_token=self.issue_access(family)[0],
            expires_in=self.access_lifetime,
            refresh_token=self.issue_refresh(family)[0],
            refresh_expires_in=self.refresh_lifetime,
            scope=family.scope,
            subject=subject,
        )

    def revoke_access(self, token: str | Secret) -> None:
        """Have the API refuse one access token from now on; its refresh token works on.

        Raises:
            ConfigurationError: It was never issued here.
        """
        access = self._access.get(plain(token))
        if access is None:
            raise ConfigurationError("this emulator never issued that access token")
        access.revoked = True

    def revoke(self, text: str, client_id: str) -> None:
        """Revoke a token of a client (RFC 7009, section 2.1): an authorization, or an access token alone."""
        refresh, access = self._refresh.get(text), self._access.get(text)
        token = refresh or access
        if token is None:
            return
        if token.family.client_id != client_id:
            raise oauth_refusal("invalid_grant", "the token is another client's")
        if refresh is not None:
            refresh.family.revoked = True
        else:
            token.revoked = True

    @property
    def families_alive(self) -> int:
        """How many authorizations with a refresh token have not been revoked."""
        return len({id(token.family) for token in self._refresh.values() if not token.family.revoked})

    def usable(self, text: str, client_id: str) -> Refresh:
        """Return a refresh token of this client that has neither ended nor been revoked."""
        token = self._refresh.get(text)
        if token is None or token.family.client_id != client_id:
            raise oauth_refusal("invalid_grant", "no such refresh token of this client")
        if token.revoked or token.family.revoked:
            raise oauth_refusal("invalid_grant", "the refresh token was revoked")
        if token.expires_at is not None and self.clock.wall() >= token.expires_at:
            raise oauth_refusal("invalid_grant", "the refresh token expired")
        return token

    def issue_pair(self, family: Family) -> Reply:
        """Answer with the first tokens of an authorization."""
        return self.answer(family, self.issue_access(family)[0], self.issue_refresh(family)[0])

    def next_tokens(self, token: Refresh, text: str, scope: tuple[str, ...]) -> Reply:
        """Answer a refresh with a token that may be spent."""
        family = token.family
        if token.spent_at is not None:
            self._reuse(token)
        access_text, access = self.issue_access(family)
        token.children.append(access)
        family.refreshes += 1
        if not self._rotates(family):
            return self.answer(family, access_text, text if self.repeat_refresh_token else None, scope)
        refresh_text, refresh = self.issue_refresh(family)
        token.children.append(refresh)
        token.spent_at = self.clock.wall() if token.spent_at is None else token.spent_at
        return self.answer(family, access_text, refresh_text, scope)

    def issue_access(self, family: Family) -> tuple[str, Access]:
        """Issue an access token."""
        text = secrets.token_urlsafe(32)
        self.stats.tokens_issued += 1
        token = Access(self.stats.tokens_issued, family, self.clock.wall() + self.access_lifetime)
        self._access[text] = token
        return text, token

    def issue_refresh(self, family: Family) -> tuple[str, Refresh]:
        """Issue a refresh token."""
        text = secrets.token_urlsafe(32)
        ends = None if self.refresh_lifetime is None else self.clock.wall() + self.refresh_lifetime
        token = Refresh(family, ends)
        self._refresh[text] = token
        return text, token

    def answer(
        self, family: Family, access: str, refresh: str | None, scope: tuple[str, ...] | None = None
    ) -> Reply:
        """Answer with tokens (section 5.1)."""
        body: dict[str, object] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": int(self.access_lifetime),
            "scope": " ".join(family.scope if scope is None else scope),
        }
        if refresh is not None:
            body["refresh_token"] = refresh
        return Reply.json(body, headers=NO_STORE)

    def _reuse(self, token: Refresh) -> None:
        if token.spent_at is not None and self.clock.wall() - token.spent_at >= self.reuse_window:
            self.stats.reuses_detected += 1
            if self.reuse_revokes:
                token.family.revoked = True
                self.stats.families_revoked += 1
            raise oauth_refusal("invalid_grant", "the refresh token was used before")
        if self.reuse_replaces:
            for child in token.children:
                child.revoked = True

    def _rotates(self, family: Family) -> bool:
        return self.rotate == "always" or (self.rotate == "sometimes" and family.refreshes % 2 == 1)
