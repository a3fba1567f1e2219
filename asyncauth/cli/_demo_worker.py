"""One worker of the demo, as a process of its own: `python -m asyncauth.cli._demo_worker`.

Standard input brings one line of JSON with all that it needs, secrets included, then `go`; its end means
stop. Standard output brings messages to the parent, one JSON list per line.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, final

import aiohttp
import attrs

from asyncauth._events import (
    RenewalFailed,
    RenewalStarted,
    TokenAdopted,
    TokenDied,
    TokenEvent,
    TokenRefused,
    TokenRenewed,
)
from asyncauth._key import TokenKey
from asyncauth._manager import TokenManager
from asyncauth._open import open_store
from asyncauth._session import AuthSession
from asyncauth.cli._demo_policy import POLICY
from asyncauth.cli._demo_schemes import systems
from asyncauth.cli._demo_traffic import Traffic

_REPORT = 0.2
# Beyond a caller's patience, so that a request that nobody answers still counts as failed.
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=POLICY.wait + POLICY.request_timeout)


def tell(*message: object) -> None:
    """Send one message to the parent at once: it may be about to kill this process."""
    # Without a parent there is nobody to tell; the end of standard input says the rest.
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def note(text: str) -> None:
    """Send a line for people to the parent."""
    tell("note", text)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        bug = record.exc_info[1] if record.exc_info else None
        note(record.getMessage() + (f" ({bug!r})" if bug is not None else ""))


@final
@attrs.frozen
class Reporter:
    """Tells the parent of renewals, as they happen."""

    traffics: Mapping[TokenKey, Traffic]

    def hear(self, event: TokenEvent) -> None:
        """Take one event of the token manager."""
        traffic = self.traffics[event.key]
        match event:
            case RenewalStarted():
                tell("started", traffic.system.name)
            case TokenRenewed():
                tell("renewed", traffic.system.name, event.entry_id, event.mode)
                traffic.changed()
            case TokenAdopted():
                traffic.changed()
            case RenewalFailed() | TokenDied():
                tell("failed", traffic.system.name, f"{event.reason}: {event.message}")
            case TokenRefused():
                pass  # the request is sent once more; what becomes of it counts
            case _:
                note(f"{traffic.system.name}: {type(event).__name__}")

    def report(self, *, last: bool = False) -> None:
        """Tell what the requests of the last moments met."""
        for traffic in self.traffics.values():
            message = traffic.report(last=last)
            if message is not None:
                tell(*message)


async def _work() -> None:
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    line = await stdin.readline()
    if not line:
        return
    setup: dict[str, Any] = json.loads(line)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(setup["store"], **setup["options"]))
        traffics: dict[TokenKey, Traffic] = {}
        reporter = Reporter(traffics)
        stack.callback(reporter.report, last=True)
        manager = TokenManager(store, policy=POLICY, listener=reporter.hear)
        await stack.enter_async_context(manager)
        for system in systems(setup["systems"]):
            session = AuthSession(system.scheme, manager, timeout=_REQUEST_TIMEOUT)
            await stack.enter_async_context(session)
            traffics[system.scheme.key] = Traffic(system, session, setup["period"], note)
        tell("ready")
        if await stdin.readline():
            await _send_traffic(reporter, stdin, stop)


async def _send_traffic(reporter: Reporter, stdin: asyncio.StreamReader, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        ending = group.create_task(_stop_at_end(stdin, stop))
        reporting = group.create_task(_report_on(reporter))
        async with asyncio.TaskGroup() as traffic:
            for one in reporter.traffics.values():
                traffic.create_task(one.run(stop))
        ending.cancel()
        reporting.cancel()


async def _stop_at_end(stdin: asyncio.StreamReader, stop: asyncio.Event) -> None:
    _ = await stdin.read()
    stop.set()


async def _report_on(reporter: Reporter) -> None:
    while True:
        await asyncio.sleep(_REPORT)
        reporter.report()


def main() -> None:
    """Run one worker, from standard input to standard output."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Notes()])
    asyncio.run(_work())


if __name__ == "__main__":
    main()
