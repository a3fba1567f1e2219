"""Stores on Redis for the conformance suite and for tests of single promises."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from asyncauth._errors import StoreUnavailableError
from asyncauth.abc import Snapshot, TokenStore
from asyncauth_stores import redis
from redis_servers import RedisServer


class RedisPlace:
    """Hands out stores on one server."""

    def __init__(self, make: Callable[..., TokenStore], **options: Any) -> None:
        self._make = make
        self._options = options

    def __call__(self, namespace: str = "asyncauth") -> AbstractAsyncContextManager[TokenStore]:
        return self._make(namespace=namespace, **self._options)


def granted(name: str, *, cluster: bool = False) -> list[list[str]]:
    """Return the commands that make a user, word for word as the guide for operators has them."""
    lines = re.findall(r"^    (ACL SETUSER .+(?:\n        .+)*)", str(redis.__doc__), re.MULTILINE)
    assert len(lines) == 2
    commands = [line.replace("app", name).split() for line in lines]
    return commands if cluster else commands[:1]


def grant(server: RedisServer, namespace: str) -> str:
    """Make the guide's user, and return a URL with it."""
    for command in granted(namespace):
        assert server.command(*command) == b"+OK\r\n"
    return server.url.replace("//", f"//{namespace}:password@")


async def another_incarnation(
    store: TokenStore, name: str, before: Snapshot, seconds: float = 20
) -> Snapshot:
    """Read as workers do, each time for half a second at most, until a fail-over shows."""
    async with asyncio.timeout(seconds):
        while True:
            with suppress(StoreUnavailableError, TimeoutError):
                async with asyncio.timeout(0.5):
                    found = await store.read(name)
                if found.incarnation != before.incarnation:
                    return found
            await asyncio.sleep(0.05)
