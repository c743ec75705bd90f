"""Uncertainty at scale: hedging on two MPI ranks against the extensive form with a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _harness import Check

import optmodels as om
from optmodels.errors import NoSolutionError
from optmodels.instance import Instance
from optmodels.rightsizing.sites.scenarios import with_forecast_errors
from optmodels.rightsizing.sites.stochastic import sampled_weeks, solve_two_stage

RANKS = 2
GAP = 1e-3


@dataclass(frozen=True)
class Size:
    """How much is run; the extensive form gets `patience` times the time of hedging."""

    weeks: int
    errors: int
    sites: int
    limit_s: float
    patience: float


FULL = Size(weeks=50, errors=4, sites=8, limit_s=600.0, patience=2.0)
QUICK = Size(weeks=6, errors=2, sites=3, limit_s=30.0, patience=2.0)


def hedged(folder: Path, size: Size) -> dict[str, Any]:
    """What the command prints, on two ranks."""
    launch = [str(Path(sys.executable).parent / "mpiexec"), "-n", str(RANKS)]
    launch += ["--allow-run-as-root", "--oversubscribe", "--timeout", str(int(3 * size.limit_s))]
    for name, value in (("pml", "ob1"), ("btl", "self,sm"), ("osc", "^ucx")):
        launch += ["--mca", name, value]
    options = {"weeks": size.weeks, "errors": size.errors, "gap": GAP, "time-limit": size.limit_s}
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    module = ["-m", "optmodels.rightsizing.sites.hedging", str(folder), *given]
    done = subprocess.run(
        [*launch, sys.executable, *module], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"Hedging ended with {done.returncode}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def whole(instance: Any, size: Size, limit_s: float) -> dict[str, Any]:
    """The extensive form by HiGHS within a time limit."""
    scenarios = sampled_weeks(instance, size.weeks)
    scenarios = with_forecast_errors(instance, scenarios, size.errors)
    started = time.perf_counter()
    try:
        found = solve_two_stage(instance, scenarios, time_limit_s=limit_s)
        cost, bound = found.cost, found.bound
    except NoSolutionError:
        cost = bound = float("nan")
    return {
        "method": "extensive form",
        "cost_usd": cost,
        "bound_usd": bound,
        "gap": (cost - bound) / cost,
        "iterations": 0,
        "seconds": time.perf_counter() - started,
    }


def rows_and_checks(data: Path, quick: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Cost, bound, gap and time of both; the wind is generated, so no data are read."""
    size = QUICK if quick else FULL
    instance: Instance = om.generate(
        "rightsizing.sites", seed=3, hours=168 * max(size.weeks, 52), sites=size.sites
    )
    with tempfile.TemporaryDirectory() as place:
        folder = instance.save(Path(place) / "sites")
        found = hedged(folder, size)
    columns = ("cost_usd", "bound_usd", "gap", "iterations", "seconds")
    hedging = {"method": f"hedging, {RANKS} ranks", **{name: found[name] for name in columns}}
    limit_s = max(size.patience * found["seconds"], 10.0)
    extensive = whole(instance, size, limit_s)
    rows = [
        {"part": "hedging", "scenarios": found["scenarios"], **row} for row in (hedging, extensive)
    ]
    checks = [Check("hedging: gap to its own proven bound", found["gap"], GAP, "<=")]
    if quick:
        off = abs(found["cost_usd"] / extensive["cost_usd"] - 1)
        checks.append(Check("hedging: distance to the extensive form", off, GAP, "<="))
    else:
        faster = extensive["seconds"] / found["seconds"]
        checks += [
            Check("hedging: scenarios", found["scenarios"], 200, ">="),
            Check("extensive form: its time over that of hedging", faster, 1.5, ">="),
        ]
    return rows, checks
