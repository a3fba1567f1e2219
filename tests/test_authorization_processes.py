"""People's authorizations in a fleet of processes: renewed, replaced, forgotten and mourned while it runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from asyncauth import RefreshPolicy, TokenManager, open_store
from asyncauth.testing.emulators import CronofyEmulator
from asyncauth_stores.sealed import KeyRing
from fleet_of_processes import Job, ProcessFleet, a_fleet_at_work
from vendor_jobs import CASES, scheme_of

pytestmark = pytest.mark.processes

POLICY = RefreshPolicy(store_timeout=2, early_share=0.001, early_min=0.001, quiet=0.2)
SCOPE = "read_account list_calendars"


@attrs.frozen
class Service:
    """Four processes that work for one person, and the process that authorizes.

    Attributes:
        vendor: Where the person's authorization is from.
        job: What the processes do.
        fleet: The processes.
        manager: Of this process.
    """

    vendor: CronofyEmulator
    job: Job
    fleet: ProcessFleet
    manager: TokenManager

    async def authorize(self) -> None:
        """Have the person authorize, once more if need be."""
        await self.manager.put(scheme_of(self.job), self.vendor.authorize("ada", SCOPE))

    def tokens_used(self, last: int) -> set[str]:
        """Return the tokens of the last requests."""
        return {request.headers["Authorization"] for request in list(self.vendor.requests)[-last:]}

    async def events(self, name: str) -> int:
        """Return how often all processes together were told of something."""
        told = [facts["events"] for facts in await self.fleet.all("facts")]
        return sum(event == name for events in told for event, _ in events)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    store, key = f"file://{tmp_path}/tokens", KeyRing.generate().dump()
    case = CASES["Cronofy, user"]
    async with case.emulator() as vendor, open_store(store, key=key) as opened:
        assert isinstance(vendor, CronofyEmulator)
        job = case.job(vendor)
        async with a_fleet_at_work(job, vendor, store, key, POLICY) as fleet:
            made = Service(vendor, job, fleet, TokenManager(opened, policy=POLICY))
            await made.authorize()
            await fleet.start(4)
            assert await fleet.request(1) == []
            yield made


async def test_all_processes_take_a_new_authorization_while_they_run(service: Service) -> None:
    [old] = service.tokens_used(4)
    await service.authorize()
    async with asyncio.timeout(5):
        while await service.events("TokenAdopted") < 8:  # the first one, and the new one
            await asyncio.sleep(0.01)
    assert await service.fleet.request(5) == []

    [new] = service.tokens_used(20)
    assert new != old
    assert service.vendor.stats.token_calls == 0


async def test_all_processes_drop_what_is_forgotten(service: Service) -> None:
    await service.manager.forget(scheme_of(service.job))
    async with asyncio.timeout(5):
        while await service.events("TokenForgotten") < 4:
            await asyncio.sleep(0.01)
    failures = await service.fleet.request(5)

    assert [sum(each.values()) for each in failures] == [5] * 4
    assert all(name.startswith("LoggedOutError") for each in failures for name in each)
    assert service.vendor.stats.api_calls == 4

    await service.authorize()
    assert await service.fleet.request(5) == []


async def test_the_application_is_told_once_that_the_person_has_to_authorize_again(service: Service) -> None:
    service.vendor.revoke(str(service.job.arguments["sub"]))
    await service.fleet.expire(service.job.advance)
    for _ in range(3):
        failures = await service.fleet.request(5)
        assert [sum(each.values()) for each in failures] == [5] * 4
        names = [name for each in failures for name in each]
        assert all(name.startswith("GrantRefusedError") and "authorize" in name for name in names)

    assert await service.events("AuthorizationNeeded") == 1
    assert service.vendor.stats.token_calls <= 2  # a refusal may be a mistake once

    await service.authorize()
    assert await service.fleet.request(5) == []
