"""Hold the papers' headlines against our figures on public data, from the stored results.

    python benchmarks/reproduction.py [--quick] [--json FILE]

Ten systems, a few figures of each paper, and ours beside them with their difference and its reason.
Nothing is computed anew: our figures are read from `results/*.csv`, which the other benchmarks
write; the papers' own are in `_reproduction_claims.py`, with the place where they stand. A figure
that ours does not reach is called "not reproduced", also where the effect is there but smaller.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from _harness import RESULTS, Check, Options, Report, main
from _reproduction_claims import CLAIMS, PAPERS, SYSTEMS, Claim, Results

HOLDS, SMALLER, NOT = "holds", "not reproduced: smaller effect", "not reproduced"
APART, MISSING = "not comparable", "no figure of ours"


def stored(folder: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Stored tables of the benchmarks that the claims draw on; those that exist."""
    names = sorted({claim.source for claim in CLAIMS})
    files = {name: folder / f"{name}.csv" for name in names}
    return {
        name: pd.read_csv(file, low_memory=False) for name, file in files.items() if file.is_file()
    }


def check_of(claim: Claim, value: float) -> Check:
    """The claim with our figure in it."""
    return Check(f"{claim.system}: {claim.what}", value, claim.paper, claim.sense)


def verdict(claim: Claim, value: float) -> str:
    """What our figure says of the claim."""
    if math.isnan(value):
        return MISSING
    if not claim.comparable:
        return APART
    if check_of(claim, value).ok:
        return HOLDS
    if claim.neutral is not None and (value - claim.neutral) * (claim.paper - claim.neutral) > 0:
        return SMALLER
    return NOT


def row_of(claim: Claim, results: Results) -> dict[str, Any]:
    """One line of the table."""
    value = claim.value(results)
    cells = claim.cells(results)
    return {
        "system": claim.system,
        "claim": claim.what,
        "paper": claim.paper,
        "paper's source": f"{PAPERS[claim.system]}, {claim.place}",
        "ours": value,
        "difference": value - claim.paper,
        "verdict": verdict(claim, value),
        "least": float(cells.min()),
        "mean": float(cells.mean()),
        "most": float(cells.max()),
        "cells": len(cells),
        "our data": f"{claim.data} ({claim.source})",
        "reason": claim.reason,
    }


def report_of(results: Results, claims: Sequence[Claim] = CLAIMS) -> Report:
    """The table and what it says."""
    rows = [row_of(claim, results) for claim in claims]
    frame = pd.DataFrame(rows)
    there = frame[frame["ours"].notna()]
    summary = pd.crosstab(frame["system"], frame["verdict"]).reindex(SYSTEMS, fill_value=0)
    report = Report(rows)
    report.checks = [
        Check("systems with a figure of ours", float(there["system"].nunique()), 10.0, ">="),
        Check("claims without a figure of ours", float(frame["ours"].isna().sum()), 0.0, "<="),
        *(
            check_of(claim, row["ours"])
            for claim, row in zip(claims, rows, strict=True)
            if claim.comparable
        ),
    ]
    shown = ["system", "claim", "paper", "paper's source", "ours", "difference", "verdict"]
    report.tables = {
        "Papers and public data": frame[[*shown, "our data", "reason"]],
        "Claims by verdict": summary.reset_index(),
        "Our figures over their cells": frame[
            ["system", "claim", "least", "mean", "most", "cells"]
        ],
    }
    held = int((frame["verdict"] == HOLDS).sum())
    judged = sum(claim.comparable for claim in claims)
    absent = sorted({claim.source for claim in claims} - set(results))
    report.notes = [
        f"{held} of {judged} claims hold on public data by the papers' own figures. A check that "
        "falls short is a claim that was not reproduced; it stays.",
        "The papers' traces, profiles, loads and hardware are mostly not public, so a difference "
        "says how far a headline carries, not that a paper errs. Figures of the papers are those "
        "of abstracts, public summaries and public files of the authors.",
        "Command: python benchmarks/reproduction.py, after the benchmarks named in brackets.",
        *(f"No stored results: run benchmarks/{name}.py." for name in absent),
    ]
    return report


def measure(options: Options) -> Report:
    """Read the stored results; a quick run is the same."""
    del options
    return report_of(stored())


def run(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return main("reproduction", measure, str(__doc__).split("\n", maxsplit=1)[0], argv)


if __name__ == "__main__":
    sys.exit(run())
