"""Simplicité's token table and server sessions, and what a request says about who it is."""

import secrets
from typing import Literal, TypeAlias, final

import attrs

from asyncauth._errors import ConfigurationError
from asyncauth._token import Secret
from asyncauth.testing.emulators._base import Emulator, plain
from asyncauth.testing.emulators._messages import ReceivedRequest

SimpliciteProfile: TypeAlias = Literal["v3", "v5_1", "v5_2", "v6"]

CUSTOM_HEADER = "X-Simplicite-Authorization"
# The parameter's name as the vendor's authentication page spells it, most likely a slip.
_PAGE_SPELLING = "_x_simplicite_autorization_"


@final
@attrs.define(eq=False)
class TokenRow:
    """One row of the token table. Its expiry never moves (vendor's release notes, 5.1.34)."""

    text: str
    login: str
    expires: float
    used: float
    serial: int
    deleted: bool = False


@final
@attrs.define(eq=False)
class ServerSession:
    """One `JSESSIONID`, bound to the token that its login gave."""

    row: TokenRow
    used: float


@attrs.define(kw_only=True, eq=False, repr=False)
class SimpliciteTokens(Emulator):
    """Tokens and sessions of one instance, and the switches that decide about them.

    Attributes:
        profile: Which version. `v3` needs the session cookie beside the token; up to `v5_1` Basic
            works on services; from `v5_2` a call without token runs as `public`; `v6` refuses a
            header without `Bearer`, which those in between take for none.
        users: Passwords by login; by default `svc` has `svc-password`.
        token_duration: Seconds from the first issue to the hard end (`USERTOKENS_DURATION`).
        reuse: Whether a login returns the user's living token again (`USERTOKENS_REUSE`).
        usertokens: Whether tokens outlive sessions (`USE_USERTOKENS`); `v3` sessions end idle anyway.
        session_timeout: Seconds without a call that end a session, where sessions count.
        mode: What tokens look like (`USERTOKENS_MODE`); none is the profile's default.
        url_param_name: The parameter that may carry the token (`USERTOKENS_URL_PARAM`).
        also_accept_doc_spelling: Whether the other spelling of the vendor's page works too. Not
            documented.
    """

    profile: SimpliciteProfile = "v6"
    users: dict[str, str] = attrs.field(factory=lambda: {"svc": "svc-password"})
    token_duration: float = 86400.0
    reuse: bool = True
    usertokens: bool = True
    session_timeout: float = 300.0
    mode: Literal["simple", "jwt"] | None = None
    url_param_name: str = "_x_simplicite_authorization_"
    also_accept_doc_spelling: bool = True
    _rows: dict[str, TokenRow] = attrs.field(init=False, factory=dict)
    _sessions: dict[str, ServerSession] = attrs.field(init=False, factory=dict)

    @property
    def modern(self) -> bool:
        """Whether the version is 5.2 or later."""
        return self.profile in {"v5_2", "v6"}

    @property
    def tokens_alive(self) -> int:
        """How many tokens of the table would be accepted now."""
        return sum(self.row_lives(row) for row in self._rows.values())

    @property
    def sessions_alive(self) -> int:
        """How many sessions with a cookie live (`v3`); elsewhere a token is all there is."""
        return sum(self._session_lives(session) for session in self._sessions.values())

    def revoke_access(self, token: str | Secret) -> None:
        """Delete a token's row, as an administrator or a logout does: every holder is refused.

        Raises:
            ConfigurationError: It was never issued here.
        """
        row = self._rows.get(plain(token))
        if row is None:
            raise ConfigurationError("this emulator never issued that token")
        row.deleted = True

    def issue(self, login: str) -> TokenRow:
        """Return the token of a login: with `reuse` the living one, with its old expiry."""
        now = self.clock.wall()
        if self.reuse and self.usertokens:
            for row in self._rows.values():
                if row.login == login and self.row_lives(row):
                    return row
        self.stats.tokens_issued += 1
        text = self._new_text()
        row = TokenRow(text, login, now + self.token_duration, now, self.stats.tokens_issued)
        self._rows[text] = row
        return row

    def _new_text(self) -> str:
        mode = self.mode or ("jwt" if self.modern else "simple")
        if mode == "simple":
            return secrets.token_hex(25)
        return ".".join(secrets.token_urlsafe(size) for size in (27, 120, 32))

    def open_session(self, row: TokenRow) -> str:
        """Begin a server session for a token and return its id."""
        session_id = secrets.token_hex(16).upper()
        self._sessions[session_id] = ServerSession(row, self.clock.wall())
        return session_id

    def row_lives(self, row: TokenRow) -> bool:
        """Tell whether a token is neither deleted, nor over, nor idle where that counts."""
        now = self.clock.wall()
        idle = not self.usertokens and now - row.used >= self.session_timeout
        return not row.deleted and now < row.expires and not idle

    def _session_lives(self, session: ServerSession) -> bool:
        idle = self.clock.wall() - session.used >= self.session_timeout
        return not idle and self.row_lives(session.row)

    def use(self, request: ReceivedRequest, text: str) -> TokenRow | str:
        """Return the row of a token that may be used by this request, or why it may not be.

        A use moves the end of idle sessions.
        """
        row = self._rows.get(text)
        if row is None:
            return "unknown"
        if not self.row_lives(row):
            return "deleted" if row.deleted else "expired"
        # Later versions have a technical session of their own and need no cookie.
        if self.profile == "v3":
            session = self._sessions.get(_cookie(request, "JSESSIONID"))
            if session is None or session.row is not row:
                return "no session"
            if not self._session_lives(session):
                return "expired"
            session.used = self.clock.wall()
        row.used = self.clock.wall()
        return row

    def bearer(self, request: ReceivedRequest) -> str | None:
        """Return the token that a request carries; the custom header wins, the URL comes last."""
        # The custom header is for places where a proxy uses `Authorization` itself.
        for header in (CUSTOM_HEADER, "Authorization"):
            text = request.credentials("bearer", header)
            if text is not None:
                return text
        names = [self.url_param_name]
        if self.also_accept_doc_spelling:
            names.append(_PAGE_SPELLING)
        return next((request.query[name] for name in names if name in request.query), None)


def basic_of(request: ReceivedRequest) -> tuple[str, str] | None:
    """Return user and password of either header's Basic credentials."""
    return request.basic(CUSTOM_HEADER) or request.basic()


def is_malformed(request: ReceivedRequest) -> bool:
    """Tell whether a header is there that names neither Bearer nor Basic."""
    value = request.headers.get(CUSTOM_HEADER, "") or request.headers.get("Authorization", "")
    return bool(value) and value.partition(" ")[0].lower() not in {"bearer", "basic"}


def _cookie(request: ReceivedRequest, name: str) -> str:
    pairs = (part.strip().partition("=") for part in request.headers.get("Cookie", "").split(";"))
    return next((value for key, _, value in pairs if key == name), "")
