"""The single-flight protocol as a model: every choice of the scheduler and of fate.

Time moves only when nobody has anything to do, so what is explored are the orders that matter. A run
ends when every living worker has a usable token and no expiry is left, or when nobody can have one:
the user logged out, or the vendor's only answer with a token was lost.
"""

from collections.abc import Iterator
from typing import Any

import attrs

from asyncauth._record import Entry, Mode
from asyncauth._transitions import put
from model_moves import Choice, Moves
from model_store import POLICY, Rules, Store
from model_vendor import LIFE, Vendor, token_of
from model_worker import HOLDING, Pc, Worker

AT_A_WORKER = ("crash", "stall", "long stall")
AT_THE_STORE = (
    "fail-over",
    "roll-back",
    "outage",
    "long outage",
    "outage beyond grace",
    "revoked",
    "authorize",
    "log out",
)


@attrs.define
class World(Moves):
    """One state of a run, and everything that may happen next."""

    @classmethod
    def begin(cls, rules: Rules) -> "World":
        """Return a world whose workers all hold the stored token, or nothing at all."""
        vendor, workers = Vendor(rules.kind), [Worker(index=i) for i in range(rules.workers)]
        world = cls(rules, vendor, Store(), workers, rounds=rules.rounds)
        if not rules.cold:
            number = vendor.login()
            first = Entry(
                id="e1",
                era=0,
                token=token_of(number, refreshable=rules.kind.refreshable),
                one_time=rules.kind.one_time,
                issued_at=0,
                expires_at=LIFE,
            )
            step = put(world.store.view(0), first, POLICY)
            world.store.write(step, rules)
            world.store.older, world.store.wakes = (), 0
            assert step.record is not None
            for worker in workers:
                worker.ram = step.record.entry
        return world

    def copy(self) -> "World":
        """Return a world of its own."""
        return attrs.evolve(
            self,
            vendor=attrs.evolve(self.vendor),
            store=attrs.evolve(self.store),
            workers=[attrs.evolve(worker) for worker in self.workers],
        )

    def key(self) -> tuple[Any, ...]:
        """Return what tells two states apart; times count from now."""
        now, vendor = self.now, self.vendor
        return (
            (self.rounds, now - self.since, self.faults, self.dropped, self.mistaken),
            (vendor.families, vendor.living, vendor.ended, vendor.contacts),
            self.store.key(now),
            tuple((*w.key(now), w.wakes == self.store.wakes) for w in self.workers),
            tuple((d.worker, d.attempt, d.refresh, d.latest - now) for d in self.delayed),
        )

    def choices(self) -> list[Choice]:
        """Return everything that may happen next; nothing means that the run is over."""
        if self.over or (self.at_rest() and self.rounds == 0):
            return []
        moves = [Choice(verb, w.index) for w in self.workers for verb in self._steps(w)]
        urgent = bool(moves) or any(d.latest <= self.now for d in self.delayed)
        faults = list(self._faults(moves)) if len(self.faults) < self.rules.budget else []
        moves += [Choice("arrive", detail=i) for i in range(len(self.delayed))]
        moves += [Choice("thaw", w.index) for w in self.workers if w.frozen_until > self.now]
        if not urgent:
            moves += [Choice("expire")] if self.at_rest() else [Choice("pass")]
        return moves + faults

    def _steps(self, worker: Worker) -> Iterator[str]:
        if worker.crashed or worker.frozen_until > self.now:
            return
        up = self.store.down_until <= self.now
        if up and worker.pc in HOLDING and self.now >= worker.beat_at:
            yield "beat"
        if worker.pc in HOLDING:
            yield from self._holding_steps(worker, up=up)
        elif up:
            yield from self._store_steps(worker)
        elif self._renews_locally(worker):
            yield "renew locally"

    def _holding_steps(self, worker: Worker, *, up: bool) -> Iterator[str]:
        if worker.pc is Pc.SENT and worker.mail is not None and self.now >= worker.mail[1]:
            yield "receive"
        elif worker.pc is not Pc.GRANTED and self.now < worker.until:
            return
        elif worker.pc is Pc.SENT:
            yield "give up"
        elif not self.rules.fence or self.now < worker.fence:
            yield "send"
        elif up:
            yield "acquire"

    def _store_steps(self, worker: Worker) -> Iterator[str]:
        looks = worker.wakes != self.store.wakes
        match worker.pc:
            case Pc.REST if not self.usable(worker):
                yield "acquire"
            case Pc.REST if looks:
                yield "look"
            case Pc.WAIT if looks or self.now >= worker.until:
                yield "acquire"
            case Pc.JUDGE:
                yield "judge"
            case Pc.COMMIT | Pc.RESTORE | Pc.ABANDON | Pc.CONDEMN:
                yield "close"
            case _:
                pass

    def _renews_locally(self, worker: Worker) -> bool:
        kind = self.rules.kind
        cheap = kind.can_login and not (kind.one_time or kind.destructive)
        return (
            (cheap or self.rules.renews_locally)
            and worker.pc in (Pc.REST, Pc.WAIT)
            and not self.usable(worker)
        )

    def _faults(self, moves: list[Choice]) -> Iterator[Choice]:
        for name in self.rules.faults:
            if self.rules.repeat or name not in self.faults:
                yield from self._fault(name, moves)

    def _fault(self, name: str, moves: list[Choice]) -> Iterator[Choice]:
        if name in AT_A_WORKER:
            yield from self._worker_faults(name)
        elif name in AT_THE_STORE:
            yield from (Choice(name, 0, name, back) for back in self._depths(name))
        elif name == "store answer lost":
            yield from (m._replace(fault=name) for m in moves if m.verb in ("acquire", "close", "beat"))
        else:
            sends = (m for m in moves if m.verb == "send")
            refreshes = (m for m in sends if name != "mistaken" or self._refreshes(m.worker))
            yield from (m._replace(fault=name) for m in refreshes)

    def _worker_faults(self, name: str) -> Iterator[Choice]:
        for worker in self.workers:
            present = not worker.crashed and worker.frozen_until <= self.now
            if present and (name != "long stall" or self._is_empty_handed(worker)):
                yield Choice(name.removeprefix("long "), worker.index, name)

    def _depths(self, name: str) -> range:
        """Return how many writes the store may lose; none for what is no loss, or not possible now."""
        kept = len(self.store.older) + 1
        match name:
            case "fail-over":
                return range(kept)
            case "roll-back":
                return range(1, kept if self.at_rest() else 0)
            case "revoked":
                return range(self.at_rest())
            case "authorize" | "log out":
                return range(self.store.down_until <= self.now)
            case _:
                return range(1)

    def _is_empty_handed(self, worker: Worker) -> bool:
        """Whether nobody loses anything if the worker stands still for longer than the grace."""
        return worker.pc is Pc.ABANDON or (worker.pc is Pc.GRANTED and not worker.sent)

    def _refreshes(self, index: int) -> bool:
        return self.workers[index].mode is Mode.REFRESH

    def after(self, choice: Choice) -> "World":
        """Return the world in which it happened.

        Raises:
            ViolationError: A promise is broken.
        """
        world = self.copy()
        if choice.fault:
            world.faults = (*world.faults, choice.fault)
        getattr(world, "do_" + choice.verb.replace("-", "_").replace(" ", "_"))(choice)
        world.check()
        return world
