"""Answer all questions, one after the other, and write the page of the answers.

`python -m benchmarks`, in the project's folder, with the extras `dev` and `bench`. Each benchmark is a
process of its own, so that none finds what another left; takes about half an hour. Names of benchmarks as
arguments: only these. `--quick`: one or two rounds of each, to see that all of them run; nothing is kept.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import page

_HERE = Path(__file__).parent


def _run(name: str, *, quick: bool) -> bool:
    kept = ["--rounds", "2"] if quick else ["--json", str(page.RESULTS / f"{name}.json")]
    paths = os.pathsep.join(str(_HERE.parent / part) for part in ("tests", "stores", ""))
    print(f"\n== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *kept]
    done = subprocess.run(command, cwd=_HERE.parent, env={**os.environ, "PYTHONPATH": paths}, check=False)
    return done.returncode == 0


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *page.ORDER], help="default: all")
    parser.add_argument("--quick", action="store_true", help="see that they run; keep nothing")
    given = parser.parse_args()
    failed = [name for name in given.names or page.ORDER if not _run(name, quick=given.quick)]
    if not given.quick:
        page.write()
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    _main()
