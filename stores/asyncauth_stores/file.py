"""`FileTokenStore`: tokens shared by the processes of one machine, in sealed files."""

import os
from typing import Any

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._open import flag, made, path_of, taken_options
from asyncauth.abc import TokenStore
from asyncauth_stores._files import PlainFileStore
from asyncauth_stores._keys import KeyRing, find_keys
from asyncauth_stores.sealed import SealedTokenStore

__all__ = ["FileTokenStore", "PlainFileStore"]


class FileTokenStore(SealedTokenStore):
    """Shares tokens through a folder, sealed; `PlainFileStore` is the same without the seal.

    The key ring is the first that there is: `key`, `key_file`, the environment variable `ASYNCAUTH_KEY`,
    the file `asyncauth/key` in the user's configuration folder (beside the records it would protect
    little). Files are read at first use.

    Args:
        folder: See `PlainFileStore`, as for `namespace`, `clock` and `poll`.
        key: The key ring, or its text.
        key_file: A file that holds the key ring's text, with mode 0600.
        create_key: Make the key file, at first use, if it is not there.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        key: KeyRing | str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        create_key: bool = False,
        namespace: str = "asyncauth",
        clock: Clock = SYSTEM_CLOCK,
        poll: float = 0.025,
    ) -> None:
        inner = PlainFileStore(folder, namespace=namespace, clock=clock, poll=poll)
        super().__init__(inner, find_keys(key, key_file, create_key=create_key))

    @classmethod
    def from_url(cls, url: str, **options: Any) -> TokenStore:
        """Return the store that a URL describes. Nothing is read or made on disk yet.

        Args:
            url: `file:///var/lib/app/tokens`, an absolute path. Its query may have `namespace`,
                `key_file`, `create_key`, `poll`, and `sealed=0` for a `PlainFileStore`.
            options: Arguments of the class, which go before the URL's.

        Raises:
            ConfigurationError: The URL or an option cannot work.
        """
        url, found = taken_options(
            url,
            {"namespace": str, "key_file": str, "create_key": flag, "poll": float, "sealed": flag},
        )
        found |= options
        kind = cls if found.pop("sealed", True) else PlainFileStore
        return made(kind, path_of(url), **found)
