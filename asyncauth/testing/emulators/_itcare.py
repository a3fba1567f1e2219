"""ITCare (cegedim.cloud): a Keycloak realm, and an API that refuses without a word."""

import secrets
from collections.abc import Mapping
from typing import Literal, final
from urllib.parse import unquote_plus

import attrs
from multidict import MultiDict
from yarl import URL

from asyncauth.testing.emulators._base import Route, echo
from asyncauth.testing.emulators._keycloak import KeycloakRealm, KeycloakSession, KeycloakToken
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply, oauth_refusal
from asyncauth.testing.emulators._oauth2_tokens import NO_STORE

_REALM = "/auth/realms/cloud/protocol/openid-connect"
_DEFAULT_SCOPE = ("profile", "email")


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class ITCareEmulator(KeycloakRealm):
    """ITCare's accounts server and API, as the vendor's pages and Keycloak's source describe them.

    `grant_type=client_credentials` never reads a `refresh_token` field: the vendor's documented
    refresh is a new login, which leaves one more session behind.

    Attributes:
        basic_urldecode: Whether id and secret in Basic are URL-decoded (RFC 6749, section 2.3.1);
            none is as the profile does it: `kc21` only.
        api_validation: `jwt_local` believes a token until its end; `introspect` asks, so that
            logout and revocation end access tokens too. Not documented.
        leeway: Seconds for which the API accepts an expired token. Not documented.
        api_challenge: Whether the API's 401 names a scheme. Not documented.
        require_https: Whether the realm refuses http, which is all that this server speaks.
        realm_enabled: Whether the realm is switched on.
    """

    basic_urldecode: bool | None = None
    api_validation: Literal["jwt_local", "introspect"] = "jwt_local"
    leeway: float = 0.0
    api_challenge: bool = False
    require_https: bool = False
    realm_enabled: bool = True

    @property
    def token_url(self) -> URL:
        """The realm's token endpoint."""
        return self.url.with_path(f"{_REALM}/token")

    @property
    def api_url(self) -> URL:
        """Where API definitions begin."""
        return self.url / "itcare"

    def routes(self) -> Mapping[str, Route]:
        """Return the paths of both servers."""
        return {
            f"{_REALM}/token": Route("token", self._token, ("POST",)),
            f"{_REALM}/logout": Route("other", self._logout, ("POST",)),
            f"{_REALM}/revoke": Route("other", self._revoke, ("POST",)),
            f"{_REALM}/userinfo": Route("other", self._userinfo, ("GET", "POST")),
            "/itcare/api/status": Route("other", _up, ("GET",)),
            "/itcare/health": Route("other", _up, ("GET",)),
            "/itcare/*": Route("api", self._resource),
        }

    def _token(self, request: ReceivedRequest) -> Reply:
        # TokenEndpoint checks in this order: realm, grant type, client, repeated fields.
        form = request.form()
        self._check_realm()
        grant = form.get("grant_type")
        if grant is None:
            raise oauth_refusal("invalid_request", "Missing form parameter: grant_type")
        if grant not in {"client_credentials", "refresh_token"}:
            raise oauth_refusal("unsupported_grant_type", "Unsupported grant_type")
        client_id = self._authenticate(request, form)
        if self.profile == "kc21" and len(set(form)) != len(form):
            raise oauth_refusal("invalid_request", "duplicated parameter")
        if grant == "refresh_token":
            return self._refresh(client_id, form)
        return self._client_credentials(client_id, form)

    def _check_realm(self) -> None:
        if self.require_https:
            raise oauth_refusal("invalid_request", "HTTPS required", status=403)
        if not self.realm_enabled:
            raise oauth_refusal("access_denied", "Realm not enabled", status=403)

    def _authenticate(self, request: ReceivedRequest, form: MultiDict[str]) -> str:
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if "Authorization" in request.headers:
            basic = request.basic()
            if basic is None and client_id is None:
                challenge = {"WWW-Authenticate": 'Basic realm="cloud"'}
                raise RefusalError("unauthorized", Reply(status=401, headers=challenge))
            if basic is not None:
                client_id, secret = self._decoded(basic)
        if client_id is None:
            raise oauth_refusal("invalid_client", "Missing client_id parameter")
        self._check_client(client_id, secret)
        return client_id

    def _decoded(self, pair: tuple[str, str]) -> tuple[str, str]:
        decode = self.profile == "kc21" if self.basic_urldecode is None else self.basic_urldecode
        return (unquote_plus(pair[0]), unquote_plus(pair[1])) if decode else pair

    def _check_client(self, client_id: str, secret: str | None) -> None:
        client = self.clients.get(client_id)
        old = self.profile == "kc11"
        new_text = "Invalid client or Invalid client credentials"
        if client is None or not client.enabled:
            if old:
                raise oauth_refusal("unauthorized_client", "Invalid client credentials")
            raise oauth_refusal("invalid_client", new_text, status=401)
        if client.secret is None or client.secret == secret:
            return
        if old:
            missing = "Client secret not provided in request"
            text = missing if secret is None else "Invalid client secret"
        else:
            text = new_text
        raise oauth_refusal("unauthorized_client", text, status=401)

    def _client_credentials(self, client_id: str, form: MultiDict[str]) -> Reply:
        client = self.clients[client_id]
        if client.secret is None or not client.service_account:
            who = "Public client not allowed" if client.secret is None else "Client not enabled"
            raise oauth_refusal("unauthorized_client", f"{who} to retrieve service account", status=401)
        if not client.user_enabled:
            name = f"service-account-{client_id}"
            raise oauth_refusal("invalid_request", f"User '{name}' disabled", status=401)
        # No look at `refresh_token`: the handler is chosen by the grant type alone.
        asked = form.get("scope", "")
        if not set(asked.split()) <= self.scopes:
            raise oauth_refusal("invalid_scope", f"Invalid scopes: {asked}")
        extra = [scope for scope in asked.split() if scope not in _DEFAULT_SCOPE]
        session = self.open_session(client_id) if self.refresh_for_client_credentials else None
        return self._answer(client_id, " ".join([*extra, *_DEFAULT_SCOPE]), session)

    def _refresh(self, client_id: str, form: MultiDict[str]) -> Reply:
        if "refresh_token" not in form:
            raise oauth_refusal("invalid_request", "No refresh token")
        session, scope = self.begin_refresh(form["refresh_token"], client_id)
        return self._answer(client_id, scope, session)

    def _answer(self, client_id: str, scope: str, session: KeycloakSession | None) -> Reply:
        text, access = self.issue("access", client_id, scope, session)
        # Numbers are never left out: a lifetime that there is none of is 0.
        body: dict[str, object] = {
            "access_token": text,
            "expires_in": int(access.expires - access.issued),
            "refresh_expires_in": 0,
        }
        if session is not None:
            body["refresh_token"], refresh = self.issue("refresh", client_id, scope, session)
            body["refresh_expires_in"] = int(refresh.expires - refresh.issued)
            body["session_state"] = session.id
        if "openid" in scope.split():
            body["id_token"] = secrets.token_urlsafe(90)
        body["token_type"] = "bearer" if self.profile == "kc11" else "Bearer"
        body |= {"not-before-policy": self.not_before, "scope": scope}
        return Reply.json(body, headers=NO_STORE)

    def _logout(self, request: ReceivedRequest) -> Reply:
        form = request.form()
        client_id = self._authenticate(request, form)
        if "refresh_token" not in form:
            raise oauth_refusal("invalid_request", "No refresh token")
        # A session may be ended with a refresh token that is too old to refresh it.
        self.end_sessions(self.refreshable(form["refresh_token"], client_id, logout=True))
        return Reply(status=204)

    def _revoke(self, request: ReceivedRequest) -> Reply:
        form = request.form()
        client_id = self._authenticate(request, form)
        text = form.get("token", "")
        token = self._tokens.get(text)
        if token is None or token.client_id != client_id:
            # Keycloak reports this failure with the status of a success.
            raise oauth_refusal("invalid_token", "Invalid token", status=200)
        if token.kind == "refresh":
            # All sessions of that user end, and all workers share one service account user.
            self.end_sessions(*[s for s in self._sessions.values() if s.client_id == client_id])
        elif self.profile == "kc11":
            raise oauth_refusal("unsupported_token_type", "Unsupported token type")
        else:
            self._revoked.add(text)
        return Reply()

    def _userinfo(self, request: ReceivedRequest) -> Reply:
        text = request.credentials("bearer")
        if text is None and self.profile == "kc11":
            raise oauth_refusal("invalid_request", "Token not provided")
        token = self._tokens.get(text or "")
        if token is None or not self._valid(text or "", token, introspect=True):
            problem = "Token verification failed"
            challenge = f'Bearer realm="cloud", error="invalid_token", error_description="{problem}"'
            headers = {"WWW-Authenticate": challenge}
            raise oauth_refusal("invalid_token", problem, status=401, headers=headers)
        if self.profile == "kc21" and "openid" not in token.scope.split():
            raise oauth_refusal("insufficient_scope", "Missing openid scope", status=403)
        return Reply.json({"sub": f"service-account-{token.client_id}"})

    def _valid(self, text: str, token: KeycloakToken, *, introspect: bool) -> bool:
        if token.kind != "access" or self.clock.wall() >= token.expires + self.leeway:
            return False
        lives = token.session is None or self.session_lives(token.session)
        return not introspect or (lives and text not in self._revoked)

    def _resource(self, request: ReceivedRequest) -> Reply:
        text = request.credentials("bearer")
        if text is None:
            raise self._unauthorized("missing")
        token = self._tokens.get(text)
        if token is None or token.kind != "access":
            raise self._unauthorized("unknown")
        if not self._valid(text, token, introspect=self.api_validation == "introspect"):
            expired = self.clock.wall() >= token.expires + self.leeway
            raise self._unauthorized("expired" if expired else "revoked")
        # Refusals of the API have no body at all, a 403 as little as a 401.
        definition = request.path.split("/")[2]
        if definition in self.clients[token.client_id].forbidden:
            raise RefusalError("forbidden", Reply(status=403))
        return Reply.json(echo(request, serial=token.serial, client=token.client_id))

    def _unauthorized(self, kind: str) -> RefusalError:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'} if self.api_challenge else {}
        return RefusalError(kind, Reply(status=401, headers=challenge))


def _up(request: ReceivedRequest) -> Reply:
    del request
    return Reply.json({"status": "UP"})
