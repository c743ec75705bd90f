"""What a study costs beyond its cells, and what studies find on real forecasts.

    python benchmarks/studies.py [--quick] [--json FILE]
    python benchmarks/studies.py --pictures FOLDER [--quick]

Engines: one set of cells over all problems, in this process, on two processes, and on a dask
scheduler with two workers over TCP; the same table, the rate, and what a cell costs beyond its
solve or replay. Losses: horizon, forecast and commitment on real vintages of forecasts. Advice:
consistency and robustness. Adversary: the worst instances that a search finds. Scenarios: sizes
of wind sites for hundreds of them, by mpi-sppy on two MPI ranks. With --pictures only the losses
and the advice are computed, and drawn: one picture each per problem.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import _harness
import numpy as np
import pandas as pd
from _harness import Check, Options, Report, shared_data
from _studies_forecasts import INSTANCES, advice_rows, draw, loss_rows
from _studies_hedging import rows_and_checks as hedging_rows

import optmodels as om
from optmodels import registry
from optmodels.instance import Instance
from optmodels.policy import Observation, Policy
from optmodels.studies.advice import SHARES
from optmodels.studies.cluster import scheduler_executor

WORKERS = 2
#: Sizes at which an instance of each problem takes little time, problems without an entry at their
#: usual size.
SMALL: dict[str, dict[str, Any]] = {
    "scaling.job": {"hours": 24, "work": 6.0},
    "scaling.cluster": {"hours": 24, "capacity": 3, "jobs": 10, "most_servers": 4},
    "rightsizing.sites": {"hours": 168},
    "routing.sites": {"hours": 1, "sites": 2, "classes": 1},
    "routing.pipeline": {"services": 3, "gpu_hosts": 2, "cpu_hosts": 1},
    "placement.edge": {"sites": 4, "applications": 24, "zones": 2},
    "ensembles.failover": {"applications": 10},
}


@dataclass(frozen=True)
class Size:
    """How much is run."""

    jobs: int
    others: int
    tiny: int
    searches: int
    days: int
    shares: tuple[float, ...]
    workers: int


FULL = Size(jobs=430, others=6, tiny=2000, searches=1500, days=20, shares=SHARES, workers=WORKERS)
QUICK = Size(jobs=16, others=1, tiny=150, searches=120, days=1, shares=(0.0, 1.0), workers=1)


class Nothing(Policy):
    """Runs at full rate at once: what is left of a cell is what the study itself costs."""

    name = "nothing"

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def reset(self, header: Any) -> None:
        """Nothing to remember."""

    def decide(self, observation: Observation) -> float:
        """Full rate."""
        return 1.0


# ------------------------------------------------------------------------------------- the engines
def instances_of(size: Size, seed: int) -> list[Instance]:
    """Generated instances of all problems, most of them jobs."""
    made = []
    for name in registry.problems():
        count = size.jobs if name == "scaling.job" else size.others
        made += [
            om.generate(name, seed=seed + number, **SMALL.get(name, {})) for number in range(count)
        ]
    return made


@contextmanager
def engine(name: str) -> Iterator[Executor | None]:
    """Executor of an engine, its workers started and warm."""
    with ExitStack() as stack:
        executor: Executor | None = None
        if name == "processes":
            context = get_context("spawn")
            executor = stack.enter_context(ProcessPoolExecutor(WORKERS, mp_context=context))
        elif name == "dask":
            executor = stack.enter_context(dask_workers())
        if executor is not None:
            # Every worker has imported what it needs before a clock runs.
            warm = [om.generate("scaling.job", seed=s, hours=24, work=6.0) for s in range(8)]
            om.study(warm, executor=executor, progress=False)
        yield executor


@contextmanager
def dask_workers() -> Iterator[Executor]:
    """A scheduler with two worker processes on the loopback, talking TCP."""
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tcp",
            dashboard_address=None,
        ) as cluster,
        scheduler_executor(cluster.scheduler_address) as executor,
    ):
        yield executor


def timed(name: str, executor: Executor | None, instances: list[Instance], **options: Any) -> Any:
    """A study with its wall time and what its cells took by themselves."""
    started = time.perf_counter()
    found = om.study(instances, executor=executor, progress=name == "serial", **options)
    wall = time.perf_counter() - started
    cells = len(found.frame)
    share = 1 if executor is None else WORKERS
    row = {
        "part": "engines",
        "engine": name,
        "cells": cells,
        "failed": len(found.failures),
        "wall_s": wall,
        "cells_per_s": cells / wall,
        "inside_s": float(found.seconds.sum()),
        "beyond_ms_per_cell": 1e3 * (wall * share - float(found.seconds.sum())) / cells,
    }
    return row, found.frame


def differing(table: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Problems with a row in which two tables differ."""
    if list(table.columns) != list(other.columns) or len(table) != len(other):
        return ["everything"]
    same = (table == other) | (table.isna() & other.isna())
    return sorted(set(table.loc[~same.all(axis=1), "problem"]))


def engine_rows(size: Size, seed: int) -> tuple[list[dict[str, Any]], list[Check]]:
    """Rates, costs beyond the cells, and whether the tables are the same."""
    instances = instances_of(size, seed)
    tiny = [om.generate("scaling.job", seed=seed, hours=6, work=1.0, history_days=1)]
    nothing = {f"nothing {number}": Nothing(number) for number in range(size.tiny)}
    rows, tables = [], {}
    for name in ("serial", "processes", "dask"):
        with engine(name) as executor:
            row, tables[name] = timed(name, executor, instances)
            small, _ = timed(name, executor, tiny, policies=nothing)
        row["beyond_ms_per_cell"] = small["beyond_ms_per_cell"]
        row["same_table"] = bool(tables[name].equals(tables["serial"]))
        row["differs_in"] = ", ".join(differing(tables[name], tables["serial"]))
        rows.append(row)
    by_name = {row["engine"]: row for row in rows}
    rate = by_name["processes"]["cells_per_s"] / by_name["serial"]["cells_per_s"]
    checks = [
        Check(
            "engines whose table is that of one process",
            sum(row["same_table"] for row in rows),
            len(rows),
            ">=",
        ),
        Check("cells that failed", by_name["serial"]["failed"], 0, "<="),
        Check(
            "cost of a cell beyond its replay, in process [ms]",
            by_name["serial"]["beyond_ms_per_cell"],
            2.0,
            "<=",
        ),
        Check(
            "cost of a cell beyond its replay, through dask [ms]",
            by_name["dask"]["beyond_ms_per_cell"],
            10.0,
            "<=",
        ),
    ]
    if size is FULL:
        checks += [
            Check("cells of the study over all problems", by_name["serial"]["cells"], 10_000, ">="),
            Check("rate on two processes over that of one", rate, 1.8, ">="),
        ]
    return rows, checks


# ----------------------------------------------------------------------------------- the adversary
def search_rows(size: Size, seed: int) -> tuple[list[dict[str, Any]], list[Check]]:
    """What searches find against claims that are false, and against limits that are proven."""
    rows = []
    for policy, measure, options in (
        ("roro", "published-excess", {"work": 14.0}),
        ("roro", "excess", {"work": 1.0, "switching_g": 20.0}),
        ("roro-plus", "excess", {"work": 1.0, "switching_g": 20.0}),
        ("roro-rate-limited", "excess", {"work": 14.0, "switching_g": 20.0}),
        ("one-way-trading", "excess", {"work": 1.0}),
        ("lacs", "ratio", {"work": 14.0}),
    ):
        started = time.perf_counter()
        worst = om.adversary(
            "scaling.job",
            policy,
            measure=measure,
            evaluations=size.searches,
            seed=seed + 2,
            **options,
        )
        rows.append(
            {
                "part": "adversary",
                "policy": policy,
                "measure": measure,
                "value": worst.value,
                "found": worst.found,
                "ratio": worst.plan.objective / worst.optimum.objective,
                "steps": int((np.diff(worst.instance.carbon) != 0).sum()) + 1,
                "evaluations": worst.evaluations,
                "seconds": time.perf_counter() - started,
            }
        )
    frame = pd.DataFrame(rows)
    broken = frame.loc[frame["measure"] == "published-excess", "value"].min()
    proven = frame.loc[frame["measure"] == "excess", "found"].max()
    checks = [
        Check("RORO under a rate cap: cost over its published limit", broken, 1.05, ">="),
        Check("proven limits: largest cost over them that was found", proven, 1 + 1e-9, "<="),
    ]
    return rows, checks


# ---------------------------------------------------------------------------------------- the whole
def measure(options: Options) -> Report:
    """Run everything."""
    data = shared_data()
    size = QUICK if options.quick else FULL
    report = Report()
    real = {name: make(data, size.days) for name, make in INSTANCES.items()}
    shown = {
        "Engines": partial(engine_rows, size, options.seed),
        "Losses on real forecasts, shares of the optimum": partial(loss_rows, real, size.workers),
        "Advice, from perfect to adversarial": partial(
            advice_rows, real, size.shares, size.workers
        ),
        "Worst cases by search": partial(search_rows, size, options.seed),
        "Sizes for many scenarios": partial(hedging_rows, data, options.quick),
    }
    for title, part in shown.items():
        rows, checks = part()
        report.rows += rows
        report.checks += checks
        report.tables[title] = pd.DataFrame(rows).drop(columns="part", errors="ignore")
    report.notes = [
        "beyond_ms_per_cell: wall time times workers, less the time inside cells, per cell of a "
        "study whose policy does nothing; workers are warm.",
        "Losses sum to the distance to the optimum; a negative commitment loss says that a policy "
        "beats the planner.",
        "found: value before the instance was made simple. A search that finds nothing proves "
        "nothing.",
    ]
    return report


def draw_pictures(argv: Sequence[str]) -> int:
    """Draw losses and advice on real forecasts."""
    parser = argparse.ArgumentParser(prog="studies", description="Losses and advice, drawn.")
    parser.add_argument("--pictures", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few instances")
    given = parser.parse_args(argv)
    size = QUICK if given.quick else FULL
    data = shared_data()
    real = {name: make(data, size.days) for name, make in INSTANCES.items()}
    for path in draw(real, size.shares, size.workers, given.pictures):
        print(path)
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Run as a command."""
    given = list(sys.argv[1:] if argv is None else argv)
    if "--pictures" in given:
        return draw_pictures(given)
    return _harness.main("studies", measure, "What studies cost, and what they find.", argv)


if __name__ == "__main__":
    sys.exit(run())
