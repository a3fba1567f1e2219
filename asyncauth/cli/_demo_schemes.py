"""The demo's systems, as a worker sees them: schemes, and what they ask for."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, final

import attrs

from asyncauth.abc import AuthScheme
from asyncauth.schemes import (
    CareCloudCustomer,
    CareCloudEnterprise,
    ClicRDV,
    CronofyApplication,
    CronofyUser,
    CustomerLogin,
    ITCare,
    RefreshToken,
    Simplicite,
)

Settings: TypeAlias = Mapping[str, Any]
"""A scheme's arguments, secrets among them: they travel through a pipe only."""


@final
@attrs.frozen(kw_only=True)
class About:
    """What is known of a system beforehand.

    Attributes:
        title: For people.
        make: Makes its scheme from settings.
        path: What is asked for, below the scheme's base URL.
        tokens: How they end: after their life, when the vendor ends them, or not at all.
        given: Whether the first token comes out of no token call.
    """

    title: str
    make: Callable[..., AuthScheme]
    path: str
    tokens: Literal["expire", "are ended", "stay"] = "expire"
    given: bool = False


def _customer(*, customer: Settings, **settings: Any) -> CareCloudCustomer:
    return CareCloudCustomer(**settings, customer=CustomerLogin(**customer))


SYSTEMS: Final = {
    "oauth2": About(title="OAuth 2 rotating", make=RefreshToken, path="/documents", given=True),
    "clicrdv": About(title="ClicRDV", make=ClicRDV, path="/api/v1/groups", tokens="are ended"),
    "simplicite": About(title="Simplicité", make=Simplicite, path="/rest/Customer"),
    "cronofy_user": About(title="Cronofy user", make=CronofyUser, path="/v1/calendars", given=True),
    "cronofy_application": About(
        title="Cronofy application",
        make=CronofyApplication,
        path="/v1/real_time_scheduling/demo",
        tokens="stay",
        given=True,
    ),
    "itcare": About(title="ITCare", make=ITCare, path="/compute/resources"),
    "carecloud_enterprise": About(title="CareCloud Enterprise", make=CareCloudEnterprise, path="/customers"),
    "carecloud_customer": About(title="CareCloud Customer", make=_customer, path="/customers", tokens="stay"),
}
"""The systems by name, in the order in which they are shown."""

TITLES: Final = {name: about.title for name, about in SYSTEMS.items()}

ONE_TIME: Final = ("oauth2", "cronofy_user")
"""Those with one-time refresh tokens, whose first one somebody has to `put`."""

SESSIONS: Final = "clicrdv"
"""The one whose sessions are ended by its vendor."""

CUSTOMERS: Final = "carecloud_customer"
"""The one on whose token a customer is logged in, by what the scheme calls a refresh."""


@final
@attrs.frozen
class System:
    """One system that a worker sends requests to.

    Attributes:
        name: One of `SYSTEMS`.
        scheme: Its login.
        path: What is asked for, below the scheme's base URL.
    """

    name: str
    scheme: AuthScheme
    path: str


def systems(settings: Mapping[str, Settings]) -> list[System]:
    """Return the systems, from the settings by name."""
    return [System(name, SYSTEMS[name].make(**each), SYSTEMS[name].path) for name, each in settings.items()]
