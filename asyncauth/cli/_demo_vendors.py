"""The demo's systems, as their vendors run them: emulators on loopback."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, final

import attrs

from asyncauth._token import Token
from asyncauth.cli._demo_policy import LIFE
from asyncauth.cli._demo_schemes import Settings
from asyncauth.testing.emulators import (
    CareCloudEmulator,
    ClicRDVEmulator,
    CronofyEmulator,
    Emulator,
    ITCareEmulator,
    OAuth2Emulator,
    SimpliciteEmulator,
)

_PERSON = "user-17"
_SCOPE = "list_calendars"
_ZONE = "Europe/Prague"


@final
@attrs.frozen
class Vendors:
    """The emulators by the names of their systems, while they run."""

    oauth2: OAuth2Emulator
    clicrdv: ClicRDVEmulator
    simplicite: SimpliciteEmulator
    cronofy_user: CronofyEmulator
    cronofy_application: CronofyEmulator
    itcare: ITCareEmulator
    carecloud_enterprise: CareCloudEmulator
    carecloud_customer: CareCloudEmulator

    def named(self) -> dict[str, Emulator]:
        """Return them all by name."""
        return attrs.asdict(self, recurse=False)

    def token_calls(self) -> dict[str, int]:
        """Return how many token calls reached each vendor."""
        return {name: emulator.stats.token_calls for name, emulator in self.named().items()}

    def authorizations(self) -> dict[str, Token]:
        """Authorize once, as a person would, where no worker can log in by itself."""
        return {
            "oauth2": self.oauth2.authorize(_PERSON),
            "cronofy_user": self.cronofy_user.authorize(_PERSON, _SCOPE),
        }

    def settings(self) -> dict[str, Settings]:
        """Return what the schemes of the workers need to know, by system."""
        return {
            "oauth2": _oauth2(self.oauth2),
            "clicrdv": _clicrdv(self.clicrdv),
            "simplicite": _simplicite(self.simplicite),
            "cronofy_user": _cronofy(self.cronofy_user, sub=self.cronofy_user.sub_of(_PERSON)),
            "cronofy_application": _cronofy(self.cronofy_application),
            "itcare": _itcare(self.itcare),
            "carecloud_enterprise": _carecloud_enterprise(self.carecloud_enterprise),
            "carecloud_customer": _carecloud_customer(self.carecloud_customer),
        }


def _oauth2(vendor: OAuth2Emulator) -> Settings:
    [(client, secret)] = vendor.clients.items()
    return {
        "token_url": str(vendor.token_url),
        "base_url": str(vendor.api_url),
        "client_id": client,
        "client_secret": secret,
        "subject": _PERSON,
    }


def _clicrdv(vendor: ClicRDVEmulator) -> Settings:
    [(email, person)] = vendor.pros.items()
    return {
        "apikey": next(key for key, about in vendor.apikeys.items() if about.environment == "production"),
        "email": email,
        "password": person.password,
        "auth": "session",
        "base_url": str(vendor.url),
    }


def _simplicite(vendor: SimpliciteEmulator) -> Settings:
    [(login, password)] = vendor.users.items()
    return {"base_url": str(vendor.api_url), "login": login, "password": password}


def _cronofy(vendor: CronofyEmulator, **user: str) -> Settings:
    [(client, secret)] = vendor.applications.items()
    return {"client_id": client, "client_secret": secret, "api_url": str(vendor.api_url), **user}


def _itcare(vendor: ITCareEmulator) -> Settings:
    [(account, client)] = vendor.clients.items()
    return {
        "token_url": str(vendor.token_url),
        "base_url": str(vendor.api_url),
        "client_id": account,
        "client_secret": client.secret or "",
    }


def _carecloud_enterprise(vendor: CareCloudEmulator) -> Settings:
    [(login, user)] = vendor.users.items()
    [application] = vendor.applications
    return {
        "project_url": str(vendor.url),
        "application_id": application,
        "login": login,
        "password": user.password,
        "timezone": _ZONE,
    }


def _carecloud_customer(vendor: CareCloudEmulator) -> Settings:
    [application] = vendor.device_applications
    [person] = vendor.people.values()
    return {
        "project_url": str(vendor.url),
        "application_id": application,
        "device_id": "demo",
        "device_name": "asyncauth demo",
        "device_system": "none",
        "device_type": "service",
        "customer": {"kind": "email", "value": person.email, "password": person.password},
    }


@asynccontextmanager
async def running_vendors() -> AsyncIterator[Vendors]:
    """Run all vendors. Nothing of the requests is kept but the counts."""
    # More requests are sent here than the vendor would take.
    unlimited: dict[str, Any] = {"per_second": None, "per_minute": None}
    vendors = Vendors(
        oauth2=OAuth2Emulator(access_lifetime=LIFE, record=False),
        clicrdv=ClicRDVEmulator(record=False),
        simplicite=SimpliciteEmulator(token_duration=LIFE, record=False),
        cronofy_user=CronofyEmulator(access_lifetime=LIFE, record=False, **unlimited),
        cronofy_application=CronofyEmulator(record=False, **unlimited),
        itcare=ITCareEmulator(access_lifetime=LIFE, record=False),
        # The vendor writes the end in whole seconds, rounded down: half a second more is 2 s on average.
        carecloud_enterprise=CareCloudEmulator(validity=LIFE + 0.5, project_tz=_ZONE, record=False),
        carecloud_customer=CareCloudEmulator(record=False),
    )
    async with AsyncExitStack() as stack:
        for emulator in vendors.named().values():
            _ = await stack.enter_async_context(emulator)
        yield vendors
