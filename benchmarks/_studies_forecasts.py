"""Losses and advice on real forecasts: CarbonCast for jobs and clusters, RTS-GMLC for wind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from _harness import Check

import optmodels as om
from optmodels.instance import Instance
from optmodels.policy import Policy
from optmodels.routing.sites.from_traces import rts_gmlc
from optmodels.scaling.cluster.from_trace import from_trace as cluster_from_trace
from optmodels.scaling.job.from_trace import from_trace as job_from_trace
from optmodels.scaling.job.threshold_policies import Clip, RoAdvice
from optmodels.studies import AdviceCurve, Gaps
from optmodels.studies.losses import LOSSES
from optmodels.traces import Cleaning, Vintages, read_jobs, read_vintages

ZONES = ("CISO", "DE", "PJM", "SE")
FIRST_DAY, STEP_DAYS = pd.Timestamp("2021-09-01", tz="UTC"), 5
#: Below this many days of jobs the other problems are small, too.
FEW_DAYS = 5
_REPAIR = Cleaning(doubled_day="repair")


def read_zone(data: Path, zone: str) -> Vintages:
    """Forecasts and actual values of a zone."""
    [path] = (data / "carbon" / "carboncast" / zone).glob("*lifecycle*")
    return read_vintages(path, zone=zone, cleaning=_REPAIR)


def jobs_of(data: Path, days: int) -> list[Instance]:
    """Elastic jobs of 12 hours within 48 on some days of each zone, with the real forecasts."""
    found: list[Instance] = []
    for zone in ZONES:
        vintages = read_zone(data, zone)
        for number in range(days):
            start = FIRST_DAY + pd.Timedelta(days=STEP_DAYS * number, hours=7 * number % 24)
            found.append(
                job_from_trace(
                    vintages.actual(),
                    start=start.isoformat(),
                    hours=48,
                    work=12.0,
                    switching_g=20.0,
                    vintages=vintages,
                    name=f"{zone} {start:%Y-%m-%d %H:%M}",
                )
            )
    return found


def clusters_of(data: Path, days: int) -> list[Instance]:
    """Weeks of Azure jobs on CISO with the forecasts of CarbonCast."""
    vintages = read_zone(data, "CISO")
    jobs = read_jobs(data / "cluster_traces" / "gaia" / "azure-100k.csv.gz")
    found: list[Instance] = []
    few = days < FEW_DAYS
    for number in range(1 if few else 4):
        start = FIRST_DAY + pd.Timedelta(days=14 * number)
        found.append(
            cluster_from_trace(
                vintages.actual(),
                jobs,
                start=start.isoformat(),
                hours=48 if few else 168,
                past_hours=168 if few else 336,
                capacity=12 if few else 60,
                utilisation=0.5,
                jobs_from_hours=24.0 * 14 * number,
                seed=number,
                vintages=vintages,
                name=f"CISO {start:%Y-%m-%d}",
            )
        )
    return found


def sites_of(data: Path, days: int) -> list[Instance]:
    """Wind sites of RTS-GMLC with its day-ahead forecasts."""
    length = 1 / 12 if days < FEW_DAYS else 1
    return [rts_gmlc(data / "wind" / "rts_gmlc", gpus=400, days=length, wind_ratio=0.6)]


#: How the real instances of each problem are made.
INSTANCES = {"scaling.job": jobs_of, "scaling.cluster": clusters_of, "routing.sites": sites_of}
#: What the instances call their real forecasts.
FORECASTS = {"routing.sites": "published"}
#: Policies of the losses, where not the usual ones.
LOSING = {"scaling.cluster": ["fcfs", "carbonscaler", "wait-awhile", "opportunity-price"]}
#: Policies of the advice.
ADVISED: dict[str, Mapping[str, str | Policy]] = {
    "scaling.job": {
        "ro-advice, trust 0.2": RoAdvice(0.2),
        "ro-advice, trust 0.8": RoAdvice(0.8),
        "clip, trust 0.5": Clip(0.5),
        "carbonscaler": "carbonscaler",
        "roro": "roro",
    },
    "scaling.cluster": {
        name: name for name in ("opportunity-price", "carbonscaler", "wait-awhile", "fcfs")
    },
    "routing.sites": {name: name for name in ("heron", "reactive", "weighted-round-robin")},
}


def losses_of(problem: str, instances: list[Instance], workers: int) -> Gaps:
    """Losses of policies under real forecasts."""
    told = FORECASTS.get(problem, "vintages")
    return om.gaps(instances, LOSING.get(problem), forecast=told, workers=workers)


def advice_of(
    problem: str, instances: list[Instance], shares: Sequence[float], workers: int
) -> AdviceCurve:
    """Ratios while the advice goes from the truth to its mirror image."""
    return om.advice_curve(instances, ADVISED[problem], shares=shares, workers=workers)


def loss_rows(
    many: Mapping[str, list[Instance]], workers: int
) -> tuple[list[dict[str, Any]], list[Check]]:
    """Mean losses per policy as shares of the optimum, and whether they sum to the whole."""
    rows: list[dict[str, Any]] = []
    off = 0.0
    for problem, instances in many.items():
        found = losses_of(problem, instances, workers)
        frame = found.frame
        summed = frame["optimum"] + frame[list(LOSSES)].sum(axis=1)
        off = max(off, float((abs(summed - frame["total"]) / frame["total"]).max()))
        head = {"part": "losses", "problem": problem, "instances": frame["instance"].nunique()}
        rows += [
            {**head, "planner": found.planner, **_named(row)}
            for row in found.shares().to_dict("records")
        ]
    check = Check("losses against the whole distance, largest relative error", off, 1e-9, "<=")
    return rows, [check]


def advice_rows(
    many: Mapping[str, list[Instance]], shares: Sequence[float], workers: int
) -> tuple[list[dict[str, Any]], list[Check]]:
    """Ratios by the quality of the advice, and what must hold of them."""
    rows: list[dict[str, Any]] = []
    frames = {name: advice_of(name, some, shares, workers).frame for name, some in many.items()}
    for name, frame in frames.items():
        rows += [
            {"part": "advice", "problem": name, **_named(row)} for row in frame.to_dict("records")
        ]
    mean = frames["scaling.job"].set_index(["policy", "share"])["mean"]
    proven = pd.concat(frames.values()).dropna(subset="proven_worst")
    over = float((proven["worst"] / proven["proven_worst"]).max()) if len(proven) else 0.0
    checks = [
        Check(
            "perfect advice: more trust over less, ratio to the optimum",
            mean["ro-advice, trust 0.8", 0.0] / mean["ro-advice, trust 0.2", 0.0],
            1.0,
            "<=",
        ),
        Check(
            "adversarial advice: more trust over less, ratio to the optimum",
            mean["ro-advice, trust 0.8", 1.0] / mean["ro-advice, trust 0.2", 1.0],
            1.0,
            ">=",
        ),
        Check("worst ratio over the worst proven limit", over, 1.0 + 1e-9, "<="),
    ]
    return rows, checks


def draw(
    many: Mapping[str, list[Instance]], shares: Sequence[float], workers: int, folder: Path
) -> list[Path]:
    """A picture of the losses and one of the advice for each problem."""
    return [
        found.save(folder / f"{kind}-{problem}.png")
        for problem, instances in many.items()
        for kind, found in (
            ("gaps", losses_of(problem, instances, workers)),
            ("advice", advice_of(problem, instances, shares, workers)),
        )
    ]


def _named(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}
