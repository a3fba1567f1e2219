"""The benchmarks run, and the page of their answers is written. What they measure is not judged here."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import aiohttp
import pytest

ROOT = Path(__file__).parent.parent
WITHOUT_RIVALS = """
import runpy, sys
for name in ("aiohttp_oauth2_client", "authlib", "azure", "httpx", "httpx_auth", "msal"):
    sys.modules[name] = None
runpy.run_module("benchmarks." + sys.argv.pop(1), run_name="__main__")
"""
pytestmark = [pytest.mark.slow, pytest.mark.processes]


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be where `python -m benchmarks` is run: the benchmarks are no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(ROOT / part) for part in ("tests", "stores", "")))
    monkeypatch.chdir(ROOT)


@pytest.fixture
async def vendor() -> AsyncIterator[Any]:
    """Run the vendor that contestants have their tokens from."""
    async with import_module("benchmarks.vendor").running_vendor() as running:
        yield running


async def _spend(vendor: Any, refresh_token: str) -> tuple[int, dict[str, Any]]:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    secret = {"client_id": "app", "client_secret": "app-secret"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{vendor.url}/token", data=form | secret) as response,
    ):
        return response.status, await response.json()


async def _status(vendor: Any, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as client,
        client.get(vendor.place().api_url, headers=headers) as response,
    ):
        return response.status


def test_each_benchmark_asks_a_question() -> None:
    page = import_module("benchmarks.page")
    modules = [name for name in page.ORDER if (ROOT / "benchmarks" / f"{name}.py").exists()]
    questions = {
        name: (import_module(f"benchmarks.{name}").__doc__ or "").partition("\n")[0] for name in modules
    }

    assert modules
    assert {name for name, question in questions.items() if not question.endswith("?")} == set()


def test_the_page_is_written_from_what_benchmarks_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, reports = import_module("benchmarks.page"), import_module("benchmarks.report")
    names = page.ORDER[:2]
    for name in names:
        monkeypatch.setattr(sys, "argv", [name, "--rounds", "3", "--json", str(tmp_path / f"{name}.json")])
        report = reports.Report(f"{name}.py", f"What of {name}?\n\nMore.", rounds=10)
        report.table("times", ["", "µs"], [["one way", "12"]])
        report.aim(f"{name}: within its aim", 1.5, 2)
        report.aim(f"{name}: beyond its aim", 2.5, 2)
        for kind in ("lines", "dots", "bars"):
            series = {"a way": [(1.0, 2.0)]}
            report.plot(reports.Plot(f"{name}-{kind}", "A picture", "x", "y", series, kind=kind))
        report.write(more=1)
    marks = ("aims", "answers")
    written = tmp_path / "README.md"
    written.write_text(
        "\n".join(
            f"before {mark}\n<!-- {mark}: written by python -m benchmarks -->\nold\n<!-- end of {mark} -->"
            for mark in marks
        )
    )

    page.write(tmp_path, written)

    text = written.read_text()
    assert "old" not in text
    assert all(f"before {mark}" in text for mark in marks)
    for name in names:
        assert f"| {name}: within its aim | 1.5 | 2 | yes | `{name}` |" in text
        assert f"| {name}: beyond its aim | 2.5 | 2 | **no** | `{name}` |" in text
        assert f"### `{name}`: What of {name}?" in text
        assert "| one way | 12 |" in text


def test_a_benchmark_reports_tables_and_aims_also_where_rivals_are_missing(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-c", WITHOUT_RIVALS, "cached_token", "--rounds", "2", "--json", str(found)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert "without msal_app: no module" in done.stderr
    assert "pip install 'asyncauth[bench]'" in done.stderr
    report = json.loads(found.read_text())
    rows = [row[0] for row in report["tables"][0]["rows"]]
    assert rows[0] == "an empty coroutine"
    assert not any("MSAL" in row for row in rows)
    assert (report["rounds"], [aim["limit"] for aim in report["aims"]]) == (2, [200])
    assert str(ROOT) not in found.read_text()


async def test_the_vendor_ends_an_authorization_whose_refresh_token_is_used_twice(vendor: Any) -> None:
    first = await vendor.grant()
    status, answer = await _spend(vendor, first)
    assert (status, await _status(vendor, answer["access_token"])) == (200, 200)

    assert (await _spend(vendor, first))[0] == 400

    assert await _status(vendor, answer["access_token"]) == 401
    assert (await _spend(vendor, answer["refresh_token"]))[0] == 400
    counts = await vendor.counts()
    assert (counts.token_calls, counts.renewals, counts.families_revoked) == (3, 1, 1)
    assert (counts.api_calls, counts.refusals) == (2, 1)


async def test_the_vendor_lets_refresh_tokens_be_used_again_where_it_is_told_to(vendor: Any) -> None:
    await vendor.turn(rotate=False, lifetime=0.05)
    first = await vendor.grant()
    answers = [(await _spend(vendor, first))[1] for _ in range(2)]

    assert [sorted(answer) for answer in answers] == [["access_token", "expires_in", "token_type"]] * 2
    await asyncio.sleep(0.1)
    assert await _status(vendor, answers[0]["access_token"]) == 401
    assert (await vendor.counts()).families_revoked == 0


@pytest.mark.parametrize("name", ["asyncauth_session", "asyncauth_middleware", "by_hand"])
@pytest.mark.parametrize("with_user", [False, True], ids=["client credentials", "refresh token"])
async def test_contestants_renew_once_for_many_tasks(vendor: Any, name: str, *, with_user: bool) -> None:
    await vendor.turn(lifetime=0.2)
    place = vendor.place(refresh_token=await vendor.grant() if with_user else None)

    async with import_module("benchmarks.contestants").of(name).opened(place) as user:
        assert await user.send() == 200
        await asyncio.sleep(0.25)
        await vendor.turn(lifetime=3600)
        assert set(await asyncio.gather(*(user.send() for _ in range(50)))) == {200}

    counts = await vendor.counts()
    assert (counts.renewals, counts.families_revoked, counts.refusals) == (2, 0, 0)
