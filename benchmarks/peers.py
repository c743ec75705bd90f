"""Hold optmodels against its peers: the same work, in one run, to the same objective.

    python benchmarks/peers.py [--quick] [--json FILE] [--jobs N]

Building models and their memory (highspy by hand, CVXPY, linopy, PuLP, Pyomo's ways), windows of a
rolling horizon, RORO's decisions against quadrature and a minimiser, the optimum of a job of every
length against a linear programme per length, a cluster against a simulator in plain Python, and
edge placement against HiGHS on the same programme. Each case names its fastest alternative, and
before anything is judged, all peers of a case must have found the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import _peers_works as works
import numpy as np
import pandas as pd
from _compiler_paths import CVXPY, FAST, LINOPY, OURS, PULP, PYOMO, RAW, SLOW, available
from _harness import Check, Options, Progress, Report, main
from _peers_works import ALL_PATHS, GAP

Row = dict[str, Any]

NEAR = 4.0
"""Ours over the fastest alternative where we stay near it: what our layers may cost."""
AGREE = {"online policy": 1e-6, "placement": 1e-6}
"""Largest relative differences of objectives; 1e-9 in all other works."""
SAME = 1e-6
"""Largest difference of a decision."""


@dataclass(frozen=True)
class Size:
    """How much is run."""

    shapes: tuple[str, ...]
    paths: tuple[str, ...]
    repeats: tuple[int, int]
    memory: int
    memory_paths: tuple[str, ...]
    windows: int
    window_paths: tuple[str, ...]
    window_workers: int
    jobs: tuple[int, int]
    slots: int
    lengths: int
    fleets: tuple[tuple[int, int], ...]
    cluster: int
    networks: tuple[tuple[int, int, float, int], ...]
    times: int


FULL = Size(
    shapes=("routing", "placement", "scaling"),
    paths=ALL_PATHS,
    repeats=(9, 3),
    memory=300_000,
    memory_paths=tuple(path for path in ALL_PATHS if path != works.FIRST),
    windows=96,
    window_paths=tuple(works.PATHS),
    window_workers=1,
    jobs=(2000, 40),
    slots=8760,
    lengths=48,
    fleets=((5376, 4), (21_504, 4), (168, 64), (168, 256)),
    cluster=100_000,
    networks=((60, 1500, 60.0, 4), (100, 2500, 90.0, 1), (200, 5000, 60.0, 1)),
    times=5,
)
QUICK = Size(
    shapes=("routing",),
    paths=(RAW, OURS, CVXPY, LINOPY, PULP, PYOMO),
    repeats=(5, 1),
    memory=100_000,
    memory_paths=(RAW, OURS, LINOPY),
    windows=12,
    window_paths=(works.HAND, works.ROLLED, works.PERSISTENT, works.REBUILT),
    window_workers=2,
    jobs=(500, 10),
    slots=2000,
    lengths=12,
    fleets=((5376, 4), (168, 64)),
    cluster=20_000,
    networks=((200, 5000, 5.0, 1),),
    times=3,
)
NONZEROS = 100_000


def measure(options: Options) -> Report:
    """Run everything; what is timed runs alone."""
    return report_of(rows_of(QUICK if options.quick else FULL, options))


def rows_of(size: Size, options: Options) -> list[Row]:
    """All works, one after the other."""
    seed, rows = options.seed, []
    progress = Progress("works", len(size.shapes) + 5 + len(size.networks))
    for shape in size.shapes:
        rows += works.building(shape, NONZEROS, size.paths, *size.repeats, seed)
        progress.advance()
    rows += works.rolling(
        size.window_paths, size.windows, min(size.window_workers, options.workers), seed
    )
    progress.advance()
    rows += works.policies(*size.jobs, 48, size.times, seed)
    progress.advance()
    rows += works.oracles(size.slots, size.lengths, size.times, seed)
    progress.advance()
    for hours, sites in size.fleets:
        rows += works.sizes(hours, sites, 3, seed)
    progress.advance()
    rows += works.simulations(size.cluster, 168, size.times, seed)
    progress.advance()
    for sites, applications, limit_s, count in size.networks:
        rows += works.placements(sites, applications, limit_s, range(seed, seed + count))
        progress.advance()
    rows += works.memories(
        "routing", size.memory, size.memory_paths, workers=options.workers, seed=seed
    )
    return rows


# ----------------------------------------------------------------------------------------- judging
def compared(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows with their ratio to ours, and their difference from the objective of ours."""
    frame = pd.DataFrame(rows)
    cases = ["work", "case"]
    mine = frame.loc[frame["ours"], [*cases, "seconds", "megabytes", "objective"]]
    own = frame.merge(mine, how="left", on=cases, suffixes=("", "_ours"), validate="many_to_one")
    timed = own["seconds"] / own["seconds_ours"]
    frame["over_ours"] = timed.fillna(own["megabytes"] / own["megabytes_ours"]).to_numpy()
    scale = own["objective_ours"].abs().clip(lower=1e-300)
    difference = (own["objective"] - own["objective_ours"]).abs() / scale
    # A search that was stopped before it found anything has no objective.
    frame["difference"] = difference.where(np.isfinite(own["objective"])).to_numpy()
    return frame


def contradiction(frame: pd.DataFrame) -> float:
    """Largest share by which a proven bound of a placement is above a plan for the same network."""
    worst = -np.inf
    for _, own in frame[frame["work"] == "placement"].groupby("case"):
        worst = max(worst, float(own["bound"].max() / own["objective"].min() - 1))
    return worst


def checks_of(frame: pd.DataFrame) -> list[Check]:
    """Same objectives first; then ours against the named alternative of each work."""

    def ratio(work: str, peer: str) -> pd.Series[float]:
        own = frame[(frame["work"] == work) & (frame["peer"] == peer)]
        return own.set_index("case")["over_ours"]

    checks = [
        Check(
            f"{work}: largest relative difference of objectives",
            float(own["difference"].max()),
            AGREE.get(work, 1e-9),
            "<=",
        )
        for work, own in frame[frame["objective"].notna()].groupby("work", sort=False)
        if work != "placement"
    ]
    decided = frame[frame["work"].isin(["online policy", "cluster simulation"])]
    checks += [
        Check(
            "largest difference of a decision",
            float(decided["largest_difference"].max()),
            SAME,
            "<=",
        ),
        Check("placement: a bound above another's plan, share", contradiction(frame), 1e-6, "<="),
        Check(
            "placement: largest gap of ours",
            float(frame.loc[(frame["work"] == "placement") & frame["ours"], "gap"].max()),
            GAP * (1 + 1e-9),
            "<=",
        ),
    ]
    for case, value in ratio("model building", RAW).items():
        checks.append(Check(f"building {case}: ours / hand-filled arrays", 1 / value, NEAR, "<="))
    faster = [("CVXPY", CVXPY, 1.0), ("linopy", LINOPY, 8.0), ("PuLP", PULP, 20.0)]
    faster.append(("Pyomo's interface to HiGHS", PYOMO, 50.0))
    for words, peer, limit in faster:
        found = ratio("model building", peer)
        if len(found):
            name = f"building: {words} / ours, least of the shapes"
            checks.append(Check(name, float(found.min()), limit, ">="))
    checks.append(
        Check(
            "memory: ours / hand-filled arrays",
            1 / float(ratio("memory", RAW).min()),
            1.3,
            "<=",
        )
    )
    for work, peer, words, limit in (
        ("rolling horizon", works.HAND, "warm loop by hand / ours", 1 / 1.15),
        ("rolling horizon", works.PERSISTENT, "Pyomo persistent / ours", 3.0),
        ("rolling horizon", works.REBUILT, "linopy, rebuilt / ours", 15.0),
        ("online policy", works.NUMERIC, "quadrature and minimiser / closed form", 20.0),
        ("oracle", works.WARM_LP, "HiGHS LP per length, warm / one taut string", 8.0),
        ("sizes of sites", works.WHOLE_LP, "whole programme / partition, least", 2.0),
        ("cluster simulation", works.PLAIN, "plain Python / replay, least", 1.0),
    ):
        found = ratio(work, peer)
        if len(found):
            checks.append(Check(f"{work}: {words}", float(found.min()), limit, ">="))
    audited = ratio("cluster simulation", works.AUDITED) / ratio("cluster simulation", works.PLAIN)
    name = "cluster simulation: replay, tables and audit / plain Python, most"
    checks.append(Check(name, float(audited.max()), NEAR, "<="))
    for case, value in ratio("placement", works.MILP).items():
        checks.append(Check(f"placement, {case}: ours / plain HiGHS", 1 / value, 1.0, "<="))
    return checks


def stopped(one: Row) -> str:
    """What a search that ran into its limit had by then."""
    left = f"with a gap of {one['gap']:.1%}" if np.isfinite(one["gap"]) else "without a plan"
    return f"{one['case']}: plain HiGHS was stopped {left}, so that its seconds are too few."


def report_of(rows: Sequence[Row]) -> Report:
    """One table, its checks, and what belongs to its numbers."""
    frame = compared(rows)
    report = Report(frame.to_dict("records"), checks_of(frame))
    shown = ["work", "case", "peer", "seconds", "over_ours", "per_second", "unit", "megabytes"]
    table = frame[[*shown, "difference"]].copy()
    table["peer"] = np.where(frame["ours"], "**" + table["peer"] + "**", table["peer"])
    report.tables["Peers"] = table
    missing = sorted({*FAST, *SLOW} - available())
    late = frame[(frame["work"] == "placement") & ~frame["reached"].eq(True)]
    report.notes = [
        "seconds: of processor, one thread, medians (of several networks their sum); building: "
        "everything before HiGHS's run(). "
        "over_ours: seconds (of memory, peaks with the beginning of run()) over those of the peer "
        "in bold. difference: of the objective, relative to ours; placements agree within their "
        "gaps.",
        "Command: python benchmarks/peers.py; processor and versions are in the second line.",
        "The references in plain Python and scipy are ours, written for this comparison "
        "(_peers_references.py); the others are the libraries' own ways.",
        *(stopped(one) for one in late.to_dict("records")),
        *(f"Not installed, so not measured: {name}." for name in missing),
    ]
    return report


def run(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return main("peers", measure, str(__doc__).split("\n", maxsplit=1)[0], argv)


if __name__ == "__main__":
    sys.exit(run())
