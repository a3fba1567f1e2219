"""What the tests of Cronofy's emulator say to it."""

from typing import Any

from asyncauth._token import Token
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import CronofyEmulator
from emulator_http import Client, Got

WHO = {"client_id": "cronofy-app", "client_secret": "cronofy-secret"}


def server(**knobs: Any) -> CronofyEmulator:
    return CronofyEmulator(clock=ManualClock(), **knobs)


async def post(http: Client, vendor: CronofyEmulator, path: str, **fields: str) -> Got:
    return await http.call("POST", vendor.api_url / path, json={**WHO, **fields})


async def refresh(http: Client, vendor: CronofyEmulator, token: str) -> Got:
    return await post(http, vendor, "oauth/token", grant_type="refresh_token", refresh_token=token)


def texts(token: Token) -> tuple[str, str]:
    assert token.access_token is not None
    assert token.refresh_token is not None
    return token.access_token.reveal(), token.refresh_token.reveal()
