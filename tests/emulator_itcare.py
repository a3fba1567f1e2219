"""What the tests of ITCare's emulator say to it."""

from typing import Any

from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import ITCareEmulator
from emulator_http import Client, Got

ME = ("itcare-client", "itcare-secret")
GRANT = {"grant_type": "client_credentials"}


def server(**knobs: Any) -> ITCareEmulator:
    return ITCareEmulator(clock=ManualClock(), **knobs)


async def login(http: Client, vendor: ITCareEmulator, **more: str) -> Any:
    got = await http.form(vendor.token_url, {**GRANT, **more}, ME)
    assert got.status == 200
    return got.data


async def refresh(http: Client, vendor: ITCareEmulator, token: str, basic: tuple[str, str] = ME) -> Got:
    return await http.form(vendor.token_url, {"grant_type": "refresh_token", "refresh_token": token}, basic)


async def post(http: Client, vendor: ITCareEmulator, name: str, **fields: str) -> Got:
    return await http.form(vendor.token_url.parent / name, fields, ME)
