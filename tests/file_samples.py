"""What the tests of the file store share: one folder, one name, a look at its watching thread."""

import asyncio
import threading
from pathlib import Path

from asyncauth.abc import Snapshot, TokenStore

NAME = "a1" * 32
NOTHING = Snapshot(value=None, version="", now=0)


def record_of(folder: Path) -> Path:
    return folder / "asyncauth" / "records" / NAME


async def put(store: TokenStore, value: bytes = b"value", name: str = NAME) -> Snapshot:
    return await store.write(name, value, await store.read(name))


async def watched() -> None:
    """Return a little after a wait has begun to be watched for."""
    async with asyncio.timeout(5):
        while not watchers():
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "asyncauth-files"]
