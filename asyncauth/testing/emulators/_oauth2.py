"""A generic OAuth 2 server: client credentials, and refresh tokens for one use or for many."""

import secrets
from collections.abc import Mapping
from typing import Literal, final
from urllib.parse import unquote_plus

import attrs
from multidict import MultiDict
from yarl import URL

from asyncauth._errors import ConfigurationError
from asyncauth._token import Secret, Token
from asyncauth.testing.emulators._base import Emulator, Route, echo, plain
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply, oauth_refusal

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


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class OAuth2Emulator(Emulator):
    """An OAuth 2 authorization server (RFC 6749) with a resource server (RFC 6750) beside it.

    `POST /oauth/token` takes `client_credentials` and `refresh_token`. Below `/api/` any method is
    answered with a JSON echo; `/api/redirect?to=URL[&status=307]`, `/api/slow?seconds=1` and
    `/api/upload` (any body, in which every byte is counted: `size`) are there for clients' tests.

    A spent one-time refresh token that comes again ends its family (RFC 9700, section 4.14.2).

    Attributes:
        clients: Secrets by client id; by default `app` has `app-secret`.
        client_auth: How clients may authenticate (RFC 6749, section 2.3.1).
        scopes: What may be asked for; empty for anything.
        access_lifetime: Seconds.
        refresh_lifetime: Seconds, or none for ever.
        rotate: Whether a refresh gives a new refresh token and spends the old one; `sometimes` is
            every other refresh of a family, the first one included.
        repeat_refresh_token: Whether an answer that does not rotate repeats the refresh token.
        refresh_for_client_credentials: Whether that grant gives a refresh token, which RFC 6749,
            section 4.4.3, advises against.
        reuse_window: Seconds for which a spent refresh token works again.
        reuse_replaces: Whether it then ends what it gave before.
        reuse_revokes: Whether reuse outside the window ends the family, or is only refused.
    """

    clients: dict[str, str] = attrs.field(factory=lambda: {"app": "app-secret"})
    client_auth: frozenset[Literal["basic", "body"]] = frozenset({"basic", "body"})
    scopes: frozenset[str] = frozenset()
    access_lifetime: float = 3600.0
    refresh_lifetime: float | None = None
    rotate: Literal["always", "never", "sometimes"] = "always"
    repeat_refresh_token: bool = False
    refresh_for_client_credentials: bool = False
    reuse_window: float = 0.0
    reuse_replaces: bool = False
    reuse_revokes: bool = True
    _access: dict[str, Access] = attrs.field(init=False, factory=dict)
    _refresh: dict[str, Refresh] = attrs.field(init=False, factory=dict)

    @property
    def token_url(self) -> URL:
        """The token endpoint."""
        return self.url / "oauth/token"

    @property
    def api_url(self) -> URL:
        """Where protected resources begin."""
        return self.url / "api"

    def routes(self) -> Mapping[str, Route]:
        """Return the two servers' paths."""
        return {
            "/oauth/token": Route("token", self._token, ("POST",)),
            "/api/redirect": Route("api", self._redirect),
            "/api/slow": Route("api", self._slow),
            "/api/*": Route("api", self._resource),
        }

    def authorize(self, subject: str, scope: str = "", *, client_id: str | None = None) -> Token:
        """Issue a token as if a person had just authorized it, without a token call.

        Args:
            subject: Who authorizes.
            scope: Space-separated.
            client_id: Which client; the first one if none is named.
        """
        family = Family(client_id or next(iter(self.clients)), subject, tuple(scope.split()))
        return Token(
            access_token=self._issue_access(family)[0],
            expires_in=self.access_lifetime,
            refresh_token=self._issue_refresh(family)[0],
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

    @property
    def families_alive(self) -> int:
        """How many authorizations with a refresh token have not been revoked."""
        return len({id(token.family) for token in self._refresh.values() if not token.family.revoked})

    def _token(self, request: ReceivedRequest) -> Reply:
        form = request.form()
        if len(set(form)) != len(form):
            # RFC 6749, section 3.2: a parameter must not be included more than once.
            raise oauth_refusal("invalid_request", "a parameter is repeated")
        client_id = self._authenticate(request, form)
        match form.get("grant_type"):
            case "client_credentials":
                return self._client_credentials(client_id, form)
            case "refresh_token":
                return self._refreshed(client_id, form)
            case None:
                raise oauth_refusal("invalid_request", "grant_type is missing")
            case _:
                raise oauth_refusal("unsupported_grant_type", "this grant is not known here")

    def _authenticate(self, request: ReceivedRequest, form: MultiDict[str]) -> str:
        by_header = "Authorization" in request.headers
        if by_header and "client_secret" in form:
            # RFC 6749, section 2.3: no more than one authentication method per request.
            raise oauth_refusal("invalid_request", "two ways of client authentication at once")
        if by_header:
            pair = request.basic() or ("", "")
            client_id, secret = unquote_plus(pair[0]), unquote_plus(pair[1])
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        accepted = ("basic" if by_header else "body") in self.client_auth
        if not accepted or self.clients.get(client_id) != secret:
            # RFC 6749, section 5.2: the challenge answers the scheme that the client used.
            challenge = {"WWW-Authenticate": 'Basic realm="emulator"'} if by_header else None
            raise oauth_refusal("invalid_client", "no such client", status=401, headers=challenge)
        return client_id

    def _client_credentials(self, client_id: str, form: MultiDict[str]) -> Reply:
        family = Family(client_id, None, self._granted(form, self.scopes))
        refresh = self._issue_refresh(family)[0] if self.refresh_for_client_credentials else None
        return self._answer(family, self._issue_access(family)[0], refresh)

    def _granted(self, form: MultiDict[str], allowed: frozenset[str] | tuple[str, ...]) -> tuple[str, ...]:
        asked = tuple(form.get("scope", "").split())
        if allowed and not set(asked) <= set(allowed):
            raise oauth_refusal("invalid_scope", "a scope is unknown or was never granted")
        return asked

    def _refreshed(self, client_id: str, form: MultiDict[str]) -> Reply:
        if "refresh_token" not in form:
            raise oauth_refusal("invalid_request", "refresh_token is missing")
        text = form["refresh_token"]
        token = self._usable(text, client_id)
        family = token.family
        # RFC 6749, section 6: a refresh may narrow the scope of its answer, not widen the grant.
        scope = self._granted(form, family.scope) or family.scope
        if token.spent_at is not None:
            self._reuse(token)
        access_text, access = self._issue_access(family)
        token.children.append(access)
        family.refreshes += 1
        if not self._rotates(family):
            return self._answer(family, access_text, text if self.repeat_refresh_token else None, scope)
        refresh_text, refresh = self._issue_refresh(family)
        token.children.append(refresh)
        token.spent_at = self.clock.wall() if token.spent_at is None else token.spent_at
        return self._answer(family, access_text, refresh_text, scope)

    def _usable(self, text: str, client_id: str) -> Refresh:
        token = self._refresh.get(text)
        if token is None or token.family.client_id != client_id:
            raise oauth_refusal("invalid_grant", "no such refresh token of this client")
        if token.revoked or token.family.revoked:
            raise oauth_refusal("invalid_grant", "the refresh token was revoked")
        if token.expires_at is not None and self.clock.wall() >= token.expires_at:
            raise oauth_refusal("invalid_grant", "the refresh token expired")
        return token

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

    def _issue_access(self, family: Family) -> tuple[str, Access]:
        text = secrets.token_urlsafe(32)
        self.stats.tokens_issued += 1
        token = Access(self.stats.tokens_issued, family, self.clock.wall() + self.access_lifetime)
        self._access[text] = token
        return text, token

    def _issue_refresh(self, family: Family) -> tuple[str, Refresh]:
        text = secrets.token_urlsafe(32)
        ends = None if self.refresh_lifetime is None else self.clock.wall() + self.refresh_lifetime
        token = Refresh(family, ends)
        self._refresh[text] = token
        return text, token

    def _answer(
        self, family: Family, access: str, refresh: str | None, scope: tuple[str, ...] | None = None
    ) -> Reply:
        body: dict[str, object] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": int(self.access_lifetime),
            "scope": " ".join(family.scope if scope is None else scope),
        }
        if refresh is not None:
            body["refresh_token"] = refresh
        return Reply.json(body, headers=NO_STORE)

    def _resource(self, request: ReceivedRequest) -> Reply:
        token = self._admit(request)
        return Reply.json(echo(request, serial=token.serial, subject=token.family.subject))

    def _redirect(self, request: ReceivedRequest) -> Reply:
        self._admit(request)
        status = int(request.query.get("status", "302"))
        return Reply(status=status, headers={"Location": request.query["to"]})

    def _slow(self, request: ReceivedRequest) -> Reply:
        return attrs.evolve(self._resource(request), delay=float(request.query.get("seconds", "1")))

    def _admit(self, request: ReceivedRequest) -> Access:
        text = request.credentials("bearer")
        if text is None:
            # RFC 6750, section 3.1: no error code where no credentials were sent.
            raise RefusalError("missing", _challenge())
        token = self._access.get(text)
        if token is None:
            raise RefusalError("unknown", _challenge("no such access token"))
        if token.revoked or token.family.revoked:
            raise RefusalError("revoked", _challenge("the access token was revoked"))
        if self.clock.wall() >= token.expires_at:
            raise RefusalError("expired", _challenge("the access token expired"))
        return token


def _challenge(problem: str = "") -> Reply:
    error = f', error="invalid_token", error_description="{problem}"' if problem else ""
    return Reply(status=401, headers={"WWW-Authenticate": f'Bearer realm="emulator"{error}'})
