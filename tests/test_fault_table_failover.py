"""The column "fail-over" of PROTOCOL.md, section 9: a primary dies in renewals; a Sentinel has another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import attrs
import pytest

from asyncauth import RefreshPolicy, StoreUnavailableError
from asyncauth.testing.emulators import Hold
from fault_kinds import ROWS
from fault_table import WORST
from fault_world import Answer, Cell, a_cell, side_by_side
from redis_sentinels import SentinelSet
from redis_servers import binaries

pytestmark = [pytest.mark.servers, pytest.mark.slow]

# Lease and vendor outlast a fail-over, as those of the default policy do.
POLICY = RefreshPolicy(
    heartbeat=0.7,
    lease=6,
    store_timeout=1,
    request_timeout=12,
    quiet=0.3,
    grace=12.3,
    quarantine=18.3,
    wait=40,
    retries=1,
    early_share=0.001,
    early_min=0.001,
    loop_guard=0.001,
)


@attrs.frozen(eq=False)
class Renewal:
    """A renewal whose request is at the vendor when the primary dies."""

    cell: Cell
    hold: Hold = attrs.field(factory=Hold)
    calling: list[asyncio.Task[Answer]] = attrs.field(factory=list)

    async def begin(self) -> None:
        """Have the first worker ask the vendor."""
        self.cell.vendor.faults.add(self.hold, on="token")
        self.calling.append(asyncio.create_task(self.cell.mates[0].call()))
        await self.hold.arrived.wait()

    def join(self) -> None:
        """Have the second worker need a token, too."""
        self.calling.append(asyncio.create_task(_patiently(self.cell)))

    async def end(self, worst: int) -> None:
        """Let the vendor answer, and look at what is left."""
        self.hold.release()
        assert {*await asyncio.gather(*self.calling)} <= {200, StoreUnavailableError}
        await self.cell.agreed(worst)


async def _patiently(cell: Cell) -> Answer:
    while (got := await cell.mates[1].call()) is StoreUnavailableError:
        await asyncio.sleep(0.1)
    return got


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.mark.parametrize("shared_sentinels", [next(iter(binaries()), "redis")], indirect=True)
async def test_fail_over(sentinels: SentinelSet, stack: AsyncExitStack) -> None:
    async def renewals(names: set[str], replicas: int) -> dict[str, Renewal]:
        url = f"{sentinels.url}?replicas={replicas}"
        rows = [row for row in ROWS if row.name in names]
        cells = [await stack.enter_async_context(a_cell(row, url, POLICY)) for row in rows]
        return {f"{cell.row.name}, {replicas} replicas": Renewal(cell) for cell in cells}

    kept = await renewals({row.name for row in ROWS}, 1)
    # Without replicas asked for even the grant is lost; the quarantine alone keeps others from sending.
    # (Not RL: where a login is possible, nobody waits for who may have been forgotten.)
    forgotten = await renewals({"R", "R0", "Rg"}, 0)
    primary, replica = sentinels.primary, sentinels.replica
    await asyncio.gather(*(renewal.begin() for renewal in kept.values()))
    replica.pause()
    primary.command("CLIENT", "KILL", "TYPE", "replica")  # else what is written now waits in its socket
    await asyncio.gather(*(renewal.begin() for renewal in forgotten.values()))
    primary.kill()
    replica.resume()
    everything = {**kept, **forgotten}
    for renewal in everything.values():
        renewal.join()
    await asyncio.to_thread(sentinels.wait_for_another, primary)
    await asyncio.sleep(1)  # who is let, asks the vendor now
    await side_by_side(
        {name: renewal.end(WORST[renewal.cell.row.name, "fail-over"]) for name, renewal in everything.items()}
    )
