"""Schemes of every kind of credential, for a vendor without sockets."""

import attrs
from yarl import URL

from asyncauth import AuthScheme, Token, TokenKey, VendorBusyError, VendorFailedError
from asyncauth._errors import GrantRefusedError
from asyncauth._exchange import AuthRequest, AuthResponse, Placement
from asyncauth.abc import AuthFlow
from asyncauth.schemes import ClientCredentials, RefreshToken
from model_vendor import Kind

TOKEN_URL = URL("https://id.example.com/token")
API_URL = URL("https://api.example.com/")
_HTTP_REFUSED = 400
_HTTP_BUSY = 429
_HTTP_FAILED = 500


def scheme_for(kind: Kind) -> AuthScheme:
    """Return a scheme whose credential is of a kind: the library's own, where it has one for all vendors."""
    if not kind.can_login:
        return RefreshToken(
            TOKEN_URL, client_id="app", client_secret="app-secret", subject="ada", base_url=API_URL
        )
    if not kind.refreshable and not kind.destructive:
        return ClientCredentials(TOKEN_URL, client_id="app", client_secret="app-secret", base_url=API_URL)
    return Password(kind)


@attrs.frozen
class Password(AuthScheme):
    """Logs in with a password, at a vendor of any kind."""

    kind: Kind

    @property
    def can_login(self) -> bool:  # type: ignore[override]  # a constant of most schemes, and here the kind's
        return self.kind.can_login

    @property
    def login_is_destructive(self) -> bool:  # type: ignore[override]  # the same
        return self.kind.destructive

    @property
    def key(self) -> TokenKey:
        return TokenKey(scheme="password", issuer=str(TOKEN_URL), client="app")

    @property
    def fingerprint(self) -> str:
        return "the password"

    @property
    def base_url(self) -> URL:
        return API_URL

    def login(self) -> AuthFlow[Token]:
        return _judged((yield AuthRequest.form(TOKEN_URL, {"grant_type": "password"})))

    def refresh(self, token: Token) -> AuthFlow[Token]:
        if token.refresh_token is None:
            return (yield from self.login())
        fields = {"grant_type": "refresh_token", "refresh_token": token.refresh_token.reveal()}
        return _judged((yield AuthRequest.form(TOKEN_URL, fields)))

    def apply(self, token: Token) -> Placement:
        assert token.access_token is not None
        return Placement(headers={"Authorization": f"Bearer {token.access_token.reveal()}"})


def _judged(response: AuthResponse) -> Token:
    if response.status == _HTTP_BUSY:
        raise VendorBusyError("too many requests")
    if response.status >= _HTTP_FAILED:
        raise VendorFailedError("the vendor has trouble")
    if response.status == _HTTP_REFUSED:
        raise GrantRefusedError("invalid_grant")
    return Token(**response.json_object())
