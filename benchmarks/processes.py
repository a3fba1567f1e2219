"""Processes of a benchmark that do as they are told: a line of JSON is a command, the next its answer."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from fleet_of_processes import WorkerProcess

_LONGEST: Final = 2**25
"""Bytes of an answer: some hold each request's times."""
_START: Final = 30.0


@asynccontextmanager
async def running(module: str, count: int, setup: Mapping[str, Any]) -> AsyncIterator[list[WorkerProcess]]:
    """Start processes of `python -m module`, which does `obey`. However it ends, they are killed."""
    pipe, workers = asyncio.subprocess.PIPE, list[WorkerProcess]()
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, stdin=pipe, stdout=pipe, limit=_LONGEST
            )
            workers.append(WorkerProcess(process))
        for worker in workers:
            worker.send("begin", **setup)
        for worker in workers:
            await worker.answer(_START)
        yield workers
    finally:
        for worker in workers:
            await worker.kill()


async def ask_all(workers: Sequence[WorkerProcess], do: str, **details: object) -> list[Any]:
    """Have processes do something at the same time, and return their answers."""
    return list(await asyncio.gather(*(worker.ask(do, **details) for worker in workers)))


async def obey(working: Callable[..., AbstractAsyncContextManager[object]]) -> None:
    """Do what standard input says, with the methods of what `working` yields, until it ends.

    Args:
        working: Called with the details of the first command.
    """
    loop, stdin = asyncio.get_running_loop(), asyncio.StreamReader(limit=_LONGEST)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    setup = json.loads(await stdin.readline())
    del setup["do"]
    async with working(**setup) as worker:
        print("{}", flush=True)
        while line := await stdin.readline():
            command = json.loads(line)
            print(json.dumps(await getattr(worker, command.pop("do"))(**command)), flush=True)
