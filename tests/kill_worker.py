"""Workers that are killed: `python kill_worker.py` forks one for each line of its standard input.

Each line is a worker's set-up as JSON. The worker connects to the port named there, says who it is, and
answers one command a line from then on; it ends with its connection. Forked, because a hundred of them
would spend a minute on importing the same modules.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs

# What stores and schemes import at first use is imported once, before the forks.
import asyncauth_stores.file
import asyncauth_stores.redis
from asyncauth import AuthError, AuthSession, RefreshPolicy, TokenEvent, TokenManager, open_store, schemes
from asyncauth.abc import AuthScheme
from asyncauth.testing import KillPoint
from asyncauth.testing.emulators import MovableClock

_IMPORTED = (asyncauth_stores.file, asyncauth_stores.redis)


@attrs.frozen
class Worker:
    """A service: a manager, and a session for each of its tokens."""

    clock: MovableClock
    manager: TokenManager
    sessions: Mapping[AuthScheme, AuthSession]

    async def obtain(self, which: int, at: float = 0) -> dict[str, Any]:
        """Get one of the tokens at a moment of the machine's clock, and send a request with it."""
        await asyncio.sleep(at - time.time())
        scheme, session = list(self.sessions.items())[which]
        try:
            await self.manager.token(scheme)
            had_at = time.time()
            async with session.get("things") as response:
                return {"had_at": had_at, "status": response.status}
        except AuthError as error:
            return {"error": type(error).__name__, "message": str(error)}

    async def advance(self, seconds: float) -> dict[str, Any]:
        """Let time go by for this process."""
        self.clock.advance(seconds)
        return {}


def _scheme(kind: str, arguments: Mapping[str, Any]) -> AuthScheme:
    scheme: AuthScheme = getattr(schemes, kind)(**arguments)
    return scheme


@asynccontextmanager
async def _working(setup: Mapping[str, Any], tell: "Telling") -> AsyncIterator[Worker]:
    def hear(event: TokenEvent) -> None:
        tell(event=type(event).__name__)

    point, clock = KillPoint.from_environment(), MovableClock()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(point.client())
        clocked = {"clock": clock} if setup["store"].startswith("file:") else {}
        opened = open_store(setup["store"], key=setup["key"], **clocked)
        store = await stack.enter_async_context(point.store(opened))
        policy = RefreshPolicy(**setup["policy"])
        manager = TokenManager(store, policy=policy, clock=clock, client=client, listener=hear)
        await stack.enter_async_context(manager)
        made = [_scheme(**one) for one in setup["schemes"]]
        sessions = {scheme: await stack.enter_async_context(AuthSession(scheme, manager)) for scheme in made}
        yield Worker(clock, manager, sessions)


class Telling:
    """Sends one line of JSON at a time."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def __call__(self, **facts: object) -> None:
        self._writer.write(json.dumps(facts).encode() + b"\n")


async def _serve(setup: Mapping[str, Any]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", setup["port"])
    tell = Telling(writer)
    tell(number=setup["number"], pid=os.getpid())
    tasks = set[asyncio.Task[None]]()

    async def obey(worker: Worker, number: int, do: str, **details: Any) -> None:
        answer = await getattr(worker, do)(**details)
        tell(answers=number, **answer)

    async with _working(setup, tell) as worker:
        tell(event="Ready")
        while line := await reader.readline():
            task = asyncio.create_task(obey(worker, **json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    writer.close()


def main() -> None:
    """Fork a worker for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that have ended
    for line in sys.stdin:
        setup = json.loads(line)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.environ["ASYNCAUTH_KILL_POINT"] = setup["kill_point"]
            asyncio.run(_serve(setup))
            os._exit(0)  # not into the loop over the parent's lines


if __name__ == "__main__":
    main()
