"""What all benchmarks share: facts about the machine, a table, and results as JSON."""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("asyncauth", "aiohttp", "redis", "cryptography", "aiohttp-oauth2-client")


def arguments(question: str | None, rounds: int) -> argparse.Namespace:
    """Read what all benchmarks take: `--rounds` and `--json`.

    Args:
        question: What the benchmark answers.
        rounds: The default.
    """
    parser = argparse.ArgumentParser(description=question, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default: {rounds}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return parser.parse_args()


def spread(values: Sequence[float], digits: int) -> dict[str, float]:
    """Return the median of some values, and their quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": round(middle, digits), "q1": round(low, digits), "q3": round(high, digits)}


def shown(values: Mapping[str, float]) -> str:
    """Return a spread as people read it."""
    return f"{values['median']:g} ({values['q1']:g} to {values['q3']:g})"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, each as wide as it has to be; the first is text."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join((first, *others)).rstrip())


def write(path: Path | None, results: Mapping[str, Any], **more: object) -> None:
    """Write results as JSON, with what they depend on; nothing that names this machine or its user."""
    if path is not None:
        facts = {"date": datetime.now(UTC).date().isoformat(), "machine": _machine(), **more}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**facts, "results": results}, indent=2) + "\n")


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
