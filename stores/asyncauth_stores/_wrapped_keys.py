"""`WrappedKeyFile`: a key ring that only a key management service can open."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import final

import attrs

from asyncauth._errors import ConfigurationError, StoreUnavailableError
from asyncauth._processes import Guarded
from asyncauth_stores._key_ring import KeyRing
from asyncauth_stores._private import read_regular
from asyncauth_stores._threads import apart


@final
@attrs.define
class WrappedKeyFile(Guarded):
    """A key ring's text in a file, encrypted by a key management service, as `key=WrappedKeyFile(...)`.

    This is envelope encryption: the service's key never leaves it and opens one small file; the ring in
    it seals the records. The service is asked once per process, and again when the file has changed. Its
    outage stops workers that start, and no others.

    To make the file, have the service encrypt `KeyRing.generate().dump().encode()`; to rotate, unwrap,
    change the ring with `add`, `promote` and `drop`, wrap, and replace the file by renaming. The file
    may be readable to others; it holds nothing without the service.

    Attributes:
        path: The file.
        unwrap: Asks the service to decrypt the file's bytes. Any error that it raises counts as an
            outage, and its text is not shown.
    """

    path: Path = attrs.field(converter=Path)
    unwrap: Callable[[bytes], Awaitable[bytes]]
    _known: tuple[bytes, KeyRing] | None = attrs.field(default=None, init=False, repr=False)

    async def load(self) -> KeyRing:
        """Read the file in a thread, and have it unwrapped if it is another one than last time.

        Raises:
            ConfigurationError: There is no regular file, or what was wrapped is no key ring.
            StoreUnavailableError: The file system failed; the service's errors pass as they are.
        """
        wrapped = await apart(self._read)
        if self._known is None or self._known[0] != wrapped:
            text = await self.unwrap(wrapped)
            self._known = wrapped, KeyRing.parse(text.decode("ascii", "replace"))
        return self._known[1]

    def _read(self) -> bytes:
        try:
            return read_regular(self.path)
        except FileNotFoundError:
            raise ConfigurationError(f"there is no file {self.path} with a wrapped key ring") from None
        except OSError as error:
            raise StoreUnavailableError(f"{self.path} cannot be read: {error.strerror}") from error
