"""What the tests of ClicRDV's emulator share: a server, its users, and how a plain client calls it."""

import hashlib
from collections.abc import Mapping
from typing import Any

from asyncauth._exchange import basic_auth
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import ClicRDVEmulator
from emulator_http import Client, Got

KEY = "production-apikey"
BASIC = basic_auth("pro@example.com", "pro-password")


def server(**knobs: Any) -> ClicRDVEmulator:
    return ClicRDVEmulator(clock=ManualClock(), **knobs)


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def fields_of(profile: str = "pro", password: str | None = None) -> dict[str, str]:
    secret = sha1(f"{profile}-password") if password is None else password
    return {f"{profile}[email]": f"{profile}@example.com", f"{profile}[password]": secret}


async def log_in(
    http: Client, vendor: ClicRDVEmulator, fields: Mapping[str, str] | None = None, *, suffix: str = ""
) -> Got:
    url = vendor.api_url / f"sessions/login{suffix}"
    return await http.form(url.with_query(apikey=KEY), fields_of() if fields is None else fields)


def sid_of(got: Got) -> str:
    return got.headers["Set-Cookie"].partition(";")[0].removeprefix("_session_id=")


async def groups(
    http: Client,
    vendor: ClicRDVEmulator,
    sid: str = "",
    *,
    apikey: str = KEY,
    path: str = "groups",
    **headers: str,
) -> Got:
    cookie = {"Cookie": f"_session_id={sid}"} if sid else {}
    query = {"apikey": apikey} if apikey else {}
    return await http.get((vendor.api_url / path).with_query(query), **cookie, **headers)
