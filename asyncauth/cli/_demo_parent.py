"""Conducts the demo: vendors, a place for tokens, workers, traffic, a kill, and an orderly end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol, final

import attrs

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._manager import TokenManager
from asyncauth.cli._demo_fleet import Fleet, running_fleet
from asyncauth.cli._demo_interrupt import Interruption
from asyncauth.cli._demo_kill import Killer
from asyncauth.cli._demo_place import Place, own_place
from asyncauth.cli._demo_policy import POLICY
from asyncauth.cli._demo_report import Device, Report, Score
from asyncauth.cli._demo_schemes import SYSTEMS
from asyncauth.cli._demo_sessions import SessionEnder
from asyncauth.cli._demo_vendors import Vendors, running_vendors

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
        ender = SessionEnder(self.vendors.clicrdv, self.fleet, self.fleet.score)
        async with _in_background(self._kill_halfway(started), ender.run()) as (killing, _):
            await self._watch(started, lambda: killing.done() and not ender.waits)
        await self.fleet.stop(_PATIENCE)
        report = self._report()
        self.view.show(report, SYSTEM_CLOCK.monotonic() - started)
        return report

    async def _authorize(self) -> None:
        """Store the authorizations that no worker can obtain by itself."""
        settings = self.vendors.settings()
        async with self.place.open() as store, TokenManager(store, policy=POLICY) as manager:
            for name, token in self.vendors.authorizations().items():
                await manager.put(SYSTEMS[name].make(**settings[name]), token)

    def _setup(self) -> dict[str, object]:
        streams = self.options.workers * len(SYSTEMS)
        return {
            "store": self.place.url,
            "options": self.place.options,
            "systems": self.vendors.settings(),
            "period": max(streams / _REQUESTS_PER_SECOND, _FASTEST_PERIOD),
        }

    async def _kill_halfway(self, started: float) -> None:
        await asyncio.sleep(self.options.seconds / 2)
        await Killer(self.vendors, self.fleet, self.fleet.score, started).run()

    async def _watch(self, started: float, is_shown: Callable[[], bool]) -> None:
        while not self.fleet.score.problems:
            elapsed = SYSTEM_CLOCK.monotonic() - started
            over = elapsed - self.options.seconds
            if over >= _OVERTIME or (over >= 0 and is_shown()):
                return
            self.view.show(self._report(), elapsed)
            await asyncio.sleep(_LOOK)

    def _report(self) -> Report:
        customers = self.vendors.carecloud_customer
        device = Device(customers.device_tokens_created, customers.customer_logins)
        return self.fleet.score.report(self.vendors.token_calls(), self.fleet.under_way(), device)


@asynccontextmanager
async def _in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Run tasks beside the block and end them with it; raise what one of them raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        _ = await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
