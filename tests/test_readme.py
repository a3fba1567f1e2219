"""What the README shows is run: each Python block as a program of its own, against the emulators."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncauth.testing.emulators import OAuth2Emulator, SimpliciteEmulator

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.processes


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Run what the examples talk to, and name it in the environment."""
    async with OAuth2Emulator() as oauth2, SimpliciteEmulator(users={"svc": "a-password"}) as erp:
        token = oauth2.authorize("user-17").refresh_token
        assert token is not None
        yield {
            **os.environ,
            "ERP_URL": str(erp.api_url),
            "ERP_PASSWORD": "a-password",
            "TOKEN_URL": str(oauth2.token_url),
            "API_URL": str(oauth2.api_url),
            "CLIENT_SECRET": "app-secret",
            "REFRESH_TOKEN": token.reveal(),
            "TOKEN_STORE": f"file://{tmp_path}/tokens?create_key=1&key_file={tmp_path}/key",
        }


def test_the_readme_has_examples() -> None:
    assert len(BLOCKS) >= 7


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
    for secret in ("a-password", "app-secret", world["REFRESH_TOKEN"]):
        assert secret not in out.decode() + err.decode()
