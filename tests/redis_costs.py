"""What renewals cost a Redis server, as it counts them itself (`INFO commandstats`)."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import final

import attrs

from asyncauth import RefreshPolicy
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from fleet_of_processes import HOUR, ProcessFleet, a_fleet_of_processes
from redis_servers import RedisServer

# Nothing is renewed before its end, and no heartbeat comes within the moment that a renewal takes.
_POLICY = RefreshPolicy(store_timeout=2, early_share=0.001, early_min=0.001)
_IN_SCRIPTS = {"get", "set", "del", "time", "info", "publish"}
_OWN = {"config", "config|resetstat"}
_TOGETHER = 4
"""Processes that start at once: more of them only wait for each other."""
_LIFE = 2.0
_CALM = 0.3
_PATIENCE = 30.0


@final
@attrs.frozen
class Costs:
    """Commands as they were sent, by name; what a script calls is not among them.

    Attributes:
        expiries: Of all processes together, for each expiry.
        requests: For all requests that were sent in between.
    """

    expiries: list[Mapping[str, int]]
    requests: Mapping[str, int]


@final
@attrs.frozen
class CountedFleet:
    """Processes that share one token through a server that counts."""

    vendor: OAuth2Emulator
    fleet: ProcessFleet
    server: RedisServer

    async def costs(self, expiries: int, requests: int = 100) -> Costs:
        """Let the token expire so often for all processes at once; then send requests from each."""
        each = [await self._expiry(last=left == 0) for left in reversed(range(expiries))]
        assert self.vendor.stats.token_calls == 1 + expiries, "more than one renewal for an expiry"
        self.server.command("CONFIG", "RESETSTAT")
        assert await self.fleet.request(requests) == []
        return Costs(each, await self._settled())

    async def _expiry(self, *, last: bool) -> Mapping[str, int]:
        # By the clock on the wall: the server's cannot be moved, and a worker that is an hour ahead of it
        # has every other one correct what it writes.
        await asyncio.sleep(_LIFE)
        self.vendor.access_lifetime = HOUR if last else _LIFE
        self.server.command("CONFIG", "RESETSTAT")
        await self.fleet.all_at_once("token")
        return await self._settled()

    async def _settled(self) -> Mapping[str, int]:
        """Return what was counted, once nothing has been added for a while."""
        seen, since = sent(self.server), time.monotonic()
        end = since + _PATIENCE
        while time.monotonic() - since < _CALM:
            assert time.monotonic() < end, f"the server gets no rest: {seen}"
            await asyncio.sleep(_CALM / 6)
            now = sent(self.server)
            seen, since = (seen, since) if now == seen else (now, time.monotonic())
        return seen


def sent(server: RedisServer) -> Mapping[str, int]:
    """Return what clients have sent since the last reset."""
    calls = Counter(server.calls())
    scripts = sum(calls[name] for name in ("eval", "evalsha"))
    assert calls["get"] <= scripts, "something reads records without a script"
    return {name: count for name, count in calls.items() if name not in _IN_SCRIPTS | _OWN}


def release(server: RedisServer) -> str:
    """Return the version of a server."""
    facts = dict(
        line.split(":", 1) for line in server.command("INFO", "server").decode().splitlines() if ":" in line
    )
    return facts.get("valkey_version") or facts["redis_version"]


@asynccontextmanager
async def a_counted_fleet(server: RedisServer, processes: int) -> AsyncIterator[CountedFleet]:
    """Start processes that have a token each, and rest."""
    key = KeyRing.generate().dump()
    async with (
        OAuth2Emulator(access_lifetime=_LIFE, record=False) as vendor,
        a_fleet_of_processes(vendor, server.url, key, _POLICY) as fleet,
    ):
        for started in range(0, processes, _TOGETHER):
            await fleet.start(min(_TOGETHER, processes - started))
        counted = CountedFleet(vendor, fleet, server)
        await fleet.all_at_once("token")
        await counted._settled()
        yield counted
