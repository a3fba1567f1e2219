"""New authorizations, and their end: what replaces a key's record for all workers."""

from contextlib import suppress
from typing import TypeVar

from asyncauth import _transitions as transitions
from asyncauth._answers import Step, View
from asyncauth._errors import (
    AuthorizationRequiredError,
    ConfigurationError,
    StoreUnavailableError,
    UnreadableRecordError,
)
from asyncauth._issue import first_entry, new_id
from asyncauth._record import Entry, Record
from asyncauth._slot import Slot
from asyncauth._token import Token
from asyncauth._worker import Worker
from asyncauth._writing import to_ms
from asyncauth.abc import AuthFlow, AuthScheme

_Scheme = TypeVar("_Scheme", bound=AuthScheme)


def shared_slot(worker: Worker, scheme: AuthScheme) -> Slot:
    """Return the slot of a token that is shared through the store.

    Raises:
        ConfigurationError: There is nothing to share.
    """
    slot = worker.slot(scheme)
    if slot.constant is not None:
        raise ConfigurationError(
            f"{scheme.key.scheme} has no token to store: it is made of the credential alone"
        )
    return slot


async def put(worker: Worker, scheme: AuthScheme, token: Token, entry_id: str, since: float) -> None:
    """Store a new authorization, which was asked for at a moment of the local clock."""
    slot, policy, clock = shared_slot(worker, scheme), worker.means.policy, worker.means.clock

    def step(view: View) -> Step:
        issued_at = view.now - to_ms(clock.monotonic() - since)
        entry = first_entry(entry_id, token, scheme, issued_at=issued_at)
        return transitions.put(view, entry, policy)

    outcome = await worker.means.ledger.replace(slot.name, step)
    record = outcome.sighting.record
    if record is not None and record.entry is not None:
        slot.take(record.entry, outcome.sighting, policy)
    worker.rest(slot)


async def authorize(worker: Worker, scheme: _Scheme, flow: AuthFlow[Token]) -> _Scheme:
    """Hold the conversation, and store what it gives. See `TokenManager.authorize`."""
    # A code is for one use: the store has to be there for what it buys.
    with suppress(UnreadableRecordError):
        await worker.means.ledger.look(shared_slot(worker, scheme).name)
    clock, policy = worker.means.clock, worker.means.policy
    asked_at = clock.monotonic()  # life counts from before the request
    try:
        token = await worker.means.converse(flow)
    except AuthorizationRequiredError as error:
        error.authorize_url = error.authorize_url or scheme.authorize_url
        raise
    owner, entry_id = scheme.for_token(token), new_id()
    deadline = clock.monotonic() + policy.wait
    while True:
        try:
            await put(worker, owner, token, entry_id, asked_at)
        except StoreUnavailableError:
            if clock.monotonic() >= deadline:
                raise
            await clock.sleep(policy.store_timeout)
        else:
            return owner


async def forget(worker: Worker, scheme: AuthScheme) -> Entry | None:
    """Drop a key's entry in all workers, and return it. An authorization that came meanwhile stays."""
    slot, ledger, policy = shared_slot(worker, scheme), worker.means.ledger, worker.means.policy
    seen: list[Record] = []

    def step(view: View) -> Step:
        record = view.record or Record()
        if not seen or record.era == seen[0].era:  # else it is a new authorization's, which stays
            seen.append(record)
        return transitions.forget(view, seen[0].era, policy)

    await ledger.run(slot.name, step, fresh=True)  # a shared look may be from before the last `put`
    slot.drop()
    return seen[-1].entry
