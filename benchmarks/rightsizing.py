"""Size GPUs at real wind sites by rule and by optimum, and measure what either is worth.

    python benchmarks/rightsizing.py [--quick] [--json FILE]

Three sets of sites: seven countries (Dispa-SET, 2016), the four farms of RTS-GMLC (2020) and five
US balancing areas (2022), each for a year of hours. Rules against the optimum, told the year or
only its first half; sizes of the linear programme against empirical quantiles; joint against
site-by-site sizing with equally many GPUs; the value of the stochastic solution and of perfect
information over weeks; fewer hours, with what was proven of them; sites against all subsets.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import _harness
import numpy as np
import pandas as pd
from _harness import Check, Options, Report, in_processes, shared_data

from optmodels.policy import Policy
from optmodels.rightsizing.sites import complementarity, policies, reductions, sizing
from optmodels.rightsizing.sites.audit import Fleet, cost_of
from optmodels.rightsizing.sites.choice import choose_by_deviation, choose_by_worst_hours
from optmodels.rightsizing.sites.dispatch import dispatch
from optmodels.rightsizing.sites.firmness import firmest_sizes
from optmodels.rightsizing.sites.from_series import from_series
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.model import Scenario, formulation, model_data
from optmodels.rightsizing.sites.optimum import solve
from optmodels.rightsizing.sites.replay import SitesEnvironment
from optmodels.rightsizing.sites.stochastic import sampled_weeks, stochastic_values
from optmodels.solver import solve_model
from optmodels.traces import Cleaning, aligned_power, read_wind
from optmodels.traces.wind import RTS_NAMEPLATE_MW

COUNTRIES = ("DE", "DK", "ES", "FR", "NL", "SE", "UK")
AREAS = ("BPAT", "CISO", "ERCO", "MISO", "PJM")
SOURCES = ("countries", "rts", "areas")
NAMEPLATE_KW = 1e5
"""Of a site in each country: Dispa-SET gives shares."""
GPU_KW, WIND_USD = 1.3, 0.025
"""Power of a GPU with its share of host and cooling [kW], price of wind energy [USD/kWh]."""
RULES: dict[str, Callable[[], Policy]] = {
    "grid-only": policies.GridOnly,
    "largest": policies.Largest,
    "percentile 5": lambda: policies.Percentile(0.05),
    "percentile 20": lambda: policies.Percentile(0.2),
    "percentile 35": lambda: policies.Percentile(0.35),
    "break-even": policies.BreakEven,
    "newsvendor": policies.Newsvendor,
    "nameplate-share": policies.NameplateShare,
    "joint-lp": policies.JointLp,
}
ROOMY = 100.0
"""Demand over mean wind power at which sites do not get in each other's way."""


@dataclass(frozen=True)
class Size:
    """How much is run."""

    hours: int
    thresholds: tuple[float, ...]
    demands: tuple[float, ...]
    weeks: int
    counts: tuple[int, ...]
    chosen: tuple[int, ...]
    choice_step: int
    multiples: tuple[float, ...]
    certified_gap: float


FULL = Size(
    hours=8736,
    thresholds=(0.9, 0.7, 0.5),
    demands=(0.3,),
    weeks=12,
    counts=(25, 100, 400, 2000),
    chosen=(2, 3, 4),
    choice_step=4,
    multiples=(1.0, 1.25, 1.5, 2.0),
    certified_gap=0.02,
)
QUICK = Size(
    hours=1344,
    thresholds=(0.9, 0.5),
    demands=(0.3,),
    weeks=6,
    counts=(25, 100),
    chosen=(3,),
    choice_step=24,
    multiples=(1.0, 1.5),
    certified_gap=0.04,
)


@dataclass(frozen=True)
class Task:
    """One part of the work, small enough for one process."""

    part: str
    source: str
    threshold: float
    demand: float
    size: Size
    seed: int


# --------------------------------------------------------------------------------------- the sites
@lru_cache(maxsize=4)
def wind_of(source: str) -> tuple[pd.DataFrame, dict[str, float], tuple[str, ...]]:
    """Hourly wind power [kW], nameplates [kW] and what the readers found."""
    folder = shared_data()
    if source == "countries":
        read = {
            name: read_wind(folder / "wind/dispaset_af/1h_2016" / f"{name}.csv.gz", "dispaset")
            for name in COUNTRIES
        }
        series = {n: one.frame["onshore_share"] * NAMEPLATE_KW for n, one in read.items()}
        nameplate = dict.fromkeys(COUNTRIES, NAMEPLATE_KW)
        notes: list[str] = []
    elif source == "rts":
        path = folder / "wind/rts_gmlc/REAL_TIME_wind.csv.gz"
        farms = read_wind(path, "rts-gmlc-real-time", tz="Etc/GMT+7").frame * 1000
        series = {str(name): column for name, column in farms.items()}
        nameplate = {name: 1000 * mw for name, mw in RTS_NAMEPLATE_MW.items()}
        notes = []
    else:
        cleaning = Cleaning(gaps="interpolate", max_gap_slots=24)
        read = {
            name: read_wind(
                folder / "carbon/sustaindc_us2022" / f"{name}_NG_&_avgCI.csv.gz",
                "sustaindc",
                cleaning=cleaning,
            )
            for name in AREAS
        }
        series = {name: one.frame["wind_mw"] * 1000 for name, one in read.items()}
        # What is installed is not in the files: the highest hour stands for it.
        nameplate = {name: float(one.max()) for name, one in series.items()}
        notes = [f"{n}: {sentence}" for n, one in read.items() for sentence in one.report]
    return aligned_power(series, step="1h"), nameplate, tuple(notes)


def question(task: Task, *, demand: float | None = None, halves: bool = False) -> SitesInstance:
    """The sites of a task; the grid's price makes its threshold the break-even utilisation."""
    power, nameplate, _ = wind_of(task.source)
    power = power.iloc[: task.size.hours]
    installed = 30_000 / (5 * 8760) + 0.10
    grid = (installed / task.threshold + GPU_KW * WIND_USD - installed) / GPU_KW
    share = task.demand if demand is None else demand
    return from_series(
        power,
        nameplate_kw=nameplate,
        rtt_ms=10.0,
        demand_gpus=share * float(power.mean().sum()) / GPU_KW,
        judged_from=power.index[len(power) // 2] if halves else None,
        name=task.source,
        gpu_kw=GPU_KW,
        gpu_capex_usd=30_000.0,
        gpu_life_years=5.0,
        gpu_opex_usd_per_hour=0.10,
        wind_usd_per_kwh=WIND_USD,
        grid_usd_per_kwh=grid,
    )


# ---------------------------------------------------------------------------------------- the work
def perform(task: Task) -> list[dict[str, Any]]:
    """Do one part."""
    if task.part in ("rules", "half year"):
        rows = rule_rows(task)
    else:
        part = {
            "quantiles": quantile_rows,
            "firmness": firmness_rows,
            "weeks": week_rows,
            "fewer hours": reduction_rows,
            "choice": choice_rows,
        }
        rows = part[task.part](task)
    head = {"part": task.part, "source": task.source, "threshold": task.threshold}
    return [{**head, "demand": task.demand, **row} for row in rows]


def rule_rows(task: Task) -> list[dict[str, Any]]:
    """Every rule against the optimum, and how well its GPUs are used."""
    instance = question(task, halves=task.part == "half year")
    best = solve(instance)
    rows = []
    for name, make in RULES.items():
        environment, policy = SitesEnvironment(instance), make()
        policy.reset(environment.header)
        observation = environment.observe()
        assert observation is not None
        environment.act(policy.decide(observation))
        fleet, flows = environment.fleet, environment.flows
        assert fleet is not None
        assert flows is not None
        cost = cost_of(instance, fleet, flows)
        gpus, served = float(fleet.gpus.sum()), float(flows.gpus.sum())
        rows.append(
            {
                "policy": name,
                "gpus": gpus,
                "share_of_nameplate": gpus * GPU_KW / float(instance.nameplate_kw.sum()),
                "utilisation": served / (gpus * instance.slots) if gpus else np.nan,
                "unmet": 1 - served / float(instance.demand.sum()),
                "total_usd": cost.total,
                "ratio": cost.total / best.objective,
                "bound_gap": (best.objective - best.bound) / best.objective,
            }
        )
    return rows


def quantile_rows(task: Task) -> list[dict[str, Any]]:
    """Sizes of the linear programme beside the empirical quantiles, without any coupling."""
    instance = question(task, demand=ROOMY)
    began = time.process_time()
    programme = solve(instance, method="lp")
    seconds = time.process_time() - began
    began = time.process_time()
    exact = solve(instance, method="segments")
    quick = time.process_time() - began
    sizes = programme.tables["sizes"].set_index("site")["gpus"]
    rows = []
    for s, name in enumerate(instance.sites):
        fed = np.sort(instance.power_kw[:, s] / GPU_KW)
        size = float(sizes[name])
        quantile = sizing.newsvendor_size(fed, instance.break_even)
        even = min(sizing.break_even_size(fed, instance.break_even), instance.most_gpus[s])
        q = 1 - instance.break_even
        percentile = sizing.percentile_size(fed, q)
        lack = 1 - q - sizing.utilisation(fed, percentile) if percentile > 0 else 0.0
        slack = 1e-6 * fed[-1]
        # Samples that lie strictly between the two sizes.
        between = (fed > min(size, quantile) + slack) & (fed < max(size, quantile) - slack)
        rows.append(
            {
                "site": name,
                "gpus": size,
                "quantile_gpus": quantile,
                "break_even_gpus": even,
                "samples_apart": int(between.sum()),
                "newsvendor_excess": quantile / even - 1 if even else 0.0,
                "utilisation_lack": lack,
                "objective_difference": abs(programme.objective / exact.objective - 1),
                "seconds": seconds,
                "seconds_segments": quick,
            }
        )
    return rows


def firmness_rows(task: Task) -> list[dict[str, Any]]:
    """Joint against site-by-site sizing with equally many GPUs: what share of the demand is left.

    Site by site, the next GPU goes where it has power most often.
    """
    instance = question(task)
    fed, demand = instance.power_kw / GPU_KW, instance.demand
    rows = []
    for multiple in task.size.multiples:
        gpus = multiple * float(demand[0])
        alone = split_alone(fed, gpus)
        joint = firmest_sizes(instance, gpus)
        row: dict[str, Any] = {"gpus": gpus, "gpus_over_demand": multiple}
        row["unmet_bound"] = joint.bound
        for label, sizes in (("alone", alone), ("joint", joint.gpus)):
            flows = dispatch(instance, Fleet(sizes, np.zeros_like(sizes)))
            served = flows.gpus.sum(axis=1)
            row[f"unmet_{label}"] = 1 - float(served.sum() / demand.sum())
            row[f"served_p5_{label}"] = float(np.percentile(served / demand, 5))
            row[f"utilisation_{label}"] = float(served.sum() / sizes.sum() / instance.slots)
        rows.append(row)
    return rows


def split_alone(fed: np.ndarray, gpus: float) -> np.ndarray:
    """So many GPUs, each next one where it has power for the largest share of the time."""
    low, high = 0.0, 1.0
    sizes = fed.max(axis=0)
    for _ in range(40):
        middle = (low + high) / 2
        found = np.array([sizing.newsvendor_size(x, middle) for x in fed.T])
        if found.sum() < gpus:
            high = middle
        else:
            low, sizes = middle, found
    return sizes * (gpus / sizes.sum())


def week_rows(task: Task) -> list[dict[str, Any]]:
    """Value of the stochastic solution and of perfect information over weeks."""
    instance = question(task)
    weeks = sampled_weeks(instance, task.size.weeks, seed=task.seed)
    found = stochastic_values(instance, weeks)
    base = found.stochastic
    return [
        {
            "wait_and_see": found.wait_and_see / base,
            "expected_value": found.expected_value / base,
            "vss": found.vss / base,
            "evpi": found.evpi / base,
            "gpus": float(found.fleet.gpus.sum()),
            "mean_gpus": float(found.mean_fleet.gpus.sum()),
        }
    ]


def reduction_rows(task: Task) -> list[dict[str, Any]]:
    """The optimum on fewer hours, its proven interval, and the true optimum."""
    instance = question(task)
    began = time.process_time()
    true = solve(instance, method="lp").objective
    whole = time.process_time() - began
    rows = []
    for kind in reductions.KINDS:
        for count in task.size.counts:
            began = time.process_time()
            few = reductions.represent(instance.power_kw, count, kind=kind, seed=task.seed)
            scenario = Scenario(
                few.power, np.full(len(few.weight), instance.demand[0]), few.weight * instance.hours
            )
            data = model_data(instance, [scenario])
            solution = solve_model(formulation(), data=data).require()
            seconds = time.process_time() - began
            low, high = few.cost_error(
                hours=instance.hours, gpu_kw=GPU_KW, value_usd=instance.grid_usd - instance.wind_usd
            )
            found = float(solution.objective or np.nan)
            gpus = np.minimum(solution.values["size"].to_numpy(), instance.most_gpus)
            fleet = Fleet(gpus, np.zeros_like(gpus))
            judged = cost_of(instance, fleet, dispatch(instance, fleet)).total
            rows.append(
                {
                    "kind": kind,
                    "count": len(few.weight),
                    "error": found / true - 1,
                    "proven_below": (found - high) / true - 1,
                    "proven_above": (found - low) / true - 1,
                    "regret": judged / true - 1,
                    # The true cost of the sizes found, over the lower bound: known without truth.
                    "certified_gap": judged / (found - high) - 1 if found > high else np.nan,
                    "seconds": seconds,
                    "seconds_whole": whole,
                }
            )
    return rows


def choice_rows(task: Task) -> list[dict[str, Any]]:
    """Chosen sites against all subsets, and how well they complement each other."""
    power, nameplate, _ = wind_of(task.source)
    share = power.iloc[:: task.size.choice_step] / pd.Series(nameplate)
    sizes = share.quantile(0.5).to_numpy()
    useful = np.minimum(share, sizes)
    rows = []
    for count in task.size.chosen:
        subsets = [list(c) for c in combinations(share.columns, count)]
        deviation = choose_by_deviation(share, count, mip_gap=0)
        worst = choose_by_worst_hours(share, count, sizes=sizes, mip_gap=0)
        least = min(complementarity.mean_absolute_deviation(share[c]) for c in subsets)
        most = max(complementarity.worst_mean(useful[c].sum(axis=1), 0.05) for c in subsets)
        for measure, choice, best in (("deviation", deviation, least), ("worst", worst, most)):
            chosen = share[list(choice.sites)]
            rows.append(
                {
                    "measure": measure,
                    "count": count,
                    "sites": " ".join(choice.sites),
                    "value": choice.value,
                    "all_subsets": best,
                    "miss": abs(choice.value - best) / best if best else abs(choice.value),
                    "gain": complementarity.complementarity_gain(chosen),
                    "site_cov": float(complementarity.variation(chosen).mean()),
                    "fleet_cov": complementarity.fleet_variation(chosen),
                    "seconds": choice.seconds,
                }
            )
    return rows


def tasks_of(size: Size, seed: int) -> list[Task]:
    """All parts, the longest ones first."""
    tasks = [
        Task(part, source, threshold, demand, size, seed)
        for part in ("fewer hours", "rules", "half year")
        for threshold in sorted(size.thresholds)
        for demand in size.demands
        for source in SOURCES
    ]
    tasks += [
        Task("weeks", source, threshold, size.demands[0], size, seed)
        for threshold in size.thresholds
        for source in SOURCES
    ]
    firm = size.thresholds[0]
    tasks += [Task("firmness", s, firm, d, size, seed) for d in size.demands for s in SOURCES]
    tasks += [Task("quantiles", s, t, ROOMY, size, seed) for t in size.thresholds for s in SOURCES]
    return [*tasks, *(Task("choice", source, np.nan, np.nan, size, seed) for source in SOURCES)]


# ----------------------------------------------------------------------------------------- checks
def checks_of(frame: pd.DataFrame, certified_gap: float) -> list[Check]:
    """Claims about the numbers."""
    part = dict(tuple(frame.groupby("part")))
    rules, quantiles = part["rules"], part["quantiles"]
    firm, weeks, fewer, choice = (
        part[name] for name in ("firmness", "weeks", "fewer hours", "choice")
    )
    means = fewer[fewer["kind"] == "means"]
    finest = means[means["count"] == means["count"].max()]
    joint = rules[rules["policy"] == "joint-lp"]
    roomy = firm[firm["gpus_over_demand"] > 1]
    unproven = (firm["unmet_bound"] - firm[["unmet_alone", "unmet_joint"]].min(axis=1)).max()
    return [
        Check("rules: smallest ratio to the optimum", rules["ratio"].min(), 1 - 1e-7, ">="),
        Check("joint LP, told the series: largest ratio", joint["ratio"].max(), 1 + 1e-6, "<="),
        Check("optimum: largest gap to its proven bound", rules["bound_gap"].max(), 1e-6, "<="),
        Check(
            "LP sizes and quantiles: most samples strictly between them",
            quantiles["samples_apart"].max(),
            1,
            "<=",
        ),
        Check(
            "LP and sorted series: largest relative difference of the objectives",
            quantiles["objective_difference"].max(),
            1e-7,
            "<=",
        ),
        Check(
            "newsvendor size over break-even size: largest excess",
            quantiles["newsvendor_excess"].max(),
            1e-9,
            "<=",
        ),
        Check(
            "utilisation of a site at its q-quantile below 1 - q: largest lack",
            quantiles["utilisation_lack"].max(),
            1e-9,
            "<=",
        ),
        Check(
            "joint over site-by-site sizing, as many GPUs: largest increase of unmet demand",
            (firm["unmet_joint"] - firm["unmet_alone"]).max(),
            2e-6,
            "<=",
        ),
        Check(
            "joint over site-by-site sizing, more GPUs than demand: mean increase of unmet demand",
            (roomy["unmet_joint"] - roomy["unmet_alone"]).mean(),
            0,
            "<=",
        ),
        Check("bound on unmet demand above what was reached: largest", unproven, 1e-7, "<="),
        Check("wait and see over stochastic: largest", weeks["wait_and_see"].max(), 1 + 1e-7, "<="),
        Check(
            "expected value over stochastic: smallest",
            weeks["expected_value"].min(),
            1 - 1e-7,
            ">=",
        ),
        Check(
            "fewer hours, proven lower bound above the optimum: largest",
            fewer["proven_below"].max(),
            1e-7,
            "<=",
        ),
        Check(
            "fewer hours, proven upper bound below the optimum: smallest",
            fewer["proven_above"].min(),
            -1e-7,
            ">=",
        ),
        Check(
            "means, finest: largest certified gap of their sizes",
            finest["certified_gap"].max(),
            certified_gap,
            "<=",
        ),
        Check("chosen sites and all subsets: largest miss", choice["miss"].max(), 1e-5, "<="),
        Check("complementarity gain: smallest", choice["gain"].min(), 1.0, ">="),
    ]


def measure(options: Options) -> Report:
    """Run everything."""
    shared_data()
    size = QUICK if options.quick else FULL
    tasks = tasks_of(size, options.seed)
    rows = [
        row
        for some in in_processes(perform, tasks, workers=options.workers, what="parts")
        for row in some
    ]
    frame = pd.DataFrame(rows)
    report = Report(rows, checks_of(frame, size.certified_gap))
    by = {
        "Rules, told the series": ("rules", ["policy"], ["gpus", "utilisation", "unmet", "ratio"]),
        "Rules, told the half year before": (
            "half year",
            ["policy"],
            ["gpus", "utilisation", "unmet", "ratio"],
        ),
        "Joint and site-by-site sizing, as many GPUs": (
            "firmness",
            ["gpus_over_demand"],
            [
                *("gpus", "unmet_alone", "unmet_joint", "unmet_bound", "served_p5_alone"),
                *("served_p5_joint", "utilisation_alone", "utilisation_joint"),
            ],
        ),
        "Weeks, in units of the stochastic cost": (
            "weeks",
            [],
            ["wait_and_see", "expected_value", "vss", "evpi", "gpus", "mean_gpus"],
        ),
        "Fewer hours": (
            "fewer hours",
            ["kind", "count"],
            [
                *("error", "proven_below", "proven_above", "regret", "certified_gap"),
                *("seconds", "seconds_whole"),
            ],
        ),
        "Choice of sites": (
            "choice",
            ["measure", "count", "sites"],
            ["value", "miss", "gain", "site_cov", "fleet_cov", "seconds"],
        ),
    }
    for title, (name, keys, columns) in by.items():
        table = frame[frame["part"] == name]
        every = ["source"] if name in ("choice", "firmness") else ["source", "threshold"]
        groups = table.groupby([*every, *keys], as_index=False, sort=True)
        report.tables[title] = groups[columns].mean()
    report.notes = [
        "threshold: utilisation at which wind and grid cost the same, set by the grid's price; "
        "demand: constant, as a share of the mean wind power of all sites.",
        "ratio: cost over the optimum of the same year (or of its second half, which the rules "
        "do not know); fewer hours: relative to the optimum over all hours; certified_gap needs no "
        "knowledge of it.",
        *(note for source in SOURCES for note in wind_of(source)[2]),
    ]
    return report


if __name__ == "__main__":
    sys.exit(_harness.main("rightsizing", measure, (__doc__ or "").partition("\n")[0]))
