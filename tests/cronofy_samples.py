"""The examples of Cronofy's pages, and schemes made of them."""

from typing import Any

from yarl import URL

from asyncauth._token import Token
from asyncauth.schemes import CronofyApplication, CronofyUser
from asyncauth.testing.emulators import CronofyEmulator

CLIENT = "{CLIENT_ID}"
SECRET = "{CLIENT_SECRET}"
REFRESH = "{REFRESH_TOKEN}"
SUB = "acc_567236000909002"
CALLBACK = "https://www.yoursite.com/calendar_redirect_page"

HOSTS = {
    "us": ("https://api.cronofy.com", "https://app.cronofy.com"),
    "au": ("https://api-au.cronofy.com", "https://app-au.cronofy.com"),
    "ca": ("https://api-ca.cronofy.com", "https://app-ca.cronofy.com"),
    "de": ("https://api-de.cronofy.com", "https://app-de.cronofy.com"),
    "sg": ("https://api-sg.cronofy.com", "https://app-sg.cronofy.com"),
    "uk": ("https://api-uk.cronofy.com", "https://app-uk.cronofy.com"),
}

# "Refresh an Access Token" and "Request Authorization".
REFRESHED = {
    "token_type": "bearer",
    "access_token": "P531x88i05Ld2yXHIQ7WjiEyqlmOHsgI",
    "expires_in": 3600,
    "refresh_token": "3gBYG1XamYDUEXUyybbummQWEe5YqPmf",
    "scope": "create_event delete_event",
}
PROFILE = {"provider_name": "google", "profile_id": "pro_n23kjnwrw2", "profile_name": "example@cronofy.com"}
EXCHANGED = {**REFRESHED, "account_id": SUB, "sub": SUB, "linking_profile": PROFILE}


def user(**options: Any) -> CronofyUser:
    fields = {"client_id": CLIENT, "client_secret": SECRET, "sub": SUB, **options}
    return CronofyUser(**fields)


def nobody(**options: Any) -> CronofyUser:
    """Return a scheme that begins authorizations."""
    return user(**{"sub": "", "redirect_uri": CALLBACK, "scope": "create_event delete_event", **options})


def application(**options: Any) -> CronofyApplication:
    return CronofyApplication(**{"client_id": CLIENT, "client_secret": SECRET, **options})


def held(**options: Any) -> Token:
    fields = {"access_token": "old-access", "refresh_token": REFRESH, "expires_in": 3600, "subject": SUB}
    return Token(**{**fields, "scope": "create_event delete_event", **options})


def of_vendor(vendor: CronofyEmulator, sub: str = "", **options: Any) -> CronofyUser:
    """Return a user of an emulator's first application."""
    client, secret = next(iter(vendor.applications.items()))
    fields = {"client_id": client, "client_secret": secret, "sub": sub}
    places = {"api_url": vendor.api_url, "app_url": vendor.app_url, "data_center": vendor.data_center}
    return CronofyUser(**{**fields, **places, "redirect_uri": URL(CALLBACK), **options})


def app_of_vendor(vendor: CronofyEmulator) -> CronofyApplication:
    """Return an emulator's first application itself."""
    client, secret = next(iter(vendor.applications.items()))
    return CronofyApplication(client_id=client, client_secret=secret, api_url=vendor.api_url)
