"""What a sealed record looks like, and the ciphers that make and open it. No I/O."""

import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable
from functools import lru_cache, partial
from typing import final

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from asyncauth._errors import (
    PlaintextRecordError,
    TamperedRecordError,
    UnknownKeyError,
    UnreadableRecordError,
)
from asyncauth.abc import Snapshot
from asyncauth_stores._key_ring import KEY_ID, KeyRing

# An envelope: magic, format, length of the key id, key id, nonce, ciphertext with its tag.
# Its content: the two times, then the value. Format 1 was never released; it had no times.
_MAGIC = b"asyncauth-sealed"
_FORMAT = 2
_RING_MAGIC = b"asyncauth-keyring\x01"
_NONCE = 12
_TAG = 16
_TIMES = struct.Struct(">QQ")
_KEPT = 128
"""Names whose places and ciphers are kept: a renewal asks for each several times."""


@final
@attrs.frozen
class Content:
    """What an envelope holds.

    Attributes:
        value: The bytes that were sealed.
        written: The store's time when its writer had last looked, in milliseconds since 1970. A record's
            next writing has a later one, so that an older record can be told by it.
        drop_at: When the store may drop it, on the same clock; 0 for never.
    """

    value: bytes = attrs.field(repr=False)
    written: int = 0
    drop_at: int = 0


@final
@attrs.frozen(eq=False)
class Sealer:
    """Seals values for their place: a namespace and a name.

    A token's record takes some ten microseconds, a sixth of a trip to a thread: it is done on the event
    loop.

    Attributes:
        ring: The keys.
        namespace: Part of every place.
        place: Returns the name under which the inner store keeps a record: 96 hexadecimal digits.
    """

    ring: KeyRing
    namespace: str
    place: Callable[[str], str] = attrs.field(init=False, repr=False)
    _cipher: Callable[[bytes, str], AESGCM] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # Not of methods: keys would live until the collector finds a cycle.
        place, cipher = partial(_place, self.ring.names, self._names_place), partial(_cipher, self.namespace)
        object.__setattr__(self, "place", lru_cache(_KEPT)(place))
        object.__setattr__(self, "_cipher", lru_cache(_KEPT)(cipher))

    def name(self, place: str) -> str | None:
        """Return the name behind a place; none if this ring did not make it."""
        try:
            return AESSIV(self.ring.names).decrypt(bytes.fromhex(place), self._names_place).hex()
        except (InvalidTag, ValueError):
            return None

    @property
    def ring_place(self) -> str:
        """The name under which the inner store keeps the ring's mark, whatever the ring."""
        return hashlib.sha256(b"asyncauth key ring " + self.namespace.encode()).hexdigest()

    def ring_mark(self) -> bytes:
        """Return what only this names key makes for the namespace; it stays when keys are rotated."""
        return _RING_MAGIC + AESSIV(self.ring.names).encrypt(_RING_MAGIC, [self.namespace.encode()])

    def check_mark(self, found: Snapshot) -> None:
        """Check the ring's mark, if there is one.

        Raises:
            UnknownKeyError: It was made with another names key.
        """
        if found.value is not None and not hmac.compare_digest(found.value, self.ring_mark()):
            raise UnknownKeyError(
                f"the namespace {self.namespace!r} was begun with another key ring (or passphrase, or salt),"
                f" whose 'names' entry differs from that of this one ({', '.join(self.ring.ids)}): give all"
                " workers one key ring, or take another namespace; to start anew, remove the record"
                f" {self.ring_place}",
                _place_of(found),
            )

    def seal(self, name: str, content: Content) -> bytes:
        """Return the envelope of a content, under the ring's first key."""
        key_id, key = self.ring.keys[0]
        header = _MAGIC + bytes([_FORMAT, len(key_id)]) + key_id.encode("ascii")
        # A random nonce of 96 bits is good for 2**32 values per key (NIST SP 800-38D, section 8.3).
        # The key that it is used with is this record's own, so that is 136 years of a write a second.
        nonce = secrets.token_bytes(_NONCE)
        data = _TIMES.pack(content.written, content.drop_at) + content.value
        return header + nonce + self._cipher(key, name).encrypt(nonce, data, _bound(self.namespace, name))

    def open(self, name: str, found: Snapshot) -> Content | None:
        """Return what a snapshot's envelope holds; none if nothing is stored.

        Raises:
            PlaintextRecordError: It is not sealed.
            UnknownKeyError: The ring lacks its key.
            TamperedRecordError: It was changed, cut, or sealed for another place.
            UnreadableRecordError: It has a format of another version.
        """
        if found.value is None:
            return None
        key_id, body = _split(found.value, found)
        key = self.ring.get(key_id)
        if key is None:
            raise UnknownKeyError(
                f"a record is sealed with the key {key_id!r}, which is not on the key ring"
                f" ({', '.join(self.ring.ids)}): add it, or put a new token",
                _place_of(found),
            )
        try:
            data = self._cipher(key, name).decrypt(body[:_NONCE], body[_NONCE:], _bound(self.namespace, name))
        except InvalidTag:
            raise _tampered(found) from None
        return Content(data[_TIMES.size :], *_TIMES.unpack_from(data))

    @property
    def _names_place(self) -> list[bytes]:
        return [b"asyncauth name", self.namespace.encode()]


def _place(names: bytes, associated: list[bytes], name: str) -> str:
    # AES-SIV without a nonce (RFC 5297, section 3) makes the same of the same name, so it works as
    # a keyed hash; unlike a hash it can be undone, which `keys` needs.
    return AESSIV(names).encrypt(bytes.fromhex(name), associated).hex()


def _cipher(namespace: str, key: bytes, name: str) -> AESGCM:
    return AESGCM(hmac.digest(key, _bound(namespace, name), hashlib.sha256))


def _bound(namespace: str, name: str) -> bytes:
    parts = (bytes([_FORMAT]), namespace.encode(), name.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def key_id_of(found: Snapshot) -> str | None:
    """Return the id of the key that a snapshot's envelope names; none if nothing is stored.

    Raises:
        PlaintextRecordError: It is not sealed.
        TamperedRecordError: It was changed or cut.
        UnreadableRecordError: It has a format of another version.
    """
    return None if found.value is None else _split(found.value, found)[0]


def _split(data: bytes, found: Snapshot) -> tuple[str, bytes]:
    """Return an envelope's key id, and its nonce with the ciphertext."""
    if not data.startswith(_MAGIC):
        raise PlaintextRecordError(
            "a record is not sealed, in a store that seals: find out who wrote it, or put a new token",
            _place_of(found),
        )
    head, rest = data[len(_MAGIC) : len(_MAGIC) + 2], data[len(_MAGIC) + 2 :]
    if len(head) < 2:  # noqa: PLR2004 - the format and the size of the key id
        raise _tampered(found)
    if head[0] != _FORMAT:
        raise UnreadableRecordError(
            f"a record has the format {head[0]}, this version reads {_FORMAT}: update asyncauth everywhere",
            _place_of(found),
        )
    key_id, body = rest[: head[1]], rest[head[1] :]
    if len(body) < _NONCE + _TIMES.size + _TAG or not KEY_ID.fullmatch(key_id.decode("latin-1")):
        raise _tampered(found)
    return key_id.decode("ascii"), body


def _place_of(found: Snapshot) -> Snapshot:
    return attrs.evolve(found, value=None)


def _tampered(found: Snapshot) -> TamperedRecordError:
    return TamperedRecordError(
        "a record was changed, cut, or moved here from another place; it is left as it is until a new"
        " token is put",
        _place_of(found),
    )
