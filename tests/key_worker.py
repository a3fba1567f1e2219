"""One worker of a fleet whose keys are rotated: `python key_worker.py FOLDER KEY_FILE TOKEN_URL API_URL`.

It renews a token that lives a second, and counts up in records that all workers share, until standard
input ends. Then it tells what it did, and what went wrong, as one line of JSON.
"""

import asyncio
import json
import logging
import sys
from collections import Counter
from contextlib import AbstractAsyncContextManager, suppress

from asyncauth import RefreshPolicy, TokenManager
from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._errors import AuthError, WriteConflictError
from asyncauth._token import Secret
from asyncauth.schemes import ClientCredentials
from asyncauth_stores._files import PlainFileStore
from asyncauth_stores.sealed import KeyFile, SealedTokenStore

NAMES = [f"{number:064x}" for number in range(4)]
_POLICY = RefreshPolicy(store_timeout=5, heartbeat=2, lease=10, quarantine=35, wait=60)


class HastyClock(Clock):
    """A clock by which the half minute until keys are loaded again is over after 0.3 s."""

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic() * 100

    def wall(self) -> float:
        return SYSTEM_CLOCK.wall()

    async def sleep(self, seconds: float) -> None:
        await SYSTEM_CLOCK.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        # Whoever reads the file gets his time on a busy machine, too.
        return SYSTEM_CLOCK.timeout(None if seconds is None else seconds * 10)


class Troubles(logging.Handler):
    """Counts what is logged."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__(logging.WARNING)
        self._counts = counts

    def emit(self, record: logging.LogRecord) -> None:
        self._counts[record.getMessage()] += 1


async def count_up(store: SealedTokenStore, name: str) -> None:
    found = await store.read(name)
    while True:
        try:
            await store.write(name, b"%d" % (int(found.value or 0) + 1), found)
        except WriteConflictError as conflict:
            found = conflict.snapshot
        else:
            return


async def work(folder: str, key_file: str, token_url: str, api_url: str) -> dict[str, object]:
    counted, tokens, troubles = 0, set[Secret | None](), Counter[str]()
    logging.getLogger("asyncauth").addHandler(Troubles(troubles))
    scheme = ClientCredentials(
        token_url=token_url, base_url=api_url, client_id="app", client_secret="app-secret"
    )
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    store = SealedTokenStore(PlainFileStore(folder), KeyFile(key_file), clock=HastyClock())
    async with store, TokenManager(store, policy=_POLICY) as manager:
        while not ended.done():
            try:
                tokens.add((await manager.token(scheme)).access_token)
                await count_up(store, NAMES[counted % len(NAMES)])
                counted += 1
            except AuthError as error:
                troubles[f"{type(error).__name__}: {error}"] += 1
            if counted == 1:
                print("working", flush=True)  # noqa: T201 - the test listens
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(ended), 0.02)
    return {"counted": counted, "tokens": len(tokens), "troubles": troubles}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(work(*sys.argv[1:]))), flush=True)  # noqa: T201 - the test listens
