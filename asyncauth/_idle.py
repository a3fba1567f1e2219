"""Sessions that end when nobody uses them: uses are shared, and one worker may keep them alive."""

import asyncio
from functools import partial
from math import inf

from asyncauth import _transitions as transitions
from asyncauth._errors import StoreError
from asyncauth._lease import Means
from asyncauth._policy import fraction
from asyncauth._slot import Held, Slot

_SHARE = 0.1
"""The part of an idle limit that uses may go on for before the store is told again; see `touch`."""
_KEEP_ALIVE_AT = 0.6
"""The part of its idle limit after which an unused session is kept alive, at the earliest."""

_TAKEN_SOON = 1.0
"""Seconds after which an entry that this worker is storing is looked for."""


def note_use(means: Means, slot: Slot, used: Held, sent_at: float) -> None:
    """Note that the vendor accepted an entry; now and then the other workers are told, in the background."""
    held, idle = slot.held, used.entry.token.idle_timeout
    if held is None or idle is None or held.entry.id != used.entry.id:
        return  # a late answer to a request with a token that was replaced
    held.use(sent_at)
    if slot.sharing is not None or sent_at - slot.shared_use_at <= _SHARE * idle:
        return
    slot.sharing = task = asyncio.get_running_loop().create_task(_share(means, slot, held))
    task.add_done_callback(partial(_shared, slot))


async def _share(means: Means, slot: Slot, held: Held) -> None:
    slot.shared_use_at = used_at = held.used_at  # also if it fails: the next use but a few tells again
    try:
        sighting = means.ledger.last(slot.name) or await means.ledger.look(slot.name)
        last_use = sighting.store_time(used_at)
        touch = partial(transitions.touch, base=held.entry.id, last_use=last_use, policy=means.policy)
        # What was seen last may be older than the entry: an answer to an earlier telling came late.
        await means.ledger.run(slot.name, touch, fresh=True)
    except StoreError:
        return  # the others take the session for over at worst, and log in


def _shared(slot: Slot, task: asyncio.Task[None]) -> None:
    del task
    slot.sharing = None


def keep_alive_at(means: Means, slot: Slot) -> float:
    """Return when a probe is due, in local time; each worker has a moment of its own."""
    held = slot.ready
    if slot.scheme.keep_alive and slot.committing is not None:
        return means.clock.monotonic() + _TAKEN_SOON  # nothing else wakes the watch when it is there
    if held is None or not slot.scheme.keep_alive or held.idle_for == inf:
        return inf
    share = _KEEP_ALIVE_AT + 0.25 * fraction(means.draw + held.entry.id)
    return max(held.used_at + share * held.idle_for, slot.keep_alive_after)


def after_keep_alive(means: Means, held: Held) -> float:
    """Return before when there is no other probe, in local time: one that fails does not help by itself."""
    pause = min(means.policy.early_pause, _SHARE * held.idle_for)
    return means.clock.monotonic() + pause
