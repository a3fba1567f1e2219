"""What a local server spends on what a fleet asks of it: by its own count of its processor time and memory.

Processor time, not speed: how fast this machine answers while it also asks says nothing of a server that
has a machine to itself. A server works in one thread, so a second of its time is all there is in a second.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, final

from redis.asyncio import Redis

from asyncauth import RefreshPolicy, Token, TokenManager, open_store
from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._ledger import Ledger
from asyncauth.schemes import RefreshToken
from asyncauth_stores.sealed import KeyRing
from benchmarks.operations import commit, grant, renew
from redis_costs import sent
from redis_servers import RedisServer, until

_FOLLOWED: Final = 5
"""Renewals that somebody follows: what they send is counted, and the same each time."""
_CONNECTIONS: Final = 100
_CHANNELS: Final = [f"asyncauth:{{{number:096x}}}:changed" for number in range(50)]
_VERSION: Final = "0" * 32
_CALM: Final = 0.2


async def measured(server: RedisServer, count: int, policy: RefreshPolicy) -> dict[str, float]:
    """Return what a server can tell of `scale_model.Costs`.

    Args:
        server: An empty one that runs.
        count: How many times to do what is timed.
        policy: Of the workers.
    """
    async with AsyncExitStack() as stack:
        key = KeyRing.generate().dump()
        store, other = [await stack.enter_async_context(open_store(server.url, key=key)) for _ in range(2)]
        scheme = RefreshToken("https://api.example.com", client_id="app", client_secret="s", subject="a")
        name, ledger = store.name(scheme.key), Ledger(store, SYSTEM_CLOCK, policy)
        async with TokenManager(other, policy=policy) as manager:
            await manager.put(scheme, Token(access_token="a" * 64, refresh_token="r" * 64, expires_in=3600))
            following = await _following(server, ledger, name, policy)
        read_us = await _thread_us(server, partial(store.read, name), count)
        renewal_us = await _thread_us(server, partial(renew, ledger, name, policy), count)
    written = {"read_us": read_us, "write_us": (renewal_us - read_us) / 2}
    async with Redis(port=server.port) as client:
        return following | written | await _listening(server, client, count)


async def _following(
    server: RedisServer, ledger: Ledger, name: str, policy: RefreshPolicy
) -> dict[str, float]:
    """Count what a renewal has a worker send that follows the record, and how often it is told."""
    await renew(ledger, name, policy)
    await asyncio.sleep(_CALM)
    server.command("CONFIG", "RESETSTAT")
    for _ in range(_FOLLOWED):
        base = await grant(ledger, name, policy)
        await asyncio.sleep(_CALM)
        await commit(ledger, name, base, policy)
        await asyncio.sleep(_CALM)
    own, all_sent = 3, sum(sent(server).values())
    return {
        "following": all_sent / _FOLLOWED - own,
        "messages": server.calls()["publish"] / _FOLLOWED,
    }


async def _listening(server: RedisServer, client: Redis, count: int) -> dict[str, float]:
    """Measure connections, subscriptions, and messages to many."""
    loop, sinks = asyncio.get_running_loop(), list[asyncio.Transport]()
    ping_us = await _thread_us(server, client.ping, count)
    empty = _memory(server)
    for _ in range(_CONNECTIONS):
        sinks.append((await loop.create_connection(_Sink, "127.0.0.1", server.port))[0])
    await asyncio.sleep(_CALM)
    connected = _memory(server)
    for sink in sinks:
        sink.write(f"SUBSCRIBE {' '.join(_CHANNELS)}\r\n".encode())
    await until(lambda: _listeners(server) == _CONNECTIONS)
    await asyncio.sleep(_CALM)
    subscribed = _memory(server)
    publish = partial(client.publish, _CHANNELS[0], _VERSION)
    publish_us = await _thread_us(server, publish, max(count // _CONNECTIONS, 1))
    for sink in sinks:
        sink.abort()
    return {
        "ping_us": ping_us,
        "message_us": publish_us / _CONNECTIONS,
        "connection": (connected - empty) / _CONNECTIONS,
        "subscription": (subscribed - connected) / _CONNECTIONS / len(_CHANNELS),
    }


@final
class _Sink(asyncio.Protocol):
    """Takes what comes."""


def _listeners(server: RedisServer) -> int:
    return int(server.command("PUBSUB", "NUMSUB", _CHANNELS[-1]).rpartition(b":")[2])


async def _thread_us(server: RedisServer, work: Callable[[], Awaitable[object]], count: int) -> float:
    """Return the microseconds of the server's thread that something takes, one after the other."""
    before = _thread(server)
    for _ in range(count):
        await work()
    return (_thread(server) - before) / count * 1e6


def _thread(server: RedisServer) -> float:
    found = re.findall(rb"used_cpu_(?:sys|user)_main_thread:([0-9.]+)", server.command("INFO", "cpu"))
    return sum(map(float, found))


def _memory(server: RedisServer) -> int:
    [used] = re.findall(rb"used_memory:([0-9]+)", server.command("INFO", "memory"))
    return int(used)
