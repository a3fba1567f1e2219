"""Ctrl-C, SIGTERM and a closed terminal: once, and only where everything is cleaned up afterwards."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

import attrs

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@final
@attrs.define(eq=False)
class Interruption:
    """Turns the first signal into a cancellation of what may be interrupted; cleaning up may not.

    Attributes:
        came: Whether there was a signal.
    """

    came: bool = False
    _task: "asyncio.Task[object] | None" = None

    def listen(self) -> None:
        """Take over the signals, for as long as the running event loop lives."""
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._strike)

    def _strike(self) -> None:
        self.came = True
        task, self._task = self._task, None
        if task is not None:
            _ = task.cancel()

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Be interrupted in here, also by a signal that came before.

        Raises:
            CancelledError: There was one.
        """
        self.check()
        self._task = asyncio.current_task()
        try:
            yield
        finally:
            self._task = None

    def check(self) -> None:
        """Stop here if there was a signal.

        Raises:
            CancelledError: There was one.
        """
        if self.came:
            raise asyncio.CancelledError
