"""`CronofyUser`, whose guide is the docstring of `asyncauth.schemes.cronofy`."""

from collections.abc import Iterable
from typing import Self, final

import attrs
from yarl import URL

from asyncauth._errors import (
    AuthorizationRequiredError,
    ConfigurationError,
    GrantRefusedError,
    UnreadableAnswerError,
)
from asyncauth._exchange import Placement, place_of
from asyncauth._key import TokenKey
from asyncauth._token import Secret, Token, as_secret
from asyncauth.abc import AuthFlow, Pace, ResponseHead, Verdict
from asyncauth.schemes._answers import shown
from asyncauth.schemes._authorization import (
    AuthorizationRequest,
    as_redirect_uri,
    begin,
    code_of,
    place_to_authorize,
)
from asyncauth.schemes._bearer import BearerScheme
from asyncauth.schemes._cronofy import (
    Application,
    Body,
    DataCenter,
    host,
    known_data_center,
    of_its_user,
    positive,
)
from asyncauth.schemes._fields import as_optional_url, as_scopes, credential_fingerprint, one_of, required

_AGAIN = (
    "the user withdrew, or the refresh token was spent elsewhere or is of another data centre: the user has"
    " to authorize again"
)
_BEGIN = "the code is unknown, used, too old or for another redirect_uri: the user has to authorize again"
_NO_CALENDAR = "the application calendar is not to be had: check its id"

# Calls for which 401 speaks of the kind of credential: they want the client secret.
_OF_APPLICATIONS = ("/v1/real_time_scheduling", "/v1/smart_invites", "/v1/element_tokens")


def _application_of(scheme: "CronofyUser") -> Application:
    return Application(
        api_url=scheme.base_url,
        data_center=scheme.data_center,
        client_id=scheme.client_id,
        client_secret=scheme.client_secret,
        body=scheme.body,
    )


@final
@attrs.frozen(kw_only=True)
class CronofyUser(BearerScheme):
    """A user of an application; the guide is the docstring of `asyncauth.schemes.cronofy`.

    Without `sub` it is the application before its users: it begins authorizations and exchanges codes.

    Attributes:
        client_id: The application's id.
        client_secret: Its secret.
        data_center: Where the application lives.
        sub: The user, as Cronofy names the account.
        redirect_uri: Where the browser comes back to, exactly as it is registered.
        scope: The scopes to ask a person for.
        body: How requests to the token endpoint are written.
        pkce: Whether authorizations have a code challenge (RFC 7636).
        renewals_per_second: Of one process, for all users of the application together.
        api_url: Another place of the API, such as a test server.
        app_url: Another place of the pages that people see.

    Raises:
        ConfigurationError: A credential is empty, or an argument cannot work.
        InsecureURLError: A URL is http and not of this machine.
    """

    can_login = False
    # "It may change" on any use: one that did not change before may do so the next time.
    refresh_rotates = True

    client_id: str = attrs.field(validator=required)
    client_secret: Secret = attrs.field(converter=as_secret, validator=required)
    data_center: DataCenter = attrs.field(default="us", validator=known_data_center)
    sub: str = ""
    redirect_uri: URL | None = attrs.field(default=None, converter=attrs.converters.optional(as_redirect_uri))
    scope: tuple[str, ...] = attrs.field(default=(), converter=as_scopes)
    body: Body = attrs.field(default="json", validator=one_of("json", "form"))
    pkce: bool = False
    renewals_per_second: float = attrs.field(default=2.0, validator=positive)
    api_url: URL | None = attrs.field(default=None, converter=as_optional_url)
    app_url: URL | None = attrs.field(default=None, converter=as_optional_url)
    _base_url: URL = attrs.field(init=False, repr=False, eq=False)
    _key: TokenKey = attrs.field(init=False, repr=False, eq=False)
    _application: Application = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_base_url", self.api_url or host("api", self.data_center))
        # Two users who are linked have one `sub`, and so one key.
        issuer = str(self._base_url.origin())
        key = TokenKey(scheme="cronofy.user", issuer=issuer, client=self.client_id, subject=self.sub)
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "_application", _application_of(self))

    @property
    def base_url(self) -> URL:
        """The data centre's API."""
        return self._base_url

    @property
    def key(self) -> TokenKey:
        """Whose token it is: one per data centre, application and user."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the secret and of how it is sent, so that a change of either is tried at once."""
        return credential_fingerprint(self._key, self.client_secret.reveal(), self.body)

    @property
    def pace(self) -> Pace:
        """One for all users: the vendor's limits are the application's."""
        return Pace(f"{self._key.issuer} {self.client_id}", self.renewals_per_second)

    @property
    def authorize_url(self) -> URL | None:
        """Where people authorize, where `redirect_uri` is given."""
        if self.redirect_uri is None:
            return None
        return place_to_authorize(self._authorize_endpoint, self.client_id, self.redirect_uri, self.scope)

    @property
    def _authorize_endpoint(self) -> URL:
        return (self.app_url or host("app", self.data_center)) / "oauth/authorize"

    def authorization(self, *, scope: str | Iterable[str] = (), **extra: str) -> AuthorizationRequest:
        """Begin the authorization of a person.

        Args:
            scope: The scopes to ask for; those of the scheme if there are none.
            extra: More parameters, such as `avoid_linking`, `provider_name`, `link_token`.

        Raises:
            ConfigurationError: The scheme has no `redirect_uri`.
        """
        if self.redirect_uri is None:
            raise ConfigurationError("redirect_uri is needed to begin an authorization")
        scopes, endpoint = as_scopes(scope) or self.scope, self._authorize_endpoint
        return begin(endpoint, self.client_id, self.redirect_uri, scopes, pkce=self.pkce, extra=extra)

    def exchange(self, answer: str | URL, request: AuthorizationRequest) -> AuthFlow[Token]:
        """Exchange the code that the person's browser came back with.

        Args:
            answer: The URL that it came back to, or its query.
            request: What `authorization` returned.

        Raises:
            AuthorizationRequiredError: The person declined, or it is no answer to this request.
            GrantRefusedError: The code is refused; the person has to authorize again.
            CredentialRefusedError: The application is refused, or what it asks for.
            VendorError: Anything else that is no token.
        """
        code, place, verifier = code_of(answer, request), str(request.redirect_uri), request.code_verifier
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": place}
        proof = {} if verifier is None else {"code_verifier": verifier.reveal()}
        response = yield self._application.request("oauth/token", {**fields, **proof})
        sent = (Secret(code), request.state, *([] if verifier is None else [verifier]))
        return of_its_user(response, self._application.token(response, _BEGIN, sent))

    def application_calendar(self, application_calendar_id: str) -> AuthFlow[Token]:
        """Obtain the tokens of an application's own calendar, which the first call makes.

        Raises:
            CredentialRefusedError: The application is refused, or what it asks for.
            VendorError: Anything else that is no token.
        """
        fields = {"application_calendar_id": application_calendar_id}
        response = yield self._application.request("v1/application_calendars", fields)
        return of_its_user(response, self._application.token(response, _NO_CALENDAR, ()))

    def for_token(self, token: Token) -> Self:
        """Return the scheme of the user whose token it is.

        Raises:
            AuthorizationRequiredError: It is another user's than the one of this scheme.
            ConfigurationError: The token does not say whose it is.
        """
        if not token.subject:
            raise ConfigurationError("the token names no user: is it one that exchange returned?")
        if self.sub and self.sub != token.subject:
            raise AuthorizationRequiredError(
                f"another user authorized ({shown(token.subject, ())}) than was expected ({self.sub}):"
                " nothing is stored. Have the right account authorize, or use a scheme without sub"
            )
        return attrs.evolve(self, sub=token.subject)

    def login(self) -> AuthFlow[Token]:
        """Nothing but a person's authorization gives the first token.

        Raises:
            AuthorizationRequiredError: Always.
        """
        raise AuthorizationRequiredError(
            "the user has to authorize, then TokenManager.authorize stores it",
            authorize_url=self.authorize_url,
        )
        yield

    def refresh(self, token: Token) -> AuthFlow[Token]:
        """Spend the refresh token. What the answer does not repeat is carried over.

        Raises:
            GrantRefusedError: The refresh token is refused for good, or there is none.
            CredentialRefusedError: The application is refused.
            VendorError: Anything else that is no token.
        """
        if token.refresh_token is None:
            raise GrantRefusedError("the stored token has no refresh token: the user has to authorize again")
        fields = {"grant_type": "refresh_token", "refresh_token": token.refresh_token.reveal()}
        response = yield self._application.request("oauth/token", fields)
        renewed = self._application.token(response, _AGAIN, (token.refresh_token,), spent=token)
        if renewed.extra.get("sub", self.sub) != self.sub:
            raise UnreadableAnswerError(f"{response} is for another user than the one whose token was spent")
        return attrs.evolve(renewed, subject=self.sub)

    def apply(self, token: Token) -> Placement:
        """Put the user's token into `Authorization`.

        Raises:
            ConfigurationError: The scheme has no `sub`: it would be anybody's token.
        """
        if not self.sub:
            raise ConfigurationError(
                "this CronofyUser has no sub: it can only begin authorizations. Use the scheme that"
                " TokenManager.authorize returns, or pass the user's sub"
            )
        return super().apply(token)

    def logout(self, token: Token) -> AuthFlow[None]:
        """Revoke the authorization, with every token of it.

        Raises:
            CredentialRefusedError: The application is refused.
            VendorError: The vendor did not confirm it.
        """
        # Never the access token: an expired one revokes nothing, and the answer is the same.
        secret = token.refresh_token
        named = {"sub": self.sub} if secret is None else {"token": secret.reveal()}
        response = yield self._application.request("oauth/token/revoke", named)
        self._application.check(response, _AGAIN, () if secret is None else (secret,))

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        """Judge by the status: 403 is a scope that only the user can grant."""
        if response.status == 403:  # noqa: PLR2004
            return Verdict.NEEDS_USER
        if response.status == 401 and response.url.path.startswith(_OF_APPLICATIONS):  # noqa: PLR2004
            return Verdict.FINE
        return super().classify(response, token)

    def missing(self, response: ResponseHead, token: Token) -> str:
        """Say which scopes were granted, as the vendor does not say which one is missing."""
        granted = " ".join(token.scope) or "unknown scopes"
        return (
            f"{response.status} of {place_of(response.url)}: the user granted {granted}, and this call needs"
            " another scope: begin an authorization(scope=...) with it"
        )
