"""What a forked child must not share with its parent: threads, locks that they held, connections.

Servers that load an application and then fork (gunicorn's `--preload`) make stores before the fork.
"""

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """Something that lives in one process only."""

    def forget_parent(self) -> None:
        """Start anew. Called in the child, inside the fork, while no other thread runs."""
        ...


_forked: weakref.WeakSet[Forked] = weakref.WeakSet()


def renew_in_children(thing: Forked) -> None:
    """Have something start anew in every child that is forked from now on; it is not kept alive."""
    _forked.add(thing)


def _renew() -> None:
    for thing in tuple(_forked):
        thing.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
