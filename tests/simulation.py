"""A simulated fleet: real managers, workers and middlewares in one event loop without sockets or real time.

Everything that is not decided by the library is drawn from one seed: who runs next, how long messages
take, when callers ask, what goes wrong and at which message. One seed is one run, to the last step.
"""

import asyncio
import logging
from itertools import groupby
from random import Random
from typing import Any, cast
from unittest.mock import patch

from model_store import ViolationError
from sim_client import SimRequest, api_of
from sim_plan import ROUND, Plan, number_of
from sim_promises import most_contacts
from sim_troubles import Troubles
from sim_vendor import number_in

__all__ = ["Plan", "Simulation"]
_FINE = 200


class Simulation(Troubles):
    """One run."""

    def run(self) -> "Simulation":
        """Run to the end.

        Raises:
            ViolationError: A promise was broken; the message ends with the trace.
        """
        draws = Random(self.random.random())  # noqa: S311 - to be repeatable
        logger, listening = logging.getLogger("asyncauth"), _Listening(self)
        logger.addHandler(listening)
        propagated, logger.propagate = logger.propagate, False
        try:
            with patch("secrets.token_hex", lambda size: f"{draws.getrandbits(8 * size):0{2 * size}x}"):
                self._run()
        finally:
            logger.propagate = propagated
            logger.removeHandler(listening)
        return self

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self.loop.run_until_complete(self._live())
        except Exception as failure:  # noqa: BLE001 - each is reported with the trace
            error = failure
        error = error if self.violation is None else self.violation
        self._end()
        if self.loop.errors and error is None:
            error = ViolationError(f"a task failed: {self.loop.errors[0]}")
        if error is not None:
            raise ViolationError(f"{str(error) or type(error).__name__}\n{self.shown()}") from error

    def shown(self) -> str:
        """Return the trace as people read it."""
        faults = ", ".join(self.history) or "none"
        head = f"seed {self.plan.seed}, kind {self.plan.kind.name}, faults {faults}"
        alike = groupby(self.trace, lambda line: (line[1], line[2].partition(" after ")[0]))
        return "\n".join([head, *(_line(*next(lines), len(list(lines))) for _, lines in alike)])

    async def _live(self) -> None:
        for _ in range(self.plan.workers):
            await self.join()
        await self._begin()
        for _ in range(self.plan.rounds):
            if not self.over:
                await self._round()
            if self.violation is not None:
                raise self.violation

    def _end(self) -> None:
        """End all tasks, also those of killed workers: what they do now is no part of the run."""
        self.planned = {}
        self.loop.revive_all()
        self.judge.lenient = True
        trace, self.trace = self.trace, []
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        tasks.sort(key=lambda task: task.get_name())
        for task in tasks:
            _ = task.cancel()

        async def over() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.loop.shutdown_asyncgens()

        self.loop.run_until_complete(over())
        self.trace = trace

    async def _begin(self) -> None:
        """Have everybody hold the same token."""
        first = self.members[0]
        if not self.plan.kind.can_login:
            token = self.vendor.authorize()
            await self.loop.start(first.process, first.manager.put(first.scheme, token))
        for member in self.members:
            await self.loop.start(member.process, member.manager.token(member.scheme))
        self.place._past.journal.clear()

    async def _round(self) -> None:
        """Let the token end, one way or another; see how the fleet gets over it, whatever goes wrong."""
        random = self.random
        entry = next(member.entry for member in self.living() if member.entry is not None)
        assert entry.token.access_token is not None
        end = self.vendor.ends[number_in(entry.token.access_token.reveal())]
        trigger = random.choice(("early", "expiry", "expiry", "revoked"))
        margin = {"early": random.uniform(-200, 0), "expiry": random.uniform(0, 60)}.get(trigger, -300.0)
        await asyncio.sleep(max(end + margin - self.loop.time(), 0.0))
        self.faults.clear()
        self.contacts = self.events = 0
        self.log(f"a round begins: {trigger}")
        if trigger == "revoked":
            self.vendor.revoke()
        self.plan_faults()
        until = self.loop.time() + ROUND
        for member in self.living():
            self.employ(member, until)
        await asyncio.sleep(until - self.loop.time())
        self.planned = {}
        self.vendor.faults.clear()
        for member in self.members:
            member.store.faults.clear()
        await self._rest()

    async def _rest(self) -> None:
        """Judge the fleet once it has had the time to get over everything."""
        if self._is_over():
            self.over = True
            return
        for member in self.living():
            asking = member.middleware(cast("Any", SimRequest()), api_of(self.vendor))
            response = await self.loop.start(member.process, asking)
            if response.status != _FINE:
                raise ViolationError(f"{member.process} rests, and is answered {response.status}")
        await asyncio.sleep(1)
        most = most_contacts(self.plan.kind, self.faults)
        if self.contacts > most:
            raise ViolationError(f"{self.contacts} contacts with the vendor, and not {most} at most")
        if self.plan.kind.one_time or "fail-over" not in self.faults:  # what a login replaces is not put back
            self._check_copies()

    def _check_copies(self) -> None:
        stored = None if self.judge.record is None else self.judge.record.entry
        if stored is None or (self.plan.kind.one_time and number_of(stored) not in self.vendor.living()):
            raise ViolationError("the store rests without the living token")
        for member in self.living():
            if member.entry is None or member.entry.id != stored.id:
                raise ViolationError(f"{member.process} rests with another token than the store's")

    def _is_over(self) -> bool:
        """Whether nobody can have a token any more: it is lost, or the application logged out."""
        record = self.judge.record
        logged_out = record is not None and record.entry is None and not self.plan.kind.can_login
        return logged_out or self.is_hopeless()


class _Listening(logging.Handler):
    """Takes what the library logs into the trace; an error of its log is a bug."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self._simulation = simulation

    def emit(self, record: logging.LogRecord) -> None:
        self._simulation.log(f"log: {record.getMessage()}")
        if record.levelno >= logging.ERROR:
            self._simulation.fail(f"{record.getMessage()}: {record.exc_info}")


def _line(time: float, process: str, text: str, more: int) -> str:
    return f"{time:9.3f}  {process:7}  {text}" + (f"; and {more} more" if more else "")
