"""Losses and advice on real forecasts: CarbonCast for jobs and clusters, RTS-GMLC for wind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _harness import Check

import optmodels as om
from optmodels.forecast import VintageForecast
from optmodels.instance import Instance
from optmodels.scaling.cluster.from_trace import from_trace as cluster_from_trace
from optmodels.scaling.job.from_trace import from_trace as job_from_trace
from optmodels.scaling.job.threshold_policies import Clip, RoAdvice
from optmodels.studies.losses import LOSSES, Gaps
from optmodels.traces import Cleaning, Vintages, read_jobs, read_vintages
from optmodels.traces.vintages import FORECAST

ZONES = ("CISO", "DE", "PJM", "SE")
FIRST_DAY, STEP_DAYS = pd.Timestamp("2021-09-01", tz="UTC"), 5
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


def issued(vintages: Vintages, times: pd.DatetimeIndex) -> np.ndarray:
    """For each slot the newest forecast of it and all later ones, NaN where there is none."""
    by_issue = vintages.frame[FORECAST].unstack("time")
    issues = by_issue.index
    table = np.full((len(times), len(times)), np.nan)
    values = by_issue.reindex(columns=times).to_numpy(dtype=np.float64)
    newest = np.searchsorted(issues, times, side="right") - 1
    for slot, number in enumerate(newest):
        if number >= 0:
            table[slot] = values[number]
    return table


def cluster_losses(data: Path, weeks: int) -> list[Gaps]:
    """Losses of clusters: weeks of Azure jobs on CISO with the forecasts of CarbonCast."""
    vintages = read_zone(data, "CISO")
    jobs = read_jobs(data / "cluster_traces" / "gaia" / "azure-100k.csv.gz")
    found = []
    for number in range(weeks):
        start = FIRST_DAY + pd.Timedelta(days=14 * number)
        instance = cluster_from_trace(
            vintages.actual(),
            jobs,
            start=start.isoformat(),
            hours=168,
            past_hours=336,
            capacity=60,
            utilisation=0.5,
            jobs_from_hours=24.0 * 14 * number,
            seed=number,
            name=f"CISO {start:%Y-%m-%d}",
        )
        told = VintageForecast(issued(vintages, instance.times), 24)
        names = ["fcfs", "carbonscaler", "wait-awhile", "opportunity-price"]
        found.append(om.gaps(instance, names, forecast=told))
    return found


def routing_losses(data: Path, days: float) -> Gaps:
    """Losses of Heron and its baselines on RTS-GMLC wind with its day-ahead forecasts."""
    from optmodels.routing.sites.from_traces import rts_gmlc

    instance = rts_gmlc(data / "wind" / "rts_gmlc", gpus=400, days=days, wind_ratio=0.6)
    return om.gaps(instance, forecast="published")


def loss_rows(data: Path, days: int) -> tuple[list[dict[str, Any]], list[Check]]:
    """Mean losses per policy as shares of the optimum, and whether they sum to the whole."""
    parts: dict[str, list[Gaps]] = {
        "scaling.job": [om.gaps(jobs_of(data, days), forecast="vintages")],
        "scaling.cluster": cluster_losses(data, 1 if days < 5 else 4),
        "routing.sites": [routing_losses(data, 0.5 if days < 5 else 3)],
    }
    rows, off = [], 0.0
    for problem, many in parts.items():
        frame = pd.concat([found.frame for found in many], ignore_index=True)
        summed = frame["optimum"] + frame[list(LOSSES)].sum(axis=1)
        off = max(off, float((abs(summed - frame["total"]) / frame["total"]).max()))
        relative = frame[[*LOSSES, "unproven"]].div(frame["optimum"], axis=0)
        for policy, mean in relative.groupby(frame["policy"], sort=False).mean().iterrows():
            rows.append(
                {
                    "part": "losses",
                    "problem": problem,
                    "instances": frame["instance"].nunique(),
                    "planner": many[0].planner,
                    "policy": policy,
                    **mean.to_dict(),
                }
            )
    check = Check("losses against the whole distance, largest relative error", off, 1e-9, "<=")
    return rows, [check]


def advice_rows(data: Path, days: int) -> tuple[list[dict[str, Any]], list[Check]]:
    """Ratios while the advice goes from the truth to its mirror image."""
    policies = {
        "ro-advice, trust 0.2": RoAdvice(0.2),
        "ro-advice, trust 0.8": RoAdvice(0.8),
        "clip, trust 0.5": Clip(0.5),
        "carbonscaler": "carbonscaler",
        "roro": "roro",
    }
    curve = om.advice_curve(jobs_of(data, days), policies).frame
    mean = curve.set_index(["policy", "share"])["mean"]
    proven = curve.dropna(subset="proven_worst")
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
    return [{"part": "advice", **row} for row in curve.to_dict("records")], checks
