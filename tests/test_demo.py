"""`asyncauth demo` as a user runs it: real processes, real stores, real signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncauth.cli._demo_policy import POLICY, YOUNG
from redis_servers import RedisServer

SHORT = ("--seconds", "6", "--workers", "2")
EXPIRING = {"oauth2", "clicrdv", "simplicite", "cronofy_user", "itcare", "carecloud_enterprise"}
WITHOUT_EXPIRY = {"cronofy_application": 0, "carecloud_customer": 1}
"""Systems whose tokens do not end, and how many token calls each of them costs the whole fleet."""


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command, with its temporary folders in `folder`."""
    command = [sys.executable, "-m", "asyncauth.cli", "demo", *arguments]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    with demo(folder, *arguments) as process:
        output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def children_of(parent: int) -> list[int]:
    """Return the processes that a process has started, by /proc."""
    tasks = Path(f"/proc/{parent}/task")
    return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 10
    while any(map(lives, pids)):
        assert time.monotonic() < end, "workers outlive their parent"
        time.sleep(0.02)


def check_good(document: dict[str, Any]) -> None:
    assert document["problems"] == []
    assert document["ok"] is True
    assert set(document["systems"]) == EXPIRING | WITHOUT_EXPIRY.keys()
    for name, figures in document["systems"].items():
        extra = int(name == "itcare")
        assert figures["failed"] == 0
        assert figures["requests"] > 100
        assert figures["extra_token_calls"] == extra
        assert figures["token_calls"] == figures["entries"] + extra
    for name in EXPIRING:
        assert document["systems"][name]["expiries"] >= 1
        assert document["systems"][name]["renewals_per_expiry"] == 1.0
    for name, token_calls in WITHOUT_EXPIRY.items():
        assert document["systems"][name]["expiries"] == 0
        assert document["systems"][name]["token_calls"] == token_calls
        assert document["systems"][name]["renewals_per_expiry"] is None
    sessions = document["systems"]["clicrdv"]
    assert sessions["token_calls"] == sessions["expiries"] + 1
    assert (document["device_tokens"], document["customer_logins"]) == (1, 1)
    assert document["killed"]["system"] == "itcare"
    assert document["killed"]["renewed_by"] != document["killed"]["worker"]


@pytest.mark.processes
def test_two_workers_share_files_renew_once_and_fail_nothing(tmp_path: Path) -> None:
    status, output, errors = run(tmp_path, "--json", *SHORT)
    check_good(json.loads(output))
    assert (status, errors) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
@pytest.mark.servers
def test_two_workers_share_a_server_and_leave_nothing_in_it(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.command("SET", "somebody-elses", "1")
    status, output, errors = run(tmp_path, "--json", "--store", f"{redis_server.url}?key_file=/key", *SHORT)
    check_good(json.loads(output))
    assert (status, errors) == (0, "")
    assert redis_server.command("KEYS", "*") == b"*1\r\n$14\r\nsomebody-elses\r\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_process_and_no_folder(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path, "--workers", "3") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        workers = children_of(process.pid)
        place = next(tmp_path.iterdir())
        assert place.stat().st_mode & 0o777 == 0o700
        assert (place / "key").stat().st_mode & 0o777 == 0o600
        process.send_signal(number)
        assert process.wait(timeout=20) == 130
    assert "3 processes share one token per system" in lines[0]
    assert re.search(r" 1 s .* requests, 0 failed", lines[1])
    assert len(workers) == 3
    wait_until_gone(workers)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_a_signal_while_workers_are_started_leaves_nothing_either(tmp_path: Path) -> None:
    with demo(tmp_path, "--workers", "8") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_workers_end_when_their_parent_dies(tmp_path: Path) -> None:
    with demo(tmp_path, "--workers", "2") as process:
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()
        workers = children_of(process.pid)
        process.kill()
        process.wait()
        wait_until_gone(workers)
    assert len(workers) == 2


@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--workers", "1"), 2, "1 is not in the range 2<=x<=64"),
        (("--seconds", "1"), 2, "1.0 is not in the range"),
        (("--store", "memory://"), 1, "the demo needs a store that several share"),
        (("--store", "nowhere://x"), 1, "known schemes: file, memory, redis"),
        (("--store", "file:///no/such/folder"), 1, "the demo needs a folder to write in"),
        (("--store", "redis://:hunter2@127.0.0.1:1/0"), 1, "127.0.0.1:1"),
    ],
)
def test_what_cannot_work_is_said_in_words(
    tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    found, output, errors = run(tmp_path, "--json", *arguments)
    assert (found, output) == (status, "")
    assert words in errors
    assert "Traceback" not in errors
    assert "hunter2" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_without_the_extra_the_command_names_it() -> None:
    code = "import sys; sys.modules['click'] = None; from asyncauth.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'asyncauth[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_young_token_is_one_that_nobody_renews_yet() -> None:
    renewed_at_the_earliest = 2.0 - max(POLICY.early_for(2.0, str(draw), str(-draw)) for draw in range(1000))
    assert renewed_at_the_earliest - 0.2 > YOUNG
