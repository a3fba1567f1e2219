"""What goes wrong in a simulated run, when, and to whom."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, cast

from asyncauth.testing import (
    StoreAnswerLost,
    StoreChangeMissed,
    StoreDelay,
    StoreFreeze,
    StoreRefusal,
    StoreReplicaMissing,
)
from sim_plan import OF_THE_VENDOR, POLICY, STILL_PROCESSED, Member, number_of
from sim_world import World


class Troubles(World):
    """A world in which things go wrong as planned."""

    def at_store(self, process: str, what: str) -> None:
        if self.planned:
            self._event(process, what)

    def at_vendor(self, what: str) -> None:
        self.log(f"the vendor {what if what.startswith('answers') else 'receives ' + what}")
        senders = [m.process for m in self.living() if m.sends()]
        if self.planned:
            self._event(senders[0] if senders else "", what)

    def plan_faults(self) -> None:
        """Draw what goes wrong, and at which message."""
        self.planned = {}
        for _ in range(self.random.randint(self.plan.least, self.plan.faults)):
            fault = self.random.choice(self.plan.choices())
            if fault in OF_THE_VENDOR or fault == "mistaken":
                self.note(fault)
                self.vendor.faults.append((fault, self._length(fault)))
            else:
                at = int(40 * self.random.random() ** 2)
                self.planned.setdefault(at, deque()).append(fault)
        if len(self.vendor.faults) == 1 and self.random.random() < 0.2:
            self.vendor.faults.appendleft(("", 0.0))

    def _length(self, fault: str) -> float:
        longest = POLICY.request_timeout + STILL_PROCESSED - 1 if fault == "delayed" else 9.0
        return self.random.uniform(0.5, longest)

    def _event(self, process: str, what: str) -> None:
        self.events += 1
        planned = self.planned.pop(self.events, None)
        for fault in planned or ():
            member = next((m for m in self.living() if m.process == process), None)
            if member is None:
                member = self.random.choice(self.living())
            self.note(fault)
            self.log(f"--- {fault} at {member.process}, {what}")
            getattr(self, "_do_" + fault.replace(" ", "_").replace("-", "_"))(member)

    def _do_crash(self, member: Member) -> None:
        if len(self.living()) == 1:
            self._start_one(member)
        self.crashed[member.process] = self.loop.time()
        self.loop.kill_process(member.process)
        if self.random.random() < 0.5:
            self._start_one(member)

    def _do_start(self, member: Member) -> None:
        self._start_one(member)

    def _start_one(self, member: Member) -> None:
        until = self.loop.time() + 120

        async def begin() -> None:
            await asyncio.sleep(self.random.random() * 5)
            self.employ(await self.join(), until)

        _ = self.loop.start("fate", begin())

    def _do_stall(self, member: Member) -> None:
        stored = None if self.judge.record is None else self.judge.record.entry
        unsaved = member.client.received & self.vendor.living() - {number_of(stored) if stored else 0}
        # Longer than `grace` is not promised for who holds what nobody else has.
        longest = 15.0 if unsaved or member.client.owed else 60.0
        seconds = self.random.uniform(longest / 4, longest)
        self.log(f"{member.process} stands still for {seconds:.1f} s")
        self.loop.stop_process(member.process, seconds)

    def _do_cancel(self, member: Member) -> None:
        for task in list(member.asking)[: self.random.randint(1, 3)]:
            _ = task.cancel()

    def _do_store_answer_lost(self, member: Member) -> None:
        operation = self.random.choice(("read", "write", "write"))
        hangs = self.random.random() < 0.3
        member.store.faults.add(StoreAnswerLost(hangs=hangs), on=cast("Any", operation))

    def _do_missed(self, member: Member) -> None:
        delay = StoreDelay(self.random.uniform(0.1, 2), when="after")
        fault = StoreChangeMissed() if self.plan.kind.one_time else delay
        member.store.faults.add(fault, on="changed")

    def _do_unreplicated(self, member: Member) -> None:
        member.store.faults.add(StoreReplicaMissing(), on="write", times=self.random.randint(1, 3))

    def _do_fail_over(self, member: Member) -> None:
        writes = self.random.randint(0, 3)

        async def fail_over() -> None:
            self.judge.lenient = True
            await self.place.roll_back(writes, spare_replicated=self.kept_word)
            self.judge.lenient = False

        _ = self.loop.start("store", fail_over())

    def _do_outage(self, member: Member) -> None:
        self.away = True
        refusal = StoreRefusal() if self.random.random() < 0.5 else StoreFreeze()
        seconds = self.random.choice((self.random.uniform(1, 8), self.random.uniform(8, 45)))
        for one in self.living():
            one.store.faults.add(refusal, times=None)

        async def end() -> None:
            await asyncio.sleep(seconds)
            self.log("--- the outage ends")
            self.away = False
            for one in self.members:
                one.store.faults.clear()
            if isinstance(refusal, StoreFreeze):
                refusal.release()

        _ = self.loop.start("fate", end())

    def _do_clock_back(self, member: Member) -> None:
        self.clock.date -= self.random.choice((5.0, 60.0, 3600.0))
        self.judge.failure = None  # its time is another now, as the next write says

    def _do_authorize(self, member: Member) -> None:
        async def authorize() -> None:
            token = self.vendor.authorize()
            with suppress(Exception):
                await member.manager.put(member.scheme, token)

        _ = self.loop.start(member.process, authorize())

    def _do_log_out(self, member: Member) -> None:
        async def forget() -> None:
            with suppress(Exception):
                await member.manager.forget(member.scheme)
            for one in self.members:
                one.client.received.clear()  # the application wants none of them any more

        _ = self.loop.start(member.process, forget())
