"""What a request costs in numbers that no other process disturbs: instructions, calls, memory.

`cost` counts the interpreter's own instructions (bytecodes) and calls of Python functions, resumed coroutines
among them, in the thread of the event loop; C code counts as the one instruction that calls it.

`processor_instructions` has valgrind count those of the processor: its own counters are closed on most
machines. Two processes that differ in nothing but the number of requests are compared;
`python -m benchmarks.instructions CONTESTANT REQUESTS TOKEN_URL API_URL` is one of them.
"""

import asyncio
import gc
import os
import re
import statistics
import sys
import tracemalloc
from asyncio import selector_events
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, final
from unittest.mock import patch

import attrs

from benchmarks.contestants import Place, of

_TIMES: Final = 40
_IN_A_ROW: Final = 5
_FEW: Final = 100
_MANY: Final = 1100
_LONGEST: Final = 240.0
_VALGRIND: Final = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")


@final
@attrs.frozen
class Cost:
    """What one request costs; each the median of some.

    Attributes:
        bytecodes: The interpreter's instructions.
        calls: Calls of Python functions, and resumptions of coroutines.
        most: Bytes that were taken at once, at most, beyond those before the request.
        left: Blocks of memory that wait for the garbage collector, or stay.
    """

    bytecodes: float
    calls: float
    most: float
    left: float


async def cost(send: Callable[[], Awaitable[object]]) -> Cost:
    """Count what one request costs, one at a time."""
    traced = []
    for _ in range(_TIMES):
        with _traced() as counts:
            await send()
        traced.append(tuple(counts))
    return Cost(
        bytecodes=statistics.median(bytecodes for bytecodes, _ in traced),
        calls=statistics.median(calls for _, calls in traced),
        most=await _most(send),
        left=await _left(send),
    )


@contextmanager
def _traced() -> Iterator[list[int]]:
    """Count bytecodes and calls; frames that run already are not looked into."""
    counts = [0, 0]

    def inside(frame: FrameType, event: str, argument: Any) -> Any:
        del frame, argument
        if event == "opcode":
            counts[0] += 1
        return inside

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        del event, argument
        counts[1] += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return inside

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        yield counts
    finally:
        sys.settrace(before)


async def _most(send: Callable[[], Awaitable[object]]) -> float:
    """Measure with small buffers: asyncio's own, of 256 KiB for each read, would hide all the rest."""
    transport: Any = vars(selector_events)["_SelectorSocketTransport"]
    found = []
    tracemalloc.start()
    try:
        with patch.object(transport, "max_size", 4096):
            for _ in range(_TIMES):
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                await send()
                found.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return statistics.median(found)


async def _left(send: Callable[[], Awaitable[object]]) -> float:
    found = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(_TIMES):
            before = sys.getallocatedblocks()
            for _ in range(_IN_A_ROW):
                await send()
            found.append((sys.getallocatedblocks() - before) / _IN_A_ROW)
    finally:
        gc.enable()
    return statistics.median(found)


async def processor_instructions(name: str, place: Place) -> float:
    """Return how many of the processor's instructions one request of a contestant takes, with valgrind."""
    few, many = await asyncio.gather(_counted(name, place, _FEW), _counted(name, place, _MANY))
    return (many - few) / (_MANY - _FEW)


async def _counted(name: str, place: Place, requests: int) -> int:
    program = (sys.executable, "-m", "benchmarks.instructions")
    arguments = (name, str(requests), place.token_url, place.api_url)
    # Else each process would have other collisions in its dictionaries.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    process = await asyncio.create_subprocess_exec(
        *_VALGRIND, *program, *arguments, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_LONGEST):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return int(re.findall(rb"Collected : (\d+)", said)[0])


async def _main() -> None:
    name, requests, token_url, api_url = sys.argv[1:]
    async with of(name).opened(Place(token_url, api_url)) as user:
        for _ in range(int(requests)):
            assert await user.send() == 200


if __name__ == "__main__":
    asyncio.run(_main())
