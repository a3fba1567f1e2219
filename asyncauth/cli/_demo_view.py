"""How the demo looks while it runs: a live table on a terminal, else plain lines."""

from types import TracebackType
from typing import Final, Self, TextIO, final

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from asyncauth.cli._demo_parent import Options
from asyncauth.cli._demo_policy import LIFE
from asyncauth.cli._demo_report import Line, Report
from asyncauth.cli._demo_schemes import TITLES
from asyncauth.cli._demo_traffic import EDGE
from asyncauth.cli._demo_words import killing, milliseconds, progress, ratio
from asyncauth.cli._latency import Latencies

_REDRAW: Final = 0.4
_WIDTH: Final = 100
_COLUMNS: Final = (
    "\nRequests",
    "\nFailed",
    "\nExpiries",
    "Token\ncalls",
    "Renewals\n/ expiry",
    "Median\nms",
    "p99\nms",
    "Expiry\nmedian",
    "\np99",
)
_LEGEND: Final = (
    f"Expiry: requests within {EDGE * 1000:.0f} ms of a change of token, or that waited for it. Tokens"
    f" live {LIFE:g} s;\nClicRDV ends sessions instead, and two systems have tokens without an end."
    " Simplicité gives no new\ntoken before the old one's end, so there some have to wait."
)


@final
class TableView:
    """Redraws one table in place.

    Args:
        console: A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._heading = Text()
        self._seconds = 0.0
        self._drawn_at = -_REDRAW
        self._last: RenderableType = ""

    def begin(self, options: Options, store: str) -> None:
        """Show the heading."""
        self._seconds = options.seconds
        self._heading = Text(heading(options, store), style="bold")
        self._last = Group(self._heading, Text("Starting the workers ...", style="dim"))
        self._live.update(self._last, refresh=True)

    def show(self, report: Report, elapsed: float) -> None:
        """Draw the figures, if they were not drawn a moment ago."""
        self._last = Group(self._heading, table(report), Text(_LEGEND, style="dim"))
        if elapsed - self._drawn_at >= _REDRAW:
            self._drawn_at = elapsed
            self._live.update(Group(self._last, self._news(report, elapsed)), refresh=True)

    def _news(self, report: Report, elapsed: float) -> Text:
        clock = f"{min(elapsed, self._seconds):.0f} of {self._seconds:g} s"
        return Text(clock if report.kill is None else f"{clock}. {killing(report.kill)}", style="yellow")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The words that follow say the rest.
        self._live.update(self._last, refresh=True)
        self._live.stop()


@final
@attrs.define(eq=False)
class LinesView:
    """Prints a line about once a second.

    Attributes:
        stream: Where to; none to be silent.
    """

    stream: TextIO | None
    _next: float = 1.0

    def begin(self, options: Options, store: str) -> None:
        """Print the heading."""
        self._print(heading(options, store))

    def show(self, report: Report, elapsed: float) -> None:
        """Print a line, if the last one is a second old."""
        if elapsed >= self._next:
            self._next = elapsed + 1.0
            self._print(progress(report, elapsed))

    def _print(self, line: str) -> None:
        if self.stream is not None:
            print(line, file=self.stream, flush=True)


def heading(options: Options, store: str) -> str:
    """Say what the demo does."""
    return f"{options.workers} processes share one token per system, encrypted, in {store}"


def table(report: Report) -> Table:
    """Return the figures as a table that fits into 100 columns."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    drawn.add_column("\nSystem", no_wrap=True)
    for title in _COLUMNS:
        drawn.add_column(title, justify="right", no_wrap=True)
    for line in report.lines:
        drawn.add_row(TITLES[line.name], *_cells(line))
    drawn.add_section()
    drawn.add_row("All", *_cells(report.total()))
    return drawn


def _cells(line: Line) -> list[Text]:
    good = line.per_expiry is None or line.is_even
    calls = f"{line.settled} + {line.extra}" if line.extra else f"{line.settled}"
    edge = line.edge if line.expiries else Latencies()
    return [
        Text(f"{line.every.total:,}"),
        Text(str(line.failed), style="bold red" if line.failed else "green"),
        Text(str(line.expiries)),
        Text(calls),
        Text(ratio(line), style="green" if good else "bold red"),
        *(Text(milliseconds(line.every, share)) for share in (0.5, 0.99)),
        *(Text(milliseconds(edge, share)) for share in (0.5, 0.99)),
    ]


def terminal() -> Console:
    """Return the terminal, at most as wide as the table is good for."""
    console = Console(highlight=False)
    console.width = min(console.width, _WIDTH)
    return console
