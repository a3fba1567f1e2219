"""What CareCloud's interfaces share: the project's URL, its wall times, its error envelope, its 401."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, final
from zoneinfo import ZoneInfo

import attrs
from yarl import URL

from asyncauth._errors import AuthError, ConfigurationError, CredentialRefusedError, UnreadableAnswerError
from asyncauth._exchange import AuthResponse
from asyncauth._origin import secure_url
from asyncauth._token import Token
from asyncauth.abc import ResponseHead, Verdict
from asyncauth.schemes._answers import is_success, shown
from asyncauth.schemes._bearer import BearerScheme

# "Integration best practices" wants a 401 answered with a new login. Here it speaks of the credential
# in the call's own body.
_CHECKING = (
    "/actions/login",
    "/actions/sso-login",
    "/actions/social-network-login",
    "/actions/authentication-token-login",
    "/actions/login-test-customer",
    "/actions/verify-credentials",
    "/actions/verify-auth-token",
)

_REASONS = {"empty", "invalid_value_format", "not_allowed_value", "not_found", "required"}

REFUSED_FIELD = "a field was not accepted: check "
CLOSED = ", or the interface closed to the application"


class CareCloudScheme(BearerScheme):
    """A scheme of one of the interfaces."""

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        """Judge by the status, except where a 401 is about a credential inside the call."""
        if response.status == 401 and checks_a_credential(response):  # noqa: PLR2004
            return Verdict.FINE
        return super().classify(response, token)


def checks_a_credential(response: ResponseHead) -> bool:
    """Tell whether a call was about a credential in its own body."""
    return response.url.path.endswith(_CHECKING)


@final
@attrs.frozen
class Refusals:
    """What refusals of one conversation may mean.

    Attributes:
        maybe: Words by status. It is undocumented which of them a refusal gets, so they offer what it
            may be.
        fields: The scheme's names of the fields that the envelope may name.
    """

    maybe: Mapping[int, str]
    fields: Mapping[str, str]


USER_LOGIN: Final = Refusals(
    {
        400: f"{REFUSED_FIELD}the application id, login and password",
        401: "login or password may be wrong",
        403: "login, password or application id may be wrong, the user missing in the group webservice"
        f"{CLOSED}",
    },
    {"user_external_application_id": "application_id", "login": "login", "password": "password"},
)


def as_project(value: str | URL) -> URL:
    """Return the URL of a project, which is given by its domain alone."""
    text = str(value)
    url = secure_url(text if "://" in text else f"https://{text}")
    if url.path != "/" or url.query_string:
        raise ConfigurationError("the project URL is the domain alone, such as sandbox.crmcarecloud.com")
    return url


def header_value(instance: object, attribute: "attrs.Attribute[Any]", value: str | None) -> None:
    """Refuse what no header may carry; none is a header that is not sent."""
    del instance
    if value is not None and not (value and value.isascii() and value.isprintable()):
        raise ConfigurationError(f"{attribute.name} is empty or has characters that no header may carry")


def instants(value: object, zone: ZoneInfo) -> list[float]:
    """Return what `valid_to` may mean in UTC seconds since 1970, in order; nothing if it is no such time.

    Autumn's repeated hour has two readings (fold=0 the earlier); spring's skipped hour none that is real,
    and two that bracket it (fold=1 the earlier).
    """
    try:
        text = value if isinstance(value, str) else ""
        wall = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
    except ValueError:
        return []
    return sorted(wall.replace(fold=fold).timestamp() for fold in (0, 1))


def confirms(response: AuthResponse) -> bool:
    """Tell whether the interface says yes; the page of a portal or proxy does not speak for it."""
    return is_success(response) and not response.is_html


def data_of(response: AuthResponse) -> dict[str, Any]:
    """Return what the success envelope holds.

    Raises:
        UnreadableAnswerError: It is no such envelope.
    """
    data = response.json_object().get("data")
    if not isinstance(data, dict):
        raise UnreadableAnswerError(f"{response} holds no data")
    return data


def refusal(response: AuthResponse, refusals: Refusals, sent: Collection[str]) -> AuthError:
    """Return the error for a credential that was not accepted; of what was sent it shows nothing."""
    error = _error(response)
    if response.status == 400 and not error:  # noqa: PLR2004
        return UnreadableAnswerError(f"{response} does not say what was wrong")
    if response.status not in refusals.maybe:
        return UnreadableAnswerError(f"{response} is no answer of a login: is the project URL right?")
    named = _named_fields(error, refusals.fields)
    parts = (refusals.maybe[response.status], *named, _interface_hint(error))
    words = shown(error.get("title"), sent)
    own = f". Its words: {words}" if words else ""
    return CredentialRefusedError(f"{response}: " + "; ".join(filter(None, parts)) + own)


def _error(response: AuthResponse) -> Mapping[str, Any]:
    try:
        error = response.json_object().get("error")
    except UnreadableAnswerError:
        return {}
    return error if isinstance(error, dict) else {}


def _named_fields(error: Mapping[str, Any], fields: Mapping[str, str]) -> list[str]:
    # The envelope repeats the values that were sent, so only names and reasons that we know are shown.
    data = error.get("error_data")
    params = data.get("invalid_params") if isinstance(data, dict) else None
    entries = [entry for entry in params if isinstance(entry, dict)] if isinstance(params, list) else []
    pairs = [(str(entry.get("name")), str(entry.get("reason"))) for entry in entries]
    return [f"{fields[name]} is {reason}" for name, reason in pairs if name in fields and reason in _REASONS]


def _interface_hint(error: Mapping[str, Any]) -> str:
    closed = "interface_not_allowed_exception" in (error.get("type"), error.get("exception"))
    return "the vendor says that this interface is not allowed" if closed else ""
