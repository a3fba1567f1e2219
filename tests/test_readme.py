"""What the README shows is run, each Python block as a program of its own; what it names is there."""

import asyncio
import importlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncauth import AuthScheme, schemes
from asyncauth.testing.emulators import OAuth2Emulator, SimpliciteEmulator
from readme_table import faults_of, missing_tests, rows_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINKS = re.findall(r"\]\(([^)]+)\)", README)
ROWS = rows_of(README)
FAULTS = faults_of(README)
SCHEMES = {name for name in schemes.__all__ if issubclass(getattr(schemes, name), AuthScheme)}

# What `webbrowser` starts: it goes where it is sent, as a person's browser does.
BROWSER = "from urllib.request import *; import sys; build_opener(ProxyHandler({})).open(sys.argv[1]).close()"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Run what the examples talk to, and name it in the environment."""
    async with OAuth2Emulator() as oauth2, SimpliciteEmulator(users={"svc": "a-password"}) as erp:
        yield {
            **os.environ,
            "BROWSER": f"{shlex.join([sys.executable, '-c', BROWSER])} %s",
            "ERP_URL": str(erp.api_url),
            "ERP_PASSWORD": "a-password",
            "TOKEN_URL": str(oauth2.token_url),
            "AUTHORIZATION_URL": str(oauth2.authorization_url),
            "API_URL": str(oauth2.api_url),
            "CLIENT_SECRET": "app-secret",
            "TOKEN_STORE": f"file://{tmp_path}/tokens?create_key=1&key_file={tmp_path}/key",
        }


def test_the_readme_has_examples() -> None:
    assert len(BLOCKS) >= 7


@pytest.mark.processes
@pytest.mark.parametrize("number", range(len(BLOCKS)))
async def test_an_example_of_the_readme_runs(number: int, world: dict[str, str], tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        BLOCKS[number],
        env=world,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await program.communicate()

    assert program.returncode == 0, err.decode()
    for secret in ("a-password", "app-secret"):
        assert secret not in out.decode() + err.decode()


def test_every_mode_has_a_test_that_is_there() -> None:
    assert missing_tests(ROWS, ROOT / "tests") == []


def test_every_fault_has_a_test_that_is_there() -> None:
    assert len(FAULTS) >= 15
    assert missing_tests(FAULTS, ROOT / "tests") == []


def test_a_renamed_test_or_file_is_missed(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.vendor == "ITCare")
    path = Path(shutil.copy(ROOT / "tests" / f"{row.file}.py", tmp_path))
    assert missing_tests([row], tmp_path) == []
    text = path.read_text()
    path.write_text(text.replace(f"def {row.test}(", f"def {row.test}_too("))
    assert missing_tests([row], tmp_path) == [row]
    path.write_text(text)
    path.rename(tmp_path / "test_elsewhere.py")
    assert missing_tests([row], tmp_path) == [row]


def test_a_row_without_a_test_is_no_row() -> None:
    line = "| `ITCare` | token request with Basic, byte for byte |"
    assert line in README
    with pytest.raises(ValueError, match="no row of the table"):
        rows_of(README.replace(f"{line} `", f"{line} soon `"))


def test_every_scheme_has_rows_and_no_mode_is_listed_twice() -> None:
    assert {row.vendor for row in ROWS} == {*SCHEMES, "all"}
    modes = [(row.vendor, row.mode) for row in ROWS]
    assert len(set(modes)) == len(modes)


def test_every_scheme_is_linked_with_its_guide() -> None:
    guides = dict(re.findall(r"\[`(\w+)`\]\(asyncauth/schemes/(\w+)\.py\)", README))
    assert guides.keys() == SCHEMES
    for name, guide in guides.items():
        module = importlib.import_module(f"asyncauth.schemes.{guide}")
        assert getattr(module, name) is getattr(schemes, name)


def test_every_link_leads_somewhere() -> None:
    headings = [line.lstrip("# ") for line in README.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert LINKS
    for link in LINKS:
        if link.startswith("#"):
            assert link[1:] in anchors
        else:
            assert (ROOT / link).is_file(), link
