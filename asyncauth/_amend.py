"""Changing what lies on a token at the vendor, such as a person's login, for all workers."""

from collections.abc import Callable
from functools import partial

from asyncauth import _transitions as transitions
from asyncauth._answers import Conflict
from asyncauth._errors import ConfigurationError, GrantRefusedError, RenewalFailedError
from asyncauth._issue import amended_entry
from asyncauth._slot import Slot
from asyncauth._token import Token
from asyncauth._worker import Worker
from asyncauth.abc import AuthFlow, AuthScheme

_TRIES = 3
"""How often a token may be replaced by others while it is being amended."""


async def amend(
    worker: Worker, slot: Slot, scheme: AuthScheme, change: Callable[[Token], AuthFlow[Token]]
) -> Token:
    """Hold the conversation on the current token, and store what the token is then.

    See `TokenManager.amend`.
    """
    means = worker.means
    for _ in range(_TRIES):
        held = await worker.obtain(slot, scheme)
        if held.entry.one_time:
            raise ConfigurationError(f"a {scheme.key.scheme} token is renewed, and not amended")
        asked_at = means.clock.monotonic()
        try:
            token = await means.converse(change(held.entry.token))
        except GrantRefusedError:  # the token itself is dead, and the change was not even looked at
            await worker.replace(slot, scheme, held)
            continue
        sighting = means.ledger.last(slot.name) or await means.ledger.look(slot.name)
        entry = amended_entry(token, held.entry, used_at=sighting.store_time(asked_at))
        commit = partial(transitions.commit, entry=entry, policy=means.policy)
        outcome = await means.ledger.run(slot.name, commit)
        if not isinstance(outcome.answer, Conflict):
            return slot.take(entry, outcome.sighting, means.policy).entry.token
        if outcome.answer.entry is None:
            slot.drop()
        else:
            slot.take(outcome.answer.entry, outcome.sighting, means.policy)
    message = "the token was replaced each time while it was being amended"
    raise RenewalFailedError(message, reason="TokenRefusedError")
