"""SIGKILL of one worker in the middle of a renewal, outside the one moment that nobody can save."""

import asyncio
import signal
from typing import Final, final

import attrs

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth.cli._demo_fleet import Fleet, Member
from asyncauth.cli._demo_policy import YOUNG
from asyncauth.cli._demo_report import Kill, Score
from asyncauth.cli._demo_schemes import ONE_TIME
from asyncauth.cli._demo_vendors import Vendors
from asyncauth.testing.emulators import Hold

VICTIM: Final = "itcare"
"""The system whose renewal is cut short: a login can be repeated."""

_LONGEST_HOLD = 1.5
_SETTLING = 0.1
_LOOK = 0.01


@final
@attrs.define(eq=False)
class Killer:
    """Waits for the moment, and kills.

    Attributes:
        vendors: To hold an answer back.
        fleet: To find out who waits for it.
        score: Where the kill is noted.
        started: When the traffic began, on the local clock.
    """

    vendors: Vendors
    fleet: Fleet
    score: Score
    started: float

    async def run(self) -> None:
        """Kill one worker at the next renewal that allows it, and see who renews instead."""
        member = None
        while member is None:
            member = await self._try()
        killed_at = SYSTEM_CLOCK.monotonic()
        kill = Kill(worker=member.number, system=VICTIM, at=killed_at - self.started)
        self.score.kill = kill
        await self.fleet.more_entries(VICTIM, len(self.score.tallies[VICTIM].entries))
        after = SYSTEM_CLOCK.monotonic() - killed_at
        self.score.kill = attrs.evolve(kill, heir=self.fleet.last_renewer[VICTIM], after=after)

    async def _try(self) -> Member | None:
        """Hold the next answer back; kill who waits for it, or let it go."""
        hold = Hold(when="after")
        self.vendors.itcare.faults.add(hold, on="token")
        try:
            _ = await hold.arrived.wait()
            member = await self._calm_renewer()
            if member is not None and await self._kill(member):
                hold.drop()
                return member
        finally:
            hold.release()
        return None

    async def _calm_renewer(self) -> Member | None:
        """Return who waits for the held answer, once it does nothing else that must not be cut short."""
        until = SYSTEM_CLOCK.monotonic() + _LONGEST_HOLD
        while SYSTEM_CLOCK.monotonic() < until:
            for member in self.fleet.members:
                if self.is_calm(member, _SETTLING):
                    return member
            await asyncio.sleep(_LOOK)
        return None

    def is_calm(self, member: Member, seconds: float = 0.0) -> bool:
        """Tell whether a kill would cut short the held renewal only, also some seconds from now.

        While the one-time tokens are young, nobody can be about to spend their refresh tokens.
        """
        only_victim = +member.under_way == {VICTIM: 1} and not member.expected_end
        return only_victim and all(self.fleet.age(system) + seconds < YOUNG for system in ONE_TIME)

    async def _kill(self, member: Member) -> bool:
        """Stop it, hear all that it said before, and kill it if that still may be."""
        member.signal(signal.SIGSTOP)
        await asyncio.sleep(_SETTLING)
        if not self.is_calm(member):
            member.signal(signal.SIGCONT)
            return False
        await member.kill()
        return True
