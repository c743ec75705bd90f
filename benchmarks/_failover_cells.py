"""Cells of the failover benchmark: one cluster and its failures, all policies, a bound."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from _harness import shared_data

from optmodels.comparison import run
from optmodels.ensembles.failover import POLICIES, synthetic
from optmodels.ensembles.failover.actions import Warm
from optmodels.ensembles.failover.from_events import with_events
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.policies import (
    FailLite,
    FailLiteNoProgress,
    FailoverPolicy,
    tuned,
)
from optmodels.ensembles.failover.relaxation import lower_bound
from optmodels.ensembles.failover.warm_backups import place_backups
from optmodels.plan import Plan
from optmodels.traces.failures import read_failures

Row = dict[str, Any]

TRACE = "spot_failures/infinitehbd/fault_trace.json"
POPULATION = 400
"""Servers that the trace watched."""
APPLICATIONS_PER_SERVER = 6
FEWEST_SITES, SERVERS_PER_SITE = 5, 5
BOUND = "bound"
GAP, NODES = 5e-3, 20
"""When the search for warm backups stops in a cell."""
SWEPT = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Headrooms that FailLite is run with."""
TUNED = "faillite-tuned"
FIGURES = (
    *("recovery_rate", "mttr_ms", "full_ms", "accuracy_drop", "accuracy_drop_points"),
    *("accuracy_drop_all", "warm_overhead"),
)


@dataclass(frozen=True)
class Cell:
    """One cluster under one kind of failure.

    Attributes
    ----------
    part
        What it belongs to: "servers", "sites", "events", "presets".
    servers, free, preset, seed
        Size, share of free memory, times of loading, seed of the draw.
    """

    part: str
    servers: int
    free: float
    preset: str
    seed: int


@dataclass(frozen=True)
class Backups:
    """The formulation of warm backups, timed.

    Attributes
    ----------
    free, mode, alike
        Share of free memory, what comes first, whether all rates of requests are the same.
    seed
        Seed of the draw.
    """

    free: float
    mode: str
    alike: bool
    seed: int


@cache
def events() -> pd.DataFrame:
    """Faults of the trace, read once by each process."""
    return read_failures(shared_data() / TRACE)


def instance_of(cell: Cell) -> FailoverInstance:
    """The cluster of a cell."""
    made = synthetic.generate(
        cell.seed,
        servers=cell.servers,
        sites=max(FEWEST_SITES, cell.servers // SERVERS_PER_SITE),
        applications=APPLICATIONS_PER_SERVER * cell.servers,
        free_share=cell.free,
        preset=cell.preset,
        scope="sites" if cell.part == "sites" else "servers",
        network_ms=0.0,
        # Like applications can be counted instead of named.
        rate_per_s=2.0,
    )
    if cell.part == "events":
        return with_events(made, events(), population=POPULATION, seed=cell.seed)
    return made


def perform(cell: Cell) -> list[Row]:
    """Rows of all policies on a cell."""
    instance = instance_of(cell)
    placed: dict[tuple[float, str], Warm] = {}

    # Policies share their warm backups: each is searched for once.
    def backups(told: FailoverInstance, share: float | None, mode: str = "weighted") -> Warm:
        own = float(told.parameters.headroom if share is None else share)
        if (own, mode) not in placed:
            placed[own, mode] = place_backups(
                told, mode=mode, headroom=own, mip_gap=GAP, options={"mip_max_nodes": NODES}
            ).warm
        return placed[own, mode]

    class Shared(FailLite):
        def place(self, told: FailoverInstance) -> Warm:
            return backups(told, self.headroom, self.mode)

    class SharedNoProgress(FailLiteNoProgress):
        def place(self, told: FailoverInstance) -> Warm:
            return backups(told, self.headroom)

    class SharedCover(Shared):
        mode = "coverage-first"

    chosen: list[float] = []

    class SharedTuned(Shared):
        def place(self, told: FailoverInstance) -> Warm:
            found = tuned(told, backups, self.recover)
            chosen.append(found.share)
            return found.warm

    own = float(instance.parameters.headroom)
    plans: list[tuple[str, float, FailoverPolicy]] = [
        (name, own, POLICIES[name]())  # type: ignore[misc]
        for name in POLICIES
        if not name.startswith("faillite") or name == "faillite-greedy"
    ]
    plans += [("faillite-noprog", own, SharedNoProgress()), ("faillite-cover", own, SharedCover())]
    plans += [("faillite", share, Shared(share)) for share in SWEPT]
    head = {
        "part": cell.part,
        "servers": cell.servers,
        "free": cell.free,
        "preset": cell.preset,
        "seed": cell.seed,
        "failures": len(instance.failures),
    }
    bound = lower_bound(instance)
    rows = [{**head, "policy": BOUND, "lost_s": bound}]
    for name, share, policy in plans:
        rows.append({**head, **_row(name, share, run(instance, policy), bound)})
    plan = run(instance, SharedTuned())
    rows.append({**head, **_row(TUNED, chosen[0], plan, bound)})
    return rows


def _row(name: str, share: float, plan: Plan, bound: float) -> Row:
    return {
        "policy": name,
        "headroom": share,
        "lost_s": plan.objective,
        "over_bound": plan.objective / bound if bound > 0 else float("nan"),
        **{figure: plan.cost.quantities.get(figure, float("nan")) for figure in FIGURES},
        "broken": len(plan.audit.violations),
        "seconds": plan.provenance.seconds,
    }


def perform_backups(part: Backups) -> list[Row]:
    """One row of the formulation: 500 critical applications on 100 servers."""
    instance = synthetic.generate(
        part.seed,
        servers=100,
        sites=20,
        applications=1000,
        critical_share=0.5,
        free_share=part.free,
        rate_per_s=2.0 if part.alike else 0.0,
        network_ms=0.0,
    )
    started = time.perf_counter()
    found = place_backups(instance, mode=part.mode, mip_gap=0.01, time_limit_s=60.0)
    seconds = time.perf_counter() - started
    most = found.count_bound
    return [
        {
            "part": "backups",
            "servers": 100,
            "free": part.free,
            "seed": part.seed,
            "policy": part.mode,
            "rates": "one" if part.alike else "five",
            "critical": int(instance.critical.sum()),
            "groups": found.groups,
            "count": found.count,
            "count_gap": float("nan") if most is None else most / max(found.count, 1) - 1,
            "gap": found.gap,
            "solve_seconds": seconds,
        }
    ]
