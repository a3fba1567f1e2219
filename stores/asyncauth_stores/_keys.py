"""Where a store's key ring comes from."""

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from platformdirs import user_config_path

from asyncauth._errors import ConfigurationError
from asyncauth_stores._key_file import KeyFile
from asyncauth_stores._key_ring import ENVIRONMENT, KeyRing
from asyncauth_stores._passphrase import PASSPHRASE, Passphrase

__all__ = ["KeyFile", "KeyRing", "KeySource", "find_keys"]


@runtime_checkable
class KeySource(Protocol):
    """Something that a key ring comes from: a file, a passphrase, a key management service.

    A store loads the ring when it first needs it; again before it seals something, if it last did so
    more than 30 s ago; and when it meets a record whose key the ring lacks, as happens while keys are
    rotated. Once there is a ring, the store goes on with it while its source is in trouble: one that
    fails is warned of once, and tried again a second later at the earliest; one that takes its time delays
    a write by 0.2 s. A ring that was loaded more than a minute ago, as in a worker that was idle, may have
    keys that were dropped since: then writes wait longer, until that load has taken 2 s. `reseal`, and who
    meets a key that the ring lacks, wait for the source, and raise what it raises. A source where loading
    costs something (a service that counts calls) keeps the ring itself, as `WrappedKeyFile` does.
    """

    async def load(self) -> KeyRing:
        """Return the ring. Its `names` never change.

        Raises:
            ConfigurationError: Somebody has to change something first.
            StoreUnavailableError: It may work later. Any error that is not of asyncauth's tree counts
                as this one, and its text is not shown.

        It must not block the event loop, and may be called from several event loops. A load that takes
        more than 30 s is cancelled; a caller's cancellation or timeout does not reach it.
        """
        ...


def find_keys(
    key: KeyRing | KeySource | str | None = None,
    key_file: str | os.PathLike[str] | None = None,
    *,
    create_key: bool = False,
) -> KeyRing | KeySource:
    """Say where a store's key ring comes from. No file is touched.

    The first that there is: `key`, `key_file`, the environment variable `ASYNCAUTH_KEY`, the variables
    `ASYNCAUTH_PASSPHRASE` and `ASYNCAUTH_SALT`, the file `asyncauth/key` in the user's configuration folder.

    Args:
        key: The ring, its text, or where to load it from.
        key_file: A file that holds the text; see `KeyRing.from_file`.
        create_key: Make the file, at first use, if it is not there.

    Raises:
        ConfigurationError: `key` and `key_file` are both given, or a text is no key ring.
    """
    if key is not None and key_file is not None:
        raise ConfigurationError("pass key= or key_file=, not both")
    if isinstance(key, str):
        return KeyRing.parse(key)
    if isinstance(key, KeyRing | KeySource):
        return key
    if key is not None:
        raise ConfigurationError(f"key= is a KeyRing or its text, not {type(key).__name__}; or a KeySource")
    if key_file is not None:
        return KeyFile(Path(key_file), create_key)
    return _from_environment() or KeyFile(user_config_path("asyncauth") / "key", create_key)


def _from_environment() -> KeyRing | KeySource | None:
    if os.environ.get(ENVIRONMENT):
        return KeyRing.from_env()
    if os.environ.get(PASSPHRASE):
        return Passphrase.from_env()
    return None
