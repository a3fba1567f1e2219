"""Nothing of PROTOCOL.md, section 9, is without a test: `fault_table`, compared with the tests there are."""

import ast
from collections.abc import Mapping
from pathlib import Path

from fault_kinds import ROWS
from fault_table import COLUMNS, FAULTS, LOST, PROMISES, WORST

HERE = Path(__file__).parent
FILES = [*HERE.glob("fault_*.py"), *HERE.glob("test_fault_table*.py")]


def test_no_cell_and_no_promise_is_without_a_test() -> None:
    assert WORST.keys() == {(row.name, fault) for row in ROWS for fault in FAULTS}
    assert COLUMNS.keys() == set(FAULTS)
    assert WORST.keys() >= LOST

    shown = {*COLUMNS.values(), *(place for places in PROMISES.values() for place in places)}
    named = {(place.file, name) for place in shown for name in place.names}
    there = {(path.stem, name): text for path in FILES for name, text in _functions(path).items()}
    assert named <= there.keys()
    tests = {name for name in there if name[1].startswith("test_")}
    assert tests - named == {("test_fault_table_shown", "test_no_cell_and_no_promise_is_without_a_test")}
    for fault, place in COLUMNS.items():
        assert all(f"'{fault}'" in there[place.file, name] for name in place.names), fault


def _functions(path: Path) -> Mapping[str, str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text())
    return {node.name: ast.unparse(node) for node in ast.walk(tree) if isinstance(node, kinds)}
