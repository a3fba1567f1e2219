"""One process of `edges`, `families` and `kills`: contestants have their users here.

`python -m benchmarks.edges_worker` is told what to do by `benchmarks.processes`.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, final

import attrs

from benchmarks import contestants
from benchmarks.contestants import Place, User
from benchmarks.processes import obey

_SAMPLE: Final = 0.025
"""Seconds between two looks at which token there is."""
_OVER: Final = 0.3
"""Seconds in which a renewal that nobody waits for is over."""


@final
@attrs.define(eq=False)
class Traffic:
    """What one contestant's users went through.

    Attributes:
        begun: When each request began, by `time.time()`.
        latencies: How long it took, in ms.
        failures: What went wrong, and how often.
        switches: When the process went over to another token: the last moment at which the old one was
            seen, and the first at which the new one was.
        watched: From when to when this is known.
    """

    user: User
    begun: list[float] = attrs.field(factory=list)
    latencies: list[float] = attrs.field(factory=list)
    failures: Counter[str] = attrs.field(factory=Counter)
    switches: list[tuple[float, float]] = attrs.field(factory=list)
    watched: tuple[float, float] = (0, 0)

    async def flow(self, first: float, every: float, end: float) -> None:
        """Send a request at each of the moments, but those at which the one before is not over."""
        moment = first
        while moment < end:
            await asyncio.sleep(moment - time.time())
            await self._send()
            while moment < time.time():
                moment += every

    async def _send(self) -> None:
        self.begun.append(round(time.time(), 5))
        start, row = time.perf_counter(), len(self.latencies)
        self.latencies.append(0)
        try:
            status = await self.user.send()
            if status != 200:
                self.failures[str(status)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failed request
            self.failures[type(error).__name__] += 1
        self.latencies[row] = round((time.perf_counter() - start) * 1000, 3)

    async def watch(self, start: float, end: float) -> None:
        """Note when the token becomes another one; a last time when what was begun before the end is over."""
        await asyncio.sleep(start - time.time())
        token, began = await self._token(), time.time()
        last = seen = began
        while seen < end:
            last = seen
            await asyncio.sleep(_SAMPLE if seen + _SAMPLE < end else end + _OVER - seen)
            found, seen = await self._token(), time.time()
            if found not in {token, ""}:
                self.switches.append((last, seen))
                token = found
        self.watched = (began, seen)

    async def _token(self) -> str:
        """Return the token; nothing if there is none, which the requests' failures tell of."""
        with suppress(Exception):
            return await self.user.token()
        return ""


@final
@attrs.define(eq=False)
class Worker:
    """A service."""

    _users: list[User] = attrs.field(factory=list)
    _stack: AsyncExitStack = attrs.field(factory=AsyncExitStack)

    async def open(self, runs: Sequence[Mapping[str, Any]], at: float) -> dict[str, Any]:
        """Have users ready, with a first token and a connection.

        Args:
            runs: Each with a `contestant` and a `place`.
            at: When to begin: tokens that are not shared are of the same age in all processes.
        """
        opened = [contestants.of(run["contestant"]).opened(Place(**run["place"])) for run in runs]
        await asyncio.sleep(at - time.time())
        for user in opened:
            self._users.append(await self._stack.enter_async_context(user))
        await asyncio.gather(*(user.send() for user in self._users), return_exceptions=True)
        return {}

    async def traffic(self, tasks: int, every: float, start: float, end: float) -> list[dict[str, Any]]:
        """Let each user have so many tasks, whose requests are spread over time; return what came of it."""
        traffics = [Traffic(user) for user in self._users]
        # Not in step with the other processes.
        first = start + every / tasks * random.random()  # noqa: S311
        flows = [
            traffic.flow(first + every * task / tasks, every, end)
            for traffic in traffics
            for task in range(tasks)
        ]
        await asyncio.gather(*flows, *(traffic.watch(start, end) for traffic in traffics))
        return [attrs.asdict(traffic, filter=attrs.filters.exclude("user")) for traffic in traffics]

    async def obtain(self, at: Sequence[float]) -> list[dict[str, Any]]:
        """Have each user want the token from a moment on; return when it was there, or why there is none."""
        return list(await asyncio.gather(*map(_obtained, self._users, at)))

    async def close(self) -> dict[str, Any]:
        """Let go of the users."""
        self._users.clear()
        await self._stack.aclose()
        return {}


async def _obtained(user: User, at: float) -> dict[str, Any]:
    await asyncio.sleep(at - time.time())
    try:
        await user.token()
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no token
        return {"error": type(error).__name__}
    return {"had_at": time.time()}


@asynccontextmanager
async def _working() -> AsyncIterator[Worker]:
    yield Worker()


if __name__ == "__main__":
    asyncio.run(obey(_working))
