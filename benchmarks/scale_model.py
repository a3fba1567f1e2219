"""A fleet on paper: what it asks of a cluster's shards and of the vendor, in closed form and by drawing lots.

Keys are spread evenly over shards, and workers over keys. Every key is renewed early, at a moment that is
drawn by the policy's own code; whoever sends a request meanwhile asks for the lease and then waits, the
others only follow. Both are told by a message on the key's channel.
"""

import random
import statistics
from collections import Counter
from collections.abc import Callable
from math import exp
from typing import Final, final

import attrs

from asyncauth import RefreshPolicy

_LISTENING_AND_ASKING: Final = 2
_PROBE: Final = 5.0
"""Seconds between a listening connection's questions whether the server is still there."""
_FAR: Final = 3600.0
"""Seconds between looks at a record that needs no audit."""
_SAMPLE: Final = 1000
_MIB: Final = 2**20
_ENDLESS: Final = 10**9


@final
@attrs.frozen(kw_only=True)
class Costs:
    """What was measured.

    Attributes:
        renewing: Commands that the renewing worker sends for a renewal.
        waiting: Commands of each worker that wants the token meanwhile.
        following: Commands of each worker that only follows the record.
        messages: Messages to each worker, for a renewal.
        read_us: Microseconds of the server's thread for a look.
        write_us: The same for a write.
        message_us: The same for a message to one worker.
        ping_us: The same for a PING.
        connection: Bytes of the server for a connection.
        subscription: Bytes of the server for one worker's subscription to one channel.
        stored: Bytes of the server for a key.
        ram: Bytes of a worker for a key.
    """

    renewing: float
    waiting: float
    following: float
    messages: float
    read_us: float
    write_us: float
    message_us: float
    ping_us: float
    connection: float
    subscription: float
    stored: float
    ram: float


@final
@attrs.frozen(kw_only=True)
class Fleet:
    """Who shares what.

    Attributes:
        workers: Processes.
        keys: Tokens in the store.
        keys_each: How many of them each worker uses.
        one_time: Whether refresh tokens are for one use: they are audited.
        shards: Primaries of the cluster.
        replicas: On how many replicas writes around a one-time refresh token have to be.
        life: Seconds of an access token.
        latency: Seconds of a vendor's answer.
        requests: Requests per second of a worker with each of its keys.
    """

    workers: int
    keys: int
    keys_each: int
    one_time: bool = True
    shards: int = 16
    replicas: int = 0
    life: float = 3600.0
    latency: float = 0.3
    requests: float = 0.1

    @property
    def sharing(self) -> float:
        """How many workers use a key."""
        return max(self.workers * self.keys_each / self.keys, 1.0)

    @property
    def used_shards(self) -> int:
        """How many shards have a key."""
        return min(self.shards, self.keys)

    @property
    def reach(self) -> float:
        """The share of the workers that have a key on a given shard."""
        return 1 - (1 - 1 / self.used_shards) ** self.keys_each


@final
@attrs.frozen(kw_only=True)
class Load:
    """What a fleet asks for, of each shard unless it says otherwise.

    Attributes:
        commands: Per second.
        messages: Per second.
        connections: All the time.
        memory: MiB.
        busy: The share of the server's one thread.
        burst: Seconds of that thread for one key's renewal, when all of its workers want to know.
        renewals: Of the whole fleet, per second.
        worker_memory: MiB of a worker's RAM.
    """

    commands: float
    messages: float
    connections: float
    memory: float
    busy: float
    burst: float
    renewals: float
    worker_memory: float


def load(fleet: Fleet, costs: Costs, policy: RefreshPolicy) -> Load:
    """Return what a fleet asks for, on the average."""
    renewals = min(fleet.keys, fleet.workers * fleet.keys_each) / mean_period(policy, fleet.life)
    others = fleet.sharing - 1
    asking = 1 - exp(-fleet.requests * fleet.latency)
    looks = renewals * others * (asking * costs.waiting + (1 - asking) * costs.following)
    looks += fleet.workers * fleet.keys_each / (policy.audit if fleet.one_time else _FAR)
    waits = 2 if fleet.replicas and fleet.one_time else 0
    writes = renewals * (costs.renewing + waits + fleet.latency // policy.heartbeat)
    messages = renewals * costs.messages * fleet.sharing
    probes = fleet.workers * fleet.reach / _PROBE  # of each shard already
    connections = fleet.workers * fleet.reach * _LISTENING_AND_ASKING
    work_us = looks * costs.read_us + writes * costs.write_us + messages * costs.message_us
    subscriptions = fleet.workers * fleet.keys_each * costs.subscription
    stored = (fleet.keys * costs.stored + subscriptions) / fleet.used_shards + connections * costs.connection
    return Load(
        commands=(looks + writes) / fleet.used_shards + probes,
        messages=messages / fleet.used_shards,
        connections=connections,
        memory=stored / _MIB,
        busy=(work_us / fleet.used_shards + probes * costs.ping_us) / 1e6,
        burst=fleet.sharing * (costs.waiting * costs.read_us + costs.message_us) / 1e6,
        renewals=renewals,
        worker_memory=fleet.keys_each * costs.ram / _MIB,
    )


def expiry_commands(costs: Costs, processes: int) -> float:
    """Return what one expiry sends, when all processes want the token in the same moment."""
    return costs.renewing + (processes - 1) * costs.waiting


def mean_period(policy: RefreshPolicy, life: float) -> float:
    """Return the seconds from one renewal of a key to the next."""
    return life - statistics.mean(policy.early_for(life, f"{i:032x}", "one") for i in range(_SAMPLE))


def breaking_point(fits: Callable[[int], bool]) -> int | None:
    """Return about the smallest number that does not fit, to three digits; none if all do."""
    low, high = 0, 1
    while fits(high):
        low, high = high, high * 2
        if high > _ENDLESS:
            return None
    while high - low > max(low // 1000, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return high


def vendor_calls(
    keys: int, policy: RefreshPolicy, *, life: float, start: float, hours: float, jitter: bool
) -> Counter[int]:
    """Draw when all keys are renewed, and count per second.

    Args:
        keys: How many.
        policy: Its code says when.
        life: Seconds of a token.
        start: Seconds within which all keys had their first token: a deployment.
        hours: How long to look.
        jitter: Whether each entry has an id of its own to draw from, as entries have.
    """
    counts, lots = Counter[int](), random.Random(6)  # noqa: S311 - no secret
    ids = iter(lambda: f"{lots.getrandbits(128) if jitter else 0:032x}", "")
    for _ in range(keys):
        at = lots.uniform(0, start)
        while (at := at + life - policy.early_for(life, next(ids), "one")) < hours * 3600:
            counts[int(at)] += 1
    return counts
