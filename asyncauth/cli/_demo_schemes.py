"""The demo's four systems, as a worker sees them: schemes, and what they ask for."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, final

import attrs

from asyncauth.abc import AuthScheme
from asyncauth.schemes import CareCloudEnterprise, ITCare, RefreshToken, Simplicite

Settings: TypeAlias = Mapping[str, Any]
"""A scheme's arguments, secrets among them: they travel through a pipe only."""

TITLES: Final = {
    "oauth2": "OAuth 2 rotating",
    "itcare": "ITCare",
    "simplicite": "Simplicité",
    "carecloud": "CareCloud",
}
"""The systems by name, in the order in which they are shown."""


@final
@attrs.frozen
class System:
    """One system that a worker sends requests to.

    Attributes:
        name: One of `TITLES`.
        scheme: Its login.
        path: What is asked for, below the scheme's base URL.
    """

    name: str
    scheme: AuthScheme
    path: str


def rotating(settings: Settings) -> RefreshToken:
    """Return the scheme of the OAuth 2 system, whose first token somebody has to `put`."""
    return RefreshToken(**settings)


def systems(settings: Mapping[str, Settings]) -> list[System]:
    """Return the four systems, from the settings by name."""
    return [
        System("oauth2", rotating(settings["oauth2"]), "/documents"),
        System("itcare", ITCare(**settings["itcare"]), "/compute/resources"),
        System("simplicite", Simplicite(**settings["simplicite"]), "/rest/Customer"),
        System("carecloud", CareCloudEnterprise(**settings["carecloud"]), "/customers"),
    ]
