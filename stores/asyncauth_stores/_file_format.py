"""One record as the bytes of a file: a header line, then the value."""

import hashlib
from typing import final

import attrs

from asyncauth_stores._waiters import Standing

_MAGIC = b"asyncauth-record"
_FORMAT = b"2"  # 1 was never released; it did not say what was told of

GLANCE = 192
"""So many bytes from the start of a file hold all that stands before the value."""


@final
@attrs.frozen
class Record:
    """What one file holds.

    Attributes:
        value: The opaque bytes.
        version: 32 hexadecimal digits, drawn for this write.
        told: See `Standing`.
        expires: When the value may be dropped, in milliseconds since 1970; 0 for never.
    """

    value: bytes = attrs.field(repr=False)
    version: str
    told: str
    expires: int = 0

    def pack(self) -> bytes:
        """Return the file's bytes."""
        return b" ".join((_MAGIC, _FORMAT, self._words(), self._digest())) + b"\n" + self.value

    @classmethod
    def unpack(cls, data: bytes) -> "Record":
        """Return what a file's bytes mean.

        Raises:
            ValueError: They are no whole record; the message says how, and quotes nothing.
        """
        header, _, value = data.partition(b"\n")
        magic, *words = header.split(b" ")
        if magic != _MAGIC:
            raise ValueError("it does not begin as a record of asyncauth does")
        if words[:1] != [_FORMAT]:
            raise ValueError(
                "its format is not known to this version of asyncauth: update it, if a newer one wrote that"
            )
        record = _record(words[1:], value)
        if record is None:
            raise ValueError("it was cut or changed")
        return record

    def _digest(self) -> bytes:
        # Against accidents only: a record is guarded against people by being sealed.
        return hashlib.blake2b(self._words() + b" " + self.value, digest_size=16).hexdigest().encode()

    def _words(self) -> bytes:
        return f"{self.version} {self.told} {self.expires}".encode()

    def matches(self, digest: bytes) -> bool:
        """Tell whether this is the record that the digest was made of."""
        return self._digest() == digest


def _record(words: list[bytes], value: bytes) -> Record | None:
    try:
        version, told, expires, digest = words
        record = Record(value, version.decode("ascii"), told.decode("ascii"), int(expires))
    except ValueError:
        return None
    return record if record.matches(digest) else None


def version_of(data: bytes) -> str:
    """Return a version for bytes that are no record: the same for the same bytes."""
    return "unreadable-" + hashlib.blake2b(data, digest_size=16).hexdigest()


def glance(start: bytes) -> Standing | None:
    """Return how the record stands whose file begins like this; none if it does not say.

    Only a hint: a record that was changed by accident may say anything.
    """
    match _known_words(start):
        case [version, told, *_]:
            return Standing(version.decode("ascii", "replace"), told.decode("ascii", "replace"))
        case _:
            return None


def has_run_out(start: bytes, now: int) -> bool:
    """Tell whether the first `GLANCE` bytes of a file say that its value may be dropped by now: a hint."""
    match _known_words(start):
        case [_, _, expires, *_] if expires.isdigit():
            return 0 < int(expires) <= now
        case _:
            return False


def _known_words(start: bytes) -> list[bytes]:
    words = start.partition(b"\n")[0].split(b" ")
    return words[2:] if words[:2] == [_MAGIC, _FORMAT] else []
