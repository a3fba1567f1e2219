"""What does a shared token cost per request, against a header that is set by hand?

`python -m benchmarks.overhead`, in the project's folder. Each way of putting the same header on a request
has a client session of its own; all send to one server in another process. In each round all ways take
a short turn, in another order each time; a ratio compares with `headers=` per call of the same round, so
that what else the machine does meets both alike. Processor time is this process' own, without the
server's. The garbage collector runs as usual, and is run by hand before each round.

Aim: `AuthSession` and `AuthMiddleware` at 1.02 or less.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import Any, final

import aiohttp
import attrs

from asyncauth import AuthMiddleware, AuthSession, Token, TokenManager
from asyncauth.schemes import ClientCredentials
from asyncauth_stores.memory import MemoryTokenStore
from benchmarks.report import Report, shown, spread
from benchmarks.responder import running_responder

Send = Callable[[], Awaitable[None]]

_BASE = "headers= per call"
_TOKEN = "0123456789abcdef" * 4
_PATH = "/things"
_REQUESTS = {1: 50, 64: 256}
"""By how many are under way at once: how many requests make a turn."""


@final
@attrs.frozen
class Turn:
    """What one request took on the average of a turn, in microseconds."""

    wall: float
    cpu: float


async def _ways(url: str, stack: AsyncExitStack) -> Mapping[str, Send]:
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    scheme = ClientCredentials(f"{url}/token", client_id="app", client_secret="app-secret", base_url=url)
    store = await stack.enter_async_context(MemoryTokenStore())
    manager = await stack.enter_async_context(TokenManager(store))
    await manager.put(scheme, Token(access_token=_TOKEN, expires_in=86_400))

    async def client(**options: Any) -> aiohttp.ClientSession:
        return await stack.enter_async_context(aiohttp.ClientSession(**options))

    bare, shared = await client(), await stack.enter_async_context(AuthSession(scheme, manager))
    ways = {
        _BASE: _sender(lambda: bare.get(url + _PATH, headers=headers)),
        "session default headers": _getter(await client(headers=headers), url),
        "one middleware that sets it": _getter(await client(middlewares=[_setting(headers)]), url),
        "AuthMiddleware": _getter(await client(middlewares=[AuthMiddleware(scheme, manager)]), url),
        "AuthSession": _sender(lambda: shared.get(_PATH)),
    }
    if (rival := await _rival(url, stack)) is not None:
        ways["aiohttp-oauth2-client"] = _getter(await client(middlewares=[rival]), url)
    return ways


def _getter(client: aiohttp.ClientSession, url: str) -> Send:
    return _sender(lambda: client.get(url + _PATH))


def _sender(get: Callable[[], Any]) -> Send:
    async def send() -> None:
        async with get() as response:
            await response.read()

    return send


def _setting(headers: Mapping[str, str]) -> aiohttp.ClientMiddlewareType:
    """Return the least that a middleware can do."""

    async def setting(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["Authorization"] = headers["Authorization"]
        return await handler(request)

    return setting


async def _rival(url: str, stack: AsyncExitStack) -> aiohttp.ClientMiddlewareType | None:
    """Return another project's middleware with the same token, if that project is installed."""
    if find_spec("aiohttp_oauth2_client") is None:
        return None
    grants: Any = import_module("aiohttp_oauth2_client.grant.client_credentials")
    middlewares: Any = import_module("aiohttp_oauth2_client.middleware")
    token = {"access_token": _TOKEN, "token_type": "Bearer", "expires_in": 86_400}
    grant = grants.ClientCredentialsGrant(f"{url}/token", "app", "app-secret", token)
    middleware: aiohttp.ClientMiddlewareType = middlewares.OAuth2Middleware(grant)
    await stack.enter_async_context(grant)
    return middleware


async def _take_turn(send: Send, at_once: int, requests: int) -> Turn:
    async def some() -> None:
        for _ in range(requests // at_once):
            await send()

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some() for _ in range(at_once)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Turn(wall / requests * 1e6, cpu / requests * 1e6)


async def _compare(ways: Mapping[str, Send], at_once: int, rounds: int) -> Mapping[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(-2, rounds):  # two rounds warm up
        gc.collect()
        start = number % len(names)
        for name in (*names[start:], *names[:start]):
            turn = await _take_turn(ways[name], at_once, _REQUESTS[at_once])
            if number >= 0:
                turns[name].append(turn)
    return turns


def _results(turns: Mapping[str, list[Turn]]) -> Iterator[tuple[str, dict[str, Any]]]:
    base = turns[_BASE]
    for name, taken in turns.items():
        pairs = list(zip(taken, base, strict=True))
        yield (
            name,
            {
                "us": spread([turn.wall for turn in taken], 1),
                "cpu_us": spread([turn.cpu for turn in taken], 1),
                "ratio": spread([turn.wall / by_hand.wall for turn, by_hand in pairs], 4),
                "cpu_ratio": spread([turn.cpu / by_hand.cpu for turn, by_hand in pairs], 4),
            },
        )


def _show(report: Report, at_once: int, results: Mapping[str, dict[str, Any]]) -> None:
    columns = ("us", "cpu_us", "ratio", "cpu_ratio")
    rows = [[name, *(shown(result[column]) for column in columns)] for name, result in results.items()]
    head = ["", "µs a request", "CPU µs", "ratio", "CPU ratio"]
    report.table(f"{at_once} at a time; medians, and quartiles in brackets", head, rows)


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=200)
    async with running_responder() as url, AsyncExitStack() as stack:
        ways = await _ways(url, stack)
        for at_once in _REQUESTS:
            of_these = dict(_results(await _compare(ways, at_once, report.rounds)))
            _show(report, at_once, of_these)
            report.results[f"{at_once} at a time"] = of_these
    report.write(requests_per_turn=_REQUESTS)


if __name__ == "__main__":
    asyncio.run(_main())
