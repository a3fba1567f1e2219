"""What one simulated run is to be, and who takes part in it."""

import asyncio
from collections.abc import Sequence

import attrs

from asyncauth import AuthMiddleware, AuthScheme, RefreshPolicy, TokenManager
from asyncauth._record import Entry
from asyncauth._worker import Worker
from asyncauth.testing import FaultyTokenStore
from model_vendor import Kind
from sim_client import SimClient
from sim_vendor import number_in

POLICY = RefreshPolicy(retries=1)
DATE = 1_750_000_000.0
STILL_PROCESSED = 10.0
"""Seconds for which the vendor may go on with a request whose sender gave up."""
ROUND = 260.0
"""Seconds in which the fleet gets over whatever happened at an expiry, and rests."""
OF_THE_VENDOR = (
    "answer lost",
    "answer hangs",
    "processed 5xx",
    "dropped",
    "5xx",
    "429",
    "unsent",
    "delayed",
    "late",
)
OF_THE_FLEET = (
    "crash",
    "stall",
    "cancel",
    "start",
    "store answer lost",
    "missed",
    "unreplicated",
    "fail-over",
    "outage",
    "clock back",
)
OF_GRANTS = ("mistaken", "authorize", "log out")


@attrs.frozen
class Plan:
    """What one run is to be.

    Attributes:
        seed: What everything is drawn from.
        kind: The credential and its vendor.
        rounds: How many expiries.
        faults: How many faults at each of them, at most.
        least: How many at least.
        workers: How many processes share the token.
        only: The faults to choose from; all that make sense, if there are none.
    """

    seed: int
    kind: Kind
    rounds: int = 2
    faults: int = 2
    least: int = 0
    workers: int = 3
    only: Sequence[str] = ()

    def choices(self) -> Sequence[str]:
        """Return the faults that may happen."""
        grants = () if self.kind.can_login else OF_GRANTS
        return self.only or (*OF_THE_VENDOR, *OF_THE_FLEET, *grants)


@attrs.define(eq=False)
class Member:
    """One worker process."""

    process: str
    manager: TokenManager
    worker: Worker
    middleware: AuthMiddleware
    scheme: AuthScheme
    client: SimClient
    store: FaultyTokenStore
    asking: dict["asyncio.Task[None]", float] = attrs.field(factory=dict)

    @property
    def entry(self) -> Entry | None:
        return self.worker.slot(self.scheme).entry

    def sends(self) -> bool:
        """Tell whether the vendor may have what this worker sent, or it an answer that is not stored."""
        flights = self.worker._flights.values()
        return any(flight.lease is not None and flight.lease.sent for flight in flights)


def number_of(entry: Entry) -> int:
    token = entry.token
    secret = token.access_token or token.refresh_token
    assert secret is not None
    return number_in(secret.reveal())
