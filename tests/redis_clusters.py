"""A real Cluster for tests: see redis_topologies.py."""

from collections.abc import Iterable
from pathlib import Path

from redis.crc import key_slot

from redis_servers import RedisServer, free_port, wait_for
from redis_topologies import FAIL_OVER, Group, asked, info

_SHARDS = 3
_BUS = 10_000


class ClusterSet(Group):
    """Three primaries with one replica each.

    Args:
        binary: The server's program.
        options: More settings of every server.
    """

    def __init__(self, binary: Path, options: Iterable[str] = ()) -> None:
        super().__init__()
        settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        more = ("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0", *options)
        self.servers = [_ClusterServer(binary, *settings, *more) for _ in range(2 * _SHARDS)]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:_SHARDS])
        return f"redis+cluster://{places}"

    def shard_of(self, key: str) -> list[RedisServer]:
        """Return the primary of a key, then its replicas, as most servers see it that can be asked."""
        slot = key_slot(key.encode())
        views = [shard for server in self.servers for shard in [_owners(server, slot)] if shard]
        assert views, "no server of the Cluster answers"
        by_port = {server.port: server for server in self.servers}
        return [by_port[port] for port in max(views, key=views.count)]

    def primary_of(self, key: str) -> RedisServer:
        """Return the primary of a key's slot."""
        return self.shard_of(key)[0]

    def replica_of(self, key: str) -> RedisServer:
        """Return the replica of a key's slot."""
        return self.shard_of(key)[1]

    def kill_primary(self, key: str) -> RedisServer:
        """Crash the primary of a key's slot, and return it; its replica takes over by itself."""
        primary = self.primary_of(key)
        primary.kill()
        return primary

    def fail_over(self, key: str) -> RedisServer:
        """Have the replica of a key's slot promoted in order, and return it once it takes writes."""
        primary = self.primary_of(key)
        asked(self.replica_of(key), "CLUSTER", "FAILOVER")
        return self.wait_for_another(primary, key)

    def wait_for_another(self, server: RedisServer, key: str) -> RedisServer:
        """Wait until another server is the primary of a key's slot and the Cluster is whole again."""
        wait_for(lambda: self.primary_of(key) is not server, "another primary", FAIL_OVER)
        primary = self.primary_of(key)
        wait_for(lambda: _is_whole(primary), "a primary that takes writes", FAIL_OVER)
        return primary

    def move_slot(self, key: str) -> RedisServer:
        """Give an empty slot to another primary, as all servers know it at once, and return that one."""
        source = self.primary_of(key)
        target = next(server for server in self.primaries() if server is not source)
        self.begin_move(key, source, target)
        self.end_move(key, target)
        return target

    def begin_move(self, key: str, source: RedisServer, target: RedisServer) -> None:
        """Have a slot's new keys made at another primary: the old one sends there who asks for them (ASK)."""
        slot = key_slot(key.encode())
        asked(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
        asked(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))

    def end_move(self, key: str, target: RedisServer) -> None:
        """Have all servers know at once that a slot has moved (MOVED)."""
        for server in (target, *self.primaries()):
            asked(server, "CLUSTER", "SETSLOT", key_slot(key.encode()), "NODE", node_id(target))
        wait_for(lambda: self.primary_of(key) is target, "a slot that moved")

    def heal(self) -> None:
        """Start or let go on whatever does not run, and wait until every replica is in step."""
        for server in self.servers:
            server.resume()
            if not server.running:
                server.start()
        self._wait_until_whole()

    def primaries(self) -> list[RedisServer]:
        """Return the servers that are primaries now."""
        return [server for server in self.servers if "role:master" in info(server)]

    def _wait_until_whole(self) -> None:
        try:
            wait_for(self._complete, "a whole Cluster", FAIL_OVER)
        except RuntimeError as error:
            for server in self.servers:
                error.add_note(f"{info(server)}{asked(server, 'CLUSTER', 'NODES')}")
            raise

    def _complete(self) -> bool:
        states = [info(server) for server in self.servers]
        primaries = [state for state in states if "role:master" in state and "connected_slaves:1" in state]
        return (
            len(primaries) == _SHARDS
            and sum("master_link_status:up" in state for state in states) == _SHARDS
            and all(_is_whole(server) for server in self.servers)
        )

    def _start(self) -> None:
        # As if they had been a Cluster before: introductions (CLUSTER MEET) get lost on a busy machine.
        for server in self.servers:
            server.knows(self._nodes(server))
            self._stack.enter_context(server)
        self._wait_until_whole()

    def _nodes(self, myself: "_ClusterServer") -> str:
        lines = [
            self._node(number, server, is_myself=server is myself)
            for number, server in enumerate(self.servers)
        ]
        return "\n".join([*lines, f"vars currentEpoch {_SHARDS} lastVoteEpoch 0", ""])

    def _node(self, number: int, server: RedisServer, *, is_myself: bool) -> str:
        port, shard, mark = server.port, number % _SHARDS, "myself," * is_myself
        place = f"{number:040x} 127.0.0.1:{port}@{port + _BUS}"
        if number >= _SHARDS:
            return f"{place} {mark}slave {shard:040x} 0 0 {shard + 1} connected"
        first, end = 16384 * shard // _SHARDS, 16384 * (shard + 1) // _SHARDS
        return f"{place} {mark}master - 0 0 {shard + 1} connected {first}-{end - 1}"


class _ClusterServer(RedisServer):
    """One server of a Cluster: the port where it meets the others is 10,000 higher."""

    def __init__(self, binary: Path, *options: str) -> None:
        super().__init__(binary, *options)
        self.port = free_port(_BUS)

    def knows(self, nodes: str) -> None:
        """Give it the file in which a server of a Cluster keeps what it knows of the others."""
        (self._place() / "nodes.conf").write_text(nodes)


def node_id(server: RedisServer) -> str:
    """Return the name that a Cluster's servers have for each other."""
    return str(asked(server, "CLUSTER", "MYID"))


def _is_whole(server: RedisServer) -> bool:
    return "cluster_state:ok" in str(asked(server, "CLUSTER", "INFO"))


def _owners(server: RedisServer, slot: int) -> list[int]:
    """Return the ports of a slot's primary and replicas, as one server sees it; none if it does not say."""
    rows = asked(server, "CLUSTER", "SLOTS") if server.answers else None
    for first, last, *nodes in rows if isinstance(rows, list) else ():
        if first <= slot <= last:
            return [node[1] for node in nodes]
    return []
