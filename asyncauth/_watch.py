"""Resting on a key: other workers' changes are adopted, lost ones put back (PROTOCOL.md, 5.6)."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from asyncauth import _transitions as transitions
from asyncauth._answers import Committed
from asyncauth._errors import ClosedError, StoreError, UnreadableRecordError
from asyncauth._events import TokenAdopted, TokenForgotten, TokenRestored
from asyncauth._idle import keep_alive_at
from asyncauth._lease import Means
from asyncauth._ledger import Sighting
from asyncauth._record import Entry
from asyncauth._slot import Slot

_log = logging.getLogger("asyncauth")
_FAR = 3600.0
"""Seconds between looks at a record that needs no audit, and of which no change was announced."""
_AWAY = 1.0
"""Seconds between looks while the store is away."""


async def watch(means: Means, slot: Slot, keep_alive: Callable[[Slot], Awaitable[None]]) -> None:
    """Follow a record until cancelled.

    Args:
        means: What it works with.
        slot: The RAM copy of the key.
        keep_alive: Called when a session that nobody uses is due for a probe.
    """
    ledger = means.ledger
    unreadable = ""
    while True:
        last = ledger.last(slot.name)
        if last is not None:
            await _observe(means, slot, last)
        since = unreadable or ("" if last is None else last.snapshot.version)
        audited = slot.entry is not None and slot.entry.one_time
        until_due = keep_alive_at(means, slot) - means.clock.monotonic()
        if until_due <= 0:
            await keep_alive(slot)
            continue
        try:
            await ledger.changed(slot.name, since, min(means.policy.audit if audited else _FAR, until_due))
            # One that is waiting for this change looks now too, and both get one answer; after one that has
            # ended, there is nothing to see but what it wrote.
            if unreadable or ledger.last(slot.name) is last or slot.flight is not None:
                await ledger.look(slot.name)
            unreadable = ""
        except UnreadableRecordError as error:
            if unreadable != error.snapshot.version:
                _log.error("the record of a %s token: %s", slot.key.scheme, error)
            unreadable = error.snapshot.version
        except ClosedError:
            return
        except StoreError:
            await means.clock.sleep(_AWAY)


async def _observe(means: Means, slot: Slot, sighting: Sighting) -> None:
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
