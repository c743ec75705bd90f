"""Whether the suite passes on other versions of everything, and in any order.

    python -m tests.versions [--python EXE ...] [--jobs N] [--seed S]

Each run has a virtual environment of its own. Every given interpreter (this one, where none is
named) gets the newest versions of every dependency and runs the suite in a random order, by
pytest-randomly; the first of them gets the lowest versions that ``pyproject.toml`` admits as well,
and runs in the order of the files. Warnings are errors in all of them.
``tests/results/versions.md`` is replaced where every run is green; the command exits with 1 where
one is not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from tests.machine import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "results" / "versions.md"
#: What asks an interpreter for its versions.
VERSIONS = (
    "import json, platform, sys; from importlib.metadata import version; "
    "print(json.dumps({'Python': platform.python_version(), "
    "**{name: version(name) for name in sys.argv[1:]}}))"
)


@dataclass(frozen=True)
class Run:
    """The suite in one environment.

    Attributes
    ----------
    interpreter
        Python that makes the environment.
    lowest
        Whether every dependency has the lowest version that is admitted, else the newest.
    """

    interpreter: str
    lowest: bool


def output(*words: str | Path) -> str:
    """What a command prints."""
    return subprocess.run(
        [str(word) for word in words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def environment(run: Run, folder: Path) -> Path:
    """Make the environment of a run in a folder; its interpreter."""
    output(run.interpreter, "-m", "venv", folder)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", ".[test]"]
    if run.lowest:
        constraints = folder / "lowest.txt"
        constraints.write_text(output(python, ".ci/lowest_versions.py"), encoding="utf-8")
        output(*install, "--constraint", constraints)
    else:
        output(*install, "pytest-randomly")
    return python


def try_suite(run: Run, jobs: int, seed: int) -> dict[str, str]:
    """Run the suite in an environment of its own: a row of the table."""
    with tempfile.TemporaryDirectory(prefix="versions-") as name:
        folder = Path(name)
        python = environment(run, folder / "venv")
        versions = json.loads(output(python, "-c", VERSIONS, *PACKAGES))
        order = [] if run.lowest else [f"--randomly-seed={seed}"]
        report = folder / "report.xml"
        started = time.monotonic()
        code = subprocess.run(
            [python, "-m", "pytest", "-n", str(jobs), f"--junitxml={report}", *order],
            cwd=ROOT,
            check=False,
        ).returncode
        seconds = time.monotonic() - started
        counts = ET.parse(report).getroot().find("testsuite")
        found = {} if counts is None else counts.attrib
    total, skipped = int(found.get("tests", 0)), int(found.get("skipped", 0))
    bad = int(found.get("failures", 0)) + int(found.get("errors", 0))
    return {
        "Python": versions.pop("Python"),
        "versions": "lowest" if run.lowest else "newest",
        "order": "of the files" if run.lowest else f"random, seed {seed}",
        "passed": f"{total - skipped - bad:,}",
        "skipped": str(skipped),
        "failed": str(bad or int(code != 0)),
        "seconds": f"{seconds:.0f}",
        **versions,
    }


def table(rows: list[dict[str, str]]) -> str:
    """The rows as a table in Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run the suite everywhere, write the table, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--python", action="append", help="an interpreter, of 3.11 or newer; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the orders (default 0)")
    given = parser.parse_args()
    interpreters = given.python or [sys.executable]
    runs = [Run(each, lowest=False) for each in interpreters]
    runs.append(Run(interpreters[0], lowest=True))
    rows = [try_suite(run, given.jobs, given.seed) for run in runs]
    lines = [
        "# The suite on other versions, in other orders",
        "",
        "`python -m tests.versions` makes an environment for each line and runs the whole suite "
        "in it, warnings as errors. Skipped is what needs something that is absent there.",
        "",
        table(rows),
        "",
        f"{os.cpu_count()} cores, {platform.system()}",
    ]
    sys.stdout.write(table(rows) + "\n")
    if any(row["failed"] != "0" for row in rows):
        sys.exit("Not every run is green: nothing is written.")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
