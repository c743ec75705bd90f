"""The schedule of one elastic job, and what it costs.

Time is cut into slots `t = 1..T`. In slot `t` the job runs at rate `x_t`: the share of its full
capacity that is on, from 0 (suspended) to the rate cap. Running at full capacity for slot `t`
emits `c_t`; every change of rate emits `β` per unit (checkpoint, restore, boot). The job is off
before the first slot and after the last one, so both end ramps are charged:

    cost(x) = Σ_t c_t x_t + β Σ_{t=1..T+1} |x_t − x_{t−1}|,      x_0 = x_{T+1} = 0.

This is the objective of online conversion with switching costs (Lechowicz et al., "Online
Conversion with Switching Costs", SIGMETRICS 2024), with the last ramp down always charged: a job
of a single slot pays two ramps, too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import Flaw
from optmodels.scaling.job.inputs import FloatArray, Inputs


def schedule_cost(costs: ArrayLike, schedule: ArrayLike, switching: float) -> float | FloatArray:
    """Recompute the cost of a schedule, or of a batch of schedules, from its rates.

    Parameters
    ----------
    costs
        Cost of running at full capacity for one slot, shape (T,) [gCO2eq per unit of rate].
    schedule
        Rates of one schedule, shape (T,), or of several, shape (J, T).
    switching
        Cost of changing the rate by one unit, ≥ 0 [gCO2eq per unit of rate].

    Returns
    -------
    float or ndarray
        The cost [gCO2eq]: a float for one schedule, shape (J,) for a batch.

    Raises
    ------
    InputError
        An argument is not finite, has the wrong shape or a negative switching cost.
    """
    given = Inputs("schedule")
    c = given.vector("costs", costs)
    x = given.array("schedule", schedule, ndim=(1, 2))
    beta = given.number("switching", switching, minimum=0.0)
    if c.size and x.size and x.shape[-1] != len(c):
        given.flaws.append(
            Flaw(
                "slots are not as many as the costs have",
                field="schedule",
                value=x.shape[-1],
                allowed=str(len(c)),
            )
        )
    given.check()
    total = x @ c + beta * ramps(x)
    return float(total) if total.ndim == 0 else total


def ramps(x: FloatArray) -> FloatArray:
    """Total change of rate Σ|x_t − x_{t−1}| along the last axis, with both end ramps."""
    inner: FloatArray = np.abs(np.diff(x, axis=-1)).sum(axis=-1)
    return inner + np.abs(x[..., 0]) + np.abs(x[..., -1])
