"""`import asyncauth`: what a program that has its HTTP client already does not wait for."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

# Each takes as long as a good part of this package, and serves some of its users, or not at once.
NOT_AT_ONCE = {
    "aiohttp.web",
    "asyncauth.cli",
    "asyncauth.schemes",
    "asyncauth.testing",
    "asyncauth_stores",
    "cattrs",
    "click",
    "cryptography",
    "csv",
    "dataclasses",
    "filelock",
    "importlib.metadata",
    "keyring",
    "multiprocessing",
    "platformdirs",
    "redis",
    "rich",
    "sqlite3",
    "zipfile",
    "zoneinfo",
}


@cache
def _added(then: str = "pass") -> frozenset[str]:
    """Return what a new process imports with the package, and what it does then, beyond its HTTP client."""
    code = (
        "import sys, json, aiohttp; before = set(sys.modules); import asyncauth;"
        f"{then}; print(json.dumps(list(sys.modules.keys() - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parent,
    )
    return frozenset(json.loads(done.stdout))


def test_what_is_heavy_is_not_imported_at_once() -> None:
    assert "asyncauth._manager" in _added()
    assert not _added() & NOT_AT_ONCE


def test_the_codec_is_ready_before_the_first_request() -> None:
    made = "from asyncauth_stores.memory import MemoryTokenStore; asyncauth.TokenManager(MemoryTokenStore())"

    assert "cattrs" in _added(made)
