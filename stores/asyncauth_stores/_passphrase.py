"""`Passphrase`: a key ring that is derived from words."""

import os
import threading
import unicodedata
from base64 import urlsafe_b64encode
from functools import partial
from typing import Self, final

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from asyncauth._errors import ConfigurationError
from asyncauth._processes import Guarded
from asyncauth_stores._forks import renew_in_children
from asyncauth_stores._key_ring import KeyRing
from asyncauth_stores._threads import apart

PASSPHRASE = "ASYNCAUTH_PASSPHRASE"  # noqa: S105 - the variable's name
SALT = "ASYNCAUTH_SALT"

_SHORTEST = 12
_SHORTEST_SALT = 8
# RFC 9106, section 4, the second recommended option, for memory-constrained environments: 3 passes,
# 4 lanes, 64 MiB. The first one takes 2 GiB in every worker process.
_PASSES, _LANES, _KIBIBYTES = 3, 4, 64 * 1024


@final
@attrs.frozen
class Passphrase(Guarded):
    """A key ring derived from a passphrase with Argon2id (RFC 9106), as `key=Passphrase(...)`.

    It takes some 64 MiB and a fifth of a second, in a thread, once in each process. The same passphrase
    and salt make the same ring on every machine; another one is refused with `UnknownKeyError`
    wherever records are sealed already, and changes nothing there.

    Such a ring cannot be rotated. To leave the passphrase, write the ring to a key file:
    `(await source.load()).dump()` is its text.

    Attributes:
        passphrase: At least 12 characters. Six or more random words withstand guessing (RFC 9106 slows
            a guess down; it does not make a poor passphrase good).
        salt: At least 8 bytes, not secret, of this deployment alone: with one salt, two deployments
            could be attacked at once. 16 random bytes are best: `python -c "import secrets;
            print(secrets.token_hex(16))"`.

    Raises:
        ConfigurationError: One of them is too short.
    """

    passphrase: str = attrs.field(repr=False)
    salt: str = attrs.field(kw_only=True)

    def __attrs_post_init__(self) -> None:
        if len(self.passphrase) < _SHORTEST:
            raise ConfigurationError(f"a passphrase has at least {_SHORTEST} characters; better six words")
        if len(self.salt.encode()) < _SHORTEST_SALT:
            raise ConfigurationError(
                f"a passphrase's salt has at least {_SHORTEST_SALT} bytes, of this deployment alone"
            )

    @classmethod
    def from_env(cls) -> Self:
        """Return what `ASYNCAUTH_PASSPHRASE` and `ASYNCAUTH_SALT` say.

        Raises:
            ConfigurationError: One of them is not set, or too short.
        """
        passphrase, salt = os.environ.get(PASSPHRASE, ""), os.environ.get(SALT, "")
        if not passphrase or not salt:
            raise ConfigurationError(f"the environment variables {PASSPHRASE} and {SALT} are both needed")
        return cls(passphrase, salt=salt)

    async def load(self) -> KeyRing:
        """Derive the ring, the first time in this process, in a thread.

        Raises:
            ConfigurationError: The OpenSSL at hand has no Argon2id.
        """
        ring = _RINGS.get(self)
        return await apart(partial(_RINGS.derived, self)) if ring is None else ring


class _Rings:
    """The rings that this process has derived."""

    def __init__(self) -> None:
        self._rings: dict[Passphrase, KeyRing] = {}
        self.forget_parent()
        renew_in_children(self)

    def forget_parent(self) -> None:
        # One derivation at a time: several would multiply the memory, for the same result.
        self._lock = threading.Lock()

    def get(self, source: Passphrase) -> KeyRing | None:
        return self._rings.get(source)

    def derived(self, source: Passphrase) -> KeyRing:
        with self._lock:
            return self._rings.get(source) or self._rings.setdefault(source, _derived(source))


_RINGS = _Rings()


def _derived(source: Passphrase) -> KeyRing:
    # What looks the same is typed in several ways (RFC 8265, section 4.2.2, normalizes by NFC too).
    typed = unicodedata.normalize("NFC", source.passphrase).encode()
    try:
        function = Argon2id(
            salt=source.salt.encode(), length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_KIBIBYTES
        )
    except UnsupportedAlgorithm:
        # Another function would make another key, on this machine only.
        raise ConfigurationError(
            "a passphrase needs OpenSSL 3.2, which has Argon2id: install cryptography from its own wheels"
        ) from None
    return KeyRing.parse(urlsafe_b64encode(function.derive(typed)).decode("ascii"))
