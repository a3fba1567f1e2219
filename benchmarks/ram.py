"""What keys take of the RAM of a process that uses them, as `tracemalloc` counts it."""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from asyncauth import RefreshPolicy, Token, TokenManager
from asyncauth.abc import AuthScheme, TokenStore

_AT_ONCE: Final = 32
_REST: Final = 0.5
"""Seconds in which next to nothing is allocated, once tasks that were started have come to rest."""
_NOTHING: Final = 4096
_PATIENCE: Final = 60.0
_LINES: Final = 10


@contextmanager
def traced() -> Iterator[None]:
    """Trace what is allocated inside."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def traced_bytes() -> int:
    """Return what was allocated since tracing began, and is still there."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def all_of(schemes: Sequence[AuthScheme], work: Callable[[AuthScheme], Awaitable[object]]) -> None:
    """Do the same with all schemes, some at a time."""
    left = iter(schemes)

    async def some() -> None:
        for scheme in left:
            await work(scheme)

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


async def ram_in_use(
    store: TokenStore, schemes: Sequence[AuthScheme], policy: RefreshPolicy
) -> dict[str, Any]:
    """Use all keys, and return what each takes of RAM.

    Args:
        store: Has a token for each of the schemes.
        schemes: Two or more.
        policy: Of who uses them.

    Returns:
        `ram`: bytes per key beside the token's own strings, which are `ram_strings`. `ram_by_line`: bytes
        and objects per key of the lines that allocated the most.
    """
    async with TokenManager(store, policy=policy) as manager:
        token = await manager.token(schemes[0])  # what is made once is no key's
        with traced():
            await all_of(schemes[1:], manager.token)
            await _at_rest()
            taken, lines = traced_bytes(), tracemalloc.take_snapshot().statistics("lineno")
    count, strings = len(schemes) - 1, _strings(token)
    return {
        "ram": round(taken / count) - strings,
        "ram_strings": strings,
        "ram_by_line": {_name(line): _each(line, count) for line in lines[:_LINES]},
    }


async def _at_rest() -> None:
    """Wait until what follows the records has come to rest."""
    async with asyncio.timeout(_PATIENCE):
        before = 0
        while abs((now := tracemalloc.get_traced_memory()[0]) - before) > _NOTHING:
            before = now
            await asyncio.sleep(_REST)


def _strings(token: Token) -> int:
    secrets = (token.access_token, token.refresh_token)
    return sum(sys.getsizeof(secret.reveal()) for secret in secrets if secret is not None)


def _name(line: tracemalloc.Statistic) -> str:
    frame = line.traceback[0]
    return "/".join(Path(frame.filename).parts[-2:]) + f":{frame.lineno}"


def _each(line: tracemalloc.Statistic, count: int) -> dict[str, float]:
    return {"bytes": round(line.size / count), "objects": round(line.count / count, 2)}
