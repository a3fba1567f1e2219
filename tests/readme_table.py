"""The README's tables of modes, of faults, and of the tests that show them, as data."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

_HEAD = "| vendor | mode or trap | test |\n|---|---|---|\n"
_FAULTS = "| what happens | what you see | test |\n|---|---|---|\n"
_TEST = re.compile(r"`(test_\w+)::(test_\w+)`")
_SCHEME = re.compile(r"`(\w+)`")


@attrs.frozen
class Row:
    """One row.

    Attributes:
        vendor: The scheme's name, or `all`.
        mode: What the vendor's document names, or what goes wrong in the field.
        file: The test's file, without its ending.
        test: The test's function.
    """

    vendor: str
    mode: str
    file: str
    test: str


def rows_of(readme: str) -> list[Row]:
    """Return the rows of the table of vendors.

    Raises:
        ValueError: There is not one such table, or a row has another form.
    """
    rows = _rows(readme, _HEAD)
    wrong = [row for row in rows if not (_SCHEME.fullmatch(row.vendor) or row.vendor == "all")]
    if wrong:
        raise ValueError(f"no rows of the table: {wrong}")
    return [attrs.evolve(row, vendor=row.vendor.strip("`")) for row in rows]


def faults_of(readme: str) -> list[Row]:
    """Return the rows of the table of faults, with each fault in the vendor's place."""
    return _rows(readme, _FAULTS)


def _rows(readme: str, head: str) -> list[Row]:
    _, table = readme.split(head)
    return [_row(line) for line in table.partition("\n\n")[0].splitlines()]


def _row(line: str) -> Row:
    first, second, test = line.removeprefix("| ").removesuffix(" |").split(" | ")
    shown = _TEST.fullmatch(test)
    if shown is None:
        raise ValueError(f"no row of the table: {line}")
    return Row(first, second, shown[1], shown[2])


def missing_tests(rows: list[Row], folder: Path) -> list[Row]:
    """Return the rows whose test is not in the folder."""
    there = {path.stem: set(_tests_of(path)) for path in folder.glob("test_*.py")}
    return [row for row in rows if row.test not in there.get(row.file, ())]


def _tests_of(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
