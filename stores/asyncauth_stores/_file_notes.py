"""How a changed record is noticed: by the kernel's word where there is one, else by looking at the folder.

The kernel (inotify, Linux) names the record within a millisecond, and costs nothing while nothing
changes. A look at the folder's stamp is as cheap with a few names, but says only that something
changed: each name that is waited for has to be looked at then.
"""

import math
import threading
from contextlib import suppress
from typing import Protocol, final

from asyncauth_stores._file_disk import stamp_of
from asyncauth_stores._file_inotify import KernelNotes

# A kernel stamps files in ticks of up to 10 ms, some file systems in steps of 1 or 2 s: a change in
# the same tick as the one before leaves the folder's stamp as it was.
_TICK = 0.01
_COARSE_TICK = 2.1
_SECOND = 1_000_000_000


class Notes(Protocol):
    """Says which records may have changed."""

    def wait(self) -> set[str] | None:
        """Wait a while; return the names of records that changed, or none if it may be any of them."""
        ...

    def end(self) -> None:
        """Have `wait` return soon, and not wait any more. From any thread."""
        ...

    def close(self) -> None:
        """Let go of what the system lent. After the last `wait`."""
        ...


def notes_of(folder: str, poll: float, *, remote: bool) -> Notes:
    """Return the best way to notice changes in a folder.

    Args:
        folder: Whose files are renamed into it and removed.
        poll: Seconds between two looks, where there have to be looks.
        remote: Whether other machines write there, of whom this kernel knows nothing.
    """
    if not remote:
        with suppress(OSError):  # not Linux; or 128 in use by this user
            return KernelNotes(folder)
    return Looks(folder, poll)


@final
class Looks:
    """Looks at the folder's stamp, which a rename changes.

    Args:
        folder: What to look at.
        poll: Seconds between two looks.
    """

    def __init__(self, folder: str, poll: float) -> None:
        self._folder = folder
        self._poll = poll
        self._ended = threading.Event()
        self._stamp = -1
        self._left = 0

    def wait(self) -> set[str] | None:
        """Return after one look."""
        self._ended.wait(self._poll)
        found = stamp_of(self._folder)
        if found != self._stamp:
            self._stamp, self._left = found, self._looks(found)
        if not self._left:
            return set()
        self._left -= 1
        return None

    def _looks(self, stamp: int) -> int:
        tick = _TICK if stamp % _SECOND else _COARSE_TICK
        return 1 + math.ceil(tick / self._poll)

    def end(self) -> None:
        """See `Notes`."""
        self._ended.set()

    def close(self) -> None:
        """See `Notes`."""
