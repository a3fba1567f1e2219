"""Telling the application, once in the whole fleet, that a person has to authorize."""

from contextlib import suppress
from functools import partial

from asyncauth import _transitions as transitions
from asyncauth._answers import Done
from asyncauth._errors import StoreError
from asyncauth._events import AuthorizationNeeded
from asyncauth._lease import Means
from asyncauth._record import Entry
from asyncauth._slot import Slot
from asyncauth.abc import AuthScheme


async def announce(means: Means, slot: Slot, scheme: AuthScheme, entry: Entry, message: str) -> None:
    """Tell the listeners, unless somebody told theirs of this entry before."""
    if slot.told == entry.id:
        return
    slot.told = entry.id
    first = True  # better told twice than never: the store may be away, and the caller may be cancelled
    try:
        if slot.constant is None:
            with suppress(StoreError):
                first = await _is_first(means, slot, entry)
    finally:
        if first:
            url = scheme.authorize_url
            means.emit(AuthorizationNeeded(key=slot.key, message=message, authorize_url=url))


async def _is_first(means: Means, slot: Slot, entry: Entry) -> bool:
    claim = partial(transitions.announce, base=entry.id, policy=means.policy)
    outcome = await means.ledger.run(slot.name, claim, fresh=True)
    return isinstance(outcome.answer, Done)
