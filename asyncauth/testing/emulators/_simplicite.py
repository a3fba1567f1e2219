"""Simplicité: a login in many forms, tokens that a second login gives again, and silent downgrades."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal, final

import attrs
from multidict import MultiDict
from yarl import URL

from asyncauth.testing.emulators._base import Route, echo
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply
from asyncauth.testing.emulators._simplicite_sessions import (
    SimpliciteTokens,
    TokenRow,
    basic_of,
    is_malformed,
)


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class SimpliciteEmulator(SimpliciteTokens):
    """One Simplicité instance's API endpoint, as the vendor's pages describe it.

    `/api/login` and `/api/logout` take and end tokens; `/api/rest` tells who is calling, and
    `/api/rest/...` echoes. `/ping` and `/health` answer whatever happens to tokens.
    For a gateway's time-out page add `GATEWAY_504_HTML` (or `html_page(200)`) to the faults.

    Attributes:
        context_path: What comes before `/api`, such as `/myapp`.
        plain_only: Whether logins know the bare token and the redirect only, as before 3.1.
        trailing_newline: Whether the plain-text token ends with one. Not documented.
        oauth2_over_http: Whether the OAuth 2 shape is given without https. The page demands https;
            what http gets is not documented.
        refusal_body: What a 401 carries. Not documented.
        login_challenge: Whether the login's 401 names a scheme. Not documented.
        public_status: What `public` gets for objects that are not public. Not documented.
        names_user: Where `/api/rest` names its caller. Not documented.
    """

    context_path: str = ""
    plain_only: bool = False
    trailing_newline: bool = False
    oauth2_over_http: Literal["refuse", "allow"] = "refuse"
    refusal_body: Literal["empty", "json"] = "empty"
    login_challenge: bool = False
    public_status: Literal[200, 403, 404] = 200
    names_user: Literal["on top", "below user", "nowhere"] = "on top"

    @property
    def api_url(self) -> URL:
        """The API endpoint, with the context path."""
        return self.url.with_path(f"{self.context_path}/api")

    def routes(self) -> Mapping[str, Route]:
        """Return the instance's paths."""
        api = f"{self.context_path}/api"
        return {
            f"{api}/login": Route("token", self._login, ("GET", "POST")),
            f"{api}/logout": Route("other", self._logout, ("GET", "POST")),
            f"{api}/rest": Route("api", self._whoami, ("GET",)),
            f"{api}/rest/*": Route("api", self._object),
            f"{self.context_path}/ping": Route("other", _alive, ("GET",)),
            f"{self.context_path}/health": Route("other", _alive, ("GET",)),
        }

    def _login(self, request: ReceivedRequest) -> Reply:
        # Options may stand in the query of a POST whose form has the credentials.
        fields = request.form()
        fields.extend(request.query)
        if self._wants_oauth2(fields) and self.oauth2_over_http == "refuse":
            raise RefusalError("insecure", Reply(status=403))
        row = self._logged_in(request, fields)
        session_id = self.open_session(row) if self.profile == "v3" else ""
        reply = self._shape(request, fields, row, session_id)
        if not session_id:
            return reply
        cookie = f"JSESSIONID={session_id}; Path={self.context_path or '/'}; HttpOnly"
        return attrs.evolve(reply, headers={**reply.headers, "Set-Cookie": cookie})

    def _logged_in(self, request: ReceivedRequest, fields: MultiDict[str]) -> TokenRow:
        text = self.bearer(request)
        if text is not None:
            return self._used(request, text)
        login, password = basic_of(request) or (fields.get("username", ""), fields.get("password", ""))
        if not login or self.users.get(login) != password:
            raise self._unauthorized("credentials", login=True)
        return self.issue(login)

    def _shape(
        self, request: ReceivedRequest, fields: MultiDict[str], row: TokenRow, session_id: str
    ) -> Reply:
        if self._wants_oauth2(fields):
            return Reply.json(
                {
                    "access_token": row.text,
                    "token_type": "bearer",
                    # The session's, not the token's: the vendor's page says so.
                    "expires_in": int(self.session_timeout),
                    "scope": None,
                }
            )
        if "redirect_uri" in fields:
            target = fields["redirect_uri"]
            joint = "&" if "?" in target else "?"
            return Reply(status=302, headers={"Location": f"{target}{joint}access_token={row.text}"})
        if self._wants_json(request, fields):
            return Reply.json(self._profile_of(row, session_id))
        end = "\n" if self.trailing_newline else ""
        return Reply(body=(row.text + end).encode(), headers={"Content-Type": "text/plain"})

    def _wants_oauth2(self, fields: MultiDict[str]) -> bool:
        asked = fields.get("_oauth2") == "true" or fields.get("_output") == "oauth2"
        return asked and not self.plain_only

    def _wants_json(self, request: ReceivedRequest, fields: MultiDict[str]) -> bool:
        if self.plain_only:
            return False
        if fields.get("_json") == "true" or "json" in {fields.get("_output"), fields.get("format")}:
            return True
        # From 5.2.39; earlier versions ignore the header and answer with the bare token.
        return self.modern and "application/json" in request.headers.get("Accept", "")

    def _profile_of(self, row: TokenRow, session_id: str) -> dict[str, object]:
        person: dict[str, object] = {
            "authtoken": row.text,
            "login": row.login,
            "firstname": "Service",
            "lastname": "Account",
            "lang": "ENU",
        }
        if not self.modern:
            return {**person, "sessionid": session_id or f"{row.serial:032X}"}
        # Both members name one instant, to the millisecond.
        expiry = int(row.expires * 1000)
        moment = datetime.fromtimestamp(expiry / 1000, UTC).isoformat(timespec="milliseconds")
        return {
            **person,
            "email": "svc@example.com",
            "langiso": "en",
            "timezone": "UTC",
            "licensed": True,
            "authtokenexpiry": expiry,
            "authtokenexpires": moment.replace("+00:00", "Z"),
        }

    def _logout(self, request: ReceivedRequest) -> Reply:
        text = self.bearer(request)
        if text is None:
            raise self._unauthorized("missing")
        # The row is everybody's: with reuse, all holders are logged out.
        self._used(request, text).deleted = True
        if self._wants_json(request, MultiDict(request.query)):
            return Reply.json({"message": "Logged out"})
        return Reply(body=b"Logged out", headers={"Content-Type": "text/plain"})

    def _used(self, request: ReceivedRequest, text: str) -> TokenRow:
        row = self.use(request, text)
        if isinstance(row, str):
            raise self._unauthorized(row)
        return row

    def _whoami(self, request: ReceivedRequest) -> Reply:
        login, serial = self._caller(request)
        places: dict[str, dict[str, object]] = {
            "on top": {"login": login},
            "below user": {"user": {"login": login}},
            "nowhere": {},
        }
        return Reply.json(echo(request, serial=serial, **places[self.names_user]))

    def _object(self, request: ReceivedRequest) -> Reply:
        login, serial = self._caller(request)
        status: int = self.public_status if login == "public" else 200
        if status != HTTPStatus.OK:
            raise RefusalError("public", Reply(status=status))
        return Reply.json(echo(request, login=login, serial=serial))

    def _caller(self, request: ReceivedRequest) -> tuple[str, int | None]:
        """Say as whom a request runs, and with which token, by the version's rules."""
        text = self.bearer(request)
        if text is not None:
            row = self._used(request, text)
            return row.login, row.serial
        if is_malformed(request) and self.profile in {"v3", "v6"}:
            raise self._unauthorized("malformed")
        # From 5.2 Basic is ignored outside the login, and whoever is nobody is `public`.
        if self.modern or is_malformed(request):
            return "public", None
        login, password = basic_of(request) or ("", "")
        if login and self.users.get(login) == password:
            return login, None
        raise self._unauthorized("credentials" if login else "missing")

    def _unauthorized(self, kind: str, *, login: bool = False) -> RefusalError:
        challenge = {"WWW-Authenticate": 'Basic realm="emulator"'}
        headers = challenge if login and self.login_challenge else {}
        if self.refusal_body == "empty":
            return RefusalError(kind, Reply(status=401, headers=headers))
        body = {"error": "Authentication error", "status": 401}
        return RefusalError(kind, Reply.json(body, status=401, headers=headers))


def _alive(request: ReceivedRequest) -> Reply:
    del request
    return Reply.json({"status": "OK"})
