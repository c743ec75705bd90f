"""Measure how time and memory grow with what users scale, in each of the nine problems.

    python benchmarks/growth.py [--quick] [--json FILE] [--jobs N]

Four sizes, each four times the one before (quick: the two smallest): slots of a job, jobs of
a cluster, periods and sites of a fleet, services, applications, models, rows of a trace. Making,
saving, loading, compiling, auditing, solving, and the replay of every policy; each size in a
process of its own. The exponent p of a growth like n^p is fitted to the three largest sizes, where
fixed costs tell least. What solves an integer programme that is hard by proof has no exponent to be
judged: it is listed with its time to one percent of gap.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
from _growth_cells import Cell, perform
from _growth_subjects import HARD_GAP, HARD_POLICIES, SUBJECTS, Subject
from _harness import Check, Options, Progress, Report, _leave_interrupts_to_parent, main

Row = dict[str, Any]

LIMIT_S, QUICK_LIMIT_S = 10.0, 2.0
"""Limit on the solver of a hard programme [s]."""
STEEPEST = 1.3
"""Largest exponent of what users scale."""
SQUARE = 2.3
"""The same for policies that by definition hold everything against everything."""
QUICK_TOLD_S = 0.1
"""The same for the time of a quick run, whose two sizes are small."""
LIBRARIES = ("pandas", "scipy.stats", "scipy.optimize", "pyomo.environ", "highspy", "cvxpy")
"""What a cell imports sooner or later, and need not import anew."""
FITTED = 3
"""Sizes to which an exponent is fitted, the largest ones."""
TOLD_S, TOLD_MB = 0.02, 16.0
"""What takes less than this at the largest size has no growth that matters, and is noise: some
megabytes are found among what the process has."""


def cells_of(subjects: Sequence[Subject], seed: int, *, quick: bool) -> list[Cell]:
    """All subjects at all sizes, the largest first."""
    limit_s = QUICK_LIMIT_S if quick else LIMIT_S
    found = [
        (place, Cell(subject.name, size, subject.sizes[0], seed, limit_s))
        for subject in subjects
        for place, size in enumerate(subject.sizes[:2] if quick else subject.sizes)
    ]
    return [cell for _, cell in sorted(found, key=lambda pair: -pair[0])]


def performed(cells: Sequence[Cell], workers: int) -> Iterator[list[Row]]:
    """Rows of all cells, each in a process of its own, forked from one that has read no data."""
    progress = Progress("cells", len(cells))
    context = get_context("forkserver")
    # What every cell imports; their own modules are not on the path of the server.
    context.set_forkserver_preload(["optmodels.api", "optmodels.solver", *LIBRARIES])
    with context.Pool(workers, _leave_interrupts_to_parent, maxtasksperchild=1) as pool:
        for rows in pool.imap_unordered(perform, cells, chunksize=1):
            progress.advance()
            yield rows


def measure(options: Options) -> Report:
    """Run everything."""
    rows: list[Row] = []
    for some in performed(cells_of(SUBJECTS, options.seed, quick=options.quick), options.workers):
        rows += some
    return report_of(rows, QUICK_TOLD_S if options.quick else TOLD_S)


# ----------------------------------------------------------------------------------------- judging
def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Exponent p of values like n^p, by least squares of logarithms; NaN without two values."""
    x, y = np.log(np.asarray(sizes, float)), np.asarray(values, float)
    good = np.isfinite(y) & (y > 0)
    if good.sum() < 2:
        return float("nan")
    return float(np.polyfit(x[good], np.log(y[good]), 1)[0])


def growth_of(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per subject and action: seconds and megabytes at the largest size, and exponents."""
    lines = []
    for (subject, action), own in frame.groupby(["subject", "action"], sort=False):
        ordered = own.sort_values("size")
        last = ordered.iloc[-1]
        top = ordered.tail(FITTED)
        lines.append(
            {
                "subject": subject,
                "action": action,
                "kind": last["kind"],
                "size": int(last["size"]),
                "seconds": last["seconds"],
                "exponent": slope(top["n"], top["seconds"]),
                "exponent, all sizes": slope(ordered["n"], ordered["seconds"]),
                "megabytes": last["megabytes"],
                "exponent of memory": slope(
                    top["n"], top["megabytes"].where(top["megabytes"] >= TOLD_MB)
                ),
            }
        )
    return pd.DataFrame(lines)


def worst_of(table: pd.DataFrame, value: str, least: float, by: str) -> pd.DataFrame:
    """The steepest action of each subject and kind, among those that are large enough to tell."""
    told = table[(table[value] >= least) & table[by].notna() & (table["kind"] != "hard")]
    return told.loc[told.groupby(["subject", "kind"], sort=False)[by].idxmax()]


def checks_of(table: pd.DataFrame, told_s: float) -> list[Check]:
    """No growth is steeper than it may be; every subject is judged, every hard one is listed."""
    checks = []
    for what, value, least, by in (
        ("time", "seconds", told_s, "exponent"),
        ("memory", "megabytes", TOLD_MB, "exponent of memory"),
    ):
        for one in worst_of(table, value, least, by).to_dict("records"):
            limit = SQUARE if one["kind"] == "square" else STEEPEST
            words = ", square by definition" if one["kind"] == "square" else ""
            name = f"{one['subject']}{words}: exponent of {what}, steepest"
            checks.append(Check(name, float(one[by]), limit, "<="))
    checks.append(
        Check(
            "problems measured", float(table["subject"].str.split(",").str[0].nunique()), 10.0, ">="
        )
    )
    return checks


def report_of(rows: Sequence[Row], told_s: float = TOLD_S) -> Report:
    """Tables, checks and what belongs to them."""
    frame = pd.DataFrame(rows)
    table = growth_of(frame)
    report = Report(list(rows), checks_of(table, told_s))
    steep = worst_of(table, "seconds", told_s, "exponent")
    shown = ["subject", "action", "kind", "size", "seconds", "exponent", "exponent, all sizes"]
    report.tables["Steepest in time, by subject"] = steep[shown]
    heavy = worst_of(table, "megabytes", TOLD_MB, "exponent of memory")
    report.tables["Steepest in memory, by subject"] = heavy[
        ["subject", "action", "size", "megabytes", "exponent of memory"]
    ]
    hard = frame[frame["kind"] == "hard"]
    if len(hard):
        report.tables["Hard programmes: seconds, and gaps where they are proven"] = _by_rank(
            hard, "seconds"
        ).merge(_by_rank(hard, "gap"), how="left", on=["subject", "action"])
    report.tables["Every action"] = table
    report.notes = [
        f"exponent: p of n^p, fitted to the {FITTED} largest sizes. Judged is only what takes "
        f"{told_s:g} s or {TOLD_MB:g} MB at the largest size. Seconds of processor, a process per "
        "size; megabytes: peak beyond what the process held before, sizes with less than "
        f"{TOLD_MB:g} MB left out of the fit, as their pages tell more about the allocator.",
        "n is the size, but for the arcs of edge networks (a class of applications and a group of "
        "servers where it may run), which grow with the square of the sites.",
        f"hard: oracles that are integer programmes, solved to a gap of {HARD_GAP:.0%} or for "
        f"{LIMIT_S:g} s (quick: {QUICK_LIMIT_S:g} s); no exponent is judged. Policies that solve "
        "such programmes themselves are not measured: "
        + "; ".join(f"{name}: {', '.join(sorted(some))}" for name, some in HARD_POLICIES.items())
        + ". square: holds everything against everything by definition, such as all slots that are "
        "left in every slot.",
        "Command: python benchmarks/growth.py",
    ]
    return report


def _by_rank(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """A column per size, the smallest first: sizes of subjects differ."""
    rank = frame.groupby(["subject", "action"])["size"].rank().astype(int)
    names = {number: f"{value}, size {number}" for number in sorted(rank.unique())}
    wide = frame.assign(rank=rank).pivot_table(
        index=["subject", "action"], columns="rank", values=value, sort=False
    )
    return wide.rename(columns=names).rename_axis(columns=None).reset_index()


def run(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return main("growth", measure, str(__doc__).split("\n", maxsplit=1)[0], argv)


if __name__ == "__main__":
    sys.exit(run())
