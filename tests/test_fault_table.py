"""PROTOCOL.md, section 9, for real: Redis, vendors on sockets, and faults between them and two workers.

What may cost what, and where each column and promise is shown, says fault_table.py; the rows are in
fault_kinds.py. Here are the columns that one process can show.
"""

import asyncio
from collections.abc import Iterator

import pytest

from asyncauth import StoreUnavailableError
from asyncauth.testing.emulators import Answer as VendorAnswer
from asyncauth.testing.emulators import Cut, Fault, Hold
from fault_world import POLICY, Answer, Cell, hold_all
from redis_servers import RedisServer, binaries, require

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RedisServer(require(next(iter(binaries()), "redis"))) as server:
        yield server.url


async def test_no_fault(url: str) -> None:
    async def play(cell: Cell) -> set[Answer]:
        got = await cell.calls(5)
        assert cell.contacts == 1
        return got

    await hold_all("no fault", play, url)


async def test_answer_lost(url: str) -> None:
    async def play(cell: Cell) -> set[Answer]:
        cell.vendor.faults.add(Cut(when="after"), on="token")
        got = await cell.calls()
        assert cell.vendor.faults.struck == 1
        assert cell.contacts == 2
        return got

    await hold_all("answer lost", play, url)


@pytest.mark.parametrize(
    "fault", [VendorAnswer(503), VendorAnswer(429), Cut()], ids=["503", "429", "cut before it acts"]
)
async def test_vendor_down_once(url: str, fault: Fault) -> None:
    async def play(cell: Cell) -> set[Answer]:
        cell.vendor.faults.add(fault, on="token")
        got = await cell.calls()
        assert cell.vendor.faults.struck == 1
        return got

    await hold_all("vendor down, once", play, url)


async def test_request_delayed(url: str) -> None:
    async def play(cell: Cell) -> set[Answer]:
        hold = Hold()
        cell.vendor.faults.add(hold, on="token")
        calling = asyncio.create_task(cell.calls())
        await hold.arrived.wait()
        issued = cell.vendor.stats.tokens_issued
        if cell.row.person:
            # Its sender has given up, and waits for such a request to be over.
            await asyncio.sleep(POLICY.request_timeout + POLICY.quiet / 2)
        else:
            # The worst moment: after the login that took its place, which ends what that gave (N1).
            await calling
            issued += 1
        hold.release()
        while cell.vendor.stats.tokens_issued == issued:
            await asyncio.sleep(0.005)
        return await calling | await cell.calls()

    await hold_all("request delayed", play, url)


@pytest.mark.parametrize("write", ["grant", "commit"])
async def test_store_answer_lost(url: str, write: str) -> None:
    async def play(cell: Cell) -> set[Answer]:
        hold = Hold()
        cell.vendor.faults.add(hold, on="token")
        if write == "grant":
            cell.mates[0].cut_next_write()
        # The first worker first: it is the one that renews.
        calling = asyncio.create_task(cell.calls())
        await hold.arrived.wait()
        if write == "commit":
            cell.mates[0].cut_next_write()
        else:
            # So long that a lease which nobody prolongs is over before its holder stores what it gets alone.
            await asyncio.sleep(POLICY.lease - POLICY.store_timeout + 0.2)
        hold.release()
        got = await calling
        assert cell.mates[0].proxy.stats.dropped == 1
        return got

    await hold_all("store answer lost", play, url)


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
async def test_store_outage(url: str, *, silent: bool) -> None:
    async def play(cell: Cell) -> set[Answer]:
        for mate in cell.mates:
            if silent:
                mate.proxy.freeze()
            else:
                await mate.proxy.refuse()
        began = asyncio.get_running_loop().time()
        got = await cell.calls()
        took = asyncio.get_running_loop().time() - began
        assert took < POLICY.store_timeout + 1
        alone = cell.row.name == "N"
        assert got == ({200} if alone else {StoreUnavailableError})
        assert cell.contacts == (len(cell.mates) if alone else 0)
        for mate in cell.mates:
            await mate.proxy.heal()
        await asyncio.sleep(4 * POLICY.store_timeout)  # so long they take it to be away, and then commit
        return got

    await hold_all("store outage", play, url, documented=[StoreUnavailableError])


async def test_caller_cancelled(url: str) -> None:
    async def play(cell: Cell) -> set[Answer]:
        hold = Hold(when="after")
        cell.vendor.faults.add(hold, on="token")
        caller = asyncio.create_task(cell.mates[0].call())
        await hold.arrived.wait()
        caller.cancel()
        await asyncio.wait({caller})
        assert caller.cancelled()
        hold.release()
        return {await cell.mates[1].call()}

    await hold_all("caller cancelled", play, url)
