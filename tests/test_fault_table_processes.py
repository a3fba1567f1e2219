"""Two columns of PROTOCOL.md, section 9, with real processes: killed, and stopped, in a renewal.

Which other moments there are, and the file store, is seen to by test_kills.py for three of the kinds.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import pytest

import kill_fleet
from asyncauth import RefreshPolicy
from asyncauth.testing import Moment
from fault_kinds import HOUR, ROWS, Row, Vendor
from fault_table import LOST, WORST
from fault_world import KEY
from kill_fleet import Answer, Member, Nursery, Place, a_nursery
from redis_servers import RedisServer, binaries, require

pytestmark = [
    pytest.mark.processes,
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for stopped processes in /proc"),
]

# Stalls outlast the lease, and what whoever comes anew leaves to its holder (a heartbeat and two time-outs of
# the store); and neither the take-over of a one-time token nor the vendor's time-out.
POLICY = RefreshPolicy(
    lease=1.8,
    heartbeat=0.6,
    store_timeout=0.9,
    request_timeout=3.5,
    quiet=0.3,
    grace=3.8,
    quarantine=5.6,
    wait=30,
    retries=1,
    early_share=0.001,
    early_min=0.001,
    loop_guard=0.001,
)
STALL = 2.8


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with RedisServer(require(next(iter(binaries()), "redis"))) as server:
        yield Place(server.url, KEY)


@pytest.fixture
async def nursery(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nursery]:
    monkeypatch.setattr(kill_fleet, "_PROGRAM", Path(__file__).with_name("fault_worker.py"))
    async with a_nursery() as opened:
        yield opened


@attrs.frozen
class Case:
    """One renewal that is cut short, of a token that two other processes use as well."""

    row: Row
    moment: Moment
    vendor: Vendor = attrs.field(repr=False)
    victim: Member = attrs.field(repr=False)


@attrs.frozen
class Cases:
    """All renewals, and the processes that use the tokens of all of them."""

    each: list[Case]
    others: list[Member]

    async def need(self, *members: Member) -> list[set[object]]:
        """Have processes get each token and use it; return what they got, by case."""
        asked = [member.ask("obtain", which=which) for member in members for which in range(len(self.each))]
        answers = await asyncio.gather(*asked)
        return [_got(answers[which :: len(self.each)]) for which in range(len(self.each))]

    async def expire(self) -> None:
        """Let an hour go by for all that live."""
        for case in self.each:
            case.vendor.clock.advance(HOUR)
        living = [*self.others, *(case.victim for case in self.each)]
        await asyncio.gather(*(one.ask("advance", seconds=HOUR) for one in living if not one.ended.is_set()))

    def asked(self) -> list[int]:
        """Return how often each vendor was asked for a token so far."""
        return [case.vendor.stats.token_calls for case in self.each]


def _got(answers: Sequence[Answer]) -> set[object]:
    return {answer.get("status", answer.get("error")) for answer in answers}


@asynccontextmanager
async def _cases(act: str, moments: Sequence[Moment], place: Place, nursery: Nursery) -> AsyncIterator[Cases]:
    """Open the cells of a column, each at several moments; every token has just expired everywhere."""
    async with AsyncExitStack() as stack:
        kinds = [(row, moment) for row in ROWS for moment in moments]
        vendors = [row.vendor() for row, _ in kinds]
        described = []
        for (row, _), vendor in zip(kinds, vendors, strict=True):
            await stack.enter_async_context(vendor)
            await row.authorize(vendor, place, POLICY)
            described.append({"kind": row.scheme_name, "arguments": row.arguments(vendor)})
        others = [await nursery.start(place, described, POLICY) for _ in range(2)]
        victims = [
            await nursery.start(place, [scheme], POLICY, f"{act} {moment.value}")
            for (_, moment), scheme in zip(kinds, described, strict=True)
        ]
        each = [
            Case(row, moment, vendor, victim)
            for (row, moment), vendor, victim in zip(kinds, vendors, victims, strict=True)
        ]
        cases = Cases(each, others)
        # The others first: who only adopts passes no moment of a renewal.
        assert await cases.need(*others) == [{200}] * len(each)
        await asyncio.gather(*(victim.ask("obtain", which=0) for victim in victims))
        await asyncio.sleep(0.2)  # until none of them looks at the store any more
        await cases.expire()
        yield cases


async def test_crash(place: Place, nursery: Nursery) -> None:
    moments = (Moment.REQUEST_SENT, Moment.BEFORE_COMMIT)
    async with _cases("kill", moments, place, nursery) as cases:
        before = cases.asked()
        dying = [case.victim.send("obtain", which=0) for case in cases.each]
        async with asyncio.timeout(30):
            for case in cases.each:
                await case.victim.ended.wait()
        assert all(answer.cancelled() for answer in dying)
        got, asked = await cases.need(*cases.others), cases.asked()
        await cases.expire()
        late = await _late(cases, place, nursery)

        for number, case in enumerate(cases.each):
            is_lost = (case.row.name, "crash") in LOST
            expected = {"GrantRefusedError"} if is_lost else {200}
            assert got[number] == expected, case
            # By the store's clock, which no test moves, the old token has life left: who is new may try it.
            assert late[number] - ({401} if is_lost else set()) == expected, case
            assert asked[number] - before[number] == 2 <= WORST[case.row.name, "crash"], case
            # An expiry after that costs one contact, and a token that is lost none.
            assert case.vendor.stats.token_calls - asked[number] == (not is_lost), case
            assert case.vendor.stats.families_revoked == (is_lost and case.row.name == "R"), case


async def test_stall(place: Place, nursery: Nursery) -> None:
    moments = (Moment.LEASE_GRANTED, Moment.REQUEST_SENT, Moment.BEFORE_COMMIT)
    async with _cases("stop", moments, place, nursery) as cases:
        before = cases.asked()
        stalled = asyncio.gather(*(case.victim.ask("obtain", which=0) for case in cases.each))
        for case in cases.each:
            await case.victim.stopped()
        needed = asyncio.create_task(cases.need(*cases.others))
        await asyncio.sleep(STALL)
        for case in cases.each:
            case.victim.signal(signal.SIGCONT)
        got, own = await needed, await stalled
        # Who slept in a store operation takes the store to be away for a while, and then commits again.
        await asyncio.sleep(POLICY.store_timeout + POLICY.heartbeat)
        again = await asyncio.gather(*(case.victim.ask("obtain", which=0) for case in cases.each))
        asked = cases.asked()
        await cases.expire()
        late = await _late(cases, place, nursery)

        for number, case in enumerate(cases.each):
            # Whose store operation ran out of time in its sleep is told so.
            assert _got([own[number]]) <= {200, "StoreUnavailableError"}, case
            assert got[number] == _got([again[number]]) == late[number] == {200}, case
            assert asked[number] - before[number] <= WORST[case.row.name, "stall"], case
            assert case.vendor.stats.token_calls - asked[number] == 1, case
            assert case.vendor.stats.families_revoked == 0, case


async def _late(cases: Cases, place: Place, nursery: Nursery) -> list[set[object]]:
    """Have all that live, and a process that only starts now, use each token after one more expiry."""
    schemes = [
        {"kind": case.row.scheme_name, "arguments": case.row.arguments(case.vendor)} for case in cases.each
    ]
    got = await cases.need(*cases.others)
    fresh = await cases.need(await nursery.start(place, schemes, POLICY))
    return [old | new for old, new in zip(got, fresh, strict=True)]
