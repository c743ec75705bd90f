"""How much of `optmodels` the tests run, line by line, child processes included.

    python -m tests.coverage [--jobs N] [TEST ...]

It needs coverage.py beside the ``test`` extra. The whole suite replaces
``tests/results/coverage.md`` and exits with 1 below `TARGET`; named tests only print what they
cover, for a look at one room. Lines that no run reaches by design are left out, see `EXCLUDED`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.machine import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "results" / "coverage.md"
#: Share of lines [%] below which the command fails, and below which a module is listed.
TARGET = 95.0
#: Lines that are never run by design: imports for type checkers, bodies of protocols.
EXCLUDED = ("if TYPE_CHECKING:", "@overload", r"^\s*\.\.\.$")


def configuration(folder: Path) -> str:
    """Configuration of coverage.py: absolute paths, as tests start processes in other folders."""
    excluded = "\n".join(f"    {pattern}" for pattern in EXCLUDED)
    return (
        f"[run]\nsource = {ROOT / 'optmodels'}\ndata_file = {folder / 'data'}\nparallel = true\n"
        "patch = subprocess, _exit\nsigterm = true\n"
        f"[report]\nexclude_also =\n{excluded}\n"
    )


def measure(jobs: int, tests: list[str]) -> tuple[int, dict[str, Any]]:
    """Run the tests under coverage.py: the exit code of pytest, and the report as plain data."""
    with tempfile.TemporaryDirectory(prefix="coverage-") as name:
        folder = Path(name)
        settings, report = folder / "settings", folder / "report.json"
        settings.write_text(configuration(folder), encoding="utf-8")
        rc = f"--rcfile={settings}"
        workers = ["-n", str(jobs)] if jobs > 1 else []
        # The tree at hand is measured, whatever is installed.
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}

        def tool(*words: str, check: bool = True) -> int:
            command = [sys.executable, "-m", "coverage", *words]
            return subprocess.run(command, cwd=ROOT, env=environment, check=check).returncode

        code = tool("run", rc, "-m", "pytest", *workers, *tests, check=False)
        tool("combine", "-q", rc)
        tool("json", "-q", rc, "-o", str(report))
        return code, json.loads(report.read_text(encoding="utf-8"))


def spans(lines: list[int]) -> str:
    """Numbers of lines, neighbours joined: ``3-5, 9``."""
    parts: list[list[int]] = []
    for line in lines:
        if parts and line == parts[-1][-1] + 1:
            parts[-1].append(line)
        else:
            parts.append([line])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def tables(files: dict[str, Any]) -> list[str]:
    """Lines of the report: a table of packages, and one of modules below the target."""
    rooms: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    low: list[str] = []
    for name, found in sorted(files.items()):
        module = Path(name).relative_to("optmodels")
        total, run = found["summary"]["num_statements"], found["summary"]["covered_lines"]
        count = rooms["/".join(module.parts[:-1][:2]) or "(top)"]
        count[0] += total
        count[1] += run
        if total and 100 * run / total < TARGET:
            missing = spans(found["missing_lines"])
            low.append(f"| {module.as_posix()} | {total} | {100 * run / total:.1f} | {missing} |")
    rows = [f"| {r} | {n} | {k} | {100 * k / max(n, 1):.1f} |" for r, (n, k) in rooms.items()]
    head = ["| package | lines | run | % |", "| --- | --- | --- | --- |"]
    heads = ["| module | lines | % | lines not run |", "| --- | --- | --- | --- |"]
    below = ["", f"## Modules below {TARGET:g} %", "", *(heads + low if low else ["None."])]
    return ["## Packages", "", *head, *sorted(rows), *below]


def main() -> None:
    """Measure, write or print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default 2)")
    parser.add_argument("tests", nargs="*", help="tests to run; all by default")
    given = parser.parse_args()
    started = time.monotonic()
    code, report = measure(given.jobs, given.tests)
    share = report["totals"]["percent_covered"]
    lines = [
        "# Lines of `optmodels` that the tests run",
        "",
        f"`python -m tests.coverage`: **{share:.2f} %** of {report['totals']['num_statements']:,} "
        f"lines, in {time.monotonic() - started:.0f} s.",
        machine(),
        "",
        *tables(report["files"]),
    ]
    text = "\n".join(lines) + "\n"
    if given.tests:
        sys.stdout.write(text)
        sys.exit(code)
    if code:
        sys.exit(f"The suite fails (exit code {code}): nothing is written.")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{share:.2f} % of the lines are run; see {RESULTS.relative_to(ROOT)}.\n")
    sys.exit(share < TARGET)


if __name__ == "__main__":
    main()
