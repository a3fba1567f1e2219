"""For each vendor's scheme: the emulator, and what a fleet of processes does with it."""

from collections.abc import Callable
from typing import Any

import attrs

from asyncauth import AuthScheme, schemes
from asyncauth.testing.emulators import (
    CareCloudEmulator,
    ClicRDVEmulator,
    Emulator,
    ITCareEmulator,
    SimpliciteEmulator,
)
from fleet_of_processes import Job

ITCARE_LIFE = 1200.0
SIMPLICITE_LIFE = 24 * 3600.0
CARECLOUD_LIFE = 7 * 3600.0
CLICRDV_IDLE = 3600.0


@attrs.frozen
class Case:
    """One scheme in one mode.

    Attributes:
        emulator: Makes its vendor.
        job: Says what the workers do, once the vendor runs.
    """

    emulator: Callable[[], Emulator]
    job: Callable[[Any], Job]


def scheme_of(job: Job) -> AuthScheme:
    """Return the scheme that the workers of a job make."""
    scheme: AuthScheme = getattr(schemes, job.scheme)(**job.arguments)
    return scheme


def clicrdv(vendor: ClicRDVEmulator, **options: object) -> Job:
    """A user of the Calendar API with a shared session."""
    arguments = {
        "apikey": "production-apikey",
        "email": "pro@example.com",
        "password": "pro-password",
        "auth": "session",
        "base_url": str(vendor.url),
        **options,
    }
    return Job("ClicRDV", arguments, "/api/v1/groups.json", advance=CLICRDV_IDLE)


def simplicite(vendor: SimpliciteEmulator, **options: object) -> Job:
    """A technical user."""
    [(login, password)] = vendor.users.items()
    arguments = {"base_url": str(vendor.api_url), "login": login, "password": password, **options}
    return Job("Simplicite", arguments, "/rest/Customer", advance=SIMPLICITE_LIFE)


def itcare(vendor: ITCareEmulator, **options: object) -> Job:
    """An API account."""
    [(account, client)] = vendor.clients.items()
    arguments = {
        "client_id": account,
        "client_secret": client.secret,
        "token_url": str(vendor.token_url),
        "base_url": str(vendor.api_url),
        **options,
    }
    return Job("ITCare", arguments, "/compute/resources", advance=ITCARE_LIFE)


def carecloud(vendor: CareCloudEmulator, **options: object) -> Job:
    """An API user of the Enterprise interface."""
    [(login, user)] = vendor.users.items()
    [application] = vendor.applications
    arguments = {
        "project_url": str(vendor.url),
        "application_id": application,
        "login": login,
        "password": user.password,
        "timezone": "Europe/Prague",
        **options,
    }
    return Job("CareCloudEnterprise", arguments, "/customers", advance=CARECLOUD_LIFE)


CASES = {
    "ClicRDV, session": Case(ClicRDVEmulator, clicrdv),
    "Simplicite": Case(lambda: SimpliciteEmulator(token_duration=SIMPLICITE_LIFE), simplicite),
    "ITCare, login": Case(lambda: ITCareEmulator(access_lifetime=ITCARE_LIFE), itcare),
    "ITCare, refresh token": Case(
        lambda: ITCareEmulator(access_lifetime=ITCARE_LIFE),
        lambda vendor: itcare(vendor, renew_with="refresh_token"),
    ),
    "CareCloud, Enterprise": Case(lambda: CareCloudEmulator(validity=CARECLOUD_LIFE), carecloud),
}
