"""``python -m tests.differential``: two statements of every problem on thousands of instances.

Prints a table per problem, and writes it to ``tests/results/differential.md`` where all problems
were compared in full. With ``--solvers`` other solvers check HiGHS as well. Ends with 1 when
anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import solvers
from .running import PROBLEMS, SAME, Tally, run

RESULTS = Path(__file__).resolve().parents[1] / "results" / "differential.md"
CASES, SOLVER_CASES = 400, 40

#: What each problem is compared with, for the table.
SECOND = {
    "scaling.job": "linear programme over all levels, for taut string, secant, levels and LP",
    "scaling.cluster": "one level per job and slot, for blocks and prices",
    "rightsizing.sites": "kWh at every site; cutting planes, for the extensive form with CVaR",
    "routing.sites": "every row and arc by itself, for bins and repairs",
    "routing.pipeline": "one variable per whole route, for arcs and labels",
    "placement.edge": "one binary per application and server, for fillings and columns",
    "placement.accelerators": "recursion over sets, without a solver, for columns and rows",
    "ensembles.selection": "every placement, vote by vote, for configurations and votes",
    "ensembles.failover": "lost service by name, for gains of options; named backups for groups",
}


def main() -> int:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="instances of each problem")
    parser.add_argument("--seed", type=int, default=1, help="seed of all of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, help="also write what was found to this file")
    parser.add_argument("--problem", choices=PROBLEMS, action="append", help="only this one")
    parser.add_argument(
        "--solvers",
        type=int,
        nargs="?",
        const=SOLVER_CASES,
        default=0,
        metavar="N",
        help=f"also give N formulations of each problem to other solvers (default {SOLVER_CASES})",
    )
    told = parser.parse_args()
    # One thread each: the processes are what runs side by side.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    began = time.perf_counter()
    names = told.problem or list(PROBLEMS)
    parts = {"statements": _tallies("statement", names, told.cases, told)}
    if told.solvers:
        parts["solvers"] = _tallies("solvers", names, told.solvers, told)
    text = _report(parts, time.perf_counter() - began, told)
    sys.stdout.write(text)
    faults = [fault for tallies in parts.values() for t in tallies.values() for fault in t.faults]
    for fault in faults:
        sys.stdout.write(f"{fault.problem} {fault.seed}: {fault.words}\n")
    if told.json:
        told.json.write_text(json.dumps(_data(parts), indent=1) + "\n", encoding="utf-8")
    if told.solvers and not told.problem and told.cases >= CASES and not faults:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text, encoding="utf-8")
    return 1 if faults else 0


def _tallies(kind: str, names: list[str], cases: int, told: Any) -> dict[str, Tally]:
    tallies = {name: Tally() for name in names}
    for name, tally in run(names, cases, seed=told.seed, jobs=told.jobs, kind=kind):
        tallies[name].add(tally)
    return tallies


def _report(parts: dict[str, dict[str, Tally]], seconds: float, told: Any) -> str:
    tallies = parts["statements"]
    lines = [
        "# Two statements of every problem",
        "",
        f"`python -m tests.differential{' --solvers' if told.solvers else ''}`: seed {told.seed}, "
        f"{sum(t.cases for t in tallies.values()):,} random instances in {seconds:.0f} s with "
        f"{told.jobs} processes; Python {platform.python_version()}, {_versions()}.",
        "",
        "A second statement is written from the words of the documentation, reads the raw tables "
        "only, and shares no code with the formulations. A difference is relative to the larger of "
        f"the two numbers, but never to less than 1; {SAME:g} is allowed.",
        "",
        "| problem | instances | without any plan | comparisons | largest difference | differ | "
        "s of a core | second statement |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for name, t in tallies.items():
        lines.append(
            f"| `{name}` | {t.cases:,} | {t.infeasible} | {t.comparisons:,} | {t.worst:.1e} | "
            f"{len(t.faults)} | {t.seconds:.0f} | {SECOND[name]} |"
        )
    if "solvers" in parts:
        lines += _solver_lines(parts["solvers"])
    return "\n".join(lines) + "\n"


def _solver_lines(tallies: dict[str, Tally]) -> list[str]:
    names = sorted({what.split(",")[0] for t in tallies.values() for what in t.largest})
    versions = ", ".join(f"{name} {number}" for name, number in solvers.versions().items())
    lines = [
        "",
        "## Other solvers",
        "",
        "The ordinary Pyomo models of such instances and their relaxations, by HiGHS and by others "
        f"({versions}): largest differences of the optima.",
        "",
        f"| problem | models | {' | '.join(names)} | s of a core |",
        f"|---|---:|{'---:|' * len(names)}---:|",
    ]
    for problem, t in tallies.items():
        worst = [
            max((d for what, d in t.largest.items() if what.split(",")[0] == name), default=0.0)
            for name in names
        ]
        shown = " | ".join(f"{d:.1e}" for d in worst)
        lines.append(f"| `{problem}` | {t.cases} | {shown} | {t.seconds:.0f} |")
    return lines


def _versions() -> str:
    packages = ("highspy", "pyomo", "scipy", "numpy")
    return ", ".join(f"{name} {version(name)}" for name in packages)


def _data(parts: dict[str, dict[str, Tally]]) -> dict[str, Any]:
    return {
        part: {
            name: {
                "cases": t.cases,
                "infeasible": t.infeasible,
                "comparisons": t.comparisons,
                "largest_difference": t.worst,
                "by_comparison": t.largest,
                "seconds": round(t.seconds, 3),
                "faults": [{"seed": list(fault.seed), "words": fault.words} for fault in t.faults],
            }
            for name, t in tallies.items()
        }
        for part, tallies in parts.items()
    }


if __name__ == "__main__":
    sys.exit(main())
