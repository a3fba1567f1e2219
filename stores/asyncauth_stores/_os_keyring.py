"""`OSKeyring`: a key ring that the operating system keeps for this user."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, final

import attrs

from asyncauth._errors import AuthError, ConfigurationError, StoreUnavailableError
from asyncauth_stores._key_ring import KeyRing
from asyncauth_stores._threads import apart

_T = TypeVar("_T")


@final
@attrs.frozen
class OSKeyring:
    """A key ring in the user's keyring (macOS Keychain, Secret Service, Windows), as `key=OSKeyring()`.

    For programs on a person's own machine: it needs a session that is unlocked, which servers and
    containers do not have. It needs the extra `keyring`. Everything is done in a thread.

    Attributes:
        service: The name of the application there.
        username: The name of the entry.
    """

    service: str = "asyncauth"
    username: str = "key"

    async def load(self) -> KeyRing:
        """Take the ring out of the keyring.

        Raises:
            ConfigurationError: There is no keyring on this machine, or no key ring in it; or the extra is
                missing.
            StoreUnavailableError: The keyring is locked, or failed.
        """
        text = await self._ask(lambda keyring: keyring.get_password(self.service, self.username))
        if text is None:
            raise ConfigurationError(
                f"the system's keyring has no entry {self.username!r} of {self.service!r}: make one with"
                " await OSKeyring(...).save(KeyRing.generate())"
            )
        return KeyRing.parse(text)

    async def save(self, ring: KeyRing) -> None:
        """Put a ring into the keyring, in the place of the one that may be there.

        Raises:
            ConfigurationError: There is no keyring on this machine, or the extra is missing.
            StoreUnavailableError: The keyring is locked, or refuses.
        """
        text = ring.dump()
        await self._ask(lambda keyring: keyring.set_password(self.service, self.username, text))

    async def _ask(self, question: Callable[[Any], _T]) -> _T:
        return await apart(partial(_answered, question))


def _answered(question: Callable[[Any], _T]) -> _T:
    try:
        # In the thread, too: it looks through all installed packages for backends.
        keyring = importlib.import_module("keyring")
        errors = importlib.import_module("keyring.errors")
    except ModuleNotFoundError:
        raise ConfigurationError(
            "the system's keyring needs a package more: pip install 'asyncauth[keyring]'"
        ) from None
    try:
        return question(keyring)
    except errors.NoKeyringError:
        failure: AuthError = ConfigurationError(
            "this machine has no keyring that can be used without a person: take key_file= or ASYNCAUTH_KEY"
        )
    except Exception as error:  # noqa: BLE001 - backends raise what their systems raise
        failure = StoreUnavailableError(
            f"the system's keyring is locked or failed ({type(error).__name__}): unlock it and try again"
        )
    # Not in the except block: what is raised there keeps the other error, whose text may hold anything.
    raise failure
