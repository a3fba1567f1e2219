"""For each vendor's scheme: the emulator, and what a fleet of processes does with it."""

from collections.abc import Callable
from typing import Any

import attrs

from asyncauth import AuthScheme, Token, schemes
from asyncauth.testing.emulators import (
    CareCloudEmulator,
    ClicRDVEmulator,
    CronofyEmulator,
    Emulator,
    ITCareEmulator,
    SimpliciteEmulator,
)
from fleet_of_processes import Job
from worker_program import with_customer

ITCARE_LIFE = 1200.0
SIMPLICITE_LIFE = 24 * 3600.0
CARECLOUD_LIFE = 7 * 3600.0
CLICRDV_IDLE = 3600.0
CRONOFY_LIFE = 3600.0


def no_token(vendor: Any) -> Token | None:
    """Most schemes log in by themselves."""
    del vendor
    return None


def token_calls(vendor: Emulator) -> int:
    """Most credentials are tried at the token endpoint."""
    return vendor.stats.token_calls


def nobody(vendor: Any) -> None:
    """Most tokens end by themselves."""
    del vendor


@attrs.frozen
class Case:
    """One scheme in one mode.

    Attributes:
        emulator: Makes its vendor.
        job: Says what the workers do, once the vendor runs.
        stored: Gives the authorization that is stored before.
        end: Ends the token, where time does not.
        tries: How often the credential was tried.
    """

    emulator: Callable[[], Emulator]
    job: Callable[[Any], Job]
    stored: Callable[[Any], Token | None] = no_token
    end: Callable[[Any], None] = nobody
    tries: Callable[[Any], int] = token_calls


def scheme_of(job: Job) -> AuthScheme:
    """Return the scheme that the workers of a job make."""
    scheme: AuthScheme = getattr(schemes, job.scheme)(**with_customer(job.arguments))
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


def carecloud_customer(vendor: CareCloudEmulator, **options: object) -> Job:
    """A kiosk with a customer who is logged in."""
    [application] = vendor.device_applications
    [person] = vendor.people.values()
    arguments = {
        "project_url": str(vendor.url),
        "application_id": application,
        "device_id": "kiosk-17",
        "device_name": "Kiosk",
        "device_system": "Linux",
        "device_type": "kiosk",
        "customer": {"kind": "email", "value": person.email, "password": person.password},
        **options,
    }
    # What is refused within seconds of its issue is not renewed at once (`RefreshPolicy.loop_guard`).
    return Job("CareCloudCustomer", arguments, "/customers", advance=60.0)


def customer_logins(vendor: CareCloudEmulator) -> int:
    """Return how often a customer's password was tried."""
    return sum(request.path.endswith("/actions/login") for request in vendor.requests)


def another_device_token(vendor: CareCloudEmulator) -> None:
    """Have another installation with the same device id make a token, which ends ours."""
    used = vendor.requests[-1].headers["Authorization"].removeprefix("Bearer ")
    vendor.replace_device_token(used)


def cronofy_user(vendor: CronofyEmulator, **options: object) -> Job:
    """Somebody who authorized the application."""
    arguments = {**_cronofy(vendor), "sub": vendor.sub_of("ada"), **options}
    return Job("CronofyUser", arguments, "/v1/calendars", advance=CRONOFY_LIFE)


def cronofy_application(vendor: CronofyEmulator, **options: object) -> Job:
    """The application itself."""
    return Job("CronofyApplication", {**_cronofy(vendor), **options}, "/v1/real_time_scheduling/rts_1")


def _cronofy(vendor: CronofyEmulator) -> dict[str, object]:
    [(client, secret)] = vendor.applications.items()
    return {"client_id": client, "client_secret": secret, "api_url": str(vendor.api_url)}


CASES = {
    "ClicRDV, session": Case(ClicRDVEmulator, clicrdv),
    "Simplicite": Case(lambda: SimpliciteEmulator(token_duration=SIMPLICITE_LIFE), simplicite),
    "ITCare, login": Case(lambda: ITCareEmulator(access_lifetime=ITCARE_LIFE), itcare),
    "ITCare, refresh token": Case(
        lambda: ITCareEmulator(access_lifetime=ITCARE_LIFE),
        lambda vendor: itcare(vendor, renew_with="refresh_token"),
    ),
    "CareCloud, Enterprise": Case(lambda: CareCloudEmulator(validity=CARECLOUD_LIFE), carecloud),
    "CareCloud, Customer": Case(
        CareCloudEmulator, carecloud_customer, end=another_device_token, tries=customer_logins
    ),
    "Cronofy, user": Case(
        lambda: CronofyEmulator(access_lifetime=CRONOFY_LIFE, per_second=None, per_minute=None),
        cronofy_user,
        stored=lambda vendor: vendor.authorize("ada", "read_account list_calendars"),
    ),
}
