"""When to renew early, how long to wait, how to stand back: numbers and pure functions."""

import hashlib
from math import isfinite
from typing import TypeGuard, final

import attrs

from asyncauth._errors import ConfigurationError
from asyncauth._value import Value

_DAY = 86_400.0
_HALF = 0.5


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _duration(instance: object, attribute: "attrs.Attribute[float]", value: object) -> None:
    del instance
    if not _is_number(value) or value <= 0:
        raise ConfigurationError(f"{attribute.name} must be a number of seconds above 0, not {value!r}")


def _part(instance: object, attribute: "attrs.Attribute[float]", value: object) -> None:
    del instance
    if not _is_number(value) or not 0 < value <= _HALF:
        raise ConfigurationError(f"{attribute.name} must be a share above 0, at most {_HALF}, not {value!r}")


def _count(instance: object, attribute: "attrs.Attribute[int]", value: object) -> None:
    del instance
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(f"{attribute.name} must be a whole number from 0, not {value!r}")


def _seconds(default: float) -> float:
    return attrs.field(default=default, validator=_duration)


def _share(default: float) -> float:
    return attrs.field(default=default, validator=_part)


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class RefreshPolicy(Value):
    """Every duration of the single-flight protocol, in seconds.

    All workers that share a token should use one policy. The relations between the numbers are
    checked when the object is made.

    Attributes:
        request_timeout: One whole exchange with the vendor.
        quiet: How long a vendor may still process a request after its sender gave up.
        lease: How long a renewal's right lasts without a heartbeat.
        heartbeat: How often a running renewal prolongs its lease.
        grace: How long after a lost lease a one-time refresh token is left alone.
        quarantine: How long one-time tokens rest after the store may have lost writes.
        wait: A caller's patience, at most.
        retries: How often one attempt sends again.
        store_timeout: One store operation; what takes longer counts as a store that is down.
        audit: How often entries with a one-time refresh token are compared with the store.
        margin: A token with less life left than this is not used (at most `margin_share` of its life).
        margin_share: See `margin`.
        idle_margin: The same for sessions that end when nobody uses them: seconds before their idle
            limit.
        early_share: The share of a token's life before its end at which its renewal starts.
        early_min: That time is no less than this (but at most half of the life).
        early_max: And no more than this.
        early_spread: The part of that time by which workers come one after the other.
        early_pause: Between failed early renewals.
        backoff_first: The first pause after a failed renewal; it doubles up to `backoff_max`.
        backoff_max: See `backoff_first`.
        retry_after_max: A vendor's `Retry-After` is obeyed up to this.
        unreachable_share: A failure without any connection may be one host's own trouble: it is
            shared with the other workers for this long at most.
        loop_guard: A token that is refused so soon after its issue is not renewed at once.
        probe_first: Until a dead record is tried again; it grows fourfold up to `probe_max`.
        probe_max: See `probe_first`.
        keep: How long records that guard one-time tokens stay in the store after their last write.

    Raises:
        ConfigurationError: A relation does not hold; the message names the numbers.
    """

    request_timeout: float = _seconds(10)
    quiet: float = _seconds(10)
    lease: float = _seconds(6)
    heartbeat: float = _seconds(2)
    grace: float = _seconds(20)
    quarantine: float = _seconds(26)
    wait: float = _seconds(40)
    retries: int = attrs.field(default=2, validator=_count)
    store_timeout: float = _seconds(0.5)
    audit: float = _seconds(60)
    margin: float = _seconds(10)
    margin_share: float = _share(0.05)
    idle_margin: float = _seconds(60)
    early_share: float = _share(0.2)
    early_min: float = _seconds(30)
    early_max: float = _seconds(900)
    early_spread: float = _share(0.3)
    early_pause: float = _seconds(30)
    backoff_first: float = _seconds(1)
    backoff_max: float = _seconds(60)
    retry_after_max: float = _seconds(3600)
    unreachable_share: float = _seconds(2)
    loop_guard: float = _seconds(10)
    probe_first: float = _seconds(60)
    probe_max: float = _seconds(_DAY)
    keep: float = _seconds(90 * _DAY)

    def __attrs_post_init__(self) -> None:
        self._at_least("lease", 3 * self.heartbeat, "3 x heartbeat")
        self._more_than("lease", self.heartbeat + self.store_timeout, "heartbeat + store_timeout")
        self._at_least("grace", self.request_timeout + self.quiet, "request_timeout + quiet")
        self._at_least(
            "quarantine",
            self.lease + self.request_timeout + self.quiet,
            "lease + request_timeout + quiet",
        )
        self._more_than(
            "wait",
            self.lease + self.grace + self.request_timeout,
            "lease + grace + request_timeout",
        )
        self._at_least("probe_first", self.quiet, "quiet")
        self._at_least("probe_max", self.probe_first, "probe_first")
        self._at_least("keep", self.quarantine + self.probe_max, "quarantine + probe_max")
        self._at_least("backoff_max", self.backoff_first, "backoff_first")
        self._at_least("early_max", self.early_min, "early_min")

    def _at_least(self, name: str, floor: float, formula: str) -> None:
        value: float = getattr(self, name)
        if value < floor:
            raise ConfigurationError(f"{name} is {value:g} s; it must be >= {formula} = {floor:g} s")

    def _more_than(self, name: str, floor: float, formula: str) -> None:
        value: float = getattr(self, name)
        if value <= floor:
            raise ConfigurationError(f"{name} is {value:g} s; it must be > {formula} = {floor:g} s")

    def margin_for(self, life: float | None) -> float:
        """Return how many seconds before its end a token of this life stops being used."""
        return 0.0 if life is None else min(self.margin, self.margin_share * life)

    def idle_margin_for(self, idle: float) -> float:
        """Return how many seconds before its idle limit a session stops being used."""
        return min(self.idle_margin, self.margin_share * idle)

    def early_for(self, life: float, entry_id: str, worker_id: str) -> float:
        """Return how many seconds before its end a worker starts the renewal of an entry.

        The jitter is drawn from the entry's id, alike in every worker, so that tokens of one moment are
        renewed in different ones. Of that time each worker takes a part off for itself: most find the new
        token there before their turn comes, and do not all ask the store at once.
        """
        share = max(self.early_share * life, self.early_min)
        first = min(share, self.early_max, life / 2) * (0.5 + fraction(entry_id) / 2)
        return first * (1 - self.early_spread * fraction(worker_id + entry_id))

    def backoff_for(self, count: int, draw: str) -> float:
        """Return the pause after `count` failed renewals in a row (1 for the first), with jitter."""
        pause = min(self.backoff_first * 2.0 ** min(count - 1, 32), self.backoff_max)
        return pause * (0.75 + fraction(draw) / 4)

    def probe_for(self, count: int) -> float:
        """Return how long a record stays dead after `count` refusals in a row (1 for the first)."""
        return min(self.probe_first * 4.0 ** min(count - 1, 16), self.probe_max)


def fraction(seed: str) -> float:
    """Return a number from 0 to 1 that depends on the seed only."""
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
