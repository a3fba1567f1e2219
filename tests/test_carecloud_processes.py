"""CareCloud's device token among real processes that start cold."""

from pathlib import Path

import pytest

from asyncauth import RefreshPolicy
from asyncauth.testing.emulators import CareCloudEmulator
from asyncauth_stores.sealed import KeyRing
from fleet_of_processes import Job, a_fleet_at_work

pytestmark = pytest.mark.processes


async def test_eight_processes_that_start_cold_make_one_device_token(tmp_path: Path) -> None:
    async with CareCloudEmulator() as vendor:
        [application] = vendor.device_applications
        arguments = {
            "project_url": str(vendor.url),
            "application_id": application,
            "device_id": "kiosk-17",
            "device_name": "Kiosk",
            "device_system": "Linux",
            "device_type": "kiosk",
        }
        job, store = Job("CareCloudCustomer", arguments, "/stores"), f"file://{tmp_path}/tokens"
        key, policy = KeyRing.generate().dump(), RefreshPolicy(store_timeout=2)
        async with a_fleet_at_work(job, vendor, store, key, policy) as fleet:
            await fleet.start(8)
            assert await fleet.request(50) == []
            await fleet.expire(365 * 86_400)
            assert await fleet.request(50) == []
        assert vendor.device_tokens_created == vendor.stats.token_calls == 1
        assert not vendor.stats.refusals
