"""CarbonScaler's greedy: buy work where it costs the least carbon, one increment at a time.

Every slot offers its *increments*: the base block of servers first, then one step up the profile
after the other. Increment `j` of slot `i` does `Δθ_j` of work and draws `ΔP_j` of power, so a unit
of its work costs `c_i ΔP_j / Δθ_j` carbon. The greedy takes increments from the cheapest on, until
the work is done (Hanafy et al., "CarbonScaler: Leveraging Cloud Workload Elasticity for Optimizing
Carbon-Efficiency", SIGMETRICS 2024; there the value is the inverse, throughput per carbon).

From the paper: the increments, their order, and the base block, allocated at once because the job
cannot run on fewer servers. Ours: the profile is cut down to its concave hull (`profile.py`), which
makes the increments of a slot fall in value, as the paper assumes; ties go to the earlier slot,
then to the smaller level, so that a job ends early where that is free; the base block is ranked by
its own power; and the last increment is used for just the part of its slot that is still needed.
Without switching cost this is a fractional knapsack, so the greedy is optimal
(tests/scaling/job/test_greedy.py compares it with a linear program and with `level_oracle`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import Flaw
from optmodels.scaling.job.inputs import FloatArray, Inputs, fitted
from optmodels.scaling.job.profile import read_profile, upper_hull


def greedy_increments(
    carbon: ArrayLike,
    servers: ArrayLike,
    throughput: ArrayLike,
    power: ArrayLike,
    work: float,
    *,
    minimum_servers: float = 0.0,
    first_slot: int = 0,
) -> FloatArray:
    """Shares of time over levels that do the work with the least carbon, switching being free.

    Parameters
    ----------
    carbon
        Carbon of one unit of power for one slot, shape (T,), ≥ 0 [gCO2eq per kWh × slot length,
        for power in kW]; a forecast will do.
    servers, throughput, power
        The profile, shape (K,) each, off level included; see `concave_hull`.
    work
        Work to be done exactly, in the unit of throughput × slots.
    minimum_servers
        Fewest servers on which the job can run; levels below it are not used.
    first_slot
        First slot that can still be planned, counted from 0. With it, and the work that is left,
        a running job is planned anew; the slots before are off in the answer.

    Returns
    -------
    ndarray
        Shares, shape (T, K), rows summing to one, columns in the order of the profile. At most
        one slot is split between two levels.

    Raises
    ------
    InputError
        An argument is not finite or out of its range, or no level has the minimum of servers.
    InfeasibleError
        The work is negative or more than the slots can do: the deadline is too tight.

    Notes
    -----
    O(T K log(T K)): one sort of all increments. Prices never fall along the hull, so a stable sort
    takes the increments of a slot from the bottom up by itself.
    """
    given = Inputs("elastic job on servers")
    c = given.vector("carbon", carbon, minimum=0.0)
    n, theta, p = read_profile(given, servers, throughput, power)
    amount = given.number("work", work)
    fewest = given.number("minimum_servers", minimum_servers, minimum=0.0)
    first = given.number("first_slot", first_slot, minimum=0.0)
    last = len(c) - 1
    if math.isfinite(first) and (not first.is_integer() or (c.size and first > last)):
        given.flaws.append(
            Flaw(
                "is not a slot that can be planned",
                field="first_slot",
                value=first_slot,
                allowed="an integer >= 0" + (f" and <= {last}" if c.size else ""),
            )
        )
    if n.size and fewest > n.max():
        given.flaws.append(
            Flaw(
                "is more than any level has",
                field="minimum_servers",
                value=fewest,
                allowed=f"at most {n.max():g}",
            )
        )
    given.check()

    usable = np.flatnonzero((n >= fewest) | ((n == 0.0) & (p == 0.0)))
    hull = usable[upper_hull(p[usable], theta[usable], n[usable])]
    gain = np.diff(theta[hull])
    start = int(first)
    planned = c[start:]
    limits = f"{len(planned)} slots at {n[hull[-1]]:g} servers"
    amount = float(fitted(amount, len(planned) * float(theta[hull[-1]]), limits))
    used = _fill(planned, gain, np.diff(p[hull]), amount)
    # The share of the time spent at or above a level, less that above it, is spent at it.
    reached = np.hstack([np.ones((len(planned), 1)), used, np.zeros((len(planned), 1))])
    shares = np.zeros((len(c), len(n)))
    shares[:start, hull[0]] = 1.0
    shares[start:, hull] = reached[:, :-1] - reached[:, 1:]
    return shares


def _fill(c: FloatArray, gain: FloatArray, draw: FloatArray, work: float) -> FloatArray:
    """Used fraction of every increment, shape (slots, increments), taken from the cheapest on."""
    # Steps on one edge of the hull are equal but for rounding, which must not turn their order.
    price = np.outer(c, np.maximum.accumulate(draw / gain)).ravel()
    order = np.argsort(price, kind="stable")
    offered = np.tile(gain, len(c))[order]
    before = np.concatenate(([0.0], np.cumsum(offered)[:-1]))
    used = np.zeros(len(order))
    used[order] = np.clip((work - before) / offered, 0.0, 1.0)
    return used.reshape(len(c), len(gain))
