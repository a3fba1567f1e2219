"""The base of the OAuth 2 schemes for a person's authorization: refresh, revocation, missing scopes."""

import re

import attrs
from yarl import URL

from asyncauth._exchange import place_of
from asyncauth._token import Token
from asyncauth.abc import AuthFlow, ResponseHead, Verdict
from asyncauth.schemes._answers import shown
from asyncauth.schemes._fields import as_optional_url, required
from asyncauth.schemes._oauth2_scheme import OAuth2Scheme

_SCOPES = re.compile(r'\bscope="([^"]+)"')


@attrs.frozen
class PersonScheme(OAuth2Scheme):
    """What a person authorized, kept alive with its refresh token (RFC 6749, section 6)."""

    can_login = False

    subject: str = attrs.field(kw_only=True, validator=required)
    refresh_rotates: bool | None = attrs.field(kw_only=True, default=None)
    revocation_url: URL | None = attrs.field(kw_only=True, default=None, converter=as_optional_url)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Spend the refresh token.

        What the answer does not repeat (refresh token, scope) is carried over from `token`.

        Raises:
            GrantRefusedError: The refresh token is refused for good, or there is none.
            CredentialRefusedError: The client is refused.
            VendorError: Anything else that is no token.
        """
        response = yield self._client.refreshing(token, self._refresh_scope)
        return self._client.token(response, self._refresh_scope, spent=token)

    @property
    def _refresh_scope(self) -> tuple[str, ...]:
        # None asks for what was granted, which may be less than was asked for.
        return ()

    def logout(self, token: Token) -> AuthFlow[None]:
        """Revoke the refresh token, and with it the authorization; the access token if there is no other.

        Without a `revocation_url` nobody is told. A token that has ended already counts as revoked.

        Raises:
            CredentialRefusedError: The client is refused.
            VendorError: The server did not confirm it.
        """
        kind = "access_token" if token.refresh_token is None else "refresh_token"
        secret = token.refresh_token or token.access_token
        if self.revocation_url is None or secret is None:
            return
        # RFC 7009, section 2.1; to a token that it does not know the server says 200, too (2.2).
        fields = {"token": secret.reveal(), "token_type_hint": kind}
        response = yield self._client.request(fields, self.revocation_url)
        self._client.check(response, (secret,))

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        """Judge by the status; 403 for a missing scope needs the person who authorized."""
        # RFC 6750, section 3.1: only the person can grant the scope that is missing.
        challenge = response.headers.get("WWW-Authenticate", "")
        if response.status == 403 and "insufficient_scope" in challenge:  # noqa: PLR2004
            return Verdict.NEEDS_USER
        return super().classify(response, token)

    def missing(self, response: ResponseHead, token: Token) -> str:
        """Name the scopes that the person has to grant, where the server does."""
        named = _SCOPES.search(response.headers.get("WWW-Authenticate", ""))
        secrets = [text.reveal() for text in (token.access_token, token.refresh_token) if text]
        scopes = shown(named[1] if named else None, secrets) or "a scope that is missing"
        return f"{response.status} of {place_of(response.url)}: the person has to authorize {scopes}"
