"""Hypothesis strategies for small valid instances of every problem.

An instance is made by the seeded generator of its problem, in sizes of a handful of slots, sites or
jobs. Where a question is decided by ties, zeros and equal rows, the numbers of the generator, which
are all different, say little: there the series is drawn as small whole numbers instead. So an
instance is valid by construction, solved within milliseconds, and shrinks to the smallest sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from hypothesis import strategies as st

import optmodels as om
from optmodels import registry
from optmodels.instance import Instance

Sizes = Mapping[str, st.SearchStrategy[Any]]

#: Every clock that a slot may have met: plain days, both changes of summer time, a leap day.
STARTS = st.sampled_from(
    [
        "2023-06-01T00:00:00Z",
        "2024-02-28T22:00:00Z",
        "2023-03-26T00:00:00+01:00",
        "2023-10-29T00:00:00+02:00",
    ]
)


def _share(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(0, 20).map(lambda k: round(low + (high - low) * k / 20, 6))


SMALL: Mapping[str, Sizes] = {
    "scaling.job": {
        "hours": st.integers(3, 8),
        "work": st.sampled_from([0.5, 1.0, 1.75, 2.0, 3.0]),
        "switching_g": st.sampled_from([0.0, 1.0, 20.0, 400.0]),
        "history_days": st.sampled_from([0, 1]),
        "servers": st.integers(0, 4),
        "forecast_every_hours": st.sampled_from([0, 1, 2]),
        "start": STARTS,
        "noise": _share(0.0, 1.0),
    },
    "scaling.cluster": {
        "hours": st.integers(4, 8),
        "jobs": st.integers(1, 3),
        "capacity": st.integers(3, 6),
        "elasticity": st.sampled_from(["mix", "high", "none"]),
        "most_servers": st.integers(1, 3),
        "longest_hours": st.sampled_from([2, 3]),
        "past_hours": st.sampled_from([0, 4]),
        "start_kwh": st.sampled_from([0.0, 0.05]),
        "start": STARTS,
    },
    "rightsizing.sites": {
        "hours": st.integers(2, 6),
        "sites": st.integers(1, 3),
        "demand_gpus": st.sampled_from([50.0, 400.0, 1000.0]),
        "correlation": _share(0.0, 1.0),
        "past_hours": st.sampled_from([0, 3]),
        "module_gpus": st.sampled_from([0, 0, 100]),
        "opening_usd_per_year": st.sampled_from([0.0, 5e4]),
        "battery_kwh": st.sampled_from([0.0, 800.0]),
        "backup_kw": st.sampled_from([0.0, 300.0]),
        "start": STARTS,
    },
    "routing.sites": {
        "hours": st.sampled_from([0.5, 1.0]),
        "sites": st.integers(1, 2),
        "gpus": st.sampled_from([32, 64]),
        "origins": st.integers(1, 2),
        "classes": st.integers(1, 3),
        "load": _share(0.1, 0.8),
        "correlation": _share(0.0, 1.0),
        "backup_kw": st.sampled_from([0.0, 100.0]),
        "period_seconds": st.just(900),
        "slot_minutes": st.just(30),
        "start": STARTS,
    },
    "routing.pipeline": {
        "services": st.integers(1, 3),
        "gpu_hosts": st.integers(1, 2),
        "cpu_hosts": st.integers(0, 1),
        "gateways": st.just(1),
        "clients": st.integers(1, 2),
        "gpus_per_host": st.integers(2, 4),
        "load_gpus": _share(0.1, 0.6),
        "cards": st.sampled_from(["offered", "installed", "none"]),
        "limit_factor": st.sampled_from([1.6, 3.0]),
    },
    "placement.edge": {
        "sites": st.integers(1, 3),
        "applications": st.integers(1, 4),
        "zones": st.integers(1, 2),
        "batches": st.integers(1, 2),
        "spare": _share(0.5, 2.0),
        "running": _share(0.0, 1.0),
        "forecast_error": st.sampled_from([0.0, 0.3]),
        "unplaced_g": st.sampled_from([None, 1000.0]),
        "start": STARTS,
    },
    "placement.accelerators": {
        "apps": st.integers(1, 4),
        "gpus": st.integers(1, 2),
        "tpus": st.integers(0, 2),
        "rate_max": st.sampled_from([2.0, 8.0]),
        "slo_min": st.sampled_from([1.5, 4.0]),
    },
    "ensembles.selection": {
        "apps": st.integers(1, 2),
        "candidates": st.integers(2, 4),
        "servers": st.integers(1, 3),
        "sites": st.integers(1, 2),
        "classes": st.integers(2, 3),
        "samples": st.integers(3, 10),
        "holdout": st.sampled_from([0, 5]),
        "correlation": _share(0.0, 1.0),
        "room": st.sampled_from([0.4, 1.0]),
        "rule": st.sampled_from(["soft", "majority"]),
    },
    "ensembles.failover": {
        "servers": st.integers(2, 4),
        "sites": st.integers(1, 2),
        "applications": st.integers(1, 6),
        "critical_share": _share(0.0, 1.0),
        "free_share": st.sampled_from([0.1, 0.3, 0.6]),
        "headroom": st.sampled_from([0.0, 0.1]),
        "scope": st.sampled_from(["servers", "sites"]),
        "loading": st.sampled_from(["serial", "parallel"]),
        "rate_per_s": st.sampled_from([0.0, 2.0]),
    },
}


@st.composite
def instances(draw: st.DrawFn, problem: str) -> Instance:
    """Small valid instances of a problem.

    Parameters
    ----------
    problem
        Name such as "scaling.job".
    """
    sizes = {name: draw(values, label=name) for name, values in SMALL[problem].items()}
    made = om.generate(problem, seed=draw(st.integers(0, 999), label="seed"), **sizes)
    if problem == "scaling.job" and draw(st.booleans(), label="small whole intensities"):
        return _whole_intensities(draw, made)
    return made


def any_instance() -> st.SearchStrategy[Instance]:
    """Small valid instances of any problem."""
    return st.sampled_from(registry.problems()).flatmap(instances)


def _whole_intensities(draw: st.DrawFn, made: Instance) -> Instance:
    """The job over a carbon series of small whole numbers, where ties and zeros are common."""
    carbon = made.tables["carbon"]
    values = st.lists(st.integers(0, 4), min_size=len(carbon), max_size=len(carbon))
    drawn = pd.Series(draw(values, label="carbon"), dtype="float64")
    return made.replace(carbon=carbon.assign(carbon_g_per_kwh=drawn.to_numpy()))
