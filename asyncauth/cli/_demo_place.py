"""The demo's own place in a store: nobody else's records are touched, and nothing is left behind."""

import asyncio
import logging
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import attrs

from asyncauth._errors import ConfigurationError, StoreError, WriteConflictError
from asyncauth._open import open_store, split_url
from asyncauth.abc import TokenStore

_PATIENCE = 5.0
_KEY_OPTIONS = ("key_file", "create_key")

_log = logging.getLogger("asyncauth")


@final
@attrs.frozen
class Place:
    """Where the demo's workers share their tokens.

    Attributes:
        url: The store's; it may hold a password.
        options: For `open_store`.
        shown: What it is, without a secret.
    """

    url: str = attrs.field(repr=False)
    options: dict[str, Any]
    shown: str

    def open(self) -> TokenStore:
        """Return the store; sealed, whatever the URL says."""
        return open_store(self.url, **self.options)

    def open_plain(self) -> TokenStore:
        """Return the store without its seal, which shows everything that lies in the place."""
        pairs = parse_qsl(split_url(self.url).query, keep_blank_values=True)
        kept = [pair for pair in pairs if pair[0] not in _KEY_OPTIONS]
        # Python makes `unix:/path` of the parts of `unix:///path`.
        url = f"{self.url.partition('?')[0]}?{urlencode(kept)}"
        options = {name: value for name, value in self.options.items() if name not in _KEY_OPTIONS}
        return open_store(url, **options | {"sealed": False})


@asynccontextmanager
async def own_place(url: str | None) -> AsyncIterator[Place]:
    """Make a place, and remove it at the end with all that was written to it.

    Args:
        url: A store's URL; none for files in a temporary folder.

    Raises:
        ConfigurationError: The URL cannot work.
    """
    parts = split_url(url or "file:")
    if parts.scheme == "memory":
        raise ConfigurationError("memory:// lives in one process; the demo needs a store that several share")
    is_file = parts.scheme == "file"
    parent = unquote(parts.path) if url and is_file else None
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(_own_folder(parent))
        options: dict[str, Any] = {"key_file": str(folder / "key"), "create_key": True, "sealed": True}
        if url is None or is_file:
            tokens = parts._replace(netloc="", path=quote(str(folder / "tokens"))).geturl()
            place = Place(tokens.replace("file:/", "file:///", 1), options, str(folder))
        else:
            options["namespace"] = f"asyncauth-demo-{secrets.token_hex(8)}"
            host = parts.netloc.rpartition("@")[2] or unquote(parts.path)
            place = Place(url, options, f"{parts.scheme}://{host}, namespace {options['namespace']}")
        # Before anything is shown of it, or is there to be removed; what an error names is read from disk.
        store = await asyncio.to_thread(place.open)
        await store.aclose()
        if not is_file:
            stack.push_async_callback(_remove_records, place)
        yield place


@asynccontextmanager
async def _own_folder(parent: str | None) -> AsyncIterator[Path]:
    """Make a folder that only this user may enter, for the key and perhaps the tokens."""
    try:
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="asyncauth-demo-", dir=parent)
    except OSError as error:
        raise ConfigurationError(
            f"{parent}: {error.strerror}; the demo needs a folder to write in"
        ) from error
    try:
        yield Path(folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _remove_records(place: Place) -> None:
    try:
        async with asyncio.timeout(_PATIENCE), place.open_plain() as store:
            async for name in store.keys():
                await _remove(store, name)
    except (StoreError, TimeoutError):
        # Raised, it would hide why the store was not usable in the first place.
        _log.warning("the demo's records could not be removed: %s", place.shown)


async def _remove(store: TokenStore, name: str) -> None:
    snapshot = await store.read(name)
    while snapshot.value is not None:
        try:
            snapshot = await store.write(name, None, snapshot)
        except WriteConflictError as conflict:
            # A killed worker's last write may still have been on its way.
            snapshot = conflict.snapshot
