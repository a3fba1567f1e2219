"""Real processes that end or stall at every moment of a renewal: PROTOCOL.md, section 9's table, for real.

`benchmarks/kills.py` is the long version of the kills at random moments, with the default durations.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import pytest

from asyncauth import RefreshPolicy
from asyncauth.testing import Moment
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from kill_fleet import HOUR, KINDS, ONE_TIME, Answer, Kind, Member, Nursery, Place, a_nursery
from kill_rounds import draw_moments, kills_at_random
from redis_servers import RedisServer, binaries, require

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for stopped processes in /proc"),
]

# Stalls outlast the lease and every time-out, but not the take-over of a one-time token.
POLICY = RefreshPolicy(
    lease=2.1,
    heartbeat=0.7,
    store_timeout=1.3,
    request_timeout=2,
    quiet=0.3,
    grace=3.8,
    quarantine=5.9,
    wait=30,
    early_share=0.001,
    early_min=0.001,
)
STALL = 2.8
_SEED = 7

# The vendor has acted, and its answer is not stored.
UNSAVED = {Moment.REQUEST_SENT, Moment.ANSWER_RECEIVED, Moment.BEFORE_COMMIT}


@pytest.fixture(scope="module")
def a_server() -> Iterator[RedisServer]:
    with RedisServer(require(next(iter(binaries()), "redis"))) as server:
        yield server


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    key = KeyRing.generate().dump()
    if request.param == "file":
        return Place(f"file://{tmp_path}/tokens", key)
    server: RedisServer = request.getfixturevalue("a_server")
    server.command("FLUSHALL")
    return Place(server.url, key)


@pytest.fixture
async def nursery() -> AsyncIterator[Nursery]:
    async with a_nursery() as opened:
        yield opened


@attrs.frozen
class Case:
    """One renewal that is cut short.

    Attributes:
        kind: What is renewed.
        moment: When.
        vendor: Its own, so that its calls can be counted.
        victim: Who renews.
    """

    kind: Kind
    moment: Moment
    vendor: OAuth2Emulator = attrs.field(repr=False)
    victim: Member = attrs.field(repr=False)


@attrs.frozen
class Cases:
    """A renewal for each moment, and two processes that use the tokens of all of them."""

    each: list[Case]
    others: list[Member]

    async def renew(self) -> list[Answer]:
        """Have each victim renew; return their answers."""
        return await asyncio.gather(*(case.victim.ask("obtain", which=0) for case in self.each))

    async def need(self) -> list[list[Answer]]:
        """Have both other processes get each token and use it; return their answers, by case."""
        count = len(self.each)
        asked = [other.ask("obtain", which=which) for other in self.others for which in range(count)]
        answers = await asyncio.gather(*asked)
        return [answers[which::count] for which in range(count)]

    def calls(self) -> list[int]:
        """Return how often each vendor was asked for a token so far."""
        return [case.vendor.stats.token_calls for case in self.each]

    async def expire(self) -> None:
        """Let an hour go by for all that live."""
        for case in self.each:
            case.vendor.clock.advance(HOUR)
        living = [*self.others, *(case.victim for case in self.each)]
        await asyncio.gather(*(one.ask("advance", seconds=HOUR) for one in living if not one.ended.is_set()))


@asynccontextmanager
async def _cases(act: str, kind: Kind, place: Place, nursery: Nursery) -> AsyncIterator[Cases]:
    """Open a case for each moment, with a token that has to be renewed, or that was never there."""
    async with AsyncExitStack() as stack:
        vendors = [await stack.enter_async_context(kind.vendor()) for _ in Moment]
        schemes = [kind.scheme(vendor) for vendor in vendors]
        for vendor in vendors:
            await kind.authorize(vendor, place, POLICY)
        others = [await nursery.start(place, schemes, POLICY) for _ in range(2)]
        each = [
            Case(kind, moment, vendor, await nursery.start(place, [scheme], POLICY, f"{act} {moment.value}"))
            for moment, vendor, scheme in zip(Moment, vendors, schemes, strict=True)
        ]
        cases = Cases(each, others)
        if kind.person:
            await cases.renew()
            await cases.need()
            await cases.expire()
        yield cases


def _statuses(answers: list[Answer]) -> set[object]:
    return {answer.get("status", answer.get("error")) for answer in answers}


async def test_a_killed_renewal_is_taken_over_and_costs_one_more_call_at_most(
    place: Place, nursery: Nursery
) -> None:
    await asyncio.gather(*(_kill_everywhere(kind, place, nursery) for kind in KINDS))


async def _kill_everywhere(kind: Kind, place: Place, nursery: Nursery) -> None:
    async with _cases("kill", kind, place, nursery) as cases:
        for case in cases.each:
            _ = case.victim.send("obtain", which=0)
        async with asyncio.timeout(30):
            for case in cases.each:
                await case.victim.ended.wait()
        first, calls = await cases.need(), cases.calls()
        await cases.expire()
        second = await cases.need()

        for number, case in enumerate(cases.each):
            unsaved = case.moment in UNSAVED
            # The one case that nobody can save: spent, without a reuse window, and its answer gone.
            lost = unsaved and kind is ONE_TIME
            expected = {"GrantRefusedError"} if lost else {200}
            assert _statuses([*first[number], *second[number]]) == expected, case
            assert calls[number] == (2 if unsaved else 1), case
            assert case.vendor.stats.families_revoked == lost, case


async def test_a_renewal_that_stalls_for_longer_than_its_lease_spends_no_token_twice(
    place: Place, nursery: Nursery
) -> None:
    await asyncio.gather(*(_stall_everywhere(kind, place, nursery) for kind in KINDS))


async def _stall_everywhere(kind: Kind, place: Place, nursery: Nursery) -> None:
    async with _cases("stop", kind, place, nursery) as cases:
        stalled = asyncio.create_task(cases.renew())
        for case in cases.each:
            await case.victim.stopped()
        needed = asyncio.create_task(cases.need())
        await asyncio.sleep(STALL)
        for case in cases.each:
            case.victim.signal(signal.SIGCONT)
        first, own = await needed, await stalled
        calls = cases.calls()
        await cases.expire()
        second, again = await cases.need(), await cases.renew()

        for number, case in enumerate(cases.each):
            assert _statuses([*first[number], own[number], *second[number], again[number]]) == {200}, case
            # For a one-time token the grace outlasts the stall: nobody else sends what may be spent.
            assert calls[number] == (2 if case.moment in UNSAVED and not kind.person else 1), case
            assert case.vendor.stats.token_calls == calls[number] + 1, case
            assert case.vendor.stats.families_revoked == 0, case


async def test_a_kill_at_any_moment_loses_no_token_that_can_be_saved(place: Place, nursery: Nursery) -> None:
    moments = iter(draw_moments(_SEED, 4 * len(KINDS)))
    cases = [(kind, next(moments)) for kind in KINDS for _ in range(4)]
    lanes = [kills_at_random(kind, place, nursery, POLICY, moments=[moment]) for kind, moment in cases]
    for (kind, _), [kill] in zip(cases, await asyncio.gather(*lanes), strict=True):
        lost = kill.stage == "spent" and kind is ONE_TIME
        assert (kill.waited is None, kill.revoked) == (lost, lost), (kind, kill)
        assert kill.calls == (2 if kill.stage == "spent" else 1), (kind, kill)
