"""A real Sentinel set-up for tests: see redis_topologies.py."""

from collections.abc import Iterable
from pathlib import Path

from redis_servers import RedisServer, wait_for
from redis_topologies import FAIL_OVER, Group, asked, follows, info

SERVICE = "tokens"
"""The name under which Sentinels know the primary."""
_DOWN_AFTER = 1200
"""Milliseconds. A Sentinel connects again once a second: with less it takes for dead what it only lost."""


class SentinelServer(RedisServer):
    """One Sentinel. It watches a primary that has its replica already."""

    def __init__(self, binary: Path, primary: RedisServer, quorum: int, *lines: str) -> None:
        super().__init__(binary)
        self._lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER}",
            f"sentinel failover-timeout {SERVICE} 2000",
            *lines,
        )

    def _program(self, place: Path) -> list[str]:
        settings = place / "sentinel.conf"
        if not settings.exists():
            settings.write_text("\n".join((f"dir {place}", *self._lines, "")))
        return [str(self._binary), str(settings), "--sentinel"]


class SentinelSet(Group):
    """One primary, one replica, and Sentinels that watch them.

    Args:
        binary: The server's program.
        sentinels: How many.
        lines: More lines of the Sentinels' settings.
        options: More settings of the two servers.
    """

    def __init__(
        self, binary: Path, sentinels: int = 1, lines: Iterable[str] = (), options: Iterable[str] = ()
    ) -> None:
        super().__init__()
        more = ("--repl-diskless-sync-delay", "0", "--repl-diskless-sync", "yes", *options)
        self.servers = [RedisServer(binary, *more) for _ in range(2)]
        quorum = sentinels // 2 + 1
        self.sentinels = [SentinelServer(binary, self.servers[0], quorum, *lines) for _ in range(sentinels)]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{SERVICE}/0"

    @property
    def primary(self) -> RedisServer:
        """The server that the first Sentinel names."""
        named = asked(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        assert isinstance(named, (list, tuple)), "the Sentinel does not answer"
        return next(server for server in self.servers if server.port == int(named[1]))

    @property
    def replica(self) -> RedisServer:
        """The other server."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def kill_primary(self) -> RedisServer:
        """Crash the primary, and return it; the Sentinels promote the replica by themselves."""
        primary = self.primary
        primary.kill()
        return primary

    def fail_over(self) -> RedisServer:
        """Have the replica promoted in order, and return it once it takes writes.

        The old primary takes writes too for some ten seconds, until a Sentinel tells it: they get lost.
        """
        primary = self.primary
        asked(self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)
        return self.wait_for_another(primary)

    def wait_for_another(self, server: RedisServer) -> RedisServer:
        """Wait until another server is the primary, and return it."""
        wait_for(lambda: self.primary is not server, "another primary", FAIL_OVER)
        primary = self.primary
        wait_for(lambda: "role:master" in info(primary), "a primary that takes writes")
        return primary

    def heal(self) -> None:
        """Start or let go on whatever does not run, with the present primary's data, and wait for it."""
        # A server that comes back during a fail-over is promoted or demoted by it.
        wait_for(lambda: all(map(_is_at_rest, self.sentinels)), "the end of the fail-over", FAIL_OVER)
        primary = self.primary
        for server in (primary, *self.servers):
            server.resume()
            if not server.running:
                follow = () if server is primary else ("--replicaof", "127.0.0.1", str(primary.port))
                server.start(*follow)
        replica = self.replica
        if "role:slave" not in info(replica):
            # By itself a Sentinel does it some ten seconds later.
            asked(replica, "REPLICAOF", "127.0.0.1", primary.port)
        wait_for(lambda: follows(replica), "the replica in step")
        wait_for(self._settled, "the Sentinels in agreement", FAIL_OVER)

    def _settled(self) -> bool:
        return all(
            _fields(sentinel, "MASTER")["flags"] == "master"
            and _fields(sentinel, "REPLICAS")["flags"] == "slave"
            for sentinel in self.sentinels
        )

    def _start(self) -> None:
        primary, replica = self.servers
        self._stack.enter_context(primary)
        self._stack.enter_context(replica)
        asked(replica, "REPLICAOF", "127.0.0.1", primary.port)
        # A Sentinel that finds no replica at once looks again ten seconds later.
        wait_for(lambda: follows(replica), "the replica in step")
        for sentinel in self.sentinels:
            self._stack.enter_context(sentinel)
        wait_for(self._complete, "Sentinels that know each other and the replica")

    def _complete(self) -> bool:
        return all(_knows(sentinel, len(self.sentinels) - 1) for sentinel in self.sentinels)


def _fields(sentinel: RedisServer, kind: str) -> dict[str, str]:
    """Return what a Sentinel knows of the primary (`MASTER`) or its replica (`REPLICAS`)."""
    found = asked(sentinel, "SENTINEL", kind, SERVICE)
    if isinstance(found, list) and found and isinstance(found[0], list):
        found = found[0]
    fields = found if isinstance(found, list) else []
    return {"flags": "", **dict(zip(fields[::2], fields[1::2], strict=True))}


def _is_at_rest(sentinel: RedisServer) -> bool:
    flags = _fields(sentinel, "MASTER")["flags"].split(",")
    return "failover_in_progress" not in flags and "force_failover" not in flags


def _knows(sentinel: RedisServer, others: int) -> bool:
    """Return whether a Sentinel knows the others, and a replica that it can promote."""
    known = _fields(sentinel, "MASTER").get("num-other-sentinels")
    return known == str(others) and _fields(sentinel, "REPLICAS").get("master-link-status") == "ok"
