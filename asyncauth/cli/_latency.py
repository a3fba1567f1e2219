"""Latencies as counts by size, so that a worker tells of thousands of requests in one short line."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import final

import attrs

# Each size is 5 % above the one before, which is how exact a quantile is.
_GROWTH = 1.05
_SMALLEST = 0.0001


@final
@attrs.define
class Latencies:
    """How many requests took how long.

    Attributes:
        counts: How many, by the number of the size.
    """

    counts: Counter[int] = attrs.field(factory=Counter)

    @property
    def total(self) -> int:
        """How many requests there are."""
        return self.counts.total()

    def add(self, seconds: float) -> None:
        """Count one request."""
        ratio = max(seconds / _SMALLEST, 1.0)
        self.counts[math.ceil(math.log(ratio, _GROWTH))] += 1

    def merge(self, pairs: Iterable[Sequence[int]]) -> None:
        """Count what another process' `pairs` tell of."""
        for size, count in pairs:
            self.counts[size] += count

    def pairs(self) -> list[tuple[int, int]]:
        """Return sizes and counts, for JSON."""
        return sorted(self.counts.items())

    def quantile(self, share: float) -> float | None:
        """Return the seconds within which this share of the requests was answered; none if there are none."""
        wanted = share * self.total
        seen = 0
        for size, count in self.pairs():
            seen += count
            if seen >= wanted:
                return _SMALLEST * _GROWTH**size
        return None
