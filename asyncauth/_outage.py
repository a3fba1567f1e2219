"""While the store is away: renewing what a login can replace at any time, and storing it later.

Only for kind N of PROTOCOL.md, section 9. One-time refresh tokens and destructive logins fail
closed: without the store nobody knows who else is renewing.
"""

import logging
from functools import partial

import attrs

from asyncauth import _transitions as transitions
from asyncauth._answers import Conflict
from asyncauth._clock import Clock
from asyncauth._errors import (
    CredentialRefusedError,
    GrantRefusedError,
    RenewalFailedError,
    StoreError,
    StoreUnavailableError,
    VendorError,
)
from asyncauth._events import RenewalStarted, TokenGivenUp, TokenRenewed
from asyncauth._issue import is_bare, is_expendable, new_entry, new_id
from asyncauth._lease import Means, unused_given_back
from asyncauth._record import Entry, Mode
from asyncauth._sighting import Sighting
from asyncauth._slot import Held, Slot
from asyncauth.abc import AuthScheme, Snapshot

_log = logging.getLogger("asyncauth")


async def renew_alone(means: Means, slot: Slot, scheme: AuthScheme, error: StoreUnavailableError) -> Held:
    """Log in without the store, once per process and with back-off.

    Raises:
        StoreUnavailableError: Renewing alone could harm the other workers.
        RenewalFailedError: The login failed, a moment ago or now.
        CredentialRefusedError: The vendor refused the credential.
    """
    if not is_expendable(scheme, slot.entry):
        raise StoreUnavailableError(
            f"{error}; a one-time refresh token or a login that ends another is not spent without it"
        ) from error
    stand_back(means, slot)
    if slot.alone_until <= means.clock.monotonic():
        _log.warning("%s; this process logs in to %s alone until it is back", error, slot.key.scheme)
    sighting = means.ledger.last(slot.name) or _own_sighting(means.clock)
    _guard_against_a_loop(means, slot, sighting)
    await means.pacer.turn(scheme.pace)
    means.emit(RenewalStarted(key=slot.key, attempt=new_id(), mode=Mode.LOGIN.value))
    sent_at = means.clock.monotonic()
    try:
        token = await means.converse(scheme.login())
        if is_bare(token):  # stored first, if there were a store
            token = await means.converse(scheme.refresh(token))
        record = sighting.record
        era = 0 if record is None else record.era
        issued_at = sighting.store_time(sent_at)
        entry = new_entry(token, slot.entry, Mode.LOGIN, scheme, issued_at=issued_at, era=era)
    except (VendorError, CredentialRefusedError, GrantRefusedError) as failure:
        slot.unreachable += 1
        pause = means.policy.backoff_for(slot.unreachable, slot.name)
        slot.stand_back_until = means.clock.monotonic() + pause
        if not isinstance(failure, VendorError):
            raise
        means.heed(scheme, failure)
        reason = type(failure).__name__
        raise RenewalFailedError(f"renewing failed: {failure}", reason=reason, retry_in=pause) from failure
    means.later(slot, entry, sighting)
    held = slot.take(entry, sighting, means.policy)
    slot.alone_until = held.usable_until + means.policy.wait  # until then it is the same outage
    return held


async def check_alone(
    means: Means, slot: Slot, scheme: AuthScheme, error: StoreUnavailableError
) -> Held | None:
    """Find out without the store whether a suspect token works, which harms nobody; log in if it does not.

    Returns:
        What to use instead; none if it works.

    Raises:
        StoreUnavailableError: It does not, and renewing alone could harm the other workers.
        TokenUnavailableError: The probe or the login failed.
    """
    held, asked_at = slot.held, means.clock.monotonic()
    if held is None:
        return await renew_alone(means, slot, scheme, error)
    try:
        alive = await means.converse(scheme.probe(held.entry.token))
    except VendorError as failure:
        reason = type(failure).__name__
        raise RenewalFailedError(f"the token could not be probed: {failure}", reason=reason) from failure
    if not alive:
        slot.refuse(held.entry.id)
        return await renew_alone(means, slot, scheme, error)
    held.use(asked_at)
    return None


async def wait_for_replicas(means: Means, slot: Slot, attempt: str, deadline: float) -> None:
    """Wait before a grant is written again that a fail-over may forget; in the end, give it back.

    Raises:
        StoreUnavailableError: There is no time left until the deadline.
    """
    clock, policy = means.clock, means.policy
    if clock.monotonic() + policy.store_timeout >= deadline:
        give_back = partial(transitions.abandon, attempt=attempt, policy=policy, definite=True)
        await means.ledger.run(slot.name, give_back)
        raise StoreUnavailableError("the store has not the replicas that were asked for")
    async with unused_given_back(means, slot, attempt):
        await clock.sleep(policy.store_timeout)


def stand_back(means: Means, slot: Slot) -> None:
    """Refuse a try while this process waits after one of its own that failed.

    Raises:
        RenewalFailedError: It does.
    """
    left = slot.stand_back_until - means.clock.monotonic()
    if left > 0:
        raise RenewalFailedError(
            "this process could not reach the vendor a moment ago",
            reason="VendorUnreachableError",
            retry_in=left,
        )


def _guard_against_a_loop(means: Means, slot: Slot, sighting: Sighting) -> None:
    """Refuse to replace what the vendor refuses although it has only just issued it."""
    own, now = slot.held, means.clock.monotonic()
    if own is None or own.entry.id not in slot.refused or not own.serves(now, 0.0):
        return
    left = means.policy.loop_guard - (sighting.store_time(now) - own.entry.issued_at) / 1000
    if left > 0:
        message = "the vendor refuses a token that it has only just issued"
        raise RenewalFailedError(message, reason="TokenRefusedError", retry_in=left)


async def store_later(means: Means, slot: Slot, entry: Entry, sighting: Sighting) -> None:
    """Commit an entry once the store is back; what somebody else stored meanwhile stands."""
    pause = means.policy.store_timeout
    while True:
        await means.clock.sleep(pause)
        pause = min(2 * pause, 5.0)
        if slot.entry is None or slot.entry.id != entry.id:
            return  # another one has taken its place
        try:
            now = means.clock.monotonic()
            shift = (await means.ledger.look(slot.name)).store_time(now) - sighting.store_time(now)
            commit = partial(transitions.commit, entry=_moved(entry, shift), policy=means.policy)
            outcome = await means.ledger.run(slot.name, commit)
        except StoreUnavailableError:
            continue
        except StoreError:  # an unreadable record: only an explicit `put` replaces it
            means.emit(TokenGivenUp(key=slot.key, entry_id=entry.id))
            return
        break
    if not isinstance(outcome.answer, Conflict):
        mode, life = Mode.LOGIN.value, entry.token.expires_in
        means.emit(TokenRenewed(key=slot.key, entry_id=entry.id, mode=mode, expires_in=life))
    elif outcome.answer.entry is not None:
        slot.take(outcome.answer.entry, outcome.sighting, means.policy)
    else:
        slot.drop()


def _own_sighting(clock: Clock) -> Sighting:
    """Stand in for a store that was never seen: its clock is this machine's."""
    now = clock.monotonic()
    snapshot = Snapshot(value=None, version="", now=int(clock.wall() * 1000))
    return Sighting.of(snapshot, None, asked_at=now, seen_at=now)


def _moved(entry: Entry, shift: int) -> Entry:
    expires_at = None if entry.expires_at is None else entry.expires_at + shift
    last_use = None if entry.last_use is None else entry.last_use + shift
    return attrs.evolve(entry, issued_at=entry.issued_at + shift, expires_at=expires_at, last_use=last_use)
