"""Kills a writer before each call that it makes of the system: `python file_killer.py JOB FOLDER`.

A process without threads forks one child for each of the calls, 1 to the last: the child does the job
and ends itself by SIGKILL at that call. What it leaves behind is then looked at as the next process
would find it. Between two calls nothing changes that outlives a process, so this is every instruction.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from unittest.mock import patch

from asyncauth._clock import SYSTEM_CLOCK
from asyncauth.abc import Liveness
from asyncauth_stores._file_folder import Folder
from asyncauth_stores._file_hold import Mark, liveness
from asyncauth_stores._file_records import Records
from asyncauth_stores._key_ring import KeyRing
from file_samples import NAME, NOTHING

# A kill does not ask what is on the disk; the call is there all the same, and takes no time.
patch.object(os, "fsync", os.fstat).start()

OLD, NEW = b"old" * 500, b"new" * 500
_LAST = 500
_SYSTEM = {"posix", "fcntl", "_io"}


class Job:
    """One thing that a process may be killed at.

    Attributes:
        folder: The store's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def records(self) -> Records:
        opened = Folder(self.folder, "asyncauth")
        opened.open()
        return Records(opened, SYSTEM_CLOCK)

    def prepare(self) -> None:
        """Make what is there before."""
        self.opened = self.records()
        self.stored = self.opened.write(NAME, OLD, NOTHING, None)

    def work(self) -> None:
        """Do it, and be killed."""
        raise NotImplementedError

    def left(self) -> str:
        """Do what comes next, and say what was found; raise if it is not whole."""
        records = self.records()
        litter = [path for path in self.folder.rglob("*") if path.parent.name in {"temporary", "holds"}]
        assert not litter, f"left behind: {litter}"
        found = records.read(NAME)
        records.write(NAME, b"next", found, None)
        return {None: "none", OLD: "old", NEW: "new"}[found.value]


class Create(Job):
    """The first write of all, of folders too."""

    def prepare(self) -> None:
        pass

    def work(self) -> None:
        self.records().write(NAME, NEW, NOTHING, None)


class Replace(Job):
    """A write."""

    def work(self) -> None:
        self.opened.write(NAME, NEW, self.stored, 60)


class Remove(Job):
    """A removal."""

    def work(self) -> None:
        self.opened.write(NAME, None, self.stored, None)


class Expire(Job):
    """A listing that drops a record that has run out, after a sweep."""

    def prepare(self) -> None:
        self.records().write(NAME, OLD, NOTHING, 0.001)
        (self.folder / "asyncauth" / "temporary" / "0123").write_bytes(b"draft")
        time.sleep(0.002)

    def work(self) -> None:
        self.records().names()


class Hold(Job):
    """A mark, from its making to its end."""

    def mark(self) -> Path:
        return Folder(self.folder, "asyncauth").hold(NAME, "attempt")

    def work(self) -> None:
        mark = Mark(self.mark())
        mark.take()
        mark.drop()

    def left(self) -> str:
        found = liveness(self.mark())
        assert found is not Liveness.ALIVE
        if self.mark().exists():
            os.utime(self.mark(), (0, 0))
        mark = Mark(self.mark().with_suffix(".another"))
        mark.take()
        mark.drop()
        super().left()
        return str(found.value)


class Key(Job):
    """The making of a key file."""

    def prepare(self) -> None:
        pass

    def work(self) -> None:
        KeyRing.from_file(self.folder / "key", create=True)

    def left(self) -> str:
        was_there = (self.folder / "key").exists()
        for path in self.folder.glob(".key*"):
            os.utime(path, (0, 0))
        ring = KeyRing.from_file(self.folder / "key", create=True)
        assert KeyRing.from_file(self.folder / "key") == ring
        assert [path.name for path in self.folder.iterdir()] == ["key"]
        return "new" if was_there else "none"


JOBS = {"create": Create, "replace": Replace, "remove": Remove, "expire": Expire, "hold": Hold, "key": Key}


def asks_the_system(function: object) -> bool:
    module = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
    return module in _SYSTEM and function not in {os.fspath, os.getpid}


def killed_at(call: int, work: Callable[[], None]) -> bool:
    """Do a piece of work in a child that is killed before it makes so many calls: whether it was."""
    child = os.fork()
    if child == 0:
        left = call

        def count(frame: FrameType, event: str, function: object) -> None:
            nonlocal left
            if event == "c_call" and asks_the_system(function):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work()
        sys.setprofile(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert not status or os.WIFSIGNALED(status), "the work failed"
    return status != 0


def main(job: str, folder: str) -> None:
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for call in range(1, _LAST):
        tried = JOBS[job](Path(folder))
        tried.prepare()
        if not killed_at(call, tried.work):
            break
        start = time.monotonic()
        try:
            outcomes[tried.left()] += 1
        except Exception as error:
            error.add_note(f"killed at call {call}")
            raise
        slowest = max(slowest, time.monotonic() - start)
        shutil.rmtree(folder)
    print(json.dumps({"outcomes": outcomes, "slowest": slowest}))  # noqa: T201 - the test listens


if __name__ == "__main__":
    main(*sys.argv[1:])
