"""A renewal's operations on a store, without a vendor: what the benchmarks of stores repeat."""

from functools import partial

import attrs

from asyncauth import RefreshPolicy
from asyncauth import _transitions as transitions
from asyncauth._acquire import acquire
from asyncauth._answers import Ask
from asyncauth._issue import new_id
from asyncauth._ledger import Ledger
from asyncauth._record import Entry


async def renew(ledger: Ledger, name: str, policy: RefreshPolicy) -> None:
    """Read a record, be granted its lease, and commit: three operations."""
    await commit(ledger, name, await grant(ledger, name, policy), policy)


async def grant(ledger: Ledger, name: str, policy: RefreshPolicy) -> Entry:
    """Read a record and be granted its lease; return its entry."""
    record = (await ledger.look(name)).record
    assert record is not None
    assert record.entry is not None
    ask = Ask(
        attempt=new_id(),
        fingerprint="",
        seen=record.entry,
        refused=False,
        suspected_at=None,
        can_login=True,
        login_is_destructive=False,
        dead_holder=None,
    )
    await ledger.run(name, partial(acquire, ask=ask, policy=policy))
    return record.entry


async def commit(ledger: Ledger, name: str, base: Entry, policy: RefreshPolicy) -> None:
    """Store the next entry after another."""
    entry = attrs.evolve(base, id=new_id(), ancestors=base.lineage())
    await ledger.run(name, partial(transitions.commit, entry=entry, policy=policy))
