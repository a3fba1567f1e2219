"""kill -9 of whoever renews, at seeded random moments, with others that wait for the token."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Literal, final

import attrs

from asyncauth import RefreshPolicy
from asyncauth.testing.emulators import OAuth2Emulator
from kill_fleet import HOUR, Answer, Kind, Member, Nursery, Place

_OTHERS = 2
_WARM_UPS = 3
_NEWS = 10.0
"""Seconds in which everybody hears of a new authorization."""
Stage = Literal["not begun", "begun", "spent", "stored"]


@final
@attrs.frozen(kw_only=True)
class Kill:
    """What came of one kill.

    Attributes:
        stage: How far the renewal was: before it told that it had the lease, and before the vendor had
            its request; the vendor had acted and its answer was not stored; all was over.
        waited: Seconds from the kill until all others had a token, which includes the vendor's time;
            none if there was none to have.
        calls: Contacts with the vendor for this expiry.
        revoked: Authorizations that the vendor ended.
    """

    stage: Stage
    waited: float | None
    calls: int
    revoked: int


@final
@attrs.define(eq=False)
class Lane:
    """One vendor and its token, two processes that stay, and one after the other that is killed.

    Attributes:
        ahead: Seconds by which all clocks were moved on.
    """

    kind: Kind
    place: Place
    nursery: Nursery
    policy: RefreshPolicy
    vendor: OAuth2Emulator
    others: Sequence[Member]
    ahead: float = 0.0

    async def renewal(self) -> float:
        """Return how long the first renewal of a new process takes undisturbed, at least, in seconds."""
        taken = list[float]()
        for _ in range(_WARM_UPS):
            worker = await self._start()
            began = time.time()
            taken.append((await worker.ask("obtain", which=0))["had_at"] - began)
            await self._need()
            worker.signal(signal.SIGKILL)
        return min(taken)

    async def kill(self, after: float) -> Kill:
        """Kill a new process so many seconds after it was asked for a token that has expired."""
        victim = await self._start()
        for other in self.others:
            other.told.clear()
        calls, revoked = self.vendor.stats.token_calls, self.vendor.stats.families_revoked
        kill_at = time.time() + after
        _ = victim.send("obtain", which=0)
        # The others ask as soon as it has the lease, so that it is the one who renews.
        with suppress(TimeoutError):
            async with asyncio.timeout(after):
                await victim.event("RenewalStarted").wait()
        needed = asyncio.create_task(self._need())
        await asyncio.sleep(kill_at - time.time())
        victim.signal(signal.SIGKILL)
        killed_at = time.time()
        answers = await needed
        await victim.ended.wait()
        lost = [answer for answer in answers if answer.get("status") != 200]
        assert {answer["error"] for answer in lost} <= {"GrantRefusedError"}, lost
        made = self.vendor.stats.token_calls - calls
        kill = Kill(
            stage=self._stage(victim, made),
            waited=None if lost else max(max(a["had_at"] for a in answers) - killed_at, 0),
            calls=made,
            revoked=self.vendor.stats.families_revoked - revoked,
        )
        if lost:
            await self.begin()
        return kill

    async def begin(self) -> None:
        """Have a person authorize, if it takes one, and all have the token."""
        await self.kind.authorize(self.vendor, self.place, self.policy)
        async with asyncio.timeout(_NEWS):
            while {answer.get("status") for answer in await self._need()} != {200}:
                await asyncio.sleep(0.02)

    def _stage(self, victim: Member, calls: int) -> Stage:
        if calls > 1:
            return "spent"
        if not any(other.event("TokenRenewed").is_set() for other in self.others):
            return "stored"
        return "begun" if victim.event("RenewalStarted").is_set() else "not begun"

    async def _need(self) -> list[Answer]:
        return await asyncio.gather(*(other.ask("obtain", which=0) for other in self.others))

    async def _start(self) -> Member:
        """Start one more process, with a token that has just expired for all."""
        worker = await self.nursery.start(self.place, [self.kind.scheme(self.vendor)], self.policy)
        await worker.ask("advance", seconds=self.ahead)
        await worker.ask("obtain", which=0)
        self.ahead += HOUR
        self.vendor.clock.advance(HOUR)
        await asyncio.gather(*(one.ask("advance", seconds=HOUR) for one in (worker, *self.others)))
        return worker


@asynccontextmanager
async def _a_lane(kind: Kind, place: Place, nursery: Nursery, policy: RefreshPolicy) -> AsyncIterator[Lane]:
    async with kind.vendor() as vendor:
        scheme = kind.scheme(vendor)
        others = [await nursery.start(place, [scheme], policy) for _ in range(_OTHERS)]
        lane = Lane(kind, place, nursery, policy, vendor, others)
        await lane.begin()
        yield lane


async def kills_at_random(
    kind: Kind, place: Place, nursery: Nursery, policy: RefreshPolicy, *, moments: Sequence[float]
) -> list[Kill]:
    """Kill a renewing process once for each moment, given as a share of what a renewal takes."""
    async with _a_lane(kind, place, nursery, policy) as lane:
        renewal = await lane.renewal()
        return [await lane.kill(moment * renewal) for moment in moments]


def draw_moments(seed: int, count: int) -> list[float]:
    """Draw moments of a renewal."""
    random = Random(seed)  # noqa: S311 - to be repeatable, not secret
    return [random.random() for _ in range(count)]
