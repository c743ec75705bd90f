"""Hypothesis strategies for small valid instances of every problem.

An instance is made by the seeded generator of its problem, in sizes of a handful of slots, sites or
jobs. Where a question is decided by ties, zeros and equal rows, the numbers of the generator, which
are all different, say little: there the series is drawn as small whole numbers instead. So an
instance is valid by construction, solved within milliseconds, and shrinks to the smallest sizes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pandas as pd
from hypothesis import strategies as st

import optmodels as om
from optmodels import registry
from optmodels.instance import Instance

#: Every clock that a slot may have met: plain days, both changes of summer time, a leap day.
STARTS = (
    "2023-06-01T00:00:00Z",
    "2024-02-28T22:00:00Z",
    "2023-03-26T00:00:00+01:00",
    "2023-10-29T00:00:00+02:00",
)


def _between(low: float, high: float) -> tuple[float, ...]:
    return tuple(round(low + (high - low) * k / 20, 6) for k in range(21))


#: Sizes of the generators that give small instances, the smallest first.
SMALL: Mapping[str, Mapping[str, Sequence[object]]] = {
    "scaling.job": {
        "hours": range(3, 9),
        "work": (0.5, 1.0, 1.75, 2.0, 3.0),
        "switching_g": (0.0, 1.0, 20.0, 400.0),
        "history_days": (0, 1),
        "servers": range(0, 5),
        "forecast_every_hours": (0, 1, 2),
        "start": STARTS,
        "noise": _between(0.0, 1.0),
    },
    "scaling.cluster": {
        "hours": range(4, 9),
        "jobs": range(1, 4),
        "capacity": range(3, 7),
        "elasticity": ("mix", "high", "none"),
        "most_servers": range(1, 4),
        "longest_hours": (2, 3),
        "past_hours": (0, 4),
        "start_kwh": (0.0, 0.05),
        "start": STARTS,
    },
    "rightsizing.sites": {
        "hours": range(2, 7),
        "sites": range(1, 4),
        "demand_gpus": (50.0, 400.0, 1000.0),
        "correlation": _between(0.0, 1.0),
        "past_hours": (0, 3),
        "module_gpus": (0, 0, 100),
        "opening_usd_per_year": (0.0, 5e4),
        "battery_kwh": (0.0, 800.0),
        "backup_kw": (0.0, 300.0),
        "start": STARTS,
    },
    "routing.sites": {
        "hours": (0.5, 1.0),
        "sites": range(1, 3),
        "gpus": (32, 64),
        "origins": range(1, 3),
        "classes": range(1, 4),
        "load": _between(0.1, 0.8),
        "correlation": _between(0.0, 1.0),
        "backup_kw": (0.0, 100.0),
        "period_seconds": (900,),
        "slot_minutes": (30,),
        "start": STARTS,
    },
    "routing.pipeline": {
        "services": range(1, 4),
        "gpu_hosts": range(1, 3),
        "cpu_hosts": range(0, 2),
        "gateways": (1,),
        "clients": range(1, 3),
        "gpus_per_host": range(2, 5),
        "load_gpus": _between(0.1, 0.6),
        "cards": ("offered", "installed", "none"),
        "limit_factor": (1.6, 3.0),
    },
    "placement.edge": {
        "sites": range(1, 4),
        "applications": range(1, 5),
        "zones": range(1, 3),
        "batches": range(1, 3),
        "spare": _between(0.5, 2.0),
        "running": _between(0.0, 1.0),
        "forecast_error": (0.0, 0.3),
        "unplaced_g": (None, 1000.0),
        "start": STARTS,
    },
    "placement.accelerators": {
        "apps": range(1, 5),
        "gpus": range(1, 3),
        "tpus": range(0, 3),
        "rate_max": (2.0, 8.0),
        "slo_min": (1.5, 4.0),
    },
    "ensembles.selection": {
        "apps": range(1, 3),
        "candidates": range(2, 5),
        "servers": range(1, 4),
        "sites": range(1, 3),
        "classes": range(2, 4),
        "samples": range(3, 11),
        "holdout": (0, 5),
        "correlation": _between(0.0, 1.0),
        "room": (0.4, 1.0),
        "rule": ("soft", "majority"),
    },
    "ensembles.failover": {
        "servers": range(2, 5),
        "sites": range(1, 3),
        "applications": range(1, 7),
        "critical_share": _between(0.0, 1.0),
        "free_share": (0.1, 0.3, 0.6),
        "headroom": (0.0, 0.1),
        "scope": ("servers", "sites"),
        "loading": ("serial", "parallel"),
        "rate_per_s": (0.0, 2.0),
    },
}


def small_instance(problem: str, rng: random.Random) -> Instance:
    """One small valid instance of a problem, for whoever does without hypothesis."""
    sizes = {name: rng.choice(values) for name, values in SMALL[problem].items()}
    return om.generate(problem, seed=rng.randrange(1000), **sizes)


@st.composite
def instances(draw: st.DrawFn, problem: str) -> Instance:
    """Small valid instances of a problem.

    Parameters
    ----------
    problem
        Name such as "scaling.job".
    """
    sizes = {
        name: draw(st.sampled_from(values), label=name) for name, values in SMALL[problem].items()
    }
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
