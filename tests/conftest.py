"""What every test gets: a loop that must not be blocked."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def _unblocked_loop() -> Iterator[BlockBuster]:
    """Fail a test in which our code blocks the event loop with files, sleeps or sockets."""
    with blockbuster_ctx(scanned_modules=["asyncauth", "asyncauth_stores"]) as guard:
        yield guard
