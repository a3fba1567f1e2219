"""What a spawned process does with the sources of keys that it is given."""

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path

from asyncauth_stores.sealed import KeyRing, KeySource, Passphrase

WORDS = "correct horse battery staple"
_RING = KeyRing.generate()


async def unwrapped(data: bytes) -> bytes:
    return data[::-1]


def wrapped(folder: Path) -> Path:
    (folder / "wrapped").write_bytes(_RING.dump().encode()[::-1])
    return folder / "wrapped"


def child(connection: Connection, sources: tuple[KeySource, ...]) -> None:
    """Tell whether each source that arrived works."""

    async def works(source: KeySource) -> bool:
        ring = await source.load()
        return not isinstance(source, Passphrase) or ring == await Passphrase(WORDS, salt=source.salt).load()

    connection.send([asyncio.run(works(source)) for source in sources])
