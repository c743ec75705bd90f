"""Instances for the tests of the elastic job."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optmodels.scaling.job.instance import JobInstance

START = pd.Timestamp("2022-06-01", tz="UTC")


def job(carbon, *, profile=None, history=None, start=START, minutes=60.0, **parameters):
    """Instance from plain lists; the deadline is the end of the carbon series."""
    carbon = np.asarray(carbon, dtype=float)
    step = pd.Timedelta(minutes=minutes)
    tables = {"carbon": _series(carbon, start, step)}
    if history is not None:
        history = np.asarray(history, dtype=float)
        tables["history"] = _series(history, start - history.size * step, step)
    if profile is not None:
        tables["profile"] = pd.DataFrame(profile, columns=["servers", "throughput", "power_kw"])
    values = {
        "work": 1.0,
        "switching_g": 0.0,
        "deadline_slots": carbon.size,
        "slot_minutes": minutes,
        **parameters,
    }
    return JobInstance(values, tables)


def random_job(rng, *, slots=None, hidden=False, profile=None, whole=False, **parameters):
    """Random job with a history and a window that holds every carbon intensity.

    `whole` makes it fit into one slot, as the proofs of most threshold algorithms ask.
    """
    slots = int(rng.integers(6, 30)) if slots is None else slots
    kind = rng.integers(3)
    if kind == 0:
        carbon = rng.uniform(50, 500, slots)
    elif kind == 1:
        hour = np.arange(slots)
        carbon = 275 + 200 * np.sin(hour / 24 * 2 * np.pi + rng.uniform(0, 6)) * rng.uniform(0, 1)
        carbon = np.clip(carbon + rng.normal(0, 20, slots), 50, 500)
    else:
        carbon = rng.choice([50.0, 120.0, 300.0, 500.0], slots)
    full = 1.0 if profile is None else max(row[1] for row in profile)
    most = full if whole else full * slots * 0.6
    work = float(rng.uniform(0.2, 1.0) * most)
    values = {
        "work": work,
        "switching_g": float(rng.choice([0.0, 10.0, 40.0])),
        "carbon_lower_g_per_kwh": 50.0,
        "carbon_upper_g_per_kwh": 500.0,
    }
    if hidden:
        low, high = work * rng.uniform(0.3, 1.0), min(work * rng.uniform(1.0, 2.0), most)
        high = max(high, work)
        values |= {"work_min": low, "work_max": high, "work_predicted": rng.uniform(low, high)}
    history = rng.uniform(50, 500, 72)
    return job(carbon, profile=profile, history=history, **(values | parameters))


CONCAVE = [(1, 1.0, 0.05), (2, 1.9, 0.1), (3, 2.6, 0.15), (4, 3.0, 0.2)]
MEASURED = [(1, 1.0, 0.05), (2, 1.2, 0.09), (3, 2.4, 0.16), (4, 2.5, 0.25), (5, 3.6, 0.27)]


def _series(values, start, step):
    times = pd.DatetimeIndex([start + i * step for i in range(values.size)])
    return pd.DataFrame({"time": times, "carbon_g_per_kwh": values})
