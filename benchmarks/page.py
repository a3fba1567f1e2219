# pyright: reportMissingImports=false
"""Write the page of the answers from the last results: `python -m benchmarks.page`.

The tables of `benchmarks/README.md` that stand between marks, and the pictures in `results/`. What stands
outside the marks is written by hand.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ORDER = (
    "overhead",
    "cached_token",
    "herd",
    "edges",
    "families",
    "kills",
    "renewal",
    "wakeup",
    "stores",
    "commands",
    "growth",
    "tasks",
    "startup",
    "soak",
    "at_scale",
)
"""The benchmarks, as the page has them."""
_PAGE = Path(__file__).parent / "README.md"


def write(results: Path = RESULTS, page: Path = _PAGE) -> None:
    """Rewrite the page's tables, and draw its pictures if matplotlib is installed."""
    found = [json.loads(path.read_text()) for name in ORDER if (path := results / f"{name}.json").exists()]
    text = page.read_text()
    text = _between(text, "aims", "\n".join(_aims(found)))
    text = _between(text, "answers", "\n\n".join(_answer(result) for result in found))
    page.write_text(text)
    _draw([plot for result in found for plot in result["plots"]], results)


def _between(text: str, mark: str, new: str) -> str:
    begin, end = f"<!-- {mark}: written by python -m benchmarks -->", f"<!-- end of {mark} -->"
    assert begin in text, f"the page has no mark for its {mark}"
    return re.sub(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{new}\n{end}", text, flags=re.DOTALL
    )


def _aims(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    aims = [(result["benchmark"], aim) for result in found for aim in result["aims"]]
    yield from _markdown(
        ["what", "measured", "aim, at most", "met", "by"],
        [
            [
                aim["what"],
                f"{aim['measured']:g}",
                f"{aim['limit']:g}",
                "yes" if aim["measured"] <= aim["limit"] else "**no**",
                f"`{name}`",
            ]
            for name, aim in aims
        ],
    )


def _answer(result: dict[str, Any]) -> str:
    machine = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines = [f"### `{result['benchmark']}`: {result['question']}", ""]
    lines += [f"![{plot['title']}](results/{plot['name']}.svg)\n" for plot in result["plots"]]
    for table in result["tables"]:
        lines += [f"{table['title']}:", "", *_markdown(table["head"], table["rows"]), ""]
    run = f"{result['date']}, {result['rounds']} rounds"
    on = f"{machine['processor']}, {machine['cores']} cores, load {machine['load']:g}, {machine['python']}"
    return "\n".join([*lines, f"<sub>{run}; {on}; {packages}</sub>"])


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _draw(plots: Sequence[dict[str, Any]], results: Path) -> None:
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - tables are written without it
    except ImportError:
        print("no matplotlib: the pictures stay as they are")
        return
    for plot in plots:
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        draw = {"lines": _lines, "dots": _dots, "bars": _bars}[plot["kind"]]
        draw(axes, plot["series"])
        axes.set(title=plot["title"], xlabel=plot["x"], ylabel=plot["y"])
        if "x" in plot["log"]:
            axes.set_xscale("log")
        if "y" in plot["log"]:
            axes.set_yscale("log")
        figure.savefig(results / f"{plot['name']}.svg", metadata={"Date": None})
        plt.close(figure)


def _lines(axes: Any, series: dict[str, Any]) -> None:
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.legend(frameon=False)


def _dots(axes: Any, series: dict[str, Any]) -> None:
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), ".", markersize=2, label=name)
    axes.legend(frameon=False, markerscale=5)


def _bars(axes: Any, series: dict[str, Any]) -> None:
    names = list(series)
    axes.barh(names, [points[0][1] for points in series.values()])
    axes.invert_yaxis()


if __name__ == "__main__":
    write()
