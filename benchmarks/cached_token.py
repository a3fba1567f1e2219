"""What does a token cost that is at hand and valid, per call?

`python -m benchmarks.cached_token`, in the project's folder. The rivals are what people write by hand: a
variable with an expiry beside it, in front of a lock or behind it. All take turns in each round.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import final

from asyncauth import Token, TokenManager
from asyncauth.schemes import ClientCredentials
from asyncauth_stores.memory import MemoryTokenStore
from benchmarks.report import Report, shown, spread

Get = Callable[[], Awaitable[object]]

_CALLS = 50_000
_URL = "https://api.example.com"


@final
class ByHand:
    """The cache that services write for themselves."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._token = "0123456789abcdef"
        self._expires_at = time.monotonic() + 86_400

    async def looks_first(self) -> str:
        """Look, then lock."""
        if time.monotonic() < self._expires_at:
            return self._token
        return await self.locks_first()

    async def locks_first(self) -> str:
        """Lock, then look."""
        async with self._lock:
            if time.monotonic() < self._expires_at:
                return self._token
            raise AssertionError("it lives for a day")


async def _take_turn(get: Get) -> float:
    gc.collect()
    start = time.perf_counter()
    for _ in range(_CALLS):
        await get()
    return (time.perf_counter() - start) / _CALLS * 1e6


async def _nothing() -> None:
    pass


async def _ways(stack: AsyncExitStack) -> Mapping[str, Get]:
    scheme = ClientCredentials(f"{_URL}/token", client_id="app", client_secret="app-secret", base_url=_URL)
    store = await stack.enter_async_context(MemoryTokenStore())
    manager = await stack.enter_async_context(TokenManager(store))
    await manager.put(scheme, Token(access_token="0123456789abcdef", expires_in=86_400))
    by_hand = ByHand()
    return {
        "an empty coroutine": _nothing,
        "by hand: look, then lock": by_hand.looks_first,
        "by hand: lock, then look": by_hand.locks_first,
        "TokenManager.token": lambda: manager.token(scheme),
        "TokenManager.token, min_ttl": lambda: manager.token(scheme, min_ttl=60),
    }


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=20)
    async with AsyncExitStack() as stack:
        ways = await _ways(stack)
        turns: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(-1, report.rounds):  # one round warms up
            for name, get in ways.items():
                turn = await _take_turn(get)
                if number >= 0:
                    turns[name].append(turn)
    report.results |= {name: spread(taken, 3) for name, taken in turns.items()}
    rows = [[name, shown(us)] for name, us in report.results.items()]
    report.table("a token at hand; medians, and quartiles in brackets", ["", "µs a call"], rows)
    report.write(calls_per_turn=_CALLS)


if __name__ == "__main__":
    asyncio.run(_main())
