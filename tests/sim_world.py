"""The world of a simulated run: its place and its vendor, the workers in it, and what is promised to them."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from random import Random
from typing import Any, cast

from asyncauth import AuthMiddleware, TokenEvent, TokenManager
from asyncauth._worker import Worker
from asyncauth.abc import Liveness
from asyncauth.testing import FaultyTokenStore, StoreRefusal
from asyncauth_stores.memory import MemoryTokenStore
from model_store import ViolationError
from model_vendor import Reuse
from sim_client import SimClient, SimRequest, api_of
from sim_loop import SimClock, SimLoop, process_name
from sim_place import Judge, Judged, Way
from sim_plan import DATE, POLICY, STILL_PROCESSED, Member, Plan, number_of
from sim_promises import check_error
from sim_schemes import scheme_for
from sim_vendor import SimVendor


class World(ABC):
    """Everything that a run has, and what is judged at every moment.

    Args:
        plan: What the run is to be.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = Random(f"{plan.seed} {plan.kind.name}")  # noqa: S311 - to be repeatable
        self.loop = SimLoop(Random(self.random.random()))  # type: ignore[abstract]  # noqa: S311 - no sockets
        self.trace: list[tuple[float, str, str]] = []
        self.faults: list[str] = []
        self.history: list[str] = []
        self.members: list[Member] = []
        self.contacts = 0
        self.over = False
        self.violation: BaseException | None = None
        self._names = 0
        self.events = 0
        self.planned: dict[int, deque[str]] = {}
        self.crashed: dict[str, float] = {}
        self._marks: dict[str, str] = {}
        self.clock = SimClock(self.loop, started=0.0, date=DATE)
        self.judge = Judge(self.log, self.fail)
        place = Judged(MemoryTokenStore(clock=self.clock), self.judge)
        self.place = FaultyTokenStore(place, clock=self.clock)
        self.kept_word = self.random.random() < 0.7
        self.marks_known = self.random.random() < 0.5
        self.away = False
        self.vendor = SimVendor(plan.kind, self, STILL_PROCESSED)

    @abstractmethod
    def at_store(self, process: str, what: str) -> None:
        """Hear that a worker's operation arrived at the store, or was answered."""

    @abstractmethod
    def at_vendor(self, what: str) -> None:
        """Hear that a token request arrived at the vendor, or was answered."""

    def log(self, text: str) -> None:
        """Write a line of the trace."""
        self.trace.append((self.loop.time(), process_name(), text))

    def note(self, fault: str) -> None:
        """Take note of what goes wrong."""
        self.faults.append(fault)
        self.history.append(fault)

    def latency(self) -> float:
        return self.random.random() * 0.03

    def crashed_at(self, process: str) -> float | None:
        return self.crashed.get(process)

    def holder(self, attempt: str) -> Liveness:
        process = self._marks.get(attempt)
        if process is None:
            return Liveness.UNKNOWN
        return Liveness.DEAD if process in self.crashed else Liveness.ALIVE

    def mark(self, attempt: str, process: str | None) -> None:
        if process is None:
            self._marks.pop(attempt, None)
        else:
            self._marks[attempt] = process

    def sent(self, process: str, body: str) -> None:
        self.contacts += 1
        self.log("sends " + body.partition("&")[0])
        self._check_back_off()

    def processed(self, grant: str, number: int | None) -> None:
        """Judge what the vendor made of a request."""
        self.log(f"the vendor makes {'a refusal' if number is None else f'access-{number}'} of {grant}")
        kind, tokens = self.plan.kind, self.vendor.tokens
        if number is None and (killed := tokens.revoked & self.held()):
            self.fail(f"the reuse of {grant} revoked {sorted(killed)}, which somebody holds")
        if kind.one_time and kind.can_login and grant != "login" and number is None:
            self.fail(f"the spent {grant} was sent, though a login was possible")

    def living(self) -> list[Member]:
        """Return the workers that were not killed."""
        return [member for member in self.members if member.process not in self.crashed]

    async def join(self) -> Member:
        """Start one more worker process."""
        process = f"w{self._names}"
        self._names += 1
        clock = SimClock(
            self.loop, started=self.random.random() * 1e6, date=DATE + self.random.uniform(-300, 300)
        )
        handle = self.place.twin()
        way = Way(self.loop, process, handle, self, self.marks_known)
        client = SimClient(self.vendor, process)
        manager = TokenManager(
            way, policy=POLICY, clock=clock, client=cast("Any", client), listener=self._hear
        )
        scheme = scheme_for(self.plan.kind)

        async def begin() -> Worker:
            return manager.worker

        worker = await self.loop.start(process, begin())
        middleware = AuthMiddleware(scheme, manager)
        member = Member(process, manager, worker, middleware, scheme, client, handle)
        if self.away:
            handle.faults.add(StoreRefusal(), times=None)
        self.members.append(member)
        return member

    def _hear(self, event: TokenEvent) -> None:
        self.log(f"{type(event).__name__} {getattr(event, 'entry_id', '')[:4]}")

    def employ(self, member: Member, until: float) -> None:
        """Have a worker serve requests for a time."""
        pace = self.random.choice((0.7, 3.0, 15.0))

        async def serve() -> None:
            await asyncio.sleep(self.random.random() * pace)
            while self.loop.time() < until - 60:
                task = self.loop.create_task(self._ask(member))
                member.asking[task] = self.loop.time()
                task.add_done_callback(lambda done: member.asking.pop(done, None))
                await asyncio.sleep(self.random.uniform(0.5, 1.5) * pace * (6 if self._quiet() else 1))

        _ = self.loop.start(member.process, serve())

    def _quiet(self) -> bool:
        """Whether there is little to see any more."""
        return all(member.worker._flights == {} for member in self.living()) and not self.planned

    async def _ask(self, member: Member) -> None:
        """Do what a service does: send a request, or take a token, and judge how that went."""
        began = self.loop.time()
        hopeless = self.is_hopeless()
        try:
            if self.random.random() < 0.6:
                response = await member.middleware(cast("Any", SimRequest()), api_of(self.vendor))
                what = f"is answered {response.status}"
            else:
                await member.manager.token(member.scheme)
                what = "has a token"
            if self.loop.time() - began > 1:
                self.log(f"{what} after {self.loop.time() - began:.1f} s")
        except asyncio.CancelledError:
            self.log("a caller is cancelled")
            raise
        except Exception as error:  # noqa: BLE001 - the promises say which are errors
            self.log(f"a caller is told {type(error).__name__}: {error}")
            excused = not {"mistaken", "log out"}.isdisjoint(self.faults)
            self._judge_error(error, hopeless=hopeless or self.is_hopeless(), excused=excused)
        stood = max(self.loop.stopped_until(member.process) - began, 0.0)
        if self.loop.time() - began > POLICY.wait + POLICY.request_timeout + 2 + stood:
            self.fail(f"a caller waited for {self.loop.time() - began:.1f} s")

    def held(self) -> set[int]:
        """Return the numbers of the tokens that the place or a living worker has."""
        entries = [member.entry for member in self.living()]
        entries += [] if self.judge.record is None else [self.judge.record.entry]
        numbers = set[int]().union(*(member.client.received for member in self.living()))
        return numbers | {number_of(entry) for entry in entries if entry is not None}

    def is_hopeless(self) -> bool:
        kind, vendor = self.plan.kind, self.vendor
        if kind.can_login:
            return False
        if self.held() & vendor.living():
            return False
        now = int(self.loop.time() * 1000)
        window = kind.reuse is Reuse.WINDOW
        return not (window and any(vendor.tokens.in_window(n, now) for n in self.held()))

    def _check_back_off(self) -> None:
        """Judge a contact by what the whole fleet was told."""
        failure = self.judge.failure
        if failure is None or (self.away and self.plan.kind.name == "N"):
            return
        left = failure.retry_at / 1000 - self.clock.wall()
        if left > 0.1:
            self.fail(f"the vendor is contacted {left:.1f} s before the fleet's back-off ends")

    def _judge_error(self, error: Exception, *, hopeless: bool, excused: bool) -> None:
        try:
            check_error(error, self.faults, hopeless=hopeless, excused=excused)
        except ViolationError as violation:
            self.fail(str(violation))

    def fail(self, text: str) -> None:
        self.log(f"!!! {text}")
        self.violation = ViolationError(text) if self.violation is None else self.violation
