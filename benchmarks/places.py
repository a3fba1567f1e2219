"""Where processes of this machine can share tokens."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis_costs import release
from redis_servers import RedisServer, binaries


@asynccontextmanager
async def shared_stores() -> AsyncIterator[dict[str, str]]:
    """Yield the URLs of the stores that processes of this machine can share, by kind."""
    with tempfile.TemporaryDirectory() as folder:
        file_store = {"file": f"file://{folder}/tokens"}
        if not binaries():
            print("no Redis or Valkey server: files only", file=sys.stderr)
            yield file_store
            return
        kind, binary = next(iter(binaries().items()))
        with RedisServer(binary) as server:
            yield {**file_store, f"{kind} {release(server)}": server.url}
