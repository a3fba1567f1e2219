"""What the tests of the file store share: one folder, one name."""

from pathlib import Path

from asyncauth.abc import Snapshot, TokenStore

NAME = "a1" * 32
NOTHING = Snapshot(value=None, version="", now=0)


def record_of(folder: Path) -> Path:
    return folder / "asyncauth" / "records" / NAME


async def put(store: TokenStore, value: bytes = b"value", name: str = NAME) -> Snapshot:
    return await store.write(name, value, await store.read(name))
