"""What becomes of renewals when their event loop ends, and in a child that their process forks."""

import asyncio
from typing import NoReturn, final

from asyncauth._errors import ClosedError
from asyncauth._flight import Flight
from asyncauth._slot import Landing


def has_sent(flight: Flight) -> bool:
    """Whether the vendor may have issued something that is lost if the flight does not end by itself."""
    return flight.lease is not None and flight.lease.sent


@final
class FlightTask(asyncio.Task[Landing]):
    """A flight that is finished also when its event loop ends, once it has sent.

    `asyncio.run` cancels what is left over, and waits for it. A flight that has sent uses that time to store
    what the vendor issues: cut short, it would lose a one-time refresh token.

    Args:
        flight: What to fly.
        seconds: How long a cancellation is put off, at most.
    """

    def __init__(self, flight: Flight, seconds: float) -> None:
        super().__init__(flight.run(), loop=asyncio.get_running_loop())
        self._flight = flight
        self._seconds = seconds
        self._put_off = False

    def cancel(self, msg: object = None) -> bool:
        """Cancel it; at the end of its loop, one that has sent has its time first."""
        # What cancels while the loop runs is no end: a timeout of the flight's own, or a worker that closes.
        if self._put_off or self.get_loop().is_running() or not has_sent(self._flight):
            return super().cancel(msg)
        self._put_off = True
        self.get_loop().call_later(self._seconds, super().cancel)
        return True


class ParentsStore:
    """Stands, in a forked child, for the store of the renewals that the parent process goes on with.

    A copy of their tasks runs if somebody runs the parent's event loop in the child. It must not speak to
    the store in their names.
    """

    def __getattr__(self, name: str) -> NoReturn:
        raise ClosedError("this renewal is the parent process', which goes on with it")
