"""Takes turns, so that many keys of one application do not exceed its vendor's limit together."""

from math import inf
from typing import final

import attrs

from asyncauth._clock import Clock
from asyncauth.abc import Pace


@final
@attrs.define(eq=False, repr=False)
class Pacer:
    """When the next renewal of each application may be sent by this process."""

    clock: Clock
    _next_at: dict[str, float] = attrs.field(init=False, factory=dict)
    _held_until: dict[str, float] = attrs.field(init=False, factory=dict)

    async def turn(self, pace: Pace | None) -> None:
        """Wait for a turn. Cancellation leaves the turn unused."""
        while pace is not None:
            now = self.clock.monotonic()
            mine = max(now, self._next_at.get(pace.name, -inf))
            self._next_at[pace.name] = mine + 1 / pace.per_second
            if mine > now:
                await self.clock.sleep(mine - now)
            # Those who had their turns already when the vendor said that there were too many: new ones.
            if self.clock.monotonic() >= self._held_until.get(pace.name, -inf):
                return

    def hold(self, pace: Pace | None, seconds: float) -> None:
        """Let nobody have a turn for so long: the vendor said that there were too many."""
        if pace is not None:
            until = max(self.clock.monotonic() + seconds, self._held_until.get(pace.name, -inf))
            self._held_until[pace.name] = until
            self._next_at[pace.name] = max(until, self._next_at.get(pace.name, -inf))
