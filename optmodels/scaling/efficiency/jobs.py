"""Jobs from arrays: what the makers of the mechanisms share."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from optmodels.errors import Flaw
from optmodels.policy import FloatArray
from optmodels.scaling.job.inputs import Inputs
from optmodels.scaling.job.instance import JobInstance

#: Start of the jobs: the mechanisms know hours, but no dates.
START = pd.Timestamp("2023-01-01T00:00:00Z")


def read_carbon(
    given: Inputs, carbon_g_per_kwh: ArrayLike, *, positive: bool = False
) -> FloatArray:
    """Carbon intensity per slot, checked; `positive` where a formula divides by it."""
    carbon = given.vector("carbon_g_per_kwh", carbon_g_per_kwh, minimum=0.0)
    if positive:
        for slot in np.flatnonzero(carbon == 0).tolist():
            given.number(f"carbon_g_per_kwh[{slot}]", 0.0, minimum=0.0, strict=True)
    return carbon


def read_whole(given: Inputs, field: str, value: int) -> None:
    """Check a count, which is a whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        allowed = "a whole number >= 1"
        given.flaws.append(Flaw("is not a count", field=field, value=value, allowed=allowed))


def job_of(
    carbon_g_per_kwh: ArrayLike,
    *,
    work: float,
    servers: ArrayLike,
    throughput: ArrayLike,
    power_kw: ArrayLike,
    slot_hours: float,
    switching_g: float = 0.0,
) -> JobInstance:
    """One elastic job; its deadline is the end of the carbon series.

    Raises
    ------
    InputError
        A value is out of range.
    """
    carbon = np.asarray(carbon_g_per_kwh, dtype=np.float64)
    times = START + pd.to_timedelta(np.arange(carbon.size) * slot_hours, unit="h")
    levels = {"servers": servers, "throughput": throughput, "power_kw": power_kw}
    tables = {
        "carbon": pd.DataFrame({"time": times, "carbon_g_per_kwh": carbon}),
        "profile": pd.DataFrame({name: np.asarray(v, dtype=float) for name, v in levels.items()}),
    }
    parameters = {
        "work": work,
        "switching_g": switching_g,
        "deadline_slots": carbon.size,
        "slot_minutes": 60 * slot_hours,
    }
    return JobInstance(parameters, tables)
