"""A vendor that ends its sessions without a word, again and again."""

import asyncio
from typing import final

import attrs

from asyncauth.cli._demo_fleet import Fleet
from asyncauth.cli._demo_policy import LIFE
from asyncauth.cli._demo_report import Score
from asyncauth.cli._demo_schemes import SESSIONS
from asyncauth.testing.emulators import ClicRDVEmulator


@final
@attrs.define(eq=False)
class SessionEnder:
    """Ends the living session, and sees the fleet store another one.

    Attributes:
        vendor: Whose session.
        fleet: To hear of the next one.
        score: Where it is counted.
        waits: Whether a session was ended that has no successor yet.
    """

    vendor: ClicRDVEmulator
    fleet: Fleet
    score: Score
    waits: bool = False

    async def run(self) -> None:
        """Go on until cancelled."""
        tally = self.score.tallies[SESSIONS]
        while True:
            await asyncio.sleep(LIFE)
            if tally.entries:
                self.waits = True
                before = len(tally.entries)
                # An hour for the vendor: its session was not used for that long.
                self.vendor.clock.advance(self.vendor.idle_timeout)
                await self.fleet.more_entries(SESSIONS, before)
                tally.ended += 1
                self.waits = False
