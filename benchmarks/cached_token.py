"""What does a token cost that is at hand and valid, per call?

`PYTHONPATH=tests python -m benchmarks.cached_token`, in the project's folder. The rivals are what people
write by hand, a variable with an expiry beside it, in front of a lock or behind it, and each other project's
own call for a token that it holds. All take turns in each round; a turn is some milliseconds of calls, one
after the other. The floor is what awaiting a coroutine costs that does nothing.

Aim: `TokenManager.token` at 200 ns or less.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, final

from asyncauth import Token, TokenManager
from asyncauth.schemes import ClientCredentials
from asyncauth_stores.memory import MemoryTokenStore
from benchmarks.contestants import found, in_turn
from benchmarks.contestants.redis_place import a_redis
from benchmarks.report import Report, shown, spread
from benchmarks.vendor import running_vendor

Calls = Callable[[int], Awaitable[object]]
"""Makes so many calls, one after the other."""

_FLOOR: Final = "an empty coroutine"
_OURS: Final = "TokenManager.token"
_BY_HAND: Final = "by hand: look, then lock"
_TURN: Final = 0.02
"""Seconds that a turn takes about."""
_MOST: Final = 50_000
_TOKEN: Final = "0123456789abcdef"
_URL: Final = "https://api.example.com"


@final
class ByHand:
    """The cache that services write for themselves."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._token = _TOKEN
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


async def _nothing() -> None:
    pass


def _calling(get: Callable[[], Awaitable[object]]) -> Calls:
    async def calls(count: int) -> None:
        for _ in range(count):
            await get()

    return calls


def _ours(manager: TokenManager, scheme: ClientCredentials) -> Mapping[str, Calls]:
    """Return our calls, as written in a service: nothing stands between."""

    async def token(count: int) -> None:
        for _ in range(count):
            await manager.token(scheme)

    async def with_min_ttl(count: int) -> None:
        for _ in range(count):
            await manager.token(scheme, min_ttl=60)

    return {_OURS: token, f"{_OURS}, min_ttl": with_min_ttl}


async def _ways(stack: AsyncExitStack) -> dict[str, Calls]:
    scheme = ClientCredentials(f"{_URL}/token", client_id="app", client_secret="app-secret", base_url=_URL)
    store = await stack.enter_async_context(MemoryTokenStore())
    manager = await stack.enter_async_context(TokenManager(store))
    await manager.put(scheme, Token(access_token=_TOKEN, expires_in=86_400))
    by_hand = ByHand()
    return {
        _FLOOR: _calling(_nothing),
        _BY_HAND: _calling(by_hand.looks_first),
        "by hand: lock, then look": _calling(by_hand.locks_first),
        **_ours(manager, scheme),
        **await _rivals(stack),
    }


async def _rivals(stack: AsyncExitStack) -> Mapping[str, Calls]:
    """Let each rival have a token, and return its call for it."""
    server = stack.enter_context(a_redis())
    vendor = await stack.enter_async_context(running_vendor(lifetime=86_400))
    names = ["oauth2_middleware", "azure_core", "httpx_auth_flow", "authlib_httpx", "msal_app"]
    ways = {}
    for name, contestant in found(names if server is None else [*names, "redis_recipe"]):
        place = vendor.place(store_url="memory://" if server is None else server.url)
        user = await stack.enter_async_context(contestant.opened(place))
        assert await user.token()
        if name == "msal_app":
            ways["MSAL, in the event loop"] = _blocking(user)
        ways[contestant.NAME] = _calling(user.token)
    return ways


def _blocking(user: Any) -> Calls:
    """Return MSAL's own call, which blocks: when it has the token, not for long."""
    application = user.application

    async def calls(count: int) -> None:
        for _ in range(count):
            application.acquire_token_for_client(["things"])

    return calls


async def _take_turn(calls: Calls, count: int) -> float:
    gc.collect()
    start = time.perf_counter()
    await calls(count)
    return (time.perf_counter() - start) / count * 1e9


async def _compare(ways: Mapping[str, Calls], rounds: int) -> Mapping[str, list[float]]:
    """Let all ways warm up, which tells how many calls make a turn; then let them take turns."""
    counts = {name: int(_TURN * 1e9 / await _take_turn(calls, 100)) for name, calls in ways.items()}
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in in_turn(ways, number):
            turns[name].append(await _take_turn(ways[name], min(max(counts[name], 10), _MOST)))
    return turns


def _result(taken: Sequence[float], by_hand: Sequence[float]) -> dict[str, Any]:
    ratios = [one / other for one, other in zip(taken, by_hand, strict=True)]
    return {"ns": spread(taken, 0), "ratio": spread(ratios, 2)}


def _show(report: Report) -> None:
    rows = [[name, shown(found["ns"]), shown(found["ratio"])] for name, found in report.results.items()]
    head = ["", "ns a call", "x of by hand"]
    report.table("a token at hand; medians, and quartiles in brackets", head, rows)
    report.aim("TokenManager.token, a token at hand: ns", report.results[_OURS]["ns"]["median"], 200)


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=50)
    async with AsyncExitStack() as stack:
        turns = await _compare(await _ways(stack), report.rounds)
    report.results |= {name: _result(taken, turns[_BY_HAND]) for name, taken in turns.items()}
    _show(report)
    report.write(seconds_per_turn=_TURN)


if __name__ == "__main__":
    asyncio.run(_main())
