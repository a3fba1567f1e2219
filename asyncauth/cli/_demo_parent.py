"""Conducts the demo: vendors, a place for tokens, workers, traffic, a kill, and an orderly end."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final, Protocol, final

import attrs

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._manager import TokenManager
from asyncauth.cli._demo_fleet import Fleet, running_fleet
from asyncauth.cli._demo_interrupt import Interruption
from asyncauth.cli._demo_kill import Killer
from asyncauth.cli._demo_place import Place, own_place
from asyncauth.cli._demo_policy import POLICY
from asyncauth.cli._demo_report import Report, Score
from asyncauth.cli._demo_schemes import TITLES, rotating
from asyncauth.cli._demo_vendors import SUBJECT, Vendors, running_vendors

_LOOK = 0.1
# Somebody may have to wait out the killed worker's lease, and the next chance for a kill.
_OVERTIME = 10.0
_PATIENCE = POLICY.wait + 2 * POLICY.request_timeout
# All workers together, so that two cores have time left.
_REQUESTS_PER_SECOND: Final = 480
_FASTEST_PERIOD: Final = 1 / 40


@final
@attrs.frozen
class Options:
    """What the user asked for.

    Attributes:
        store: A store's URL; none for files in a temporary folder.
        workers: How many processes.
        seconds: How long they send requests.
    """

    store: str | None
    workers: int
    seconds: float


class View(Protocol):
    """Shows how the demo goes."""

    def begin(self, options: Options, store: str) -> None:
        """Show that workers are being started."""

    def show(self, report: Report, elapsed: float) -> None:
        """Show the figures so far; called often."""


async def conduct(options: Options, view: View) -> tuple[Report, str]:
    """Run the demo, and clean up after it whatever happens.

    Returns:
        The report, and what the store was, without a secret.

    Raises:
        CancelledError: There was a Ctrl-C or a SIGTERM.
        AuthError: The store cannot be used.
    """
    interruption = Interruption()
    interruption.listen()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(own_place(options.store))
        vendors = await stack.enter_async_context(running_vendors())
        fleet = await stack.enter_async_context(running_fleet(Score()))
        with interruption.allowed():
            view.begin(options, place.shown)
            report = await _Run(options, view, place, vendors, fleet).run()
    interruption.check()
    return report, place.shown


@final
@attrs.frozen
class _Run:
    options: Options
    view: View
    place: Place
    vendors: Vendors
    fleet: Fleet

    async def run(self) -> Report:
        await self._authorize()
        await self.fleet.start(self.options.workers, self._setup())
        self.fleet.go()
        started = SYSTEM_CLOCK.monotonic()
        killing = asyncio.create_task(self._kill_halfway(started))
        try:
            await self._watch(started, killing)
        finally:
            killing.cancel()
            _ = await asyncio.wait({killing})
        if not killing.cancelled():
            killing.result()
        await self.fleet.stop(_PATIENCE)
        report = self._report()
        self.view.show(report, SYSTEM_CLOCK.monotonic() - started)
        return report

    async def _authorize(self) -> None:
        """Store the one authorization that no worker can obtain by itself."""
        scheme = rotating(self.vendors.settings()["oauth2"])
        first = self.vendors.oauth2.authorize(SUBJECT)
        async with self.place.open() as store, TokenManager(store, policy=POLICY) as manager:
            await manager.put(scheme, first)
        self.fleet.score.tallies["oauth2"].put = 1

    def _setup(self) -> dict[str, object]:
        streams = self.options.workers * len(TITLES)
        return {
            "store": self.place.url,
            "options": self.place.options,
            "systems": self.vendors.settings(),
            "period": max(streams / _REQUESTS_PER_SECOND, _FASTEST_PERIOD),
        }

    async def _kill_halfway(self, started: float) -> None:
        await asyncio.sleep(self.options.seconds / 2)
        await Killer(self.vendors, self.fleet, self.fleet.score, started).run()

    async def _watch(self, started: float, killing: "asyncio.Task[None]") -> None:
        while not self.fleet.score.problems:
            elapsed = SYSTEM_CLOCK.monotonic() - started
            over = elapsed - self.options.seconds
            if over >= _OVERTIME or (over >= 0 and killing.done()):
                return
            self.view.show(self._report(), elapsed)
            await asyncio.sleep(_LOOK)

    def _report(self) -> Report:
        return self.fleet.score.report(self.vendors.token_calls(), self.fleet.under_way())
