"""A worker's flight in the protocol's model: PROTOCOL.md, section 5, over the real transitions."""

import attrs

from asyncauth._answers import (
    Absent,
    Ask,
    BackOff,
    Behind,
    Busy,
    Committed,
    Conflict,
    Grant,
    Kept,
    LoggedOut,
    Newer,
    Refused,
    Same,
    Step,
)
from asyncauth._record import Entry, Mode, Reason
from model_store import POLICY, Rules, Store, ViolationError, ticks
from model_vendor import LIFE, Vendor, number_of, token_of
from model_worker import NEVER, Pc, Reply, Worker


@attrs.define
class Scene:
    """What the workers share: a vendor, a store and the time."""

    rules: Rules
    vendor: Vendor
    store: Store
    workers: list[Worker]
    now: int = 0

    def acquire(self, worker: Worker) -> Step:
        """Ask for the right to renew."""
        rules = self.rules
        if not worker.attempt:
            self.begin_attempt(worker)
            worker.reached = self.now
        worker.reached = self.now if worker.reached < self.store.down_until else worker.reached
        ram = worker.ram
        ask = Ask(
            attempt=worker.attempt,
            fingerprint="credential",
            seen=ram,
            refused=ram is not None and not ram.has_expired(self.now),
            can_login=rules.kind.can_login,
            login_is_destructive=rules.kind.destructive,
            dead_holder=self._dead_holder() if rules.liveness else None,
            reached_at=worker.reached if rules.waits_after_outage else None,
        )
        return rules.acquire(rules.look(self.store.view(self.now)), ask, POLICY)

    def _dead_holder(self) -> str | None:
        record = self.store.record
        holder = None if record is None or record.lease is None else record.lease.attempt
        return holder if any(w.crashed and w.attempt == holder for w in self.workers) else None

    def begin_attempt(self, worker: Worker) -> None:
        """Draw the id that every try of the attempt has."""
        worker.drawn += 1
        worker.attempt = self.rules.new_attempt(worker.index, worker.drawn)
        worker.tries, worker.sent, worker.ambiguous = self.rules.retries, False, False

    def hear(self, worker: Worker, step: Step) -> None:
        """Do what the answer to `acquire` asks for (PROTOCOL.md, 5.2)."""
        answer = step.answer
        worker.wakes = self.store.wakes
        match answer:
            case Behind():
                worker.pc = Pc.RESTORE
            case Newer(entry):
                self.adopt(worker, entry)
            case LoggedOut():
                self.adopt(worker, None)
            case Busy(_, seconds):
                worker.wait(self.now + ticks(seconds))
            case BackOff(_, seconds) | Refused(_, seconds):
                self._assert_honest(answer)
                worker.rest()
                worker.wait(self.now + ticks(seconds))
            case Absent():
                self._assert_honest(answer)
                worker.rest()
                worker.wait(NEVER)
            case Grant():
                self._start(worker, answer)
            case _:
                raise ViolationError(f"acquire answered {answer}")

    def adopt(self, worker: Worker, entry: Entry | None) -> None:
        """Take what is stored; if it is unusable, the next flight asks with it as `seen`."""
        worker.ram = entry
        worker.rest()

    def _start(self, worker: Worker, grant: Grant) -> None:
        base, ram = grant.base, worker.ram
        if base is not None and ram is not None and base.is_older_than(ram) and ram.one_time:
            raise ViolationError("a grant from a stale base")
        self._assert_no_back_off()
        record = self.store.record
        worker.era = 0 if record is None else record.era
        worker.pc, worker.grant, worker.mode = Pc.GRANTED, grant, grant.mode
        self.renew_fence(worker)

    def renew_fence(self, worker: Worker) -> None:
        """Count the own lease from now."""
        worker.fence = self.now + ticks(POLICY.lease)
        worker.beat_at = self.now + ticks(POLICY.heartbeat)

    def beat(self, worker: Worker) -> Step:
        """Prolong the lease."""
        assert worker.grant is not None
        view = self.rules.look(self.store.view(self.now))
        return self.rules.extend(view, attrs.evolve(worker.grant, mode=worker.mode), POLICY)

    def hear_beat(self, worker: Worker, step: Step) -> None:
        """Go on, look again, or send no more."""
        worker.beat_at = NEVER
        if isinstance(step.answer, Kept):
            self.renew_fence(worker)
        elif not worker.sent:
            worker.wait(self.now)
        else:
            worker.fence = 0

    def receive(self, worker: Worker) -> None:
        """Take the vendor's answer (PROTOCOL.md, 5.4 and 5.5)."""
        assert worker.mail is not None
        reply, worker.mail = worker.mail[0], None
        match reply:
            case Reply.AMBIGUOUS:
                self.stay_unsure(worker)
            case Reply.DEFINITE:
                self._again(worker, Pc.GRANTED)
            case Reply.INVALID:
                self._refused(worker)
            case number:
                worker.entry, worker.pc = self.new_entry(worker, number), Pc.COMMIT

    def stay_unsure(self, worker: Worker) -> None:
        """Nobody knows whether the vendor processed the request."""
        worker.ambiguous = True
        if worker.mode is Mode.REFRESH and self.rules.kind.can_login and self.rules.kind.one_time:
            worker.mode = Mode.LOGIN
            self._again(worker, Pc.GRANTED)
            return
        if worker.mode is Mode.REFRESH and self.rules.kind.one_time and self.rules.quiet:
            worker.until = self.now + ticks(POLICY.quiet)
            self._again(worker, Pc.QUIET)
            return
        self._again(worker, Pc.GRANTED)

    def _again(self, worker: Worker, then: Pc) -> None:
        spends = worker.mode is Mode.REFRESH and self.rules.kind.one_time
        spent = spends and worker.grant is not None and worker.grant.doubtful
        if worker.tries == 0 or (spent and worker.ambiguous):
            worker.pc = Pc.ABANDON
            return
        worker.tries -= 1
        worker.pc = then

    def _refused(self, worker: Worker) -> None:
        if self.rules.kind.can_login:
            worker.mode, worker.pc = Mode.LOGIN, Pc.GRANTED
        else:
            worker.pc = Pc.JUDGE

    def judge(self, worker: Worker) -> None:
        """Read again before a refusal is believed."""
        record, grant = self.store.record, worker.grant
        stored = None if record is None else record.entry
        assert grant is not None
        clear = self.rules.second_try and not worker.ambiguous and not grant.doubtful and worker.tries > 0
        if stored is not None and stored.id == grant.base_id:
            if clear:
                worker.tries -= 1
            worker.pc = Pc.GRANTED if clear else Pc.CONDEMN
        elif stored is not None and worker.ram is not None and not stored.is_older_than(worker.ram):
            self.adopt(worker, stored)
        else:
            worker.rest()

    def new_entry(self, worker: Worker, number: int) -> Entry:
        """Make the entry of a success."""
        assert worker.grant is not None
        base = worker.grant.base
        return Entry(
            id=self.rules.new_id(number, base),
            era=worker.era,
            ancestors=() if base is None else base.lineage(),
            token=token_of(number, refreshable=self.rules.kind.refreshable),
            one_time=self.rules.kind.one_time,
            issued_at=self.now,
            expires_at=self.now + LIFE,
        )

    def close(self, worker: Worker) -> Step:
        """Run the transition that ends the flight: commit, restore, abandon or condemn."""
        view, rules = self.rules.look(self.store.view(self.now)), self.rules
        reason = Reason("AmbiguousError", "the vendor")
        match worker.pc:
            case Pc.COMMIT:
                assert worker.entry is not None
                return rules.commit(view, worker.entry, POLICY)
            case Pc.RESTORE:
                assert worker.ram is not None
                return rules.restore(view, worker.ram, POLICY)
            case Pc.ABANDON:
                definite = not worker.ambiguous
                return rules.abandon(view, worker.attempt, POLICY, definite=definite, failed=(reason, 1))
            case _:
                assert worker.grant is not None
                return rules.condemn(view, worker.grant, reason, POLICY)

    def hear_close(self, worker: Worker, step: Step) -> None:
        """Adopt what stands now."""
        match step.answer:
            case Committed() | Same() if worker.pc is Pc.COMMIT:
                self.adopt(worker, worker.entry)
            case Conflict(entry):
                self.adopt(worker, entry)
            case _:
                worker.rest()

    def look(self, worker: Worker) -> None:
        """Read at rest, after a waking (PROTOCOL.md, 5.6)."""
        worker.wakes, record, ram = self.store.wakes, self.store.record, worker.ram
        attempt = worker.attempt
        answer = self.acquire(worker).answer
        worker.attempt, worker.drawn = attempt, worker.drawn - (not attempt)
        stored = None if record is None else record.entry
        if isinstance(answer, Behind) or (record is None and ram is not None):
            worker.pc = Pc.RESTORE if self.rules.puts_back else Pc.REST
        elif isinstance(answer, LoggedOut):
            worker.ram = None
        elif isinstance(answer, Newer) and not (stored and ram and stored.is_older_than(ram)):
            worker.ram = answer.entry

    def _assert_honest(self, answer: Absent | BackOff | Refused) -> None:
        record = self.store.record
        era = 0 if record is None else record.era
        looked = [w for w in self.workers if not w.crashed and w.wakes == self.store.wakes]
        copies = [w.ram for w in looked if w.ram is not None and w.ram.era >= era and w.pc is not Pc.RESTORE]
        if isinstance(answer, Absent) and self.vendor.living.intersection(map(number_of, copies)):
            raise ViolationError("'authorize again' while a worker has a living token")

    def _assert_no_back_off(self) -> None:
        record = self.store.record
        if record is not None and record.failure is not None and self.now < record.failure.retry_at:
            raise ViolationError("a grant inside the fleet's back-off")
