"""The keys that seal records: `KeyRing`, as a value, as text and as a file."""

import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Self, final

import attrs
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from asyncauth._errors import ConfigurationError, StoreUnavailableError
from asyncauth._processes import Guarded
from asyncauth_stores._private import create_private, read_private

ENVIRONMENT = "ASYNCAUTH_KEY"
"""The environment variable that a store's key ring is taken from."""

_SIZE = 32
_NAMES = "names"
KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")
# 32 bytes in base64 without padding (RFC 4648, section 5).
_TEXT = re.compile(r"[A-Za-z0-9_-]{43}=?")


@final
@attrs.frozen(repr=False)
class KeyRing(Guarded):
    """Keys with ids: the first one seals, all of them open.

    As text it is one line, for an environment variable or a file, the sealing key first:
    `names:<key>,<id>:<key>,<id>:<key>`. A key is 32 bytes in base64url; an id is up to 32 letters,
    digits, `_`, `.` or `-`. One bare key, without ids, is a ring too: its id and names key are derived
    from it, and `add` and `rotate` write them out.

    To change the key of a running fleet without a pause, give every worker a ring that has a new key
    behind the present one (`add`), then one that has it first (`promote`), and `drop` the old one when
    the records that it sealed have been sealed again. `asyncauth_stores.sealed` has it step by step.

    Attributes:
        keys: Pairs of id and key; the first one seals.
        names: Hides the names of records. It is never rotated: under another one no record is found.
    """

    keys: tuple[tuple[str, bytes], ...]
    names: bytes

    @classmethod
    def generate(cls) -> Self:
        """Return a ring with one new key and a new names key."""
        return cls((_new_key(),), secrets.token_bytes(_SIZE))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the ring that a text describes; see the class.

        Raises:
            ConfigurationError: It is no such text. The message shows none of it.
        """
        text = text.strip()
        # Only a ring of one key can be without a names key: of several, none is sure to stay.
        if _TEXT.fullmatch(text):
            return cls._from_bare(_decode(text))
        entries = dict(_entries(text))
        names = entries.pop(_NAMES, None)
        if names is None:
            raise ConfigurationError(
                "the key ring has no 'names' entry: take it over from the ring's earlier text"
            )
        if not entries:
            raise ConfigurationError("the key ring has no key besides 'names'")
        return cls(tuple(entries.items()), names)

    @classmethod
    def from_env(cls, name: str = ENVIRONMENT) -> Self:
        """Return the ring that an environment variable holds.

        Raises:
            ConfigurationError: It is not set, or it is no key ring.
        """
        text = os.environ.get(name)
        if not text:
            raise ConfigurationError(f"the environment variable {name} is not set")
        return cls.parse(text)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, create: bool = False) -> Self:
        """Return the ring that a file holds. It blocks: call it at start-up, or in a thread.

        Args:
            path: A file that only this user can read (mode 0600).
            create: Make a new ring if there is no file. Of several processes that do so at once, one
                makes it and the others read it.

        Raises:
            ConfigurationError: There is no regular file, or it holds no key ring.
            InsecureStoreError: Other users could read, change or exchange it; the message says how to
                mend that.
            StoreUnavailableError: The file system failed.
        """
        place = Path(path)
        if create:
            cls._create(place)
        try:
            text = read_private(place)
        except FileNotFoundError:
            if create:
                raise ConfigurationError(
                    f"the key file {place} is a link to a file that is not there"
                ) from None
            raise ConfigurationError(
                f"sealing needs a key, and there is no key file {place}: pass key= or key_file=, set"
                f" {ENVIRONMENT}, or have the file made with create_key=True"
            ) from None
        except OSError as error:
            raise StoreUnavailableError(f"the key file {place} cannot be read: {error.strerror}") from error
        return cls.parse(text.decode("ascii", "replace"))

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, the sealing one first."""
        return tuple(key_id for key_id, _ in self.keys)

    def get(self, key_id: str) -> bytes | None:
        """Return a key by its id."""
        return dict(self.keys).get(key_id)

    def add(self) -> Self:
        """Return a ring with a new key behind the others: it opens, and does not seal yet."""
        return attrs.evolve(self, keys=(*self.keys, _new_key()))

    def promote(self, key_id: str) -> Self:
        """Return a ring whose key of this id seals; the others go on opening.

        Raises:
            ConfigurationError: The ring has no such key.
        """
        key = self.get(key_id)
        if key is None:
            raise self._lacks(key_id)
        others = tuple(pair for pair in self.keys if pair[0] != key_id)
        return attrs.evolve(self, keys=((key_id, key), *others))

    def rotate(self) -> Self:
        """Return a ring with a new key that seals; the present keys go on opening.

        Both steps at once, for a fleet that is at rest: a worker that still has the earlier ring
        cannot open what is sealed with this one.
        """
        ring = self.add()
        return ring.promote(ring.ids[-1])

    def drop(self, key_id: str) -> Self:
        """Return a ring without a key. What is still sealed with it cannot be opened any more.

        Raises:
            ConfigurationError: The ring has no such key, or no other one.
        """
        left = tuple(pair for pair in self.keys if pair[0] != key_id)
        if len(left) == len(self.keys):
            raise self._lacks(key_id)
        if not left:
            raise ConfigurationError(f"{key_id!r} is the ring's only key: rotate first")
        return attrs.evolve(self, keys=left)

    def dump(self) -> str:
        """Return the ring as text, which is secret: keep it out of logs and messages."""
        pairs = ((_NAMES, self.names), *self.keys)
        return ",".join(f"{name}:{_encode(key)}" for name, key in pairs)

    def _lacks(self, key_id: str) -> ConfigurationError:
        return ConfigurationError(f"the key ring has no key {key_id!r}; it has {', '.join(self.ids)}")

    @classmethod
    def _create(cls, place: Path) -> None:
        try:
            if not place.exists():
                create_private(place, cls.generate().dump().encode() + b"\n")
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreUnavailableError(
                f"the key file {place} cannot be made: a part of its path is no folder"
            ) from error
        except OSError as error:
            raise StoreUnavailableError(f"the key file {place} cannot be made: {error.strerror}") from error

    @classmethod
    def _from_bare(cls, key: bytes) -> Self:
        key_id = _derived(key, b"asyncauth key id", 4).hex()
        return cls(((key_id, key),), _derived(key, b"asyncauth names", _SIZE))

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.ids)})"


def _entries(text: str) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    for number, entry in enumerate(text.split(","), 1):
        name, _, key = entry.strip().partition(":")
        # The message counts instead of quoting: with a colon forgotten, the name is the key.
        if not KEY_ID.fullmatch(name) or not _TEXT.fullmatch(key):
            raise ConfigurationError(
                f"entry {number} of the key ring is not <id>:<32 bytes in base64url>;"
                " KeyRing.generate().dump() makes a ring"
            )
        if name in seen:
            raise ConfigurationError(f"entry {number} of the key ring repeats an earlier id")
        seen.add(name)
        yield name, _decode(key)


def _derived(key: bytes, purpose: bytes, size: int) -> bytes:
    return HKDF(SHA256(), size, salt=None, info=purpose).derive(key)


def _new_key() -> tuple[str, bytes]:
    # A random id, not a count: two people who rotate the same ring make two ids.
    return secrets.token_hex(4), secrets.token_bytes(_SIZE)


def _encode(key: bytes) -> str:
    return urlsafe_b64encode(key).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text.rstrip("=") + "=")
