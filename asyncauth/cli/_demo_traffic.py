"""One worker's steady traffic to one system, and how long its requests took."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, final

import attrs

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._session import AuthSession
from asyncauth.cli._demo_schemes import System
from asyncauth.cli._latency import Latencies

EDGE: Final = 0.15
"""Seconds around a change of token within which a request counts as at the expiry's edge."""

_OK = 200
_MESSAGE = 200


@final
@attrs.define(eq=False)
class Traffic:
    """Requests to one system, started at a steady rate whatever becomes of the earlier ones.

    Attributes:
        system: Where they go.
        session: What sends them.
        period: Seconds between two of them.
        tell: Is given the first failure of each kind, in words.
    """

    system: System
    session: AuthSession
    period: float
    tell: Callable[[str], None]
    _samples: list[tuple[float, float]] = attrs.field(init=False, factory=list)
    # More than there are while one request waits.
    _changes: deque[float] = attrs.field(init=False, factory=lambda: deque(maxlen=50))
    _failures: Counter[str] = attrs.field(init=False, factory=Counter)
    _known: set[str] = attrs.field(init=False, factory=set)
    _requests: set[asyncio.Task[None]] = attrs.field(init=False, factory=set)

    def changed(self) -> None:
        """Note that another token is used from now on."""
        self._changes.append(SYSTEM_CLOCK.monotonic())

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop, then wait for the answers."""
        due = SYSTEM_CLOCK.monotonic() + random.random() * self.period  # noqa: S311 - no secret
        while not await _is_set_by(stop, due):
            task = asyncio.create_task(self._request())
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)
            due = max(due + self.period, SYSTEM_CLOCK.monotonic())
        await asyncio.gather(*self._requests)

    async def _request(self) -> None:
        started = SYSTEM_CLOCK.monotonic()
        try:
            async with self.session.get(self.system.path) as response:
                _ = await response.read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the request failed
            self._fail(type(error).__name__, str(error))
        else:
            if response.status != _OK:
                self._fail(f"HTTP {response.status}", "the refusal was the caller's answer")
        self._samples.append((started, SYSTEM_CLOCK.monotonic() - started))

    def _fail(self, kind: str, message: str) -> None:
        self._failures[kind] += 1
        if kind not in self._known:
            self._known.add(kind)
            self.tell(f"{self.system.name}: {kind}: {message[:_MESSAGE]}")

    def report(self, *, last: bool = False) -> list[object] | None:
        """Return what is new, as a message to the parent: none if there is nothing.

        Requests of the last moment are left for later: a change of token may still follow them.
        """
        until = SYSTEM_CLOCK.monotonic() - (0.0 if last else EDGE)
        told = [sample for sample in self._samples if last or sample[0] < until]
        if not told:
            return None
        self._samples = [sample for sample in self._samples if not (last or sample[0] < until)]
        every, edge = Latencies(), Latencies()
        for started, seconds in told:
            every.add(seconds)
            if is_at_edge(started, seconds, self._changes):
                edge.add(seconds)
        failures, self._failures = dict(self._failures), Counter()
        return ["batch", self.system.name, failures, every.pairs(), edge.pairs()]


def is_at_edge(started: float, seconds: float, changes: Iterable[float]) -> bool:
    """Tell whether a request started near a change of token, or waited for it."""
    return any(started - EDGE <= change <= started + max(seconds, EDGE) for change in changes)


async def _is_set_by(stop: asyncio.Event, due: float) -> bool:
    """Wait until a moment, or until told to stop: tell which."""
    with suppress(TimeoutError):
        async with asyncio.timeout(due - SYSTEM_CLOCK.monotonic()):
            await stop.wait()
    return stop.is_set()
