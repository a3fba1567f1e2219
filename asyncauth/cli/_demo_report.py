"""What the demo shows: figures per system, and the verdict. Pure, from what was counted."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, final

import attrs

from asyncauth.cli._demo_schemes import CUSTOMERS, SYSTEMS, TITLES
from asyncauth.cli._latency import Latencies

_MOST_NOTES: Final = 20


@final
@attrs.define
class Tally:
    """What the workers told of one system.

    Attributes:
        failures: Failed requests, by what they met.
        entries: Ids of the tokens that came out of token calls and were stored.
        ended: How many the vendor ended and others took the place of.
        every: All requests.
        edge: Those near a change of token.
    """

    failures: Counter[str] = attrs.field(factory=Counter)
    entries: set[str] = attrs.field(factory=set)
    ended: int = 0
    every: Latencies = attrs.field(factory=Latencies)
    edge: Latencies = attrs.field(factory=Latencies)


@final
@attrs.frozen(kw_only=True)
class Kill:
    """The worker that was killed in the middle of a renewal.

    Attributes:
        worker: Its number.
        system: Whose renewal it was.
        at: Seconds after the start.
        heir: Who renewed instead; none as long as nobody did.
        after: Seconds from the kill until then.
    """

    worker: int
    system: str
    at: float
    heir: int | None = None
    after: float = 0.0


@final
@attrs.frozen
class Device:
    """What became of the device token that has no end.

    Attributes:
        tokens: How many its vendor made.
        logins: How often the customer was logged in on one.
    """

    tokens: int = 0
    logins: int = 0


@final
@attrs.define
class Score:
    """All that was counted so far.

    Attributes:
        tallies: By system.
        kill: The killed worker, once there is one.
        problems: What went wrong besides failed requests.
        notes: What workers had to say.
    """

    tallies: dict[str, Tally] = attrs.field(factory=lambda: {name: Tally() for name in TITLES})
    kill: Kill | None = None
    problems: list[str] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    def note(self, text: str) -> None:
        """Keep one line for people, unless there are many already."""
        if text not in self.notes and len(self.notes) < _MOST_NOTES:
            self.notes.append(text)

    def take(self, system: str, entry: str, mode: str) -> None:
        """Count a stored token. A customer's login on one is a change of it, and none."""
        if system != CUSTOMERS or mode == "login":
            self.tallies[system].entries.add(entry)

    def report(
        self, token_calls: Mapping[str, int], under_way: Mapping[str, int], device: Device
    ) -> "Report":
        """Return the figures.

        Args:
            token_calls: How many reached each vendor.
            under_way: How many of those nobody has the answer of yet.
            device: What became of the device token.
        """
        lines = tuple(
            Line.of(name, tally, token_calls[name], under_way.get(name, 0), self._extra(name))
            for name, tally in self.tallies.items()
        )
        return Report(lines, device, self.kill, tuple(self.problems), tuple(self.notes))

    def _extra(self, name: str) -> int:
        return int(self.kill is not None and self.kill.system == name)


@final
@attrs.frozen(kw_only=True)
class Line:
    """The figures of one system.

    Attributes:
        name: One of `SYSTEMS`.
        failures: Failed requests, by what they met.
        expiries: Tokens whose life ended, or was ended by the vendor, and that were replaced.
        due: Tokens that token calls should have given: one per expiry, and the first one unless it
            was given.
        token_calls: Those that reached the vendor, `extra` and `under_way` included.
        under_way: Those that are being answered.
        extra: Those whose caller was killed before it could store the answer.
        entries: Tokens that came out of token calls and were stored.
        every: Latencies of all requests.
        edge: Latencies of those near a change of token.
    """

    name: str
    failures: Mapping[str, int]
    expiries: int
    due: int
    token_calls: int
    under_way: int
    extra: int
    entries: int
    every: Latencies
    edge: Latencies

    @classmethod
    def of(cls, name: str, tally: Tally, token_calls: int, under_way: int, extra: int) -> "Line":
        """Return the figures of a tally."""
        first = 0 if SYSTEMS[name].given else 1
        # Nobody tells when a token's life ends, but that another one took its place.
        replaced = max(len(tally.entries) - first, 0)
        expiries = replaced if SYSTEMS[name].tokens == "expire" else tally.ended
        return cls(
            name=name,
            failures=tally.failures,
            expiries=expiries,
            due=expiries + first,
            token_calls=token_calls,
            under_way=min(under_way, token_calls),
            extra=extra,
            entries=len(tally.entries),
            every=tally.every,
            edge=tally.edge,
        )

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(self.failures.values())

    @property
    def settled(self) -> int:
        """How many token calls there should be a stored token for."""
        return self.token_calls - self.under_way - self.extra

    @property
    def per_expiry(self) -> float | None:
        """Token calls per token that was due, without the killed worker's call; none without an expiry."""
        return self.settled / self.due if self.expiries else None

    @property
    def is_even(self) -> bool:
        """Whether each token that was due was asked for once, and stored."""
        return self.settled == self.entries == self.due

    def problems(self) -> Iterator[str]:
        """Say what is wrong with these figures."""
        title = TITLES[self.name]
        if not self.expiries and SYSTEMS[self.name].tokens != "stay":
            yield f"{title}: no token expired, so nothing was shown"
        elif not self.is_even:
            yield (
                f"{title}: {self.settled} token calls and {self.entries} stored tokens"
                f" where {self.due} were due"
            )
        if self.failed:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in self.failures.items())
            yield f"{title}: {self.failed} of {self.every.total} requests failed: {kinds}"


@final
@attrs.frozen
class Report:
    """All figures, and what they mean.

    Attributes:
        lines: By system.
        device: What became of the device token.
        kill: The killed worker.
        other_problems: What went wrong besides wrong figures.
        notes: What workers had to say.
    """

    lines: tuple[Line, ...]
    device: Device
    kill: Kill | None
    other_problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong, in words; empty if one renewal per expiry was shown."""
        wrong = [problem for line in self.lines for problem in line.problems()]
        if self.device != Device(tokens=1, logins=1):
            wrong.append(
                f"{TITLES[CUSTOMERS]}: {self.device.tokens} device tokens and {self.device.logins} customer"
                " logins, where one of each was due"
            )
        if self.kill is None:
            wrong.append("no worker was killed in the middle of a renewal, so that was not shown")
        elif self.kill.heir is None:
            wrong.append(f"after worker {self.kill.worker} was killed nobody renewed instead")
        return (*wrong, *self.other_problems)

    @property
    def ok(self) -> bool:
        """Whether there was one renewal per expiry, and no request failed."""
        return not self.problems

    def total(self) -> Line:
        """Return the figures of all systems together."""
        every, edge = Latencies(), Latencies()
        failures = Counter[str]()
        for line in self.lines:
            every.merge(line.every.pairs())
            edge.merge(line.edge.pairs())
            failures.update(line.failures)
        return Line(
            name="all",
            failures=failures,
            expiries=sum(line.expiries for line in self.lines),
            due=sum(line.due for line in self.lines),
            token_calls=sum(line.token_calls for line in self.lines),
            under_way=sum(line.under_way for line in self.lines),
            extra=sum(line.extra for line in self.lines),
            entries=sum(line.entries for line in self.lines),
            every=every,
            edge=edge,
        )
