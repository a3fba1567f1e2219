"""One state of a run of the protocol's model, and what PROTOCOL.md, section 9, promises about it."""

from typing import NamedTuple

import attrs

from model_flight import Scene
from model_store import ViolationError
from model_vendor import TICK, Reuse, number_of
from model_worker import NEVER, Pc, Worker

PATIENCE = 80 * TICK


class Delayed(NamedTuple):
    """A request that is still under way to the vendor."""

    worker: int
    attempt: str
    refresh: int | None
    latest: int


@attrs.define
class Run(Scene):
    """One state of a run.

    Attributes:
        delayed: Requests under way.
        faults: What went wrong so far.
        rounds: Expiries to come.
        since: When the last expiry was.
        dropped: Whether an issued token never reached a living worker.
        over: Whether nobody can have a token any more.
        mistaken: The living refresh tokens that the vendor refused by mistake.
    """

    delayed: tuple[Delayed, ...] = ()
    faults: tuple[str, ...] = ()
    rounds: int = 0
    since: int = 0
    dropped: bool = False
    over: bool = False
    mistaken: frozenset[int] = frozenset()

    def usable(self, worker: Worker) -> bool:
        """Tell whether the worker's requests are answered."""
        return worker.ram is not None and self.vendor.honours(worker.ram, self.now)

    def at_rest(self) -> bool:
        """Tell whether every living worker has a usable token, and nothing is under way."""
        return (
            not self.delayed
            and self.store.down_until <= self.now
            and all(self._rests(worker) for worker in self.workers if not worker.crashed)
        )

    def _rests(self, worker: Worker) -> bool:
        looked = worker.wakes == self.store.wakes
        return looked and worker.pc is Pc.REST and worker.frozen_until <= self.now and self.usable(worker)

    def check(self) -> None:
        """Compare with what PROTOCOL.md, section 9, promises.

        Raises:
            ViolationError: Something does not hold.
        """
        if self._hopeless() and not self.dropped:
            raise ViolationError("the last living token is lost, though every answer arrived")
        self._check_dead()
        if self._is_over():
            self.over = True
        elif self.now - self.since > PATIENCE:
            raise ViolationError("somebody waits for ever")
        elif self.at_rest():
            self._check_rest()

    def _check_dead(self) -> None:
        record = self.store.record
        if record is None or record.dead is None or record.entry is None:
            return
        if number_of(record.entry) in self.vendor.living - self.mistaken:
            raise ViolationError(f"a dead mark on the living {record.entry.id}")

    def _is_over(self) -> bool:
        """Whether nobody can have a token: it is lost and the fleet says so, or the user logged out."""
        if all(worker.crashed for worker in self.workers):
            return True
        record = self.store.record
        if record is None or self.delayed:
            return False
        living = [w for w in self.workers if not w.crashed]
        if record.entry is None and record.era and not self.rules.kind.can_login:
            return all(w.ram is None and w.pc is Pc.WAIT and w.until >= NEVER for w in living)
        return record.dead is not None and self._hopeless()

    def _check_rest(self) -> None:
        if not self.rules.kind.one_time:
            return
        record = self.store.record
        stored = None if record is None else record.entry
        if stored is None or number_of(stored) not in self.vendor.living:
            raise ViolationError("the store rests without the living token")
        if any(w.ram is None or number_of(w.ram) != number_of(stored) for w in self.workers if not w.crashed):
            raise ViolationError("a worker rests with another token than the store's")

    def _hopeless(self) -> bool:
        kind, record = self.rules.kind, self.store.record
        if record is None or record.entry is None or all(worker.crashed for worker in self.workers):
            return False
        if kind.can_login or self.delayed or self._held() & self.vendor.living:
            return False
        if any(w.mail is not None and not w.crashed for w in self.workers):
            return False
        window = kind.reuse is Reuse.WINDOW
        return not (window and any(self.vendor.in_window(n, self.now) for n in self._held()))

    def _held(self) -> set[int]:
        record = self.store.record
        stored = set() if record is None or record.entry is None else {number_of(record.entry)}
        return stored.union(*(worker.numbers() for worker in self.workers if not worker.crashed))
