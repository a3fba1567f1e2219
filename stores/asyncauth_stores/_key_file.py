"""Key rings in files: `KeyFile`, which workers read again, and `change_key_file`, which replaces it."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import final

import attrs
from filelock import Timeout

from asyncauth._errors import ConfigurationError, StoreUnavailableError
from asyncauth_stores._file_disk import lock_file, replace
from asyncauth_stores._file_trust import resolved
from asyncauth_stores._key_ring import KeyRing
from asyncauth_stores._private import create_private
from asyncauth_stores._threads import apart


@final
@attrs.define
class KeyFile:
    """A key ring in a file, which running workers read again: see `KeySource` for when.

    Attributes:
        path: See `KeyRing.from_file`.
        create: See `KeyRing.from_file`; a file that was there once and has gone is not made again.
    """

    path: Path = attrs.field(converter=Path)
    create: bool = False
    _was_there: bool = attrs.field(default=False, init=False, repr=False, eq=False)

    async def load(self) -> KeyRing:
        """Read the file off the event loop. Errors are those of `KeyRing.from_file`."""
        create = self.create and not self._was_there
        ring = await apart(partial(KeyRing.from_file, self.path, create=create))
        self._was_there = True
        return ring


def new_key_file(path: str | os.PathLike[str]) -> KeyRing:
    """Make a file with a new key ring, and return the ring. It blocks.

    Raises:
        ConfigurationError: There is a file already; it stays as it is.
        InsecureStoreError: Other users could put another file in its place.
        StoreUnavailableError: The file system failed.
    """
    place = Path(path)
    ring = KeyRing.generate()
    try:
        create_private(place, _text(ring))
    except OSError as error:
        raise StoreUnavailableError(f"the key file {place} cannot be made: {error.strerror}") from error
    if KeyRing.from_file(place) != ring:
        raise ConfigurationError(f"{place} is there already; what it may have sealed needs it")
    return ring


def change_key_file(path: str | os.PathLike[str], change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Replace a key file's ring, at once and under a lock, and return the new one. It blocks.

    Whoever reads meanwhile finds the earlier ring or the new one, never half of one. Of several
    processes that change one file at once, none undoes what another did.

    Args:
        path: The file; of a symbolic link, the file behind it.
        change: Makes the new ring of the present one, such as `KeyRing.add`.

    Raises:
        ConfigurationError: There is no file, or it holds no key ring.
        InsecureStoreError: Other users could read or change it.
        StoreUnavailableError: The file system failed, or somebody else holds the lock.
    """
    place = _behind_links(Path(path))
    KeyRing.from_file(place)  # before a lock is made beside something else
    try:
        with lock_file(place.with_name(f".{place.name}.lock")):
            ring = change(KeyRing.from_file(place))
            replace(place, place.with_name(f".{place.name}.next"), _text(ring))
    except Timeout:
        raise StoreUnavailableError(f"another process is changing the key file {place}") from None
    except OSError as error:
        raise StoreUnavailableError(f"the key file {place} cannot be replaced: {error.strerror}") from error
    return ring


def _behind_links(path: Path) -> Path:
    try:
        return resolved(path.absolute())
    except OSError as error:
        raise StoreUnavailableError(f"the key file {path} cannot be read: {error.strerror}") from error


def _text(ring: KeyRing) -> bytes:
    return ring.dump().encode("ascii") + b"\n"
