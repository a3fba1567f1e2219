"""What may happen in the protocol's model, move by move."""

from collections.abc import Iterator
from typing import NamedTuple

import attrs

from asyncauth._answers import Conflict, Grant
from asyncauth._record import Entry, Mode
from asyncauth._transitions import forget, put
from model_promises import Delayed, Run
from model_store import POLICY, ViolationError, ticks
from model_vendor import LIFE, TICK, number_of, token_of
from model_worker import HOLDING, NEVER, TIMED, Pc, Reply, Worker

OUTAGES = {"outage": 2 * TICK, "long outage": 5 * TICK, "outage beyond grace": 8 * TICK}
LONG_STALL = 12 * TICK


class Choice(NamedTuple):
    """One thing that may happen next: an action, whose, and what goes wrong with it."""

    verb: str
    worker: int = 0
    fault: str = ""
    detail: int = 0


@attrs.define
class Moves(Run):
    """A run, and how each choice changes it; `World` says which choices there are."""

    def do_acquire(self, choice: Choice) -> None:
        worker = self.workers[choice.worker]
        if worker.sent and worker.pc in HOLDING:
            worker.rest()  # what its attempt may have spent is for the next one to judge
        step = self.acquire(worker)
        self.store.write(step, self.rules)
        if not self._interrupted(choice, worker):
            self.hear(worker, step)

    def do_beat(self, choice: Choice) -> None:
        worker = self.workers[choice.worker]
        step = self.beat(worker)
        self.store.write(step, self.rules)
        if not self._interrupted(choice, worker):
            self.hear_beat(worker, step)

    def do_close(self, choice: Choice) -> None:
        worker = self.workers[choice.worker]
        step = self.close(worker)
        self.dropped |= step.answer == Conflict(None)  # logged out meanwhile
        self.store.write(step, self.rules)
        if not self._interrupted(choice, worker):
            self.hear_close(worker, step)

    def _interrupted(self, choice: Choice, worker: Worker) -> bool:
        """Whether the store's answer is lost: the worker tries again with the same ids."""
        if choice.fault:
            worker.frozen_until = self.now + TICK
        return bool(choice.fault)

    def do_look(self, choice: Choice) -> None:
        self.look(self.workers[choice.worker])

    def do_judge(self, choice: Choice) -> None:
        self.judge(self.workers[choice.worker])

    def do_receive(self, choice: Choice) -> None:
        self.receive(self.workers[choice.worker])

    def do_give_up(self, choice: Choice) -> None:
        worker = self.workers[choice.worker]
        self._drop(worker)
        worker.mail = None
        self.stay_unsure(worker)

    def do_renew_locally(self, choice: Choice) -> None:
        worker = self.workers[choice.worker]
        worker.rest()
        self.begin_attempt(worker)
        worker.grant = Grant(attempt=worker.attempt, base=worker.ram, mode=Mode.LOGIN)
        worker.era = 0 if worker.ram is None else worker.ram.era
        worker.mode, worker.fence, worker.beat_at, worker.pc = Mode.LOGIN, NEVER, NEVER, Pc.GRANTED

    def do_send(self, choice: Choice) -> None:
        worker = self.workers[choice.worker]
        base = None if worker.grant is None else worker.grant.base
        if self.rules.kind.repeatable and worker.mode is Mode.LOGIN and base is not None:
            self._assert_lost(base)
        refresh = number_of(base) if worker.mode is Mode.REFRESH and base is not None else None
        worker.pc, worker.sent, worker.until = Pc.SENT, True, self.now + ticks(POLICY.request_timeout)
        self.vendor.contacts += 1
        if choice.fault == "delayed":
            latest = worker.until + ticks(POLICY.quiet) - TICK
            self.delayed = (*self.delayed, Delayed(worker.index, worker.attempt, refresh, latest))
        else:
            worker.mail = self._answer(choice.fault, refresh)

    def _answer(self, fault: str, refresh: int | None) -> tuple[int | Reply, int] | None:
        failures = {"5xx": Reply.AMBIGUOUS, "429": Reply.DEFINITE, "mistaken": Reply.INVALID}
        if fault == "mistaken" and refresh is not None:
            self.mistaken |= {refresh}
        if fault in failures:
            return failures[fault], self.now
        reply = self._process(refresh)
        if fault in ("answer lost", "processed 5xx"):
            self.dropped = True
            return None if fault == "answer lost" else (Reply.AMBIGUOUS, self.now)
        return reply, self.now + (TICK if fault == "late answer" else 0)

    def _process(self, refresh: int | None) -> int | Reply:
        once = self.rules.kind.one_time and self.rules.kind.can_login
        if refresh is not None and once and refresh not in self.vendor.living:
            raise ViolationError(f"the spent refresh-{refresh} was sent, though a login was possible")
        number = self.vendor.login() if refresh is None else self.vendor.refresh(refresh, self.now)
        if number is None and (killed := self.vendor.revoked & self._held()):
            raise ViolationError(
                f"the reuse of refresh-{refresh} revoked {sorted(killed)}, which somebody holds"
            )
        return Reply.INVALID if number is None else number

    def _assert_lost(self, base: Entry) -> None:
        if number_of(base) not in self.vendor.ended:
            raise ViolationError(f"a login was sent that ends {base.id}, though a refresh was possible")

    def do_arrive(self, choice: Choice) -> None:
        request = self.delayed[choice.detail]
        self.delayed = self.delayed[: choice.detail] + self.delayed[choice.detail + 1 :]
        worker = self.workers[request.worker]
        reply = self._process(request.refresh)
        waiting = worker.pc is Pc.SENT and worker.attempt == request.attempt and self.now < worker.until
        if waiting and not worker.crashed:
            worker.mail = (reply, self.now)
        elif not isinstance(reply, Reply):
            self.dropped = True

    def do_pass(self, choice: Choice) -> None:
        later = [time for time in self._times() if time > self.now]
        if not later or min(later) >= NEVER:
            raise ViolationError("everybody waits for ever")
        self.now = min(later)

    def _times(self) -> Iterator[int]:
        yield from (self.store.down_until, *(d.latest for d in self.delayed))
        for worker in self.workers:
            if worker.crashed:
                continue
            yield worker.frozen_until
            if worker.frozen_until <= self.now:
                yield from self._times_of(worker)

    def _times_of(self, worker: Worker) -> Iterator[int]:
        if worker.pc in TIMED:
            yield worker.until
        if worker.pc in HOLDING:
            yield worker.beat_at
        if worker.mail is not None:
            yield worker.mail[1]

    def do_expire(self, choice: Choice) -> None:
        ends = [w.ram.expires_at for w in self.workers if w.ram is not None and not w.crashed]
        self.now = self.since = max(end for end in ends if end is not None)
        self.rounds -= 1
        self.vendor.contacts = 0

    def do_thaw(self, choice: Choice) -> None:
        self.workers[choice.worker].frozen_until = self.now

    def do_crash(self, choice: Choice) -> None:
        worker = self.workers[choice.worker]
        self._drop(worker)
        held = self._held()
        worker.crashed, worker.mail = True, None
        self._forgive(held)
        self.store.wakes += self.rules.liveness
        # Its connections end with it: the vendor has `quiet` from now to process what is under way.
        latest = self.now + ticks(POLICY.quiet) - TICK
        self.delayed = tuple(
            d._replace(latest=min(d.latest, latest)) if d.worker == worker.index else d for d in self.delayed
        )

    def _drop(self, worker: Worker) -> None:
        self.dropped |= worker.entry is not None or (
            worker.mail is not None and not isinstance(worker.mail[0], Reply)
        )

    def do_stall(self, choice: Choice) -> None:
        length = LONG_STALL if choice.fault == "long stall" else self.rules.stall * TICK
        self.workers[choice.worker].frozen_until = self.now + length

    def do_fail_over(self, choice: Choice) -> None:
        held = self._held()
        self.store.fail_over(choice.detail)
        self._forgive(held)

    def do_roll_back(self, choice: Choice) -> None:
        held = self._held()
        self.store.roll_back(choice.detail)
        self.store.wakes += 1  # the audit
        self._forgive(held)

    def _forgive(self, before: set[int]) -> None:
        """Nobody can save a token that only a store without replicas, or a dead worker, had."""
        self.dropped |= not self.rules.replicated and bool((before - self._held()) & self.vendor.living)

    def do_outage(self, choice: Choice) -> None:
        self.store.down_until = self.now + OUTAGES[choice.fault]
        self.store.wakes += 1  # the reconnection

    do_long_outage = do_outage
    do_outage_beyond_grace = do_outage

    def do_revoked(self, choice: Choice) -> None:
        self.vendor.ended |= {number_of(w.ram) for w in self.workers if w.ram is not None}
        self.vendor.contacts, self.since = 0, self.now

    def do_log_out(self, choice: Choice) -> None:
        record = self.store.record
        era = 0 if record is None else record.era
        self.store.write(forget(self.store.view(self.now), era, POLICY), self.rules)
        self.dropped = True

    def do_authorize(self, choice: Choice) -> None:
        number = self.vendor.login()
        token = token_of(number, refreshable=self.rules.kind.refreshable)
        entry = Entry(
            id=f"e{number}",
            era=0,
            token=token,
            one_time=self.rules.kind.one_time,
            issued_at=self.now,
            expires_at=self.now + LIFE,
        )
        step = put(self.store.view(self.now), entry, POLICY)
        self.store.write(step, self.rules)
