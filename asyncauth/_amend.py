"""Changing what lies on a token at the vendor, such as a person's login, for all workers."""

import asyncio
from collections.abc import Callable
from functools import partial

from asyncauth import _transitions as transitions
from asyncauth._answers import Conflict
from asyncauth._errors import (
    ConfigurationError,
    GrantRefusedError,
    RenewalFailedError,
    StoreUnavailableError,
    VendorError,
)
from asyncauth._issue import amended_entry, doubtful_entry
from asyncauth._ledger import Outcome
from asyncauth._record import Entry
from asyncauth._slot import Slot
from asyncauth._token import Token
from asyncauth._worker import Worker
from asyncauth.abc import AuthFlow, AuthScheme

Change = Callable[[Token], AuthFlow[Token]]

_TRIES = 3
"""How often a token may be replaced by others while it is being amended."""

_running: set[asyncio.Task[Token]] = set()


async def amend(worker: Worker, slot: Slot, scheme: AuthScheme, change: Change) -> Token:
    """Hold the conversation on the current token, and store what the token is then.

    See `TokenManager.amend`. It runs to its end also if the caller is cancelled: else the vendor would
    have one person on the token, and the store another.
    """
    task = asyncio.get_running_loop().create_task(_amend(worker, slot, scheme, change))
    _running.add(task)
    task.add_done_callback(_over)
    return await asyncio.shield(task)


def _over(task: asyncio.Task[Token]) -> None:
    _running.discard(task)
    if not task.cancelled():
        _ = task.exception()  # the caller's, if he is still there


async def _amend(worker: Worker, slot: Slot, scheme: AuthScheme, change: Change) -> Token:
    means = worker.means
    for _ in range(_TRIES):
        held = await worker.obtain(slot, scheme)
        if held.entry.one_time:
            raise ConfigurationError(f"a {scheme.key.scheme} token is renewed, and not amended")
        sighting = await means.ledger.look(slot.name)  # what the vendor changes has to be stored then
        asked_at = sighting.store_time(means.clock.monotonic())
        try:
            token = await means.converse(change(held.entry.token))
        except GrantRefusedError:  # the token itself is dead, and the change was not even looked at
            await worker.replace(slot, scheme, held)
            continue
        except VendorError as error:
            if not error.not_processed and held.entry.token.refresh_token is not None:
                await _store(worker, slot, doubtful_entry(held.entry))
            raise
        entry = amended_entry(token, held.entry, used_at=asked_at)
        outcome = await _store(worker, slot, entry)
        if not isinstance(outcome.answer, Conflict):
            return token
        if outcome.answer.entry is None:
            slot.drop()
        else:
            slot.take(outcome.answer.entry, outcome.sighting, means.policy)
    message = "the token was replaced each time while it was being amended"
    raise RenewalFailedError(message, reason="TokenRefusedError")


async def _store(worker: Worker, slot: Slot, entry: Entry) -> Outcome:
    """Commit an entry, for the policy's `wait` if need be; until then this worker does not use the old one.

    Raises:
        StoreError: The others go on with the old one.
    """
    clock, policy = worker.means.clock, worker.means.policy
    deadline = clock.monotonic() + policy.wait
    commit = partial(transitions.commit, entry=entry, policy=policy)
    slot.serve(None)
    while True:
        try:
            outcome = await worker.means.ledger.run(slot.name, commit)
        except StoreUnavailableError:
            if clock.monotonic() >= deadline:
                raise
            await clock.sleep(policy.store_timeout)
            continue
        if not isinstance(outcome.answer, Conflict):
            slot.take(entry, outcome.sighting, policy)
        return outcome
