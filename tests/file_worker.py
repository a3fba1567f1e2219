"""What a process of the file store's tests does: `python file_worker.py JOB FOLDER NAME [COUNT]`."""

import asyncio
import sys

from asyncauth._errors import WriteConflictError
from asyncauth.abc import TokenStore
from asyncauth_stores._files import PlainFileStore


async def increment(store: TokenStore, name: str, count: int) -> None:
    snapshot = await store.read(name)
    while count:
        try:
            snapshot = await store.write(name, b"%d" % (int(snapshot.value or 0) + 1), snapshot)
            count -= 1
        except WriteConflictError as error:
            snapshot = error.snapshot


async def write_for_ever(store: TokenStore, name: str, size: int) -> None:
    snapshot = await store.read(name)
    for round_ in range(sys.maxsize):
        snapshot = await store.write(name, b"%d" % (round_ % 10) * size, snapshot)
        print("written", flush=True)  # noqa: T201 - the test listens


async def hold(store: TokenStore, name: str, _: int) -> None:
    async with store.hold(name, "attempt"):
        print("held", flush=True)  # noqa: T201 - the test listens
        await asyncio.Event().wait()


async def answer(store: TokenStore, name: str, count: int) -> None:
    """Answer each write of the other process with one: a rally that measures how soon each is noticed."""
    since = await store.read(name)
    print("ready", flush=True)  # noqa: T201 - the test listens
    for _ in range(count):
        while (found := await store.read(name)).version == since.version:
            await store.changed(name, since.version, 10)
        since = await store.write(name, b"answer", found)


JOBS = {"increment": increment, "write": write_for_ever, "hold": hold, "answer": answer}


async def main(job: str, folder: str, name: str, count: str = "1") -> None:
    async with PlainFileStore(folder) as store:
        await JOBS[job](store, name, int(count))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
