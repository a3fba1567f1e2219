"""Fleets of real worker processes (`worker_program`), told what to do one line at a time."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, final

import attrs

from asyncauth import RefreshPolicy
from asyncauth.testing.emulators import Emulator, OAuth2Emulator

HOUR = 3600.0
_PROGRAM = Path(__file__).with_name("worker_program.py")
_START = 30.0
_ANSWER = 60.0
_END = 30.0
_TOGETHER = 0.05
"""Seconds until all have the command that they carry out at the same moment."""


@final
@attrs.frozen(eq=False)
class WorkerProcess:
    """One process, and the two pipes to it."""

    process: asyncio.subprocess.Process

    def send(self, do: str, **details: object) -> None:
        """Give a command, and do not wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")

    async def answer(self, seconds: float = _ANSWER) -> dict[str, Any]:
        """Wait for the answer to the oldest command that has none yet."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise AssertionError(f"worker {self.process.pid} gave no answer within {seconds:g} s") from None
        if not line:
            status = await self.ended()
            raise AssertionError(f"worker {self.process.pid} ended (status {status}) without an answer")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, do: str, **details: object) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self.send(do, **details)
        return await self.answer()

    async def request(self, times: int = 1) -> dict[str, int]:
        """Have it send so many requests at once; return the failures, and how many there were of each."""
        failures: dict[str, int] = (await self.ask("request", times=times, at=0))["failures"]
        return failures

    async def ended(self) -> int:
        """Wait for its end and return its status, which is negative for a signal."""
        try:
            async with asyncio.timeout(_END):
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"worker {self.process.pid} did not end within {_END:g} s") from None

    async def kill(self) -> None:
        """End it as `kill -9` does, and wait until it is gone."""
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()


@final
@attrs.frozen(eq=False)
class ProcessFleet:
    """Worker processes that share one store and one vendor.

    Attributes:
        vendor: Moved by `expire`, together with every worker's clock.
        workers: Those started, the ended ones too.
    """

    vendor: Emulator
    workers: list[WorkerProcess]
    _setup: Mapping[str, object]

    async def start(
        self, count: int = 1, *, subjects: Sequence[str] = (), last_event: str = ""
    ) -> list[WorkerProcess]:
        """Start more workers.

        Args:
            count: How many.
            subjects: Whose tokens they use; nobody's for one token of the service itself.
            last_event: Kill them on the spot when they hear of this.
        """
        setup = {**self._setup, "last_event": last_event}
        if subjects:
            setup |= {"scheme": "RefreshToken", "each": [{"subject": subject} for subject in subjects]}
        new = await asyncio.gather(*(self._start(setup) for _ in range(count)))
        for worker in new:
            assert await worker.answer(_START) == {"ready": True}
        return new

    async def _start(self, setup: Mapping[str, object]) -> WorkerProcess:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-Werror", str(_PROGRAM), stdin=pipe, stdout=pipe
        )
        worker = WorkerProcess(process)
        self.workers.append(worker)
        assert process.stdin is not None
        process.stdin.write(json.dumps(setup).encode() + b"\n")
        return worker

    async def all(self, do: str, **details: object) -> list[dict[str, Any]]:
        """Have all living workers do something, and return their answers."""
        living = [worker for worker in self.workers if worker.process.returncode is None]
        return list(await asyncio.gather(*(worker.ask(do, **details) for worker in living)))

    async def all_at_once(self, do: str, **details: object) -> list[dict[str, Any]]:
        """Have all living workers do something at the same moment, and return their answers."""
        return await self.all(do, at=time.time() + _TOGETHER, **details)

    async def request(self, times: int) -> list[dict[str, int]]:
        """Have each send so many requests with each of its tokens, all at once; return the failures."""
        answers = await self.all_at_once("request", times=times)
        return [answer["failures"] for answer in answers if answer["failures"]]

    async def expire(self, seconds: float = HOUR) -> None:
        """Let the time go by after which tokens expire, for the vendor and for every worker."""
        self.vendor.clock.advance(seconds)
        await self.all("advance", seconds=seconds)


@asynccontextmanager
async def a_fleet_of_processes(
    vendor: OAuth2Emulator, store: str, key: str, policy: RefreshPolicy
) -> AsyncIterator[ProcessFleet]:
    """Open a fleet for a service's own token, without workers yet. However it ends, they are killed."""
    arguments = {
        "token_url": str(vendor.token_url),
        "base_url": str(vendor.api_url),
        "client_id": "app",
        "client_secret": "app-secret",
    }
    job = Job("ClientCredentials", arguments, "/things")
    async with a_fleet_at_work(job, vendor, store, key, policy) as fleet:
        yield fleet


@final
@attrs.frozen
class Job:
    """What the workers of a fleet do.

    Attributes:
        scheme: A class of `asyncauth.schemes`.
        arguments: What it is made with, as JSON values.
        path: What they ask for.
        advance: Seconds after which a token has surely expired.
    """

    scheme: str
    arguments: Mapping[str, Any]
    path: str
    advance: float = HOUR


@asynccontextmanager
async def a_fleet_at_work(
    job: Job, vendor: Emulator, store: str, key: str, policy: RefreshPolicy
) -> AsyncIterator[ProcessFleet]:
    """Open a fleet for any scheme, without workers yet. However it ends, they are killed."""
    setup = {
        "store": store,
        "key": key,
        "policy": attrs.asdict(policy),
        "scheme": job.scheme,
        "arguments": job.arguments,
        "each": [{}],
        "path": job.path,
    }
    fleet = ProcessFleet(vendor, [], setup)
    try:
        yield fleet
    finally:
        for worker in fleet.workers:
            await worker.kill()
