"""ClicRDV's API keys, people and sessions, and how it refuses: nearly all of that is undocumented."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal, TypeAlias, final

import attrs

from asyncauth._errors import ConfigurationError
from asyncauth._token import Secret
from asyncauth.testing.emulators._base import Emulator, plain
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply

ClicRDVEnvironment: TypeAlias = Literal["production", "sandbox"]
ClicRDVProfile: TypeAlias = Literal["pro", "account"]
UnauthMode: TypeAlias = Literal["403", "404", "401_no_challenge", "200_empty", "302_login_html"]

_COOKIE = "_session_id"


@final
@attrs.define
class ClicRDVKey:
    """One API key.

    Attributes:
        environment: Where it is good for.
        enabled: Whether it is good at all.
    """

    environment: ClicRDVEnvironment = "production"
    enabled: bool = True


@final
@attrs.define
class ClicRDVPerson:
    """One user of either profile.

    Attributes:
        password: In clear, as Basic sends it; the session login sends its SHA1.
        group_id: The only group whose objects the user may see.
        id: The number that the login tells.
    """

    password: str = attrs.field(repr=False)
    group_id: int = 4
    id: int = 9


@final
@attrs.define(eq=False)
class ServerSession:
    """One session. Its last use is that of the last call that was answered with what it asked for."""

    profile: ClicRDVProfile
    email: str
    apikey: str
    used: float
    ended: bool = False


@attrs.define(kw_only=True, eq=False, repr=False)
class ClicRDVSessions(Emulator):
    """Who may call, and what others get.

    Attributes:
        environment: Which of the two systems this is.
        apikeys: API keys by their text; by default one of each environment.
        pros: Users of the Calendar API by e-mail.
        accounts: Users of the Booking API by e-mail; the same one may be in both, as two users.
        idle_timeout: Seconds without an answered call that end a session.
        missing_apikey: What a call without an API key gets. Not documented.
        accept_body_apikey: Whether a key in the body counts, as the vendor's PHP client of 2012 sends it.
        wrong_apikey: What an unknown, disabled or foreign API key gets. Not documented.
        unauth_mode: What a call without a living session or good Basic gets. Not documented; there is
            never a challenge.
        session_without_apikey: Whether a living session needs no API key. Not documented.
        reissue_cookie: Whether a dead session's call is given the cookie of an anonymous session. Not
            documented.
        basic_for_accounts: Whether Basic is good for the Booking API. Not documented.
    """

    environment: ClicRDVEnvironment = "production"
    apikeys: dict[str, ClicRDVKey] = attrs.field(
        factory=lambda: {
            "production-apikey": ClicRDVKey("production"),
            "sandbox-apikey": ClicRDVKey("sandbox"),
        }
    )
    pros: dict[str, ClicRDVPerson] = attrs.field(
        factory=lambda: {"pro@example.com": ClicRDVPerson("pro-password")}
    )
    accounts: dict[str, ClicRDVPerson] = attrs.field(
        factory=lambda: {"account@example.com": ClicRDVPerson("account-password", id=21)}
    )
    idle_timeout: float = 3600.0
    missing_apikey: Literal[400, 401, 403] = 400
    accept_body_apikey: bool = False
    wrong_apikey: Literal[401, 403, 404] = 403
    unauth_mode: UnauthMode = "403"
    session_without_apikey: bool = False
    reissue_cookie: bool = False
    basic_for_accounts: bool = False
    _sessions: dict[str, ServerSession] = attrs.field(init=False, factory=dict)

    @property
    def sessions_alive(self) -> int:
        """How many sessions would be accepted now."""
        return sum(self._lives(session) for session in self._sessions.values())

    def end_session(self, sid: str | Secret) -> None:
        """End one session, as nobody but the vendor can.

        Raises:
            ConfigurationError: It was never opened here.
        """
        session = self._sessions.get(plain(sid))
        if session is None:
            raise ConfigurationError("this emulator never opened that session")
        session.ended = True

    def people(self, profile: ClicRDVProfile) -> Mapping[str, ClicRDVPerson]:
        """Return the users of a profile."""
        return self.pros if profile == "pro" else self.accounts

    def open_session(self, profile: ClicRDVProfile, email: str, apikey: str) -> str:
        """Begin a session beside the older ones, and return its id."""
        sid = secrets.token_hex(12)
        self._sessions[sid] = ServerSession(profile, email, apikey, self.clock.wall())
        self.stats.tokens_issued += 1
        return sid

    def session_of(self, request: ReceivedRequest) -> ServerSession | None:
        """Return the living session whose cookie a request carries."""
        session = self._sessions.get(sid_of(request))
        return session if session is not None and self._lives(session) else None

    def touch(self, session: ServerSession) -> None:
        """Count a use."""
        session.used = self.clock.wall()

    def application(self, request: ReceivedRequest, session: ServerSession | None = None) -> str:
        """Return the API key of a request; refuse one that has none, or a wrong one."""
        apikey = request.query.get("apikey", "")
        if not apikey and self.accept_body_apikey:
            apikey = str((request.json_object() or request.form()).get("apikey", ""))
        if not apikey and session is not None and self.session_without_apikey:
            apikey = session.apikey
        if not apikey:
            raise refusal("missing apikey", self.missing_apikey)
        key = self.apikeys.get(apikey)
        if key is None or not key.enabled or key.environment != self.environment:
            raise refusal("wrong apikey", self.wrong_apikey)
        return apikey

    def person_of(self, request: ReceivedRequest, session: ServerSession | None) -> ClicRDVPerson:
        """Return who calls, by Basic or by cookie; refuse who is nobody."""
        by_basic = self._by_basic(request)
        if by_basic is not None:
            return by_basic
        if session is not None:
            return self.people(session.profile)[session.email]
        raise self._unauthenticated(request)

    def _by_basic(self, request: ReceivedRequest) -> ClicRDVPerson | None:
        email, password = request.basic() or ("", "")
        profiles: tuple[ClicRDVProfile, ...] = ("pro", "account") if self.basic_for_accounts else ("pro",)
        for profile in profiles:
            person = self.people(profile).get(email)
            if person is not None and person.password == password:
                return person
        return None

    def _lives(self, session: ServerSession) -> bool:
        return not session.ended and self.clock.wall() - session.used < self.idle_timeout

    def _unauthenticated(self, request: ReceivedRequest) -> RefusalError:
        reply = self._unauthenticated_reply()
        if self.reissue_cookie and sid_of(request):
            # The id of a session in which nobody is logged in: known to the browser, good for nothing.
            reply = with_cookie(reply, secrets.token_hex(12))
        return RefusalError(self._why(request), reply)

    def _unauthenticated_reply(self) -> Reply:
        match self.unauth_mode:
            case "200_empty":
                return compact(collection([]))
            case "302_login_html":
                return Reply(status=302, headers={"Location": "/login", "Content-Type": "text/html"})
            case "401_no_challenge":
                return refusal("", 401).reply
            case status:
                return refusal("", int(status)).reply

    def _why(self, request: ReceivedRequest) -> str:
        if request.basic() is not None:
            return "credentials"
        sid = sid_of(request)
        if not sid:
            return "missing"
        return "expired" if sid in self._sessions else "unknown"


def sid_of(request: ReceivedRequest) -> str:
    """Return the session id of a request's cookie; empty if there is none."""
    pairs = (part.strip().partition("=") for part in request.headers.get("Cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == _COOKIE), "")


def with_cookie(reply: Reply, sid: str) -> Reply:
    """Return a reply that sets a session's cookie, as the vendor's sample does."""
    cookie = f"{_COOKIE}={sid}; path=/; HttpOnly"
    return attrs.evolve(reply, headers={**reply.headers, "Set-Cookie": cookie})


def sha1_of(password: str) -> str:
    """Return what the session login takes for a password."""
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest()


def compact(value: object, status: int = 200) -> Reply:
    """Return a JSON answer as the vendor's sample is written: without spaces, with a charset."""
    body = json.dumps(value, separators=(",", ":")).encode()
    kind = {"Content-Type": "application/json; charset=utf-8", "Status": str(status)}
    return Reply(status=status, body=body, headers=kind)


def collection(records: list[dict[str, object]]) -> dict[str, object]:
    """Return the members of a collection's answer."""
    size = len(records)
    return {
        "records": records,
        "sort": None,
        "dir": "asc",
        "totalRecords": size,
        "startIndex": 0,
        "recordsReturned": size,
        "pageSize": 25,
    }


def refusal(kind: str, status: int) -> RefusalError:
    """Return a refusal whose body tells no more than its status: nobody can tell two of them apart."""
    return RefusalError(kind, compact({"error": HTTPStatus(status).phrase}, status))
