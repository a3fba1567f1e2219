"""The rows of PROTOCOL.md, section 9: for each kind of credential a vendor on loopback, and a scheme."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, final

import attrs
from yarl import URL

from asyncauth import RefreshPolicy, Token, TokenKey, TokenManager, open_store, schemes
from asyncauth.abc import AuthFlow, AuthScheme
from asyncauth.schemes._oauth2_scheme import OAuth2Scheme
from asyncauth.testing.emulators import (
    Emulator,
    ITCareEmulator,
    MovableClock,
    OAuth2Emulator,
    ReceivedRequest,
    RefusalError,
    Reply,
    Route,
)
from kill_fleet import Place

HOUR: Final = 3600.0
WINDOW: Final = 60.0
"""Seconds for which a spent refresh token of kind Rg works again."""


@attrs.frozen
class OneSession(OAuth2Scheme):
    """An account of a vendor with one session per user: each login ends the one before (kind N1)."""

    login_is_destructive = True

    def _identity(self) -> TokenKey:
        return TokenKey(scheme="one_session", issuer=str(self.token_url), client=self.client_id)

    def login(self) -> AuthFlow[Token]:
        response = yield self._client.request({"grant_type": "client_credentials"})
        return self._client.token(response, ())

    def refresh(self, token: Token) -> AuthFlow[Token]:
        del token
        return self.login()


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class OneSessionEmulator(Emulator):
    """A vendor that accepts but the token of the last login, for an hour."""

    _text: str = attrs.field(init=False, default="")
    _ends_at: float = attrs.field(init=False, default=0.0)

    @property
    def token_url(self) -> URL:
        return self.url / "token"

    @property
    def api_url(self) -> URL:
        return self.url / "api"

    def routes(self) -> Mapping[str, Route]:
        return {"/token": Route("token", self._login, ("POST",)), "/api/*": Route("api", self._resource)}

    def _login(self, request: ReceivedRequest) -> Reply:
        self.stats.tokens_issued += 1
        self._text, self._ends_at = secrets.token_urlsafe(), self.clock.wall() + HOUR
        return Reply.json({"access_token": self._text, "token_type": "Bearer", "expires_in": int(HOUR)})

    def _resource(self, request: ReceivedRequest) -> Reply:
        if request.credentials("bearer") != self._text or self.clock.wall() >= self._ends_at:
            raise RefusalError("ended", Reply(status=401))
        return Reply.json({})


Vendor = OAuth2Emulator | ITCareEmulator | OneSessionEmulator


@final
@attrs.frozen(repr=False)
class Row:
    """One kind of credential.

    Attributes:
        name: As in PROTOCOL.md, section 1.
        open: Returns a vendor of this kind, to be entered.
        scheme_name: The scheme's class, of `asyncauth.schemes` or `OneSession`.
        credential: What else the scheme is made of.
        person: Whether only a person can authorize.
        one_time: Whether its refresh token is for one use.
    """

    name: str
    open: Callable[[MovableClock], Vendor]
    scheme_name: str
    credential: Mapping[str, str]
    person: bool = False
    one_time: bool = False

    def __repr__(self) -> str:
        return self.name

    def vendor(self) -> Vendor:
        """Return a vendor with a clock of its own, to be entered."""
        return self.open(MovableClock())

    def arguments(self, vendor: Vendor) -> dict[str, str]:
        """Return what the scheme is made of, as JSON."""
        return {"token_url": str(vendor.token_url), "base_url": str(vendor.api_url), **self.credential}

    def scheme(self, vendor: Vendor) -> AuthScheme:
        """Return the scheme."""
        return _class_named(self.scheme_name)(**self.arguments(vendor))

    async def authorize(self, vendor: Vendor, place: Place, policy: RefreshPolicy) -> None:
        """Store a person's authorization, where one is needed."""
        if self.person:
            assert isinstance(vendor, OAuth2Emulator)
            async with open_store(place.url, key=place.key) as store:
                await TokenManager(store, policy=policy).put(self.scheme(vendor), vendor.authorize("ada"))


def _class_named(name: str) -> Callable[..., AuthScheme]:
    found: Callable[..., AuthScheme] = getattr(schemes, name, OneSession)
    return found


def _oauth2(**knobs: Any) -> Callable[[MovableClock], OAuth2Emulator]:
    return lambda clock: OAuth2Emulator(clock=clock, access_lifetime=HOUR, record=False, **knobs)


def _keycloak(clock: MovableClock) -> ITCareEmulator:
    # "Revoke Refresh Token": for one use, and the session ends with its reuse.
    return ITCareEmulator(
        clock=clock,
        access_lifetime=HOUR,
        profile="kc21",
        revoke_refresh=True,
        session_idle=30 * HOUR,
        record=False,
    )


_APP: Final = {"client_id": "app", "client_secret": "app-secret"}
_ADA: Final = {**_APP, "subject": "ada"}
_ITCARE: Final = {
    "client_id": "itcare-client",
    "client_secret": "itcare-secret",
    "renew_with": "refresh_token",
}

ROWS: Final = (
    Row("N", _oauth2(), "ClientCredentials", _APP),
    Row("N1", lambda clock: OneSessionEmulator(clock=clock, record=False), "OneSession", _APP),
    Row("R", _oauth2(), "RefreshToken", _ADA, person=True, one_time=True),
    Row("R0", _oauth2(reuse_revokes=False), "RefreshToken", _ADA, person=True, one_time=True),
    Row("Rg", _oauth2(reuse_window=WINDOW), "RefreshToken", _ADA, person=True, one_time=True),
    Row("RL", _keycloak, "ITCare", _ITCARE, one_time=True),
)
