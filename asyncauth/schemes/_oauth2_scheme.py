"""The base of the OAuth 2 schemes: their common arguments, identity and client."""

from abc import abstractmethod

import attrs
from yarl import URL

from asyncauth._key import TokenKey
from asyncauth._origin import secure_url
from asyncauth._token import Secret, as_optional_secret
from asyncauth.schemes._bearer import BearerScheme
from asyncauth.schemes._fields import (
    as_optional_url,
    as_origins,
    as_scopes,
    credential_fingerprint,
    one_of,
    required,
)
from asyncauth.schemes._oauth2 import Client, ClientAuth


@attrs.frozen
class OAuth2Scheme(BearerScheme):
    """A client at a token endpoint; see the schemes for what each argument means."""

    token_url: URL = attrs.field(converter=secure_url)
    client_id: str = attrs.field(kw_only=True, validator=required)
    client_secret: Secret | None = attrs.field(
        kw_only=True,
        default=None,
        converter=as_optional_secret,
        validator=attrs.validators.optional(required),
    )
    base_url: URL | None = attrs.field(kw_only=True, default=None, converter=as_optional_url)
    scope: tuple[str, ...] = attrs.field(kw_only=True, default=(), converter=as_scopes)
    client_auth: ClientAuth = attrs.field(kw_only=True, default="basic", validator=one_of("basic", "body"))
    urlencode_basic: bool = attrs.field(kw_only=True, default=True)
    _origins: frozenset[URL] = attrs.field(
        kw_only=True, default=frozenset(), converter=as_origins, alias="origins"
    )
    _key: TokenKey = attrs.field(init=False, repr=False, eq=False)
    _client: Client = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        client = Client(
            token_url=self.token_url,
            client_id=self.client_id,
            client_secret=self.client_secret,
            auth=self.client_auth,
            urlencode_basic=self.urlencode_basic,
        )
        # Once per scheme, not once per request: the manager asks for the key each time.
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_key", self._identity())

    @abstractmethod
    def _identity(self) -> TokenKey:
        """Return the token's key, made of the arguments."""

    @property
    def key(self) -> TokenKey:
        """Whose token it is: token endpoint, client and what else the scheme tells apart."""
        return self._key

    @property
    def fingerprint(self) -> str:
        """A hash of the secret and of how it is sent, so that a change of either is tried at once."""
        secret = "" if self.client_secret is None else self.client_secret.reveal()
        return credential_fingerprint(self.key, secret, self.client_auth, str(self.urlencode_basic))

    @property
    def origins(self) -> frozenset[URL]:
        """The origin of the base URL, and the further ones that were named."""
        return super().origins | self._origins
