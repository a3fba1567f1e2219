"""Cronofy's one-time refresh tokens among real processes: each is spent once."""

from pathlib import Path
from typing import Literal

import pytest

from asyncauth import RefreshPolicy, TokenManager, open_store
from asyncauth.testing.emulators import CronofyEmulator
from asyncauth_stores.sealed import KeyRing
from cronofy_samples import of_vendor
from cronofy_world import EVERYTHING
from fleet_of_processes import Job, a_fleet_at_work

pytestmark = pytest.mark.processes

# Nothing is renewed before its end, so that expiries can be counted.
PATIENT = RefreshPolicy(store_timeout=2, early_share=0.001, early_min=0.001)


@pytest.mark.parametrize("rotate", ["always", "sometimes"])
async def test_four_processes_renew_once_per_expiry_and_no_request_fails(
    tmp_path: Path, rotate: Literal["always", "sometimes"]
) -> None:
    store, key = f"file://{tmp_path}/tokens", KeyRing.generate().dump()
    async with CronofyEmulator(
        rotate=rotate, old_access="killed", per_second=None, per_minute=None
    ) as vendor:
        issued = vendor.authorize("ada", EVERYTHING)
        user = of_vendor(vendor, str(issued.subject))
        async with open_store(store, key=key) as place:
            await TokenManager(place).put(user, issued)
        arguments = {
            "client_id": user.client_id,
            "client_secret": user.client_secret.reveal(),
            "sub": user.sub,
            "api_url": str(vendor.api_url),
        }
        job = Job("CronofyUser", arguments, "/v1/calendars")
        async with a_fleet_at_work(job, vendor, store, key, PATIENT) as fleet:
            await fleet.start(4)
            assert await fleet.request(20) == []
            for expiry in (1, 2, 3):
                await fleet.expire()
                assert await fleet.request(20) == []
                assert vendor.stats.token_calls == expiry
        assert (vendor.stats.reuses_detected, vendor.authorizations_alive) == (0, 1)
        assert not vendor.stats.refusals
