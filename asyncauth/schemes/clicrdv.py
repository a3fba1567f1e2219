"""ClicRDV, the appointment system: `ClicRDV`, for the Calendar API (`pro`) and the Booking API (`account`).

Pass the API key, which identifies the application, and e-mail and password of the user. Sandbox and
production have different keys; `environment="sandbox"` goes to the other system. URLs of a session are
written as in the vendor's pages, as in `session.get("/api/v1/groups")`.

>>> from asyncauth.schemes import ClicRDV
>>> scheme = ClicRDV("xxxxxx", email="user@example.com", password="secret")
>>> str(scheme.base_url)
'https://www.clicrdv.com'
>>> placement = scheme.apply(scheme.constant)
>>> placement.query["apikey"], placement.headers["Authorization"]
('xxxxxx', 'Basic dXNlckBleGFtcGxlLmNvbTpzZWNyZXQ=')

The API key goes into the query of every request, whatever its body, and is never sent in a body.

**Basic**, the default, sends e-mail and password with every request, without waiting to be asked: ClicRDV
never asks. There is no login, nothing to share and nothing to expire. Every answer is the caller's own.
The vendor documents it for `pro` only, so `profile="account"` needs sessions: where Basic is not good, the
answer may be 404, which looks like a missing object.

**Sessions** (`auth="session"`) send a cookie instead. A scheme does no I/O; its login can be held by hand:

>>> scheme = ClicRDV("xxxxxx", email="user@example.com", password="test", auth="session")
>>> from asyncauth.abc import AuthResponse
>>> login = scheme.login()
>>> request = next(login)
>>> request
AuthRequest(POST https://www.clicrdv.com/api/v1/sessions/login)
>>> request.body
b'pro%5Bemail%5D=user%40example.com&pro%5Bpassword%5D=a94a8fe5ccb19ba61c4c0873d391e987982fbbd3'
>>> cookie = {"Set-Cookie": "_session_id=4e8c5362ed2abeddca00000c; path=/; HttpOnly"}
>>> try:
...     login.send(AuthResponse(status=200, headers=cookie, body=b'{"pro": {"id": 9}, "error": null}'))
... except StopIteration as end:
...     token = end.value
>>> dict(scheme.apply(token).cookies), token.idle_timeout
({'_session_id': '4e8c5362ed2abeddca00000c'}, 3600)

**At expiry** (one hour without a request by any worker) one worker of the fleet logs in again. The
cookie never gets into a client's cookie jar, and no answer of a call replaces it.

**A dead session** rarely shows as 401. 403, 404, a redirect, an HTML page, or a JSON answer with an
`error` in it may mean one, or mean what it says. So one worker asks for `probe_path`: if the session lives,
the answer is the caller's; if not, the fleet logs in once and the request is sent once more. JSON answers
are read whole for it. Where even a living session is redirected, aiohttp follows: pass
`allow_redirects=False` if a page must never stand in for the answer.

**Options**

- `login_in="query"` sends the login's fields where the vendor's sample has them. By default they are the
  body, because queries end in access logs, and the SHA1 of a password is as good as the password.
- `empty_is_suspect=True` also asks when an answer has no records at all, for systems that show a dead
  session nothing instead of refusing it. Each empty list then costs a request.
- `probe_path` is for users who may not see `groups.json`: for them each genuine 404 would cost a login.
- `base_url` replaces that of the environment; it is what comes before `/api/v1`.

**Logout**: ClicRDV has none. The token is only dropped, and the session ends by itself.

**Failures, and what to do**

- `CredentialRefusedError`: the login was refused, by 400, 401, 403, 404 or an `error` inside a 200. ClicRDV
  does not say what was wrong: check the API key too, and that it is one of this environment. Tried once
  by the whole fleet.
- `UnreadableAnswerError`: no login answered, typically a page, or one that set no cookie. Check the base
  URL and what stands before the server.
- With Basic, 401, 403 and 404 are yours to read: a wrong password or API key may look like any of them.

Sources: ClicRDV, "Authentication", "API responses", "REST API" and the resource pages of both profiles;
the suspicion of 403 and 404 is an inference from the first two, which contradict each other.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal, final
from urllib.parse import urlencode

import attrs
from yarl import URL

from asyncauth._errors import ConfigurationError, TokenUnavailableError, UnreadableAnswerError
from asyncauth._exchange import AuthRequest, AuthResponse, Placement, basic_auth
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret
from asyncauth.abc import AuthFlow, AuthScheme, ResponseHead, Verdict
from asyncauth.schemes._answers import raise_for_failure
from asyncauth.schemes._clicrdv import COOKIE, is_doubtful, judge, members_of, opened_session
from asyncauth.schemes._fields import as_base_url, credential_fingerprint, one_of, required, without_colon

_API = "api/v1"
_LOGINS = tuple(f"/sessions/login{suffix}" for suffix in ("", ".json", ".xml"))
_PRODUCTION = URL("https://www.clicrdv.com")
_PLACES = {"production": _PRODUCTION, "sandbox": URL("https://sandbox.clicrdv.com")}

_BASIC_VERDICTS = {401: Verdict.FORBIDDEN, 403: Verdict.FORBIDDEN, 429: Verdict.BACK_OFF}
_FINE = Verdict.FINE


def _default_place(scheme: "ClicRDV") -> URL:
    # An environment that is none of them is refused by its validator, which runs later.
    return _PLACES.get(scheme.environment, _PRODUCTION)


def _before_api(instance: object, attribute: "attrs.Attribute[URL]", value: URL) -> None:
    del instance
    if value.path.endswith(f"/{_API}"):
        raise ConfigurationError(f"{attribute.name} is what comes before /{_API}, such as {_PRODUCTION}")


def _no_query(instance: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    del instance
    if "?" in value or "#" in value:
        raise ConfigurationError(f"{attribute.name} is a path below /{_API}, without a query")


def _key_of(scheme: "ClicRDV") -> TokenKey:
    place = TokenKey(scheme=f"clicrdv.{scheme.auth}", issuer=str(scheme.base_url))
    # Keys are shown, and the API key is a secret; being random, it is not to be guessed from its hash.
    application = credential_fingerprint(place, scheme.apikey.reveal())
    return attrs.evolve(place, client=application, subject=scheme.email, tenant=scheme.profile)


def _constant_of(scheme: "ClicRDV") -> Token | None:
    if scheme.auth == "session":
        return None
    kind, _, credentials = basic_auth(scheme.email, scheme.password.reveal()).partition(" ")
    return Token(access_token=credentials, token_type=kind)


def _sid(token: Token) -> str:
    cookie = token.cookies.get(COOKIE)
    if cookie is None:
        raise TokenUnavailableError(f"this token holds no {COOKIE} cookie: forget it, and a login follows")
    return cookie.reveal()


@final
@attrs.frozen
class ClicRDV(AuthScheme):
    """A user of ClicRDV; the module's docstring is its guide.

    Attributes:
        apikey: The application's API key, of this environment.
        email: The user's e-mail.
        password: The user's password, in clear; sessions send its SHA1.
        auth: Whether requests carry Basic or the cookie of a shared session.
        profile: `pro` for the Calendar API, `account` for the Booking API. They are two users, also with
            the same e-mail.
        environment: Which of the two systems.
        base_url: What comes before `/api/v1`; by default the environment's.
        login_in: Where the login's fields go.
        empty_is_suspect: Ask whether the session lives when an answer has no records.
        probe_path: What is asked for then, below `/api/v1`; this user has to see it.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: The URL is http and not of this machine.
    """

    apikey: Secret = attrs.field(converter=as_secret, validator=required)
    email: str = attrs.field(kw_only=True, validator=[required, without_colon])
    password: Secret = attrs.field(kw_only=True, converter=as_secret, validator=required)
    auth: Literal["basic", "session"] = attrs.field(
        kw_only=True, default="basic", validator=one_of("basic", "session")
    )
    profile: Literal["pro", "account"] = attrs.field(
        kw_only=True, default="pro", validator=one_of("pro", "account")
    )
    environment: Literal["production", "sandbox"] = attrs.field(
        kw_only=True, default="production", validator=one_of("production", "sandbox")
    )
    base_url: URL = attrs.field(
        kw_only=True,
        default=attrs.Factory(_default_place, takes_self=True),
        converter=as_base_url,
        validator=_before_api,
    )
    login_in: Literal["body", "query"] = attrs.field(
        kw_only=True, default="body", validator=one_of("body", "query")
    )
    empty_is_suspect: bool = attrs.field(kw_only=True, default=False)
    probe_path: str = attrs.field(kw_only=True, default="groups.json", validator=[required, _no_query])
    _api: URL = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda self: self.base_url / _API, takes_self=True),
    )
    _key: TokenKey = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_key_of, takes_self=True)
    )
    _constant: Token | None = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_constant_of, takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        if self.auth == "basic" and self.profile == "account":
            raise ConfigurationError(
                'Basic is documented for profile="pro" only: use auth="session" for profile="account"'
            )

    @property
    def key(self) -> TokenKey:
        """Whose token it is: one per system, API key, profile and e-mail."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the password and of how it is sent, so that a change of either is tried at once."""
        return credential_fingerprint(self.key, self.password.reveal(), self.login_in)

    @property
    def constant(self) -> Token | None:
        """What Basic sends; none with sessions."""
        return self._constant

    def login(self) -> AuthFlow[Token]:
        """Open a session; with Basic there is nobody to ask.

        Raises:
            CredentialRefusedError: E-mail, password or API key is refused.
            VendorError: Anything else that opens no session.
        """
        if self._constant is not None:
            return self._constant
        response = yield self._login_request()
        secrets = (self.apikey.reveal(), self.password.reveal(), self._sha1())
        return opened_session(response, self.profile, self.email, secrets)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Open another session: nothing prolongs one but its use."""
        del token
        return self.login()

    def probe(self, token: Token) -> AuthFlow[bool]:
        """Ask for what this user can always see.

        Raises:
            VendorError: The answer tells nothing of the session.
        """
        cookie = {"Cookie": f"{COOKIE}={_sid(token)}"}
        response = yield AuthRequest(method="GET", url=self._url(self.probe_path.lstrip("/")), headers=cookie)
        raise_for_failure(response)
        if judge(response.status, response.headers.get("Content-Type", "")) is not _FINE:
            return False
        if response.status != 200:  # noqa: PLR2004
            raise UnreadableAnswerError(f"{response} tells nothing of the session: check probe_path")
        return not is_doubtful(response.json_object(), empty_is_suspect=self.empty_is_suspect)

    def apply(self, token: Token) -> Placement:
        """Put the API key into the query, and Basic or the session's cookie beside it."""
        query = {"apikey": self.apikey.reveal()}
        if self.auth == "basic":
            authorization = basic_auth(self.email, self.password.reveal())
            return Placement(query=query, headers={"Authorization": authorization})
        return Placement(query=query, cookies={COOKIE: _sid(token)})

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        """Judge by the status and the kind of answer; with Basic nothing can be renewed."""
        del token
        if self.auth == "basic":
            return _BASIC_VERDICTS.get(response.status, _FINE)
        if not self._is_call(response):
            return _FINE
        return judge(response.status, response.headers.get("Content-Type", ""))

    def reads_body(self, response: ResponseHead) -> bool:
        """Tell whether it is a JSON answer to a call in a session."""
        if self.auth == "basic" or response.status // 100 != 2:  # noqa: PLR2004 - the class of the status
            return False
        return "json" in response.headers.get("Content-Type", "").lower() and self._is_call(response)

    def classify_body(self, response: AuthResponse, token: Token) -> Verdict:
        """Suspect an answer with an `error` in it and, where asked for, one without records."""
        del token
        # Most answers hold neither word, and need not be parsed.
        if b'"error"' not in response.body and not (self.empty_is_suspect and b'"records"' in response.body):
            return _FINE
        doubtful = is_doubtful(members_of(response), empty_is_suspect=self.empty_is_suspect)
        return Verdict.SUSPECT if doubtful else _FINE

    def _is_call(self, response: ResponseHead) -> bool:
        # A page of the website, where a redirect may lead, says nothing new; and what a login answers
        # is about the credential in it.
        path = response.url.path
        return path.startswith(f"{self._api.path}/") and not path.endswith(_LOGINS)

    def _login_request(self) -> AuthRequest:
        fields = {f"{self.profile}[email]": self.email, f"{self.profile}[password]": self._sha1()}
        if self.login_in == "query":
            return AuthRequest(method="POST", url=self._url("sessions/login", fields))
        return AuthRequest.form(self._url("sessions/login"), fields)

    def _url(self, path: str, fields: Mapping[str, str] | None = None) -> URL:
        query = urlencode({"apikey": self.apikey.reveal(), **(fields or {})})
        return URL(f"{self._api / path}?{query}", encoded=True)

    def _sha1(self) -> str:
        return hashlib.sha1(self.password.reveal().encode(), usedforsecurity=False).hexdigest()
