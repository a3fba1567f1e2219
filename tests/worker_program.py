"""One worker of a fleet: `python worker_program.py`, told what to do by `fleet_of_processes`.

Standard input brings the set-up as one line of JSON, then one command a line; standard output brings
one answer a line. SIGTERM ends it as it ends a service: it stops asking, and closes what it has open.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import attrs

from asyncauth import AuthSession, RefreshPolicy, TokenEvent, TokenManager, open_store, schemes
from asyncauth.abc import AuthScheme, Liveness, Snapshot, TokenStore
from asyncauth.testing.emulators import MovableClock

_CONNECTIONS = 16


class CountingStore(TokenStore):
    """Counts what a worker asks of its store.

    Attributes:
        calls: How often each operation was called.
    """

    def __init__(self, inner: TokenStore) -> None:
        super().__init__()
        self.namespace, self.name_key = inner.namespace, inner.name_key
        self.calls: Counter[str] = Counter()
        self._inner = inner

    async def read(self, name: str) -> Snapshot:
        self.calls["read"] += 1
        return await self._inner.read(name)

    async def write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None = None,
        wake: bool = True,
        replicated: bool = False,
    ) -> Snapshot:
        self.calls["write"] += 1
        return await self._inner.write(name, value, expected, keep=keep, wake=wake, replicated=replicated)

    async def changed(self, name: str, since: str, timeout: float) -> None:
        self.calls["changed"] += 1
        await self._inner.changed(name, since, timeout)

    async def follow(self, name: str, since: str, ring: Callable[[], object]) -> Callable[[], object]:
        self.calls["follow"] += 1
        return await self._inner.follow(name, since, ring)

    def keys(self) -> AsyncIterator[str]:
        return self._inner.keys()

    def hold(self, name: str, attempt: str) -> AbstractAsyncContextManager[None]:
        self.calls["hold"] += 1
        return self._inner.hold(name, attempt)

    async def is_held(self, name: str, attempt: str) -> Liveness:
        self.calls["is_held"] += 1
        return await self._inner.is_held(name, attempt)

    async def aclose(self) -> None:
        await super().aclose()
        await self._inner.aclose()


@attrs.frozen
class Worker:
    """A service: a manager on a store, and a session for each of its tokens."""

    clock: MovableClock
    store: CountingStore
    manager: TokenManager
    sessions: Mapping[AuthScheme, AuthSession]
    path: str
    events: list[tuple[str, float]]

    async def request(self, times: int, at: float) -> dict[str, Any]:
        """Send so many requests with each token, all at once, at a moment of the machine's clock."""
        await asyncio.sleep(at - time.time())
        failures: Counter[str] = Counter()
        sessions = [session for session in self.sessions.values() for _ in range(times)]
        await asyncio.gather(*(_get(session, self.path, failures) for session in sessions))
        return {"requests": len(sessions), "failures": failures}

    async def token(self, at: float) -> dict[str, Any]:
        """Get each token, and tell when the last one was there."""
        await asyncio.sleep(at - time.time())
        await asyncio.gather(*(self.manager.token(scheme) for scheme in self.sessions))
        return {"done_at": time.time()}

    async def advance(self, seconds: float) -> dict[str, Any]:
        """Let time go by for this process."""
        self.clock.advance(seconds)
        return {}

    async def facts(self) -> dict[str, Any]:
        """Tell what was asked of the store, and what happened to tokens when."""
        return {"calls": self.store.calls, "events": self.events}


async def _get(session: AuthSession, path: str, failures: Counter[str]) -> None:
    try:
        async with session.get(path) as response:
            response.raise_for_status()
            await response.read()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a failed request
        failures[f"{type(error).__name__}: {error}"] += 1


def _schemes(setup: Mapping[str, Any]) -> list[AuthScheme]:
    make, arguments = getattr(schemes, setup["scheme"]), with_customer(setup["arguments"])
    return [make(**arguments, **one) for one in setup["each"]]


def with_customer(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scheme's arguments with the one made that is no JSON value."""
    customer = arguments.get("customer")
    made = {} if customer is None else {"customer": schemes.CustomerLogin(**customer)}
    return {**arguments, **made}


@asynccontextmanager
async def _working(setup: Mapping[str, Any]) -> AsyncIterator[Worker]:
    clock, events, last_event = MovableClock(), list[tuple[str, float]](), setup["last_event"]

    def hear(event: TokenEvent) -> None:
        events.append((type(event).__name__, time.time()))
        if type(event).__name__ == last_event:
            os.kill(os.getpid(), signal.SIGKILL)

    async with AsyncExitStack() as stack:
        clocked = {"clock": clock} if setup["store"].startswith("file:") else {}
        opened = open_store(setup["store"], key=setup["key"], **clocked)
        store = await stack.enter_async_context(CountingStore(opened))
        policy = RefreshPolicy(**setup["policy"])
        manager = TokenManager(store, policy=policy, clock=clock, listener=hear)
        await stack.enter_async_context(manager)
        connector = await stack.enter_async_context(aiohttp.TCPConnector(limit=_CONNECTIONS))
        sessions = {
            scheme: await stack.enter_async_context(
                AuthSession(scheme, manager, connector=connector, connector_owner=False)
            )
            for scheme in _schemes(setup)
        }
        yield Worker(clock, store, manager, sessions, setup["path"], events)


async def _obey(stdin: asyncio.StreamReader) -> None:
    async with _working(json.loads(await stdin.readline())) as worker:
        _answer({"ready": True})
        while line := await stdin.readline():
            command = json.loads(line)
            _answer(await getattr(worker, command.pop("do"))(**command))


def _answer(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the parent listens


async def main() -> None:
    loop, stdin = asyncio.get_running_loop(), asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    work = asyncio.create_task(_obey(stdin))
    loop.add_signal_handler(signal.SIGTERM, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


if __name__ == "__main__":
    asyncio.run(main())
