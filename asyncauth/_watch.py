"""After a look at a key at rest: what others wrote is adopted, what was lost put back (PROTOCOL.md, 5.6)."""

from contextlib import suppress
from functools import partial

from asyncauth import _transitions as transitions
from asyncauth._answers import Committed
from asyncauth._errors import StoreError
from asyncauth._events import TokenAdopted, TokenForgotten, TokenRestored
from asyncauth._lease import Means
from asyncauth._record import Entry
from asyncauth._sighting import Sighting
from asyncauth._slot import Slot


async def observe(means: Means, slot: Slot, sighting: Sighting) -> None:
    """Adopt or forget what others wrote, and put back what was lost.

    Args:
        means: What it works with.
        slot: The RAM copy of the key.
        sighting: What was seen last.
    """
    own, record = slot.entry, sighting.record
    stored = None if record is None else record.entry
    if stored is not None and stored.id == slot.committing:
        return
    slot.hear_of_use(sighting)
    if stored is not None and (own is None or _replaces(stored, own)):
        slot.take(stored, sighting, means.policy)
        means.emit(TokenAdopted(key=slot.key, entry_id=stored.id))
    elif own is None:
        return
    elif record is not None and stored is None and own.era < record.era:
        slot.drop()
        means.emit(TokenForgotten(key=slot.key))
    elif _was_lost(own, stored, slot) or (record is None and slot.usable(means.clock.monotonic())):
        await _put_back(means, slot, own)


def _replaces(stored: Entry, own: Entry) -> bool:
    return stored.id != own.id and not stored.is_older_than(own)


def _was_lost(own: Entry, stored: Entry | None, slot: Slot) -> bool:
    if stored is None or not stored.is_older_than(own):
        return False
    return own.one_time or (own.era > stored.era and not slot.scheme.login_is_destructive)


async def _put_back(means: Means, slot: Slot, own: Entry) -> None:
    with suppress(StoreError):  # the next look tries again
        restore = partial(transitions.restore, entry=own, policy=means.policy)
        outcome = await means.ledger.run(slot.name, restore)
        if isinstance(outcome.answer, Committed):
            means.emit(TokenRestored(key=slot.key, entry_id=own.id))
