"""Simplicité, the low-code platform: `Simplicite`, for the API endpoint of versions 4, 5 and 6.

Pass the base URL of the API endpoint, with the application's path if it is not deployed at the root
(`https://host/api`, `https://host/myapp/api`), and the login and password of a user. Not for the I/O,
Git and user interface endpoints, nor for version 3, which ties a token to a session cookie.

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

**At expiry** (24 hours by default) one worker logs in again, and not before: there are no refresh tokens,
and while a token lives, a login gives it out again (unless the server is set up otherwise). The end
comes from `authtokenexpiry` or `authtokenexpires`, measured against the server's own `Date`. The tokens
of servers that state neither are used until a call is answered with 401.

**Logout** deletes that one token for everybody who logged in as this user. Call it when the last user of
the token has gone, not when one worker stops.

**Options**

- `header="Authorization"` puts the token there. `login_header="X-Simplicite-Authorization"` sends the login's
  Basic in the vendor's header, for reverse proxies that keep `Authorization` for themselves.
- `expect_user=False` accepts a login that the server answers in another user's name. By default it is
  refused: servers from 5.2 on run calls without a good token as the user `public`, with filtered data
  and no 401.

**Failures, and what to do**

- `CredentialRefusedError`: the login was answered with 401 or 403, an `error` in the body, or another user.
  Check login and password. They are tried once by the whole fleet, as repeated failures may lock the
  account.
- `UnreadableAnswerError`: no token in the answer, typically the page of a proxy in front of the server, or
  a token that had already ended. No page is ever stored as a token.
- 401 of a call: the token is renewed once and the call sent once more. 403: the user lacks a right.

Sources: Simplicité, "Services authentication", "System parameters", "REST services", release notes 4.0 to
6.0; the vendor's JavaScript client for `/logout?format=json`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, final

import attrs
from yarl import URL

from asyncauth._errors import CredentialRefusedError, UnreadableAnswerError
from asyncauth._exchange import AuthRequest, AuthResponse, Placement, basic_auth
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret
from asyncauth.abc import AuthFlow
from asyncauth.schemes._answers import (
    clamp,
    is_success,
    now_of,
    number,
    raise_for_failure,
    server_time,
    shown,
    token_text,
)
from asyncauth.schemes._bearer import BearerScheme, bearer
from asyncauth.schemes._fields import as_base_url, credential_fingerprint, one_of, required, without_colon

Header = Literal["X-Simplicite-Authorization", "Authorization"]

# The form of both kinds of token (opaque, JWT). The shortest in the documents has 50 characters; less
# than 20 is more likely a word such as "Unauthorized".
_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{20,8192}")

_header = one_of("X-Simplicite-Authorization", "Authorization")


def _key_of(scheme: "Simplicite") -> TokenKey:
    return TokenKey(scheme="simplicite", issuer=str(scheme.base_url), client=scheme.user)


@final
@attrs.frozen
class Simplicite(BearerScheme):
    """A user of a Simplicité instance; the module's docstring is its guide.

    Attributes:
        base_url: The API endpoint, such as `https://host/api`.
        user: The login; the argument's name is `login`.
        password: Its password.
        header: Where the token goes.
        login_header: Where the login's Basic goes.
        expect_user: Refuse a login that names another user than this one.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: The URL is http and not of this machine.
    """

    # A login gives the living token again (system parameter USERTOKENS_REUSE): early ones gain nothing.
    renews_early = False

    base_url: URL = attrs.field(converter=as_base_url)
    user: str = attrs.field(kw_only=True, alias="login", validator=[required, without_colon])
    password: Secret = attrs.field(kw_only=True, converter=as_secret, validator=required)
    header: Header = attrs.field(kw_only=True, default="X-Simplicite-Authorization", validator=_header)
    login_header: Header = attrs.field(kw_only=True, default="Authorization", validator=_header)
    expect_user: bool = attrs.field(kw_only=True, default=True)
    _key: TokenKey = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_key_of, takes_self=True)
    )

    @property
    def key(self) -> TokenKey:
        """Whose token it is: one per API endpoint and user."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the password and of how it is sent, so that a change of either is tried at once."""
        options = (self.login_header, str(self.expect_user))
        return credential_fingerprint(self.key, self.password.reveal(), *options)

    def login(self) -> AuthFlow[Token]:
        """Log in with Basic, asking for JSON in the way that every version understands.

        Raises:
            CredentialRefusedError: Login or password is wrong, or another user was logged in.
            VendorError: Anything else that is no token.
        """
        # "Services authentication": the Accept header asks for JSON from 5.2.39 on only.
        url = (self.base_url / "login").with_query({"format": "json", "_json": "true"})
        response = yield AuthRequest(method="GET", url=url, headers={self.login_header: self._basic()})
        self._check(response)
        answer = _object(response)
        if answer is None:
            return Token(access_token=_plain_token(response))
        self._check_member(response, answer)
        text = token_text(response, answer, "authtoken")
        return Token(access_token=text, expires_in=_life(response, answer), subject=self.user)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Log in again: this vendor has no refresh tokens."""
        del token
        return self.login()

    def logout(self, token: Token) -> AuthFlow[None]:
        """Delete the token at the server, for every holder of it.

        Raises:
            VendorError: The server did not confirm it.
        """
        url = (self.base_url / "logout").with_query({"format": "json"})
        response = yield AuthRequest(method="GET", url=url, headers={self.header: bearer(token)})
        # 401: the token was gone before.
        if response.status == 401:  # noqa: PLR2004
            return
        raise_for_failure(response)
        answer = _object(response) or {}
        if not is_success(response) or response.is_html or answer.get("error"):
            raise UnreadableAnswerError(f"{response} does not confirm the logout")

    def apply(self, token: Token) -> Placement:
        """Put the token into the header that `header` names."""
        return Placement(headers={self.header: bearer(token)})

    def _basic(self) -> str:
        return basic_auth(self.user, self.password.reveal())

    def _check(self, response: AuthResponse) -> None:
        raise_for_failure(response)
        if response.status in {401, 403}:
            raise CredentialRefusedError(f"{response}: check login and password, and the user's rights")
        if not is_success(response):
            raise UnreadableAnswerError(f"{response} is no answer of a login: is the base URL right?")

    def _check_member(self, response: AuthResponse, answer: Mapping[str, Any]) -> None:
        if answer.get("error") or answer.get("type") == "error":
            words = shown(answer.get("error"), [self.password.reveal(), self._basic()[len("Basic ") :]])
            raise CredentialRefusedError(
                f"{response} carries an error: {words or 'check login and password'}"
            )
        user = answer.get("login")
        if self.expect_user and isinstance(user, str) and user.casefold() != self.user.casefold():
            raise CredentialRefusedError(
                f"{response} is for another user than the one that logs in (expect_user=False accepts it)"
            )


def _object(response: AuthResponse) -> dict[str, Any] | None:
    """Return the JSON object of an answer, or nothing where a bare token was sent instead."""
    if response.body.lstrip()[:1] == b"{" or response.content_type == "application/json":
        return response.json_object()
    return None


def _plain_token(response: AuthResponse) -> str:
    text = response.text.removesuffix("\n").removesuffix("\r")
    if response.is_html or not _PLAIN_TOKEN.fullmatch(text):
        raise UnreadableAnswerError(f"{response} is neither JSON nor a bare token: a proxy may have answered")
    return text


def _life(response: AuthResponse, answer: Mapping[str, Any]) -> float | None:
    stated = [answer.get("authtokenexpiry"), answer.get("authtokenexpires")]
    if stated == [None, None]:
        return None
    ends = (_milliseconds(stated[0]), _iso(stated[1]))
    lives = [end - now_of(response) for end in ends if end is not None]
    if not lives:
        raise UnreadableAnswerError(f"{response} states an end of its token that is no time")
    # Two statements of one moment: a server that writes seconds for milliseconds is far in the past.
    life = max(lives)
    if life > 0:
        return clamp(life)
    if server_time(response) is None:
        # Compared with this machine's clock, which may be the one that is wrong: 401 will tell.
        return None
    raise UnreadableAnswerError(f"{response} brings a token that is dead on arrival")


def _milliseconds(value: object) -> float | None:
    stated = number(value)
    return None if stated is None else stated / 1000


def _iso(value: object) -> float | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
