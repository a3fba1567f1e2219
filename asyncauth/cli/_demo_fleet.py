"""The demo's worker processes: started, listened to, and ended whatever happens."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Any, final

import attrs

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth.cli._demo_report import Score

_LAST_WORDS = 5


@final
@attrs.define(eq=False, kw_only=True)
class Member:
    """One worker process.

    Attributes:
        number: From 1.
        process: The process.
        ready: Set when it waits for the word to go.
        under_way: Token calls that it has begun and not told the end of, by system.
        expected_end: Whether it was told to end, or killed.
        last_words: The end of its standard error.
    """

    number: int
    process: Process
    ready: asyncio.Event = attrs.field(factory=asyncio.Event)
    under_way: Counter[str] = attrs.field(factory=Counter)
    expected_end: bool = False
    last_words: deque[str] = attrs.field(factory=lambda: deque(maxlen=_LAST_WORDS))

    def send(self, line: str) -> None:
        """Write one line to it."""
        if self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(line.encode() + b"\n")

    def stop(self) -> None:
        """Have it end in its own time: send what was begun, and no more."""
        self.expected_end = True
        if self.process.stdin is not None:
            self.process.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def kill(self) -> None:
        """End it at once, as nothing can prevent."""
        self.expected_end = True
        self.signal(signal.SIGKILL)
        _ = await self.process.wait()


@final
@attrs.define(eq=False)
class Fleet:
    """All workers, and what they say.

    Attributes:
        score: Where it is counted.
        members: The processes, ended ones included.
        last_renewer: Who renewed last, by system.
        renewed_at: When that was, on the local clock.
        renewed: Set at each renewal.
    """

    score: Score
    members: list[Member] = attrs.field(factory=list)
    last_renewer: dict[str, int] = attrs.field(factory=dict)
    renewed_at: dict[str, float] = attrs.field(factory=dict)
    renewed: asyncio.Event = attrs.field(factory=asyncio.Event)
    _listening: list[asyncio.Task[None]] = attrs.field(factory=list)

    async def start(self, count: int, setup: dict[str, Any]) -> None:
        """Start workers, and wait until each is ready for traffic, or has ended."""
        for number in range(1, count + 1):
            await self._start_one(number, setup)
        waiting = [asyncio.create_task(member.ready.wait()) for member in self.members]
        await asyncio.gather(*waiting)

    async def _start_one(self, number: int, setup: dict[str, Any]) -> None:
        # -P: nothing is imported from the working folder. A process group of its own: Ctrl-C at the
        # terminal is the parent's to handle.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "asyncauth.cli._demo_worker"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            process_group=0,
        )
        member = Member(number=number, process=process)
        self.members.append(member)
        member.send(json.dumps(setup))
        self._listening.append(asyncio.create_task(self._listen(member)))

    def go(self) -> None:
        """Have all workers begin."""
        for member in self.members:
            member.send("go")

    async def stop(self, patience: float) -> None:
        """Have all workers end in their own time, and hear them out."""
        for member in self.members:
            member.stop()
        _, late = await asyncio.wait(self._listening, timeout=patience)
        if late:
            self.score.problems.append(f"{len(late)} workers did not end within {patience:g} s")

    async def end(self) -> None:
        """Leave no process behind."""
        for member in self.members:
            await member.kill()
        for listening in self._listening:
            listening.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)

    def under_way(self) -> Counter[str]:
        """Return how many token calls are being answered, by system."""
        living = (member for member in self.members if not member.expected_end)
        return sum((member.under_way for member in living), Counter[str]())

    async def more_entries(self, system: str, before: int) -> None:
        """Wait until more tokens of a system were stored than before."""
        while len(self.score.tallies[system].entries) <= before:
            self.renewed.clear()
            _ = await self.renewed.wait()

    def age(self, system: str) -> float:
        """Return for how many seconds a system's token has been in use."""
        return SYSTEM_CLOCK.monotonic() - self.renewed_at.get(system, -inf)

    async def _listen(self, member: Member) -> None:
        stdout, stderr = member.process.stdout, member.process.stderr
        assert stdout is not None  # noqa: S101 - it was asked for
        assert stderr is not None  # noqa: S101 - it was asked for
        await asyncio.gather(self._hear(member, stdout), _keep_last_words(member, stderr))
        status = await member.process.wait()
        member.ready.set()
        if not member.expected_end or status not in {0, -signal.SIGKILL}:
            words = " / ".join(member.last_words)
            self.score.problems.append(f"worker {member.number} ended by itself, status {status}: {words}")

    async def _hear(self, member: Member, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            # The last line of a killed process may be cut.
            with suppress(ValueError):
                self._take(member, json.loads(line))

    def _take(self, member: Member, message: list[Any]) -> None:
        match message:
            case ["started", system]:
                member.under_way[system] += 1
            case ["renewed", system, entry, mode]:
                member.under_way[system] = 0
                self.last_renewer[system] = member.number
                self.renewed_at[system] = SYSTEM_CLOCK.monotonic()
                self.score.take(system, entry, mode)
                self.renewed.set()
            case ["failed", system, words]:
                member.under_way[system] = 0
                self.score.note(f"worker {member.number}, {system}: {words}")
            case ["batch", system, failures, every, edge]:
                tally = self.score.tallies[system]
                tally.failures.update(failures)
                tally.every.merge(every)
                tally.edge.merge(edge)
            case ["note", text]:
                self.score.note(f"worker {member.number}: {text}")
            case _:
                member.ready.set()


async def _keep_last_words(member: Member, lines: asyncio.StreamReader) -> None:
    async for line in lines:
        member.last_words.append(line.decode(errors="replace").strip())


@asynccontextmanager
async def running_fleet(score: Score) -> AsyncIterator[Fleet]:
    """Give a fleet that ends with the block: also its workers that are still running."""
    fleet = Fleet(score)
    try:
        yield fleet
    finally:
        await fleet.end()
