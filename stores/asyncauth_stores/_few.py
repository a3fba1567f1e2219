"""Who waits for one thing: mostly one, who takes no more bytes than that, and sometimes several."""

from typing import TypeAlias, TypeVar

_T = TypeVar("_T")

Few: TypeAlias = _T | tuple[_T, ...]
"""One, or any other number of them."""


def few(things: tuple[_T, ...]) -> Few[_T]:
    """Return things as they are kept."""
    return things[0] if len(things) == 1 else things


def each(kept: Few[_T]) -> tuple[_T, ...]:
    """Return kept things, in their order."""
    return kept if isinstance(kept, tuple) else (kept,)
