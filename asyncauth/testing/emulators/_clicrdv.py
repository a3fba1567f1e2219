"""ClicRDV: API keys in the query, Basic or a session's cookie, and refusals that name no reason."""

import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, cast, final
from xml.sax.saxutils import escape

import attrs
from yarl import URL

from asyncauth.testing.emulators._base import Handler, Route
from asyncauth.testing.emulators._clicrdv_sessions import (
    ClicRDVPerson,
    ClicRDVProfile,
    ClicRDVSessions,
    collection,
    compact,
    refusal,
    sha1_of,
    sid_of,
    with_cookie,
)
from asyncauth.testing.emulators._faults import html_page
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply

_Resource: TypeAlias = Callable[[ReceivedRequest, ClicRDVPerson], Reply]

_API = "/api/v1"
_GROUP = re.compile(rf"{_API}/groups/(?P<id>[0-9]+)(?P<calendars>/calendars)?(\.json)?")
_STATUSES = {"http401": 401, "inband200": 200, "http403": 403}


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class ClicRDVEmulator(ClicRDVSessions):
    """One of ClicRDV's two systems, as the vendor's pages describe it.

    `/api/v1/sessions/login` opens sessions; `/api/v1/groups` and `/api/v1/groups/{id}/calendars` are
    what a user sees of the API, each with `.json` or without. There is no logout. More knobs are those
    of keys and sessions.

    Attributes:
        login_failure: What a wrong e-mail or password gets. Not documented.
        foreign_object: What another group's objects get; the vendor's page allows both.
        resend_cookie: Whether answered calls set the cookie of their session once more. Not documented.
    """

    login_failure: Literal["http401", "inband200", "http403"] = "http401"
    foreign_object: Literal[403, 404] = 404
    resend_cookie: bool = False
    _calendars: dict[int, list[dict[str, object]]] = attrs.field(init=False, factory=dict)

    @property
    def api_url(self) -> URL:
        """Where the API's paths begin."""
        return self.url.with_path(_API)

    def routes(self) -> Mapping[str, Route]:
        """Return the system's paths."""
        logins = [f"{_API}/sessions/login{suffix}" for suffix in ("", ".json", ".xml")]
        groups = [f"{_API}/groups{suffix}" for suffix in ("", ".json")]
        return {
            **dict.fromkeys(logins, Route("token", self._login, ("POST",))),
            **dict.fromkeys(groups, Route("api", self._guarded(self._groups), ("GET",))),
            f"{_API}/groups/*": Route("api", self._guarded(self._group), ("GET", "POST")),
            "/login": Route("other", _login_page, ("GET",)),
        }

    def _login(self, request: ReceivedRequest) -> Reply:
        apikey = self.application(request)
        profile, email, password = _login_fields(request)
        person = self.people(profile).get(email)
        if person is None or password != sha1_of(person.password):
            failed = {profile: None, "error": "Unknown e-mail or wrong password"}
            raise RefusalError("credentials", _rendered(request, failed, _STATUSES[self.login_failure]))
        body: dict[str, object] = {profile: _profile_of(email, person), "error": None}
        return with_cookie(_rendered(request, body), self.open_session(profile, email, apikey))

    def _guarded(self, resource: _Resource) -> Handler:
        def handle(request: ReceivedRequest) -> Reply:
            session = self.session_of(request)
            self.application(request, session)
            reply = resource(request, self.person_of(request, session))
            if session is None:
                return reply
            self.touch(session)
            return with_cookie(reply, sid_of(request)) if self.resend_cookie else reply

        return handle

    def _groups(self, request: ReceivedRequest, person: ClicRDVPerson) -> Reply:
        del request
        return compact(collection([_group(person.group_id)]))

    def _group(self, request: ReceivedRequest, person: ClicRDVPerson) -> Reply:
        found = _GROUP.fullmatch(request.path)
        if found is None or int(found["id"]) not in self._group_ids():
            raise refusal("not found", 404)
        if int(found["id"]) != person.group_id:
            raise refusal("foreign", self.foreign_object)
        if found["calendars"]:
            return self._calendars_of(request, person.group_id)
        return compact(_group(person.group_id))

    def _calendars_of(self, request: ReceivedRequest, group_id: int) -> Reply:
        calendars = self._calendars.setdefault(group_id, [])
        if request.method == "GET":
            return compact(collection(calendars))
        calendar = (request.json_object() or {}).get("calendar")
        if not isinstance(calendar, dict):
            raise refusal("invalid", 400)
        calendars.append({"id": len(calendars) + 1, "group_id": group_id, **calendar})
        return compact(calendars[-1], 201)

    def _group_ids(self) -> set[int]:
        return {person.group_id for person in (*self.pros.values(), *self.accounts.values())}


def _login_fields(request: ReceivedRequest) -> tuple[ClicRDVProfile, str, str]:
    fields = request.form()
    fields.extend(request.query)
    sent = {
        profile for profile in ("pro", "account") if any(name.startswith(f"{profile}[") for name in fields)
    }
    # One of them, whole: neither both nor none.
    if len(sent) == 1:
        profile = cast("ClicRDVProfile", sent.pop())
        email, password = fields.get(f"{profile}[email]"), fields.get(f"{profile}[password]")
        if email and password:
            return profile, email, password
    raise refusal("invalid", 400)


def _profile_of(email: str, person: ClicRDVPerson) -> dict[str, object]:
    return {
        "created_at": "2007-03-30 15:09:07",
        "updated_at": "2011-10-05 14:52:07",
        "synched_at": "2011-09-29 19:50:18",
        "lastname": "Fake",
        "id": person.id,
        "firstname": "User",
        "cellphone": "06 12 34 56 78",
        "email": email,
        "group_id": person.group_id,
    }


def _group(group_id: int) -> dict[str, object]:
    return {"id": group_id, "name": f"Group {group_id}"}


def _rendered(request: ReceivedRequest, body: Mapping[str, object], status: int = 200) -> Reply:
    """Return an answer in the format that the path's suffix asks for; that of XML is not documented."""
    reply = compact(body, status)
    if not request.path.endswith(".xml"):
        return reply
    text = f"<hash>{''.join(_element(name, value) for name, value in body.items())}</hash>"
    return attrs.evolve(reply, body=text.encode(), headers={"Content-Type": "application/xml; charset=utf-8"})


def _element(name: str, value: object) -> str:
    if value is None:
        return f'<{name} nil="true"/>'
    if isinstance(value, dict):
        return f"<{name}>{''.join(_element(key, item) for key, item in value.items())}</{name}>"
    return f"<{name}>{escape(str(value))}</{name}>"


def _login_page(request: ReceivedRequest) -> Reply:
    del request
    page = html_page()
    return Reply(status=page.status, body=page.body, headers=page.headers)
