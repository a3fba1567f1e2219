"""Cronofy: one data centre, with the API for users' and for applications' calls."""

import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Literal, TypeAlias, final

import attrs

from asyncauth.testing.emulators._base import Route, echo
from asyncauth.testing.emulators._cronofy_oauth import CronofyOAuth, invalid
from asyncauth.testing.emulators._cronofy_tokens import JSON_TYPE, AccessToken
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply

_UserHandler: TypeAlias = Callable[[ReceivedRequest, AccessToken], Reply]
_BodyHandler: TypeAlias = Callable[[str, Mapping[str, str]], Reply]

# The scope of application calendars, which stands for all of them.
_ALL = "read_write"


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class CronofyEmulator(CronofyOAuth):
    """One data centre of Cronofy; the hosts `app` and `api` are one server.

    People authorize at `GET /oauth/authorize`, which approves at once. `POST /oauth/token` takes codes
    and refresh tokens, `/oauth/token/revoke` ends authorizations; both want the application's id and
    secret in a JSON or form body and look at no `Authorization`. Users' calls (`/v1/userinfo`,
    `/v1/account`, `/v1/calendars`, `/v1/events`, and what lies below the last two) carry an access token;
    applications' calls (`/v1/real_time_scheduling`, `/v1/smart_invites`, `/v1/element_tokens`,
    `/v1/availability`) the client secret. `/v1/application_calendars`, `/v1/add_to_calendar` and
    `/v1/real_time_sequencing` want id and secret in the body.

    Attributes:
        refusal_body: What comes with a 401 and 403 of the API. Not documented.
        bearer_beside_body: What `Authorization` does to calls that want id and secret in the body. Not
            documented.
        scopes: Which scope a path wants; what lies below it wants it too. `read_write` is good for all.
        plan_lacks: Paths that the application's plan does not include (402).
        locked: Persons whose accounts are locked: nothing can be written (423).
        disconnected: Persons whose calendar provider has to be connected anew. No failure of this API.
    """

    refusal_body: Literal["empty", "json"] = "empty"
    bearer_beside_body: Literal["ignored", "refused"] = "ignored"
    scopes: dict[str, str] = attrs.field(
        factory=lambda: {
            "/v1/account": "read_account",
            "/v1/calendars": "list_calendars",
            "/v1/events": "read_events",
        }
    )
    plan_lacks: set[str] = attrs.field(factory=set)
    locked: set[str] = attrs.field(factory=set)
    disconnected: set[str] = attrs.field(factory=set)

    def routes(self) -> Mapping[str, Route]:
        """Return the paths of both hosts."""
        user, application, body = self._user, self._application, self._body
        return {
            **self.oauth_routes(),
            "/v1/userinfo": user(self._userinfo, "GET"),
            "/v1/account": user(_account, "GET"),
            "/v1/calendars": user(_resource),
            "/v1/calendars/*": user(self._calendar),
            "/v1/events": user(_resource),
            "/v1/events/*": user(_resource),
            "/v1/real_time_scheduling": application("POST"),
            "/v1/real_time_scheduling/*": application("GET", "POST"),
            "/v1/smart_invites": application("POST"),
            "/v1/element_tokens": application("POST"),
            "/v1/availability": application("POST"),
            "/v1/application_calendars": body(self._application_calendar),
            "/v1/add_to_calendar": body(_page),
            "/v1/real_time_sequencing": body(_page),
        }

    def _user(self, handler: _UserHandler, *methods: str) -> Route:
        """Return a route of users: an access token, the scope, the plan."""

        def handle(request: ReceivedRequest) -> Reply:
            access = self.access_of(request.credentials("bearer") or "")
            if access is None:
                raise self._refused(401, "access token")
            self.admit(access.authorization.client_id)
            self._check_plan(request)
            if not self._allows(access.authorization.scope, request.path):
                raise self._refused(403, "scope")
            return handler(request, access)

        return Route("api", handle, methods)

    def _application(self, *methods: str) -> Route:
        """Return a route of applications: the client secret as a bearer token."""

        def handle(request: ReceivedRequest) -> Reply:
            bearer = request.credentials("bearer")
            client_id = next((name for name, secret in self.applications.items() if secret == bearer), None)
            if client_id is None:
                raise self._refused(401, "client secret")
            self.admit(client_id)
            self._check_plan(request)
            return Reply.json(echo(request, client_id=client_id), headers=JSON_TYPE)

        return Route("api", handle, methods)

    def _body(self, handler: _BodyHandler) -> Route:
        """Return a route of applications with id and secret in the body."""

        def handle(request: ReceivedRequest) -> Reply:
            fields = self.fields_of(request)
            if self.bearer_beside_body == "refused" and "Authorization" in request.headers:
                raise self._refused(401, "authorization")
            client_id = fields.get("client_id", "")
            if self.applications.get(client_id) != fields.get("client_secret", ""):
                raise self._refused(401, "client secret")
            self.admit(client_id)
            self._check_plan(request)
            return handler(client_id, fields)

        return Route("api", handle, ("POST",))

    def _application_calendar(self, client_id: str, fields: Mapping[str, str]) -> Reply:
        name = fields.get("application_calendar_id", "")
        if not name:
            raise invalid("application_calendar_id", "errors.required")
        sub = f"apc_{sha256(name.encode()).hexdigest()[:24]}"
        authorization = self.authorization_of(client_id, name, sub, (_ALL,))
        profile = {"provider_name": "cronofy", "profile_id": "pro_n23kjnwrw2", "profile_name": "n23kjnwrw2"}
        return self.answer(authorization, application_calendar_id=name, sub=sub, linking_profile=profile)

    def _userinfo(self, request: ReceivedRequest, access: AccessToken) -> Reply:
        del request
        authorization = access.authorization
        profile: dict[str, Any] = {"profile_connected": authorization.person not in self.disconnected}
        if not profile["profile_connected"]:
            profile["profile_relink_url"] = str(self.app_url / "relink")
        state = {"scope": " ".join(authorization.scope), "status": "active"}
        data = {"authorization": state, "profiles": [profile]}
        cronofy = {"type": "account", "data": data}
        who = {"sub": authorization.sub, "email": f"{authorization.person}@example.com"}
        return Reply.json({**who, "cronofy": cronofy}, headers=JSON_TYPE)

    def _calendar(self, request: ReceivedRequest, access: AccessToken) -> Reply:
        if request.method != "GET" and access.authorization.person in self.locked:
            raise RefusalError("locked", Reply(status=423))
        if request.method == "POST" and not (request.json_object() or {}).get("event_id"):
            raise invalid("event_id", "errors.required")
        return _resource(request, access)

    def _check_plan(self, request: ReceivedRequest) -> None:
        if request.path in self.plan_lacks:
            raise RefusalError("plan", Reply(status=402))

    def _allows(self, scope: tuple[str, ...], path: str) -> bool:
        below = (need for place, need in self.scopes.items() if f"{path}/".startswith(f"{place}/"))
        need = next(below, "")
        return not need or need in scope or _ALL in scope

    def _refused(self, status: int, kind: str) -> RefusalError:
        body = b'{"error": "refused"}' if self.refusal_body == "json" else b""
        return RefusalError(kind, Reply(status=status, body=body, headers=JSON_TYPE if body else {}))


def _account(request: ReceivedRequest, access: AccessToken) -> Reply:
    del request
    authorization = access.authorization
    account = {"account_id": authorization.sub, "email": f"{authorization.person}@example.com"}
    return Reply.json({"account": account}, headers=JSON_TYPE)


def _resource(request: ReceivedRequest, access: AccessToken) -> Reply:
    return Reply.json(echo(request, serial=access.serial, sub=access.authorization.sub), headers=JSON_TYPE)


def _page(client_id: str, fields: Mapping[str, str]) -> Reply:
    del client_id, fields
    return Reply.json({"url": f"https://app.cronofy.com/{secrets.token_hex(8)}"}, headers=JSON_TYPE)
