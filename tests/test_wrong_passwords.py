"""A refused credential is tried once by the whole fleet, until it changes: for every scheme that logs in."""

import asyncio
from typing import Any

import pytest

from asyncauth import AuthScheme, AuthSession, CredentialRefusedError, TokenManager
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import Emulator
from asyncauth_stores.memory import MemoryTokenStore
from vendor_jobs import CASES, scheme_of
from worlds import Handle

WORKERS = 4
CREDENTIALS = ("password", "client_secret")


def _schemes(job: Any) -> tuple[AuthScheme, AuthScheme]:
    """Return the scheme with its credential right, and with it wrong."""
    right = job.arguments
    if "customer" in right:
        wrong = {**right, "customer": {**right["customer"], "password": "mistyped-credential"}}
    else:
        [name] = [name for name in CREDENTIALS if name in right]
        wrong = {**right, name: "mistyped-credential"}
    return scheme_of(job), scheme_of(type(job)(job.scheme, wrong, job.path))


async def _refusal(manager: TokenManager, scheme: AuthScheme) -> CredentialRefusedError:
    with pytest.raises(CredentialRefusedError) as caught:
        await manager.token(scheme)
    return caught.value


@pytest.mark.parametrize("name", CASES)
async def test_a_wrong_password_is_tried_once_by_all_workers_and_a_corrected_one_at_once(name: str) -> None:
    clock = ManualClock()
    case = CASES[name]
    vendor: Emulator
    async with case.emulator() as vendor, MemoryTokenStore(clock=clock) as place:
        job = case.job(vendor)
        right, wrong = _schemes(job)
        managers = [TokenManager(Handle(place, clock), clock=clock) for _ in range(WORKERS)]
        token = case.stored(vendor)
        if token is not None:
            await managers[0].put(right, token)
            clock.step(job.advance)
        errors: list[CredentialRefusedError] = []
        for _ in range(3):
            errors += await asyncio.gather(*(_refusal(manager, wrong) for manager in managers))
            clock.step(1)
        assert case.tries(vendor) == 1
        for error in errors:
            assert "mistyped-credential" not in f"{error!r} {error} {error.__cause__!r}"
            assert error.retry_in is None or error.retry_in > 0

        async with AuthSession(right, managers[-1]) as session, session.get(job.path) as response:
            assert response.status == 200
        assert case.tries(vendor) == 2
        for manager in managers:
            await manager.token(right)
        assert case.tries(vendor) == 2
        for manager in managers:
            await manager.worker.store.aclose()
