"""Simplicité, the low-code platform: `Simplicite`, for the API endpoint of versions 3 to 6.

Pass the base URL of the API endpoint, with the application's path if it is not deployed at the root
(`https://host/api`, `https://host/myapp/api`), and the login and password of a user. Not for the I/O,
Git and user interface endpoints.

>>> from asyncauth.schemes import Simplicite
>>> scheme = Simplicite("https://erp.example.com/api", login="svc", password="not-a-real-one")

A scheme does no I/O; its login can be held by hand:

>>> from asyncauth.abc import AuthResponse
>>> login = scheme.login()
>>> request = next(login)
>>> request.method, str(request.url)
('GET', 'https://erp.example.com/api/login?format=json&_json=true')
>>> answer = b'{"login": "svc", "authtoken": "eVXGhFz5ovn1yCRU9N2U4rO7Ch", "authtokenexpiry": 1750086400000}'
>>> try:
...     login.send(AuthResponse(status=200, body=answer, received_at=1750000000.0))
... except StopIteration as end:
...     token = end.value
>>> token.expires_in
86400.0
>>> dict(scheme.apply(token).headers)
{'X-Simplicite-Authorization': 'Bearer eVXGhFz5ovn1yCRU9N2U4rO7Ch'}

**Version 3** ties the token to a server session, whose `JSESSIONID` has to come with it.
`session_cookie=True` keeps the cookies of a login and its token as one unit: stored, sent and replaced
together. Behind a load balancer it needs sessions that stick; its cookie is kept too. From version 4
on none of this is needed.

**The login**, `login_with=`: `"basic"`, by default in `Authorization`;
`login_header="X-Simplicite-Authorization"` is for reverse proxies that keep that one for themselves.
`"form"` posts `username` and `password`, `"query"` puts them into the URL, where logs along the way see
them; the vendor advises against both. **Its answer**, `answer=`: `"json"`, the only one with the token's
end in it; `"text"`; `"oauth2"`, over https only; `"redirect"` to the `redirect_uri`, which is not
followed: the token is read from it. Whatever was asked for, each form is understood: old servers
know fewer.

**The token** goes into the vendor's header; `header="Authorization"` puts it there, and `send_in="url"`
into the URL parameter `url_param`. Its name is a setting of the server; the vendor's page spells it
`_x_simplicite_autorization_`, most likely a slip.

>>> scheme = Simplicite("https://erp.example.com/api", login="svc", password="not-a-real-one", send_in="url")
>>> list(scheme.apply(token).query)
['_x_simplicite_authorization_']

**At expiry** (24 hours by default) one worker logs in again, and not before: there are no refresh tokens,
and while a token lives, a login gives it out again. Where the server is set up otherwise
(`USERTOKENS_REUSE=no`), `renews_early=True` has nobody wait for a renewal. The end comes from
`authtokenexpiry` or `authtokenexpires`, measured against the server's own `Date`. The tokens of servers
that state neither are used until a call is answered with 401.

**Without use** sessions of version 3 end early, as do tokens where `USE_USERTOKENS=no`: say after how
many seconds with `idle_timeout=`. With `session_cookie` the `expires_in` of the OAuth 2 style answer is
that time, and never the token's life. `keep_alive=True` has one worker of the fleet call
`/rest?session=true` before it is over.

**Logout** deletes that one token for everybody who logged in as this user. Call it when the last user of
the token has gone, not when one worker stops; a worker that stops never does.

**Nobody's name**: servers from 5.2 on run calls without a good token as the user `public`, with filtered
data and no 401. No call is sent without a token, and a login that names another user is refused
(`expect_user=False` accepts it). `whoami=True` asks after each login as whom the token works, which the
other answers than JSON do not say. `/ping` and `/health` check no token.

**Failures, and what to do**

- `CredentialRefusedError`: the login was answered with 401 or 403, an `error` in the body, or another user.
  Check login and password. They are tried once by the whole fleet, as repeated failures may lock the
  account.
- `UnreadableAnswerError`: no token in the answer, typically the page of a proxy in front of the server, a
  wrong path in the base URL, or a token that had already ended. No page is ever stored as a token.
- `TokenRefusedError`: the server gives out the very token again that it refuses. The 401 is the
  caller's; the fleet logs in no more for a while. With version 3 it most likely is a token without its
  session: `session_cookie=True`.
- 401 of a call: the token is renewed once and the call sent once more. 403: the user lacks a right.
  `"type": "error"` in a 200 of `/api/json` is the application's.

Sources: Simplicité, "Services authentication", "System parameters", "REST services", release notes 3.1 to
6.0; the vendor's JavaScript client for `/logout?format=json`.
"""

from collections.abc import Mapping
from math import inf
from typing import Any, Literal, final

import attrs
from yarl import URL

from asyncauth._errors import ConfigurationError, UnreadableAnswerError
from asyncauth._exchange import AuthRequest, AuthResponse, Placement, basic_auth
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret
from asyncauth.abc import AuthFlow
from asyncauth.schemes._answers import is_success, raise_for_failure, token_text
from asyncauth.schemes._bearer import BearerScheme, bearer
from asyncauth.schemes._fields import (
    as_base_url,
    as_optional_url,
    credential_fingerprint,
    one_of,
    required,
    shown_as_called,
    without_colon,
)
from asyncauth.schemes._simplicite import (
    asking_for,
    check_status,
    cookies_of,
    idle_of,
    json_members,
    life_of_token,
    login_request,
    members_of,
)
from asyncauth.schemes._simplicite_user import Expected

Header = Literal["X-Simplicite-Authorization", "Authorization"]
LoginWith = Literal["basic", "form", "query"]
Answer = Literal["json", "text", "oauth2", "redirect"]
Place = Literal["header", "url"]

_header = one_of("X-Simplicite-Authorization", "Authorization")


def _fit_for_basic(instance: "Simplicite", attribute: "attrs.Attribute[Any]", value: str) -> None:
    if instance.login_with == "basic":
        without_colon(instance, attribute, value)


def _positive(instance: object, attribute: "attrs.Attribute[Any]", value: float | None) -> None:
    del instance
    if value is not None and not 0 < value < inf:
        raise ConfigurationError(f"{attribute.name} must be more than 0 s and finite, not {value:g} s")


def _key_of(scheme: "Simplicite") -> TokenKey:
    return TokenKey(scheme="simplicite", issuer=str(scheme.base_url), client=scheme.user)


@final
@attrs.frozen(kw_only=True, repr=False)
class Simplicite(BearerScheme):
    """A user of a Simplicité instance; the module's docstring is its guide.

    Attributes:
        base_url: The API endpoint, such as `https://host/api`.
        user: The login; the argument's name is `login`.
        password: Its password.
        login_with: How the two are sent.
        login_header: Where Basic goes.
        answer: What the login is asked to answer.
        redirect_uri: For `answer="redirect"`; nothing is ever sent there.
        header: The token's header.
        send_in: Whether the token goes into that header or into the URL.
        url_param: The URL parameter's name.
        session_cookie: Whether a session's cookie belongs to the token: version 3.
        expect_user: Refuse a login that names another user than this one.
        whoami: Ask after each login as whom its token works; it has to be this user.
        idle_timeout: Seconds without use after which the server ends the session.
        keep_alive: Whether one worker is to use the session before that; it needs `idle_timeout`.
        renews_early: Whether a login before the token's end gives a new one.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: A URL is http and not of this machine.
    """

    base_url: URL = attrs.field(converter=as_base_url, kw_only=False)
    user: str = attrs.field(alias="login", validator=[required, _fit_for_basic])
    password: Secret = attrs.field(converter=as_secret, validator=required)
    login_with: LoginWith = attrs.field(default="basic", validator=one_of("basic", "form", "query"))
    login_header: Header = attrs.field(default="Authorization", validator=_header)
    answer: Answer = attrs.field(default="json", validator=one_of("json", "text", "oauth2", "redirect"))
    redirect_uri: URL | None = attrs.field(default=None, converter=as_optional_url)
    header: Header = attrs.field(default="X-Simplicite-Authorization", validator=_header)
    send_in: Place = attrs.field(default="header", validator=one_of("header", "url"))
    url_param: str = attrs.field(default="_x_simplicite_authorization_", validator=required)
    session_cookie: bool = False
    expect_user: bool = True
    whoami: bool = False
    idle_timeout: float | None = attrs.field(default=None, validator=_positive)
    keep_alive: bool = False
    # A login gives the living token again (system parameter USERTOKENS_REUSE): early ones gain nothing.
    renews_early: bool = False
    _key: TokenKey = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_key_of, takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        if (self.answer == "redirect") != (self.redirect_uri is not None):
            raise ConfigurationError('answer="redirect" and redirect_uri belong together')
        if self.keep_alive and self.idle_timeout is None:
            raise ConfigurationError("keep_alive needs idle_timeout: the seconds within which it has to act")

    def __repr__(self) -> str:
        return shown_as_called(self)

    @property
    def key(self) -> TokenKey:
        """Whose token it is: one per API endpoint and user."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the password and of how it is sent, so that a change of either is tried at once."""
        ways = (self.login_with, self.login_header, self.answer, str(self.redirect_uri or ""))
        checks = (str(self.session_cookie), str(self.expect_user))
        # A login that ends with a call fails with it.
        calls = (self.send_in, self.header, self.url_param) if self.whoami else ()
        return credential_fingerprint(self.key, self.password.reveal(), *ways, *checks, *calls)

    def login(self) -> AuthFlow[Token]:
        """Log in.

        Raises:
            CredentialRefusedError: Login or password is wrong, or another user was logged in.
            VendorError: Anything else that is no token, or, with `whoami`, one that is refused.
        """
        url = (self.base_url / "login").with_query(asking_for(self.answer, self.redirect_uri))
        fields = {"username": self.user, "password": self.password.reveal()}
        response = yield login_request(self.login_with, url, fields, {self.login_header: self._basic()})
        token = self._token(response)
        if self.whoami:
            self._expected().check_whoami((yield self._get("rest", {}, token)))
        return token

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Log in again: this vendor has no refresh tokens."""
        del token
        return self.login()

    def logout(self, token: Token) -> AuthFlow[None]:
        """Delete the token at the server, for every holder of it.

        Raises:
            VendorError: The server did not confirm it.
        """
        query = {"format": "json"} if self.answer == "json" else {}
        response = yield self._get("logout", query, token)
        # 401: the token was gone before.
        if response.status == 401:  # noqa: PLR2004
            return
        raise_for_failure(response)
        answer = json_members(response) or {}
        if not is_success(response) or response.is_html or answer.get("error"):
            raise UnreadableAnswerError(f"{response} does not confirm the logout")

    def probe(self, token: Token) -> AuthFlow[bool]:
        """Use the session, which keeps it alive, and find out whether the token still works.

        Raises:
            VendorError: The answer does not tell.
        """
        return self._expected().lives((yield self._get("rest", {"session": "true"}, token)))

    def apply(self, token: Token) -> Placement:
        """Put the token, and the cookies that belong to it, where the options say."""
        cookies = {name: value.reveal() for name, value in token.cookies.items()}
        header = bearer(token)
        if self.send_in == "url":
            return Placement(query={self.url_param: header.removeprefix("Bearer ")}, cookies=cookies)
        return Placement(headers={self.header: header}, cookies=cookies)

    def _get(self, path: str, query: Mapping[str, str], token: Token) -> AuthRequest:
        placed = self.apply(token)
        cookies = "; ".join(f"{name}={value}" for name, value in placed.cookies.items())
        headers = {**placed.headers, **({"Cookie": cookies} if cookies else {})}
        url = (self.base_url / path).with_query({**query, **placed.query})
        return AuthRequest(method="GET", url=url, headers=headers)

    def _token(self, response: AuthResponse) -> Token:
        check_status(response, redirects=self.answer == "redirect", oauth2=self.answer == "oauth2")
        answer = members_of(response)
        self._expected().check_login(response, answer)
        return Token(
            access_token=token_text(response, answer, "authtoken"),
            expires_in=life_of_token(response, answer),
            # Elsewhere than in version 3 the session's end is not the token's.
            idle_timeout=(idle_of(answer) if self.session_cookie else None) or self.idle_timeout,
            cookies=cookies_of(response, answer) if self.session_cookie else {},
            subject=self.user,
        )

    def _basic(self) -> str:
        return basic_auth(self.user, self.password.reveal())

    def _expected(self) -> Expected:
        encoded = self._basic().removeprefix("Basic ")
        return Expected(self.user, self.expect_user, (self.password.reveal(), encoded))
