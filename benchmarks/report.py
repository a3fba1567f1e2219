"""What all benchmarks share: a report with tables, aims and plots, printed, and kept as JSON."""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, final

import attrs

_PACKAGES = (
    "asyncauth",
    "aiohttp",
    "aiohttp-oauth2-client",
    "attrs",
    "authlib",
    "azure-core",
    "cryptography",
    "httpx",
    "httpx-auth",
    "msal",
    "redis",
)


@final
@attrs.frozen
class Table:
    """Columns of text, under a title.

    Attributes:
        title: What the rows are of.
        head: The columns' names.
        rows: Cells as people read them; the first of each row says what the row is.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@final
@attrs.frozen
class Aim:
    """A limit that was set before it was measured.

    Attributes:
        what: Of what, with its unit.
        measured: What this run found.
        limit: At most this.
    """

    what: str
    measured: float
    limit: float


@final
@attrs.frozen
class Plot:
    """Lines or bars.

    Attributes:
        name: Of the picture's file, without its ending.
        title: What it shows.
        x: The horizontal axis' name.
        y: The vertical axis' name.
        series: The points of each line, by its name; for bars, one point each, at the bar's place.
        kind: What is drawn.
        log: Which axes are logarithmic: `x`, `y`, `xy`.
    """

    name: str
    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    kind: Literal["lines", "dots", "bars"] = "lines"
    log: Literal["", "x", "y", "xy"] = ""


@final
class Report:
    """What one benchmark has to say.

    Its command takes `--rounds` and `--json`.

    Args:
        file: The benchmark's own file.
        question: What it answers: its docstring.
        rounds: How many rounds it makes unless told otherwise.
    """

    def __init__(self, file: str, question: str | None, rounds: int) -> None:
        parser = argparse.ArgumentParser(description=question, formatter_class=argparse.RawTextHelpFormatter)
        parser.add_argument("--rounds", type=int, default=rounds, help=f"default: {rounds}")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
        given = parser.parse_args()
        self.rounds: int = given.rounds
        self.results: dict[str, Any] = {}
        self._path: Path | None = given.json
        self._name = Path(file).stem
        self._question = (question or "").partition("\n")[0]
        self._tables: list[Table] = []
        self._aims: list[Aim] = []
        self._plots: list[Plot] = []

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table, and keep it."""
        print(f"\n{title}")
        widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
        for row in (head, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print("  ".join(cells).rstrip(), flush=True)
        self._tables.append(Table(title, head, rows))

    def aim(self, what: str, measured: float, limit: float) -> None:
        """Compare what was measured with what was aimed at."""
        self._aims.append(Aim(what, measured, limit))
        print(f"{what}: {measured:g}, aim {limit:g}{'' if measured <= limit else ': missed'}", flush=True)

    def plot(self, plot: Plot) -> None:
        """Keep a plot, to be drawn by `benchmarks.page`."""
        self._plots.append(plot)

    def write(self, **parameters: object) -> None:
        """Write all as JSON if asked to, with what it depends on, and nothing that names this machine."""
        if self._path is None:
            return
        whole = {
            "benchmark": self._name,
            "question": self._question,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": _machine(),
            "rounds": self.rounds,
            **parameters,
            "tables": [attrs.asdict(table) for table in self._tables],
            "aims": [attrs.asdict(aim) for aim in self._aims],
            "plots": [attrs.asdict(plot) for plot in self._plots],
            "results": self.results,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(whole, indent=1) + "\n")


def spread(values: Sequence[float], digits: int) -> dict[str, float]:
    """Return the median of some values, and their quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": round(middle, digits), "q1": round(low, digits), "q3": round(high, digits)}


def shown(values: Mapping[str, float]) -> str:
    """Return a spread as people read it."""
    return f"{values['median']:g} ({values['q1']:g} to {values['q3']:g})"


def _machine() -> dict[str, object]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
