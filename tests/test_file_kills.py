"""The file store under `kill -9` at any instruction: nothing torn, nothing lost, nothing left in the way."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.processes
_PROGRAM = Path(__file__).with_name("file_killer.py")


async def killed_everywhere(job: str, folder: Path) -> dict[str, Any]:
    """Return what each kill left behind, and how long the next process then took at most."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-Werror", str(_PROGRAM), job, str(folder), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    report: dict[str, Any] = json.loads(out)
    return report


@pytest.mark.parametrize(
    ("job", "outcomes"),
    [
        ("create", {"none", "new"}),
        ("replace", {"old", "new"}),
        ("remove", {"old", "none"}),
        ("expire", {"none"}),
        ("hold", {"unknown", "dead"}),
        ("key", {"none", "new"}),
    ],
)
async def test_whoever_is_killed_at_any_call_leaves_the_old_or_the_new_and_nothing_in_the_way(
    tmp_path: Path, job: str, outcomes: set[str]
) -> None:
    report = await killed_everywhere(job, tmp_path / "place")
    assert report["outcomes"].keys() == outcomes
    assert sum(report["outcomes"].values()) >= 20
    # The next process opens the store, sweeps, reads and writes: a lock left behind would cost it seconds.
    assert report["slowest"] < 1
