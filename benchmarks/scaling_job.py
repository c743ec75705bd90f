"""Measure how far each policy of one elastic job is from the optimum, on real grids.

    python benchmarks/scaling_job.py [--quick] [--json FILE]

Study: five zones of 2022, deadlines of 24 to 96 h, switching costs of 0 to 40 g, random arrivals
with random lengths (LACS's set-up: the planner knows a range and a noisy prediction, and a window
of intensities from the 30 days before), every policy of the problem. Advice: the same with the real
forecasts that CarbonCast published for July to December 2021. Certified: jobs that fit into one
slot, where competitive ratios are proven. Profiles: measured scaling profiles. Speed: ratios of
times within this run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import _harness
import numpy as np
import pandas as pd
from _harness import Check, Options, Report, in_processes, shared_data
from _scaling_job_arrivals import Arrivals
from _scaling_job_cells import ADVICE, MAIN, Findings, Plan, cell_rows, certified_rows, profile_rows
from _scaling_job_speed import instance_rows, oracle_rows, replay_rows, step_rows

from optmodels.scaling.job.from_trace import from_trace
from optmodels.traces import Cleaning, Trace, Vintages, read_carbon, read_profile, read_vintages

_PORTAL = Path("carbon") / "electricitymaps_portal"
ZONES = {
    "US-CAL-CISO": _PORTAL / "US-CAL-CISO_2022_hourly.csv.gz",
    "DE": _PORTAL / "sustaincluster" / "DE-LU_2022_hourly.csv.gz",
    "ES": _PORTAL / "ES_2022_hourly.csv.gz",
    "US-TEX-ERCO": _PORTAL / "sustaincluster" / "US-TEX-ERCO_2022_hourly.csv.gz",
    "US-MIDA-PJM": _PORTAL / "sustaincluster" / "US-MIDA-PJM_2022_hourly.csv.gz",
}
FORECAST_ZONES = ("CISO", "DE", "PJM", "SE")
PROFILES = ("nbody10k", "nbody100k")
LENGTHS = {24: (2.0, 8.0)}
"""Shortest and longest job [slots] by deadline; (4, 24) elsewhere."""
SMALL = (0.25, 1.0)
"""Lengths of the certified part: the whole job fits into one slot."""


@dataclass(frozen=True)
class Size:
    """How much is run."""

    zones: tuple[str, ...]
    slots: tuple[int, ...]
    betas: tuple[float, ...]
    arrivals: int
    forecast_zones: tuple[str, ...]
    forecast_slots: tuple[int, ...]
    certified: int
    certified_slots: tuple[int, ...]
    certified_betas: tuple[float, ...]
    profiled: int
    replanning: float
    speed_repeats: int
    replayed_jobs: int


FULL = Size(
    zones=tuple(ZONES),
    slots=(24, 48, 72, 96),
    betas=(0.0, 10.0, 20.0, 40.0),
    arrivals=300,
    forecast_zones=FORECAST_ZONES,
    forecast_slots=(48, 96),
    certified=300,
    certified_slots=(24, 96),
    certified_betas=(0.0, 10.0, 40.0),
    profiled=15,
    replanning=1.0,
    speed_repeats=7,
    replayed_jobs=100,
)
QUICK = Size(
    zones=tuple(ZONES),
    slots=(48,),
    betas=(0.0, 20.0),
    arrivals=60,
    forecast_zones=("DE",),
    forecast_slots=(48,),
    certified=60,
    certified_slots=(24,),
    certified_betas=(0.0, 20.0),
    profiled=3,
    replanning=0.1,
    speed_repeats=3,
    replayed_jobs=8,
)


@dataclass(frozen=True)
class Task:
    """One part of the work, small enough for one process."""

    part: str
    zone: str
    slots: int
    size: Size
    seed: int


# ---------------------------------------------------------------------------------------- the work
@lru_cache(maxsize=16)
def read_zone(zone: str) -> Trace:
    """Life-cycle carbon intensity of a zone in 2022."""
    return read_carbon(shared_data() / ZONES[zone], "electricity-maps", quantity="lifecycle")


@lru_cache(maxsize=4)
def read_forecasts(zone: str) -> Vintages:
    """CarbonCast's forecasts of a zone with the values that came true."""
    name = f"{zone}_carbon_from_src_forecasts_lifecycle_Jul_Dec_2021.csv.gz"
    path = shared_data() / "carbon" / "carboncast" / zone / name
    return read_vintages(path, zone=zone, cleaning=Cleaning(doubled_day="repair"))


def perform(task: Task) -> Findings:
    """Do one part."""
    size = task.size
    rng = np.random.default_rng([task.seed, *task.part.encode(), *task.zone.encode(), task.slots])
    lengths = LENGTHS.get(task.slots, (4.0, 24.0))
    if task.part == "advice":
        known = read_forecasts(task.zone)
        jobs = Arrivals.draw(known.actual(), task.slots, lengths, size.arrivals, rng, known)
        return cell_rows(jobs, size.betas, _scaled(ADVICE, size.replanning), task.part)
    trace = read_zone(task.zone)
    if task.part == "study":
        jobs = Arrivals.draw(trace, task.slots, lengths, size.arrivals, rng)
        return cell_rows(jobs, size.betas, _scaled(MAIN, size.replanning), task.part)
    if task.part == "certified":
        jobs = Arrivals.draw(trace, task.slots, SMALL, size.certified, rng)
        findings = certified_rows(jobs, size.certified_betas, "certified")
        findings.add(
            certified_rows(jobs.assuming_whole_trace(), size.certified_betas, "certified, year")
        )
        return findings
    folder = shared_data() / "scaling" / "carbonscaler"
    findings = Findings()
    for name in PROFILES:
        profile = read_profile(folder / f"{name}.csv")
        jobs = Arrivals.draw(trace, task.slots, lengths, size.profiled, rng)
        findings.add(profile_rows(jobs, profile, f"profile {name}"))
    return findings


def _scaled(plan: Plan, share: float) -> Plan:
    counts = {key: max(3, round(count * share)) for key, count in plan.replanning.items()}
    if share < 1:
        counts = {key: min(count, 6) for key, count in counts.items()}
    return replace(plan, replanning=counts)


def tasks_of(size: Size, seed: int) -> list[Task]:
    """All parts, the longest ones first."""
    slots = sorted(size.slots, reverse=True)
    study = [Task("study", zone, t, size, seed) for t in slots for zone in size.zones]
    advice = [
        Task("advice", zone, t, size, seed)
        for t in sorted(size.forecast_slots, reverse=True)
        for zone in size.forecast_zones
    ]
    small = [
        Task(part, zone, t, size, seed)
        for part, several in (("profiles", slots), ("certified", size.certified_slots))
        for t in several
        for zone in size.zones
    ]
    return sorted([*study, *advice], key=lambda task: -task.slots) + small


# ----------------------------------------------------------------------------------------- checks
def checks_of(frame: pd.DataFrame, extremes: dict[str, float]) -> list[Check]:
    """Claims about the numbers of the study."""
    study = frame[frame["part"] == "study"]
    ratios = study.pivot_table(
        index=["zone", "slots", "beta_g"], columns="policy", values="mean_ratio", aggfunc="first"
    )
    lacs = float((ratios["lacs"] / ratios["roro"]).mean())
    worst = extremes.get
    return [
        Check("LACS over RORO with known length, mean of cells", lacs, 1.04, "<="),
        Check(
            "CarbonScaler, perfect forecast, no switching: largest excess over the optimum",
            worst("carbonscaler", np.nan),
            1e-9,
            "<=",
        ),
        Check(
            "certified limits: largest share of a limit that a run used",
            worst("limit use", np.nan),
            1 + 1e-9,
            "<=",
        ),
        Check(
            "one-way trading and RORO without switching: largest difference of a rate",
            worst("one-way", np.nan),
            0.0,
            "<=",
        ),
        Check("smallest ratio to the optimum", 1 - worst("below optimum", np.nan), 1 - 1e-9, ">="),
        Check(
            "receding horizon, perfect forecast, known length: largest excess over the optimum",
            worst("receding", np.nan),
            1e-9,
            "<=",
        ),
        Check(
            "vectorised replay, single replay, audit and oracle: largest relative difference",
            worst("public path", np.nan),
            1e-9,
            "<=",
        ),
        Check(
            "every schedule does its work: largest relative error",
            worst("work", np.nan),
            1e-9,
            "<=",
        ),
        Check("every rate within 0 and 1: largest excess", worst("rate", np.nan), 1e-9, "<="),
    ]


def speed_checks(rows: list[dict[str, object]]) -> list[Check]:
    """Claims about times: each against the fastest alternative that is fair."""
    frame = pd.DataFrame(rows).set_index("method")
    times = frame["times_ours"]
    lp = float(times[times.index.str.startswith("HiGHS LP")].min())
    numeric = {
        "scipy minimize_scalar": float(times["minimize_scalar (bounded, 1e-10) with quad"]),
        "scipy minimize": float(times["minimize (bounded, default tolerance) with quad"]),
    }
    harder = numeric["scipy minimize_scalar"] >= STEP_TIMES
    against = "scipy minimize_scalar" if harder else "scipy minimize"
    return [
        Check("taut string for all lengths: times faster than HiGHS for one", lp, 8.0, ">="),
        Check(
            f"RORO step: times faster than {against} with quad", numeric[against], STEP_TIMES, ">="
        ),
        Check(
            "vectorised replay: times faster than one by one",
            float(times["conversion.run on each"]),
            20.0,
            ">=",
        ),
        Check(
            "vectorised replay and conversion.run: largest difference of a rate",
            float(frame.loc["one vectorised call", "largest_error"]),
            1e-9,
            "<=",
        ),
    ]


STEP_TIMES = 500.0


# ------------------------------------------------------------------------------------- the report
def overview(frame: pd.DataFrame, slots: int, beta: float) -> pd.DataFrame:
    """Mean over zones of one deadline and switching cost, policies in order of their ratio."""
    chosen = frame[
        (frame["part"] == "study") & (frame["slots"] == slots) & (frame["beta_g"] == beta)
    ]
    columns = ["mean_ratio", "p95_ratio", "saving"]
    table = chosen.groupby(["policy", "forecast", "length"], as_index=False)[columns].mean()
    return table.sort_values("mean_ratio", ignore_index=True)


def calibration(frame: pd.DataFrame, zone: str) -> pd.DataFrame:
    """Mean ratios of one zone, a row per deadline and switching cost."""
    names = {
        "run-now": "run-now",
        "deadline-aware": "rate Jmax/T",
        "sqrt-threshold": "sqrt(LU)",
        "roro": "RORO[J]",
        "roro-longest": "RORO[Jmax]",
        "roro-robust": "robust",
        "roro-predicted": "RORO[predicted]",
        "lacs-0.5": "LACS 0.5",
        "lacs": "LACS 0.8",
    }
    chosen = frame[
        (frame["part"] == "study") & (frame["zone"] == zone) & frame["policy"].isin(list(names))
    ]
    table = chosen.pivot_table(
        index=["slots", "beta_g"], columns="policy", values="mean_ratio", aggfunc="first"
    )
    return table[list(names)].rename(columns=names).reset_index()


def advice_table(frame: pd.DataFrame, beta: float) -> pd.DataFrame:
    """Mean ratios with real forecasts beside the day before, a row per zone and policy."""
    chosen = frame[(frame["part"] == "advice") & (frame["length"] == "known")]
    chosen = chosen[chosen["beta_g"] == beta]
    chosen = chosen.replace({"forecast": {"": "none"}})
    return chosen.pivot_table(
        index=["zone", "slots", "policy"], columns="forecast", values="mean_ratio", aggfunc="first"
    ).reset_index()


def measure(options: Options) -> Report:
    """Run everything."""
    shared_data()
    size = QUICK if options.quick else FULL
    # Times first, while no other process of ours runs.
    rows = speeds(size, options)
    findings = Findings()
    tasks = tasks_of(size, options.seed)
    for part in in_processes(perform, tasks, workers=options.workers, what="cells"):
        findings.add(part)
    frame = pd.DataFrame(findings.rows)
    report = Report(findings.rows)
    report.checks = [*checks_of(frame, findings.extremes), *speed_checks(rows)]
    slots, beta = 48, 20.0
    report.tables = {
        f"Mean over zones, T = {slots} h, switching {beta:g} g": overview(frame, slots, beta),
        "Mean ratio to the optimum, US-CAL-CISO 2022": calibration(frame, "US-CAL-CISO"),
        f"Mean ratio by forecast, switching {beta:g} g, length known": advice_table(frame, beta),
        "Speed": pd.DataFrame(rows),
    }
    report.notes = [
        "ratio: cost over offline optimum; saving: against running at once; limit_use: largest "
        "share of a certified limit that a run used; certified: share of runs with a limit."
    ]
    return report


def speeds(size: Size, options: Options) -> list[dict[str, object]]:
    """All times, measured alone."""
    trace, repeats = read_zone("US-CAL-CISO"), size.speed_repeats
    carbon = trace.frame["carbon_g_per_kwh"].to_numpy()
    rows = oracle_rows(carbon, 0.25 * carbon.size + 0.5, 20.0, repeats)
    instance = from_trace(
        trace, start=trace.start, hours=carbon.size, work=0.25 * carbon.size, switching_g=20.0
    )
    rows += instance_rows(instance, max(1, repeats // 2))
    rng = np.random.default_rng(options.seed)
    jobs = Arrivals.draw(trace, 96, (4.0, 24.0), 1000, rng)
    rows += step_rows(float(jobs.low[0]), float(jobs.high[0]), 20.0, repeats, options.seed)
    rows += replay_rows(jobs, 20.0, repeats, size.replayed_jobs)
    return rows


def run(argv: Sequence[str] | None = None) -> int:
    """Run as a command."""
    return _harness.main("scaling_job", measure, "Policies of one elastic job on real grids.", argv)


if __name__ == "__main__":
    sys.exit(run())
