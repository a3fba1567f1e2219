"""Fleets of processes that may be killed and stopped at any moment (`kill_worker`)."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, final

import attrs

from asyncauth import RefreshPolicy, TokenManager, open_store
from asyncauth.schemes import RefreshToken
from asyncauth.testing.emulators import OAuth2Emulator

HOUR = 3600.0
_PROGRAM = Path(__file__).with_name("kill_worker.py")
_PATIENCE = 60.0

Answer = Mapping[str, Any]


@final
@attrs.define(eq=False)
class Member:
    """One process, and the connection to it.

    Attributes:
        ended: Set when its connection ended, which the operating system closes for a killed one.
        pid: Once it is ready.
        told: Which events it has told of, each set at its first time.
    """

    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    pid: int = 0
    told: dict[str, asyncio.Event] = attrs.field(factory=dict)
    _writer: asyncio.StreamWriter | None = None
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)
    _answers: dict[int, asyncio.Future[Answer]] = attrs.field(factory=dict)

    def event(self, name: str) -> asyncio.Event:
        """Return what is set when it has told of an event."""
        return self.told.setdefault(name, asyncio.Event())

    def send(self, do: str, **details: object) -> asyncio.Future[Answer]:
        """Give a command; return its answer to come, which is cancelled if it ends before."""
        assert self._writer is not None
        number = next(self._numbers)
        self._writer.write(json.dumps({"number": number, "do": do, **details}).encode() + b"\n")
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        return answer

    async def ask(self, do: str, **details: object) -> Answer:
        """Give a command, and wait for its answer."""
        async with asyncio.timeout(_PATIENCE):
            return await self.send(do, **details)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def stopped(self) -> None:
        """Wait until the operating system says that it is stopped."""
        async with asyncio.timeout(_PATIENCE):
            while _state(self.pid) != "T":
                await asyncio.sleep(0.01)

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what it says, until it ends."""
        self._writer = writer
        with suppress(ConnectionError):
            while line := await reader.readline():
                self._hear(json.loads(line))
        for answer in self._answers.values():
            answer.cancel()
        self.ended.set()
        writer.close()

    def _hear(self, said: dict[str, Any]) -> None:
        if "event" in said:
            self.event(said["event"]).set()
        else:
            self._answers.pop(said.pop("answers")).set_result(said)


def _state(pid: int) -> str:
    # It follows the program's name, which is in brackets.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@final
@attrs.define(eq=False)
class Nursery:
    """The process that workers are forked from, and those workers."""

    members: list[Member] = attrs.field(factory=list)
    _port: int = 0
    _process: asyncio.subprocess.Process | None = None

    async def start(
        self,
        place: "Place",
        schemes: Sequence[Mapping[str, object]],
        policy: RefreshPolicy,
        kill_point: str = "",
    ) -> Member:
        """Start a worker, and wait until it is ready.

        Args:
            place: Where it shares tokens.
            schemes: Each with its `kind`, a class of `asyncauth.schemes`, and its `arguments`.
            policy: Its durations.
            kill_point: See `KillPoint.parse`.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        member = Member()
        setup = {
            "number": len(self.members),
            "port": self._port,
            "store": place.url,
            "key": place.key,
            "policy": attrs.asdict(policy),
            "schemes": list(schemes),
            "kill_point": kill_point,
        }
        self.members.append(member)
        self._process.stdin.write(json.dumps(setup).encode() + b"\n")
        async with asyncio.timeout(_PATIENCE):
            while not member.event("Ready").is_set():
                assert self._process.returncode is None, "the nursery ended: see what it wrote"
                await asyncio.sleep(0.002)
        return member

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = json.loads(await reader.readline())
        member = self.members[said["number"]]
        member.pid = said["pid"]
        await member.listen(reader, writer)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        for member in self.members:
            if member.pid and not member.ended.is_set():
                member.signal(signal.SIGKILL)
        process.kill()
        await process.wait()
        async with asyncio.timeout(_PATIENCE):
            for member in self.members:
                if member.pid:
                    await member.ended.wait()


@asynccontextmanager
async def a_nursery() -> AsyncIterator[Nursery]:
    """Open a nursery without workers. However it ends, they are killed."""
    nursery = Nursery()
    server = await asyncio.start_server(nursery._welcome, "127.0.0.1", 0, limit=2**20)
    async with server:
        nursery._port = server.sockets[0].getsockname()[1]
        nursery._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-Werror", str(_PROGRAM), stdin=asyncio.subprocess.PIPE
        )
        try:
            yield nursery
        finally:
            await nursery._end(process)


@final
@attrs.frozen
class Place:
    """A sealed store that several processes can open."""

    url: str
    key: str


@final
@attrs.frozen(kw_only=True)
class Kind:
    """A kind of credential (PROTOCOL.md, section 1), as a vendor for it and a scheme.

    Attributes:
        name: As in PROTOCOL.md.
        person: Whether only a person can authorize.
        reuse_window: Seconds for which a spent refresh token works again.
    """

    name: str
    person: bool = True
    reuse_window: float = 0.0

    def vendor(self) -> OAuth2Emulator:
        """Return a vendor of this kind, to be entered."""
        return OAuth2Emulator(access_lifetime=HOUR, reuse_window=self.reuse_window, record=False)

    def scheme(self, vendor: OAuth2Emulator, subject: str = "ada") -> dict[str, object]:
        """Return what a worker makes its scheme of."""
        arguments = {
            "token_url": str(vendor.token_url),
            "base_url": str(vendor.api_url),
            "client_id": "app",
            "client_secret": "app-secret",
        }
        if self.person:
            return {"kind": "RefreshToken", "arguments": {**arguments, "subject": subject}}
        return {"kind": "ClientCredentials", "arguments": {**arguments, "params": {"audience": subject}}}

    async def authorize(
        self, vendor: OAuth2Emulator, place: Place, policy: RefreshPolicy, subject: str = "ada"
    ) -> None:
        """Store a person's token, where one is needed, as a web application does."""
        if self.person:
            scheme = RefreshToken(
                vendor.token_url, client_id="app", client_secret="app-secret", subject=subject
            )
            async with open_store(place.url, key=place.key) as store:
                await TokenManager(store, policy=policy).put(scheme, vendor.authorize(subject))


LOGIN = Kind(name="N", person=False)
ONE_TIME = Kind(name="R")
ONE_TIME_WITH_WINDOW = Kind(name="Rg", reuse_window=HOUR)
KINDS = (LOGIN, ONE_TIME, ONE_TIME_WITH_WINDOW)
