"""Measure what it costs to bring a model from its data into HiGHS, against every other way.

    python benchmarks/compiler.py [--quick] [--json FILE]

Three shapes (`_compiler_models`), three sizes, nine paths; the time of everything before HiGHS's
``run()``, in two phases: building the path's own kind of model from numpy arrays, and getting that
into a HiGHS. "ours" is what `solve_model` does with a formulation that it has seen before, "ours,
first compile" traces it, too. The yardstick is highspy with arrays that were filled by hand.
Before anything is judged, all paths must have made the same model: the same counts and sums at
every size, and at the smallest the same optimum of the continuous relaxation.
"""

from __future__ import annotations

import contextlib
import gc
import os
import statistics
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from _compiler_models import SHAPES
from _compiler_paths import (
    APPSI,
    CVXPY,
    FAST,
    FIRST,
    LINOPY,
    OURS,
    PULP,
    PYOMO,
    RAW,
    SLOW,
    STANDARD,
    Case,
    available,
    peak_bytes,
    relax,
    timed,
)
from _harness import Check, Options, Progress, Report, main

SMALL, MIDDLE, LARGE = 10_000, 100_000, 1_000_000
MEGABYTE = 1e6

Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is run.

    Parameters
    ----------
    repeats
        Repeats of every path, by size and path; what is absent is not run.
    peaks
        Shapes and paths whose peak memory is measured at the largest size.
    """

    repeats: dict[int, dict[str, int]]
    peaks: dict[str, tuple[str, ...]]


FULL = Size(
    repeats={
        SMALL: {**dict.fromkeys(FAST, 15), **dict.fromkeys(SLOW, 5)},
        MIDDLE: {**dict.fromkeys(FAST, 9), **dict.fromkeys(SLOW, 5)},
        LARGE: {**dict.fromkeys(FAST, 7), **dict.fromkeys(SLOW, 1)},
    },
    peaks=dict.fromkeys(SHAPES, (RAW, OURS, CVXPY, LINOPY, STANDARD)),
)
QUICK = Size(
    repeats={
        SMALL: {**dict.fromkeys(FAST, 5), **dict.fromkeys((LINOPY, PULP, STANDARD), 1)},
        MIDDLE: {RAW: 7, OURS: 7, FIRST: 3, CVXPY: 5, LINOPY: 5, PYOMO: 1},
        LARGE: {RAW: 5, OURS: 5, CVXPY: 3, LINOPY: 3},
    },
    peaks={"placement": (RAW, OURS)},
)


# --------------------------------------------------------------------------------------- measuring
def measure_times(case: Case, repeats: dict[str, int]) -> tuple[list[Row], dict[str, Any]]:
    """Rows of one shape and size, paths taken in turns; and what each path made."""
    usable = available()
    left = {path: count for path, count in repeats.items() if path in usable}
    seconds: dict[str, list[tuple[float, float]]] = {path: [] for path in left}
    made: dict[str, Any] = {}
    while any(left.values()):
        for path in [path for path, count in left.items() if count]:
            build, hand_over, highs = timed(case, path)
            seconds[path].append((build, hand_over))
            left[path] -= 1
            if path not in made:
                made[path] = facts(highs, solve=case.nonzeros == SMALL)
            del highs
    rows = []
    for path, taken in seconds.items():
        phases = {
            "build": [build for build, _ in taken],
            "hand over": [hand for _, hand in taken],
            "total": [sum(pair) for pair in taken],
        }
        for phase, values in phases.items():
            rows.append(
                {
                    "shape": case.shape,
                    "size": case.nonzeros,
                    "path": path,
                    "phase": phase,
                    "milliseconds": 1e3 * statistics.median(values),
                    "repeats": len(values),
                    **made[path]["counts"],
                }
            )
    return rows, made


def facts(highs: Any, *, solve: bool) -> dict[str, Any]:
    """What two models that are the same have in common, whatever the order of their parts."""
    lp = highs.getLp()
    bounds = [np.asarray(x) for x in (lp.row_lower_, lp.row_upper_, lp.col_lower_, lp.col_upper_)]
    entries = np.abs(np.asarray(lp.a_matrix_.value_))
    found: dict[str, Any] = {
        "counts": {
            "rows": highs.getNumRow(),
            "columns": highs.getNumCol(),
            "nonzeros": highs.getNumNz(),
        },
        "sums": [
            float(np.sum(np.abs(np.asarray(lp.col_cost_)))),
            float(entries.sum()),
            float((entries**2).sum()),
            float(sum(np.abs(b[np.isfinite(b)]).sum() for b in bounds)),
        ],
    }
    if solve:
        relax(highs)
        highs.run()
        found["optimum"] = highs.getInfo().objective_function_value
    return found


def differences(made: dict[str, Any]) -> tuple[float, float]:
    """Largest relative difference from the yardstick's sums (infinite for counts), and optimum."""
    ours = made[RAW]
    sums, optima = 0.0, 0.0
    for other in made.values():
        if other["counts"] != ours["counts"]:
            return np.inf, np.inf
        pairs = zip(other["sums"], ours["sums"], strict=True)
        sums = max([sums, *(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)])
        if "optimum" in ours:
            optima = max(optima, abs(other["optimum"] / ours["optimum"] - 1.0))
    return sums, optima


def measure_peaks(size: Size, seed: int) -> list[Row]:
    """Peak memory at the largest size."""
    rows = []
    usable = available()
    chosen = [(s, p) for s, paths in size.peaks.items() for p in paths if p in usable]
    progress = Progress("peak memory", len(chosen))
    for shape, path in chosen:
        build, run = peak_bytes(path, Case(shape, LARGE, seed))
        for phase, peak in (("build and hand over", build), ("with run", run)):
            rows.append(
                {
                    "shape": shape,
                    "size": LARGE,
                    "path": path,
                    "phase": phase,
                    "megabytes": peak / MEGABYTE,
                }
            )
        progress.advance()
    return rows


# ----------------------------------------------------------------------------------------- judging
def time_checks(total: dict[tuple[str, int, str], float]) -> list[Check]:
    """Claims on times; `total` has the milliseconds by shape, size and path."""

    def ratio(shape: str, size: int, one: str, other: str) -> float:
        return total.get((shape, size, one), np.nan) / total.get((shape, size, other), np.nan)

    checks = []
    for shape, kind in SHAPES.items():
        for size, limit in ((MIDDLE, 4.0), (LARGE, 3.0)):
            what = f"{shape}, {size:,} nonzeros: ours / hand-filled arrays"
            checks.append(Check(what, ratio(shape, size, OURS, RAW), limit, "<="))
            what = f"{shape}, {size:,} nonzeros: ours / CVXPY vectorised"
            checks.append(Check(what, ratio(shape, size, OURS, CVXPY), 1.0, "<="))
        if LINOPY in available():
            for size, limit in ((MIDDLE, 8.0), (LARGE, 2.0)):
                what = f"{shape}, {size:,} nonzeros: linopy direct / ours"
                checks.append(Check(what, ratio(shape, size, LINOPY, OURS), limit, ">="))
        if kind.linear:
            values = [ratio(shape, MIDDLE, path, OURS) for path in (PYOMO, APPSI)]
            what = f"{shape}, {MIDDLE:,} nonzeros: Pyomo's faster interface to HiGHS / ours"
            checks.append(Check(what, float(np.nanmin(values)), 50.0, ">="))
    return checks


def peak_checks(rows: Sequence[Row]) -> list[Check]:
    """Claims on memory: of a whole solve, as that is what a machine must hold."""
    peak = {(r["shape"], r["path"]): r["megabytes"] for r in rows if r["phase"] == "with run"}
    return [
        Check(
            f"{shape}, {LARGE:,} nonzeros: peak memory of ours / hand-filled arrays",
            peak[shape, OURS] / peak[shape, RAW],
            1.3,
            "<=",
        )
        for shape in dict.fromkeys(shape for shape, _ in peak)
    ]


def table(rows: Sequence[Row], value: str, phase: str, order: Sequence[str]) -> pd.DataFrame:
    """One line per shape and size, one column per path."""
    frame = pd.DataFrame([row for row in rows if row["phase"] == phase])
    wide = frame.pivot_table(index=["shape", "size"], columns="path", values=value, sort=False)
    return wide[[path for path in order if path in wide.columns]].reset_index()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard output and no warnings: some layers let HiGHS, which is C++, greet."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def measure(options: Options) -> Report:
    """Run everything."""
    size = QUICK if options.quick else FULL
    times: list[Row] = []
    sums: list[float] = []
    optima: list[float] = []
    progress = Progress("build and hand over", len(SHAPES) * len(size.repeats))
    with _quiet():
        for shape in SHAPES:
            for path in sorted(set().union(*size.repeats.values()) & available()):
                timed(Case(shape, SMALL // 10, options.seed), path)
            # What the libraries hold need not be looked through before every measurement.
            gc.freeze()
            for nonzeros, repeats in size.repeats.items():
                rows, made = measure_times(Case(shape, nonzeros, options.seed), repeats)
                times += rows
                difference, optimum = differences(made)
                sums.append(difference)
                optima.append(optimum)
                progress.advance()
    peaks = measure_peaks(size, options.seed)
    total = {
        (row["shape"], row["size"], row["path"]): row["milliseconds"]
        for row in times
        if row["phase"] == "total"
    }
    order = (RAW, OURS, FIRST, CVXPY, LINOPY, PULP, STANDARD, PYOMO, APPSI)
    missing = sorted({*FAST, *SLOW} - available())
    return Report(
        rows=[*times, *peaks],
        checks=[
            Check("Largest relative difference of sums over the models", max(sums), 1e-9, "<="),
            Check("Largest relative difference of optima", max(optima), 1e-6, "<="),
            *time_checks(total),
            *peak_checks(peaks),
        ],
        tables={
            "Everything before run() [ms]": table(times, "milliseconds", "total", order),
            "Building alone [ms]": table(times, "milliseconds", "build", order),
            "Peak memory, build and hand over [MB]": table(
                peaks, "megabytes", "build and hand over", order
            ),
            "Peak memory with the beginning of run() [MB]": table(
                peaks, "megabytes", "with run", order
            ),
        },
        notes=[
            "Medians of processor time; paths in turns; garbage collection off for all. Making "
            "Pyomo's dicts and importing linopy, CVXPY and PuLP is not counted.",
            *(f"Not installed, so not measured: {name}." for name in missing),
        ],
    )


def run(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return main("compiler", measure, str(__doc__).split("\n", maxsplit=1)[0], argv)


if __name__ == "__main__":
    sys.exit(run())
