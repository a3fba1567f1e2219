"""A generic OAuth 2 server: authorizations, client credentials, refresh tokens for one use or for many."""

from collections.abc import Mapping
from typing import Literal, final
from urllib.parse import unquote_plus

import attrs
from multidict import MultiDict
from yarl import URL

from asyncauth.testing.emulators._base import Route, echo
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply, oauth_refusal
from asyncauth.testing.emulators._oauth2_codes import OAuth2Codes
from asyncauth.testing.emulators._oauth2_tokens import Access, Family


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class OAuth2Emulator(OAuth2Codes):
    """An OAuth 2 authorization server (RFC 6749) with a resource server (RFC 6750) beside it.

    `/oauth/authorize` sends browsers back with codes. `POST /oauth/token` takes `authorization_code`,
    `client_credentials` and `refresh_token`, `POST /oauth/revoke` what RFC 7009 says. Below `/api/` any
    method is answered with a JSON echo; `/api/redirect?to=URL[&status=307]`, `/api/slow?seconds=1`,
    `/api/scoped?scope=NAME` (403 without that scope) and `/api/upload` (any body, in which every byte
    is counted: `size`) are there for clients' tests. What people and tokens do is set by the
    attributes of `OAuth2Codes` and `OAuth2Tokens`, which this server has, too.

    Attributes:
        client_auth: How clients may authenticate (RFC 6749, section 2.3.1).
        refresh_for_client_credentials: Whether that grant gives a refresh token, which RFC 6749,
            section 4.4.3, advises against.
    """

    client_auth: frozenset[Literal["basic", "body"]] = frozenset({"basic", "body"})
    refresh_for_client_credentials: bool = False

    @property
    def token_url(self) -> URL:
        """The token endpoint."""
        return self.url / "oauth/token"

    @property
    def revocation_url(self) -> URL:
        """The revocation endpoint."""
        return self.url / "oauth/revoke"

    @property
    def api_url(self) -> URL:
        """Where protected resources begin."""
        return self.url / "api"

    def routes(self) -> Mapping[str, Route]:
        """Return the two servers' paths."""
        return {
            "/oauth/authorize": Route("other", self.page, ("GET",)),
            "/oauth/token": Route("token", self._token, ("POST",)),
            "/oauth/revoke": Route("other", self._revoke, ("POST",)),
            "/api/redirect": Route("api", self._redirect),
            "/api/slow": Route("api", self._slow),
            "/api/scoped": Route("api", self._scoped),
            "/api/*": Route("api", self._resource),
        }

    def _token(self, request: ReceivedRequest) -> Reply:
        form = _form_of(request)
        client_id = self._authenticate(request, form)
        match form.get("grant_type"):
            case "authorization_code":
                return self.exchanged(client_id, form)
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
        if not self.clients[client_id]:
            # RFC 6749, section 4.4: for confidential clients only.
            raise oauth_refusal("unauthorized_client", "a public client gets no token of its own")
        family = Family(client_id, None, self.granted(form, self.scopes))
        refresh = self.issue_refresh(family)[0] if self.refresh_for_client_credentials else None
        return self.answer(family, self.issue_access(family)[0], refresh)

    def _refreshed(self, client_id: str, form: MultiDict[str]) -> Reply:
        if "refresh_token" not in form:
            raise oauth_refusal("invalid_request", "refresh_token is missing")
        text = form["refresh_token"]
        token = self.usable(text, client_id)
        # RFC 6749, section 6: a refresh may narrow the scope of its answer, not widen the grant.
        scope = self.granted(form, token.family.scope) or token.family.scope
        return self.next_tokens(token, text, scope)

    def _revoke(self, request: ReceivedRequest) -> Reply:
        form = _form_of(request)
        client_id = self._authenticate(request, form)
        if "token" not in form:
            raise oauth_refusal("invalid_request", "token is missing")
        self.revoke(form["token"], client_id)
        return Reply()

    def _resource(self, request: ReceivedRequest) -> Reply:
        token = self._admit(request)
        return Reply.json(echo(request, serial=token.serial, subject=token.family.subject))

    def _redirect(self, request: ReceivedRequest) -> Reply:
        self._admit(request)
        status = int(request.query.get("status", "302"))
        return Reply(status=status, headers={"Location": request.query["to"]})

    def _slow(self, request: ReceivedRequest) -> Reply:
        return attrs.evolve(self._resource(request), delay=float(request.query.get("seconds", "1")))

    def _scoped(self, request: ReceivedRequest) -> Reply:
        token, scope = self._admit(request), request.query["scope"]
        if scope not in token.family.scope:
            challenge = f'Bearer realm="emulator", error="insufficient_scope", scope="{scope}"'
            reply = Reply(status=403, headers={"WWW-Authenticate": challenge})
            raise RefusalError("insufficient_scope", reply)
        return self._resource(request)

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


def _form_of(request: ReceivedRequest) -> MultiDict[str]:
    form = request.form()
    if len(set(form)) != len(form):
        # RFC 6749, section 3.2: a parameter must not be included more than once.
        raise oauth_refusal("invalid_request", "a parameter is repeated")
    return form


def _challenge(problem: str = "") -> Reply:
    error = f', error="invalid_token", error_description="{problem}"' if problem else ""
    return Reply(status=401, headers={"WWW-Authenticate": f'Bearer realm="emulator"{error}'})
