"""The house rules of DESIGN.md, section 3: where things are, and what may know of what."""

import ast
import inspect
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import asyncauth
import asyncauth_stores

CORE = Path(inspect.getfile(asyncauth)).parent
STORES = Path(inspect.getfile(asyncauth_stores)).parent
TOP = CORE.parent

# A file imports only from files above it.
ORDER: Sequence[str] = """
    _value _processes _loop_end _crowd _token _key _store _errors _clock _origin _exchange _scheme abc
    _policy
    _record _answers _writing _acquire _transitions _codec _sighting _ledger
    _flow _events _issue _slot _pace _lease _idle _consent _attempt _outage _no_token _flight
    _ending _waiting _watch _visits _resting _worker _registry
    _amend _authorization _manager _worn _responses _middleware _session redirect _open
""".split()  # noqa: SIM905 - it reads like the drawing that it checks
VALUES_AND_CONTRACTS = set(ORDER[: ORDER.index("abc") + 1])
CLOCKS = {"time", "datetime.now", "datetime.utcnow", "datetime.today", "asyncio.sleep", "asyncio.timeout"}
SOURCES = sorted([*CORE.rglob("*.py"), *STORES.rglob("*.py")])


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _runtime_imports(path: Path) -> Iterator[str]:
    """Yield the full names of the modules that a file imports, but for type checkers only."""
    tree = _parsed(path)
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _own_imports(path: Path) -> set[str]:
    """Return the modules of the core that a file imports, by their short names."""
    names = {name.split(".")[1] for name in _runtime_imports(path) if name.startswith("asyncauth.")}
    return {name for name in names if (CORE / f"{name}.py").exists() or (CORE / name).is_dir()}


def test_every_file_of_the_core_has_its_place_in_the_order() -> None:
    files = {path.stem for path in CORE.glob("*.py")} - {"__init__"}

    assert files == set(ORDER)
    assert {path.name for path in CORE.iterdir() if path.is_dir()} - {"__pycache__"} == {
        "schemes",
        "testing",
        "cli",
    }


@pytest.mark.parametrize("module", ORDER)
def test_a_file_imports_only_from_files_above_it(module: str) -> None:
    above = set(ORDER[: ORDER.index(module)])

    assert _own_imports(CORE / f"{module}.py") <= above


@pytest.mark.parametrize("path", sorted((CORE / "schemes").glob("*.py")), ids=lambda path: path.stem)
def test_schemes_know_no_network_no_manager_and_no_store(path: Path) -> None:
    assert _own_imports(path) - {"schemes"} <= VALUES_AND_CONTRACTS
    foreign = {name.split(".")[0] for name in _runtime_imports(path)}
    assert not foreign & {"aiohttp", "asyncio", "asyncauth_stores", "redis", "socket", "time"}


def test_the_record_imports_values_errors_and_policy_only() -> None:
    assert _own_imports(CORE / "_record.py") <= {"_value", "_token", "_key", "_errors", "_policy"}


def test_the_core_never_imports_a_store() -> None:
    files = [path for path in CORE.rglob("*.py") if "cli" not in path.relative_to(CORE).parts]

    assert files
    assert not [p for p in files if any("asyncauth_stores" in name for name in _runtime_imports(p))]


def test_stores_import_values_contracts_and_clock_only() -> None:
    for path in STORES.glob("*.py"):
        assert _own_imports(path) <= VALUES_AND_CONTRACTS | {"_open"}, path.name


def test_only_the_clock_reads_a_clock() -> None:
    for path in CORE.glob("*.py"):
        if path.stem == "_clock":
            continue
        assert "time" not in set(_runtime_imports(path)), path.name
        calls = {ast.unparse(node.func) for node in ast.walk(_parsed(path)) if isinstance(node, ast.Call)}
        assert not calls & CLOCKS, path.name


@pytest.mark.processes
def test_the_package_needs_no_extra() -> None:
    code = """
import sys
for name in ("redis", "click", "rich", "opentelemetry", "joserfc", "keyring", "pytest"):
    sys.modules[name] = None
import asyncauth, asyncauth.schemes, asyncauth.testing, asyncauth.testing.emulators
import asyncauth_stores.memory, asyncauth_stores.file, asyncauth_stores.sealed
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each function's name and how many lines it has without its docstring."""
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1
            yield f"{path.name}:{node.name}", lines


def test_files_and_functions_are_short() -> None:
    lengths = {name: lines for path in SOURCES for name, lines in _functions(path)}
    by_length = sorted(lengths.values())

    assert {path.name: len(path.read_text().splitlines()) for path in SOURCES if _is_long(path)} == {}
    assert {name: lines for name, lines in lengths.items() if lines > 50} == {}
    assert statistics.median(by_length) <= 6
    assert by_length[len(by_length) * 9 // 10] <= 20


def _is_long(path: Path) -> bool:
    return len(path.read_text().splitlines()) > 300


def test_every_public_name_is_documented_and_has_one_home() -> None:
    assert asyncauth.__all__ == sorted(asyncauth.__all__, key=lambda name: (not name.isupper(), name))
    for name in asyncauth.__all__:
        thing = getattr(asyncauth, name)
        assert inspect.getdoc(thing), name
        assert thing.__module__ == "asyncauth", name


def test_every_public_class_and_function_is_documented() -> None:
    missing = []
    for path in SOURCES:
        tree = _parsed(path)
        assert ast.get_docstring(tree), path
        for node in ast.walk(tree):
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(node, kinds) and not node.name.startswith("_") and node in tree.body:
                missing += [] if ast.get_docstring(node) else [f"{path.name}:{node.name}"]
    assert missing == []


def test_nothing_else_lies_at_the_top() -> None:
    if not (TOP / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=True)
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}

    assert {top for top in tops if not top.startswith(".")} <= {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "asyncauth",
        "stores",
        "tests",
        "benchmarks",
    }
