"""How callers wait for a flight: with patience, and only for one that speaks for them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from asyncauth._errors import AuthError, ClosedError, RenewalFailedError, WaitTimeoutError
from asyncauth._flight import Flight
from asyncauth._lease import Means
from asyncauth._slot import Held, Landing, Slot
from asyncauth.abc import AuthScheme

_T = TypeVar("_T")


async def patiently(
    waiting: Coroutine[Any, Any, _T], means: Means, slot: Slot, flight: Callable[[], Flight | None]
) -> _T:
    """Bound a caller's wait, and say in the end what was in its way.

    Raises:
        WaitTimeoutError: The policy's `wait` is over.
    """
    wait = means.policy.wait
    try:
        async with means.clock.timeout(wait):
            return await waiting
    except WaitTimeoutError:
        raise
    except TimeoutError:
        awaited = flight()
        message = f"no {slot.key.scheme} token came within {wait:g} s"
        raise WaitTimeoutError(message if awaited is None else awaited.why_no_token()) from None


async def landed(task: asyncio.Task[Landing], flight: Flight) -> Landing:
    """Wait until a flight ends; cancellation ends the wait only.

    Raises:
        ClosedError: The worker was closed meanwhile.
        StoreUnavailableError: What the vendor issued cannot be stored yet; the flight goes on.
    """
    # Also for one that is over: the worker hears of its end in a moment, and lets them go on then.
    if task.done() or not flight.held_up.done():
        await flight.callers.released()
    if not task.done():
        if flight.held_up.done():
            raise flight.held_up.result().again()
        return Landing(held=flight.brought)  # what it took is still being cleared away
    if task.cancelled():
        raise ClosedError("the token manager, session or store was closed during a renewal")
    return task.result()


def speaks_for(flight: Flight, scheme: AuthScheme) -> bool:
    """Whether a flight's failure is also the answer of who joined it, with a credential of its own."""
    return not flight.early and flight.scheme.fingerprint == scheme.fingerprint


def excused(slot: Slot, error: AuthError | None, now: float, min_ttl: float) -> Held | None:
    """Return the entry at hand if the fleet stands back from renewing what it has only just renewed."""
    held = slot.held
    if not isinstance(error, RenewalFailedError) or error.reason != "TokenRefusedError":
        return None
    if held is None or not held.serves(now, min_ttl):
        return None
    slot.excuse(held.entry.id, now + (error.retry_in or 0.0))
    return held


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they are over."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
