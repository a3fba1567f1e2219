"""A Redis or Valkey server for those that share through one, with the tests' helpers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from redis_servers import RedisServer, binaries


@contextmanager
def a_redis() -> Iterator[RedisServer | None]:
    """Start a server, if this machine has one."""
    for binary in binaries().values():
        with RedisServer(binary) as server:
            yield server
        return
    print("without redis_recipe: no Redis or Valkey server", file=sys.stderr)
    yield None
