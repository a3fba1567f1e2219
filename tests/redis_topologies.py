"""Several real servers together, for tests, with fail-over: on loopback, always ended.

`SentinelSet` (redis_sentinels.py): one primary, one replica, one to three Sentinels. `ClusterSet`
(redis_clusters.py): three primaries with a replica each. The fixtures `sentinels` and `cluster` hand out
healed and empty ones. Both are context managers, start within a few seconds, and have

- `url` for `open_store`;
- `primary` and `replica` (of a Cluster: `primary_of(key)`, `replica_of(key)`): `RedisServer`s, as the servers
  themselves see it now;
- `kill_primary()` (of a Cluster: of a key) crashes the primary and returns it at once: the others notice
  after about a second. `primary.pause()` is a crash that its clients do not see;
- `wait_for_another(server)`: until another server than this one is the primary, and takes writes;
- `fail_over()` has the replica promoted in order, without a crash, and returns the new primary;
- `heal()`: starts what was killed, lets go on what was paused, and waits until every replica is in step.

Keys of a store are `<namespace>:{<name>}`; a Cluster's methods take them as they are, and of a name too.
"""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from redis_servers import RedisServer

FAIL_OVER = 20.0
"""Seconds that a fail-over may take, on a busy machine."""
_ONCE = Retry(NoBackoff(), 0)


def asked(server: RedisServer, *words: str | int) -> object:
    """Send one command, and return its answer as redis-py reads it; none while it cannot be asked."""
    try:
        with Redis(
            port=server.port, retry=_ONCE, socket_timeout=1, protocol=2, decode_responses=True
        ) as client:
            return client.execute_command(*words)
    except RedisError:
        return None


def info(server: RedisServer) -> str:
    """Return what a server says of its replication; nothing while it cannot be asked."""
    try:
        return server.command("INFO", "replication").decode()
    except OSError:
        return ""


def follows(server: RedisServer) -> bool:
    """Return whether a server is a replica that is in step."""
    return "master_link_status:up" in info(server)


class Group:
    """Servers that are started one after the other, and ended together."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        raise NotImplementedError
