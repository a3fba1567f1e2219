"""What does an import of `asyncauth` add to a program that has its HTTP client already?

`python -m benchmarks.startup`, in the project's folder. Each import is measured in a new process, which has
imported the HTTP client before, and what a part builds upon; all take turns in each round. Compiled files
are kept in a folder of its own, which a first round fills: that is what an installation leaves. Rivals add
to the HTTP client that they are made for.

The time is that of the processor too, for machines that do other things. What the time goes to is asked of
`python -X importtime`, which takes time itself; the classes that attrs makes are in their module's share.

Aim: `import asyncauth` adds 30 ms or less to `import aiohttp`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Final, final

import attrs

from benchmarks.report import Plot, Report, shown, spread

_AIM: Final = 30.0
_LONGEST: Final = 60.0
_MODULES: Final = 15
_PACKAGES: Final = ("asyncauth", "attr", "cattrs", "cryptography")
_PROGRAM: Final = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
def imported(name):
    wall, cpu = time.perf_counter(), time.process_time()
    __import__(name)
    return (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000
base, more = [imported(name) for name in sys.argv[1:]]
print(json.dumps({"base": base[0], "ms": more[0], "cpu": more[1]}))
"""


@final
@attrs.frozen
class Part:
    """An import.

    Attributes:
        base: What has been imported before.
        module: What is measured.
    """

    base: str
    module: str


_ASYNCAUTH: Final = Part("aiohttp", "asyncauth")
_OWN: Final = (
    _ASYNCAUTH,
    Part("asyncauth", "asyncauth.schemes"),
    Part("asyncauth", "asyncauth_stores.memory"),
    Part("asyncauth", "asyncauth_stores.file"),
    Part("asyncauth", "asyncauth_stores.redis"),
    Part("asyncauth", "asyncauth_stores.sealed"),
    Part("asyncauth", "asyncauth.cli._app"),
    Part("asyncauth", "asyncauth.testing"),
)
_RIVALS: Final = (
    Part("aiohttp", "aiohttp_oauth2_client.middleware"),
    Part("httpx", "authlib.integrations.httpx_client"),
    Part("httpx", "httpx_auth"),
    Part("aiohttp", "azure.core.pipeline.policies"),
    Part("requests", "msal"),
)


def _run(part: Part, environment: Mapping[str, str]) -> dict[str, float] | None:
    """Import it in a new process; none if it is not installed."""
    command = [sys.executable, "-c", _PROGRAM, part.base, part.module]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_LONGEST, check=False
    )
    if "ModuleNotFoundError" in done.stderr:
        return None
    done.check_returncode()
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _self_times(environment: Mapping[str, str]) -> dict[str, float]:
    """Return the milliseconds of each module that `asyncauth` adds, its own imports left out."""
    program = f"import {_ASYNCAUTH.base}, sys\nprint('-', file=sys.stderr)\nimport {_ASYNCAUTH.module}"
    command = [sys.executable, "-X", "importtime", "-c", program]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_LONGEST, check=True
    )
    lines = [line.split("|") for line in done.stderr.partition("\n-\n")[2].splitlines() if "|" in line]
    return {name.strip(): int(own.partition(":")[2]) / 1000 for own, _, name in lines}


def _shares(runs: list[dict[str, float]]) -> list[tuple[str, float]]:
    """Return the medians, the largest first."""
    medians = {name: statistics.median(run.get(name, 0.0) for run in runs) for name in runs[-1]}
    return sorted(medians.items(), key=lambda item: -item[1])


def _packages(shares: list[tuple[str, float]]) -> dict[str, float]:
    total = dict.fromkeys((*_PACKAGES, "others"), 0.0)
    for name, ms in shares:
        package = name.partition(".")[0]
        total[package if package in total else "others"] += ms
    return {name: round(ms, 1) for name, ms in total.items()}


def _measure(report: Report, environment: Mapping[str, str]) -> list[Part]:
    parts = [part for part in (*_OWN, *_RIVALS) if _known(part, environment)]
    turns: dict[Part, list[dict[str, float]]] = {part: [] for part in parts}
    imports = list[dict[str, float]]()
    for _ in range(max(report.rounds, 2)):
        for part in parts:
            found = _run(part, environment)
            assert found is not None
            turns[part].append(found)
        imports.append(_self_times(environment))
    for part, turn in turns.items():
        medians = {name: spread([each[name] for each in turn], 1) for name in ("base", "ms", "cpu")}
        ratio = spread([each["ms"] / each["base"] for each in turn], 2)
        report.results[part.module] = {"over": part.base, **medians, "over_base": ratio}
    report.results["shares"] = _shares(imports)[:_MODULES]
    report.results["packages"] = _packages(_shares(imports))
    return parts


def _known(part: Part, environment: Mapping[str, str]) -> bool:
    if _run(part, environment) is None:
        print(f"not installed: {part.module} over {part.base}", file=sys.stderr)
        return False
    return True


def _show(report: Report, parts: list[Part]) -> None:
    rows = []
    for part in parts:
        found: dict[str, Any] = report.results[part.module]
        numbers = [shown(found[name]) for name in ("ms", "cpu", "base", "over_base")]
        rows.append([f"`{part.module}`", f"`{part.base}`", *numbers])
    head = ["import", "after", "ms more", "of the processor", "that before, ms", "more, over that before"]
    report.table("imports; medians, and quartiles in brackets", head, rows)
    shares = [[f"`{name}`", f"{ms:.1f}"] for name, ms in report.results["shares"]]
    whole = ", ".join(f"{name} {ms:g}" for name, ms in report.results["packages"].items())
    report.table(f"by `-X importtime` (in all: {whole}), the largest", ["module", "ms of its own"], shares)


def _main() -> None:
    report = Report(__file__, __doc__, rounds=11)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        parts = _measure(report, environment)
    _show(report, parts)
    more = report.results[_ASYNCAUTH.module]["ms"]["median"]
    report.aim("`import asyncauth`, added to `import aiohttp`, ms", more, _AIM)
    bars = {part.module: [(i, report.results[part.module]["ms"]["median"])] for i, part in enumerate(parts)}
    report.plot(Plot("startup", "What an import adds to its HTTP client, ms", "ms", "", bars, kind="bars"))
    report.write()


if __name__ == "__main__":
    _main()
