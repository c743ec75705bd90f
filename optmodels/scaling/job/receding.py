"""The first step of the optimal plan for the rest of a job that is already running.

A planner that starts over in every slot needs only the first slot of its plan, but must count that
servers are running already. For a job whose work is proportional to its servers the plan is split
by level: the part of the servers that runs now is a job that starts switched on, the rest is one
that starts switched off. Each has its own taut string (starting switched on is starting switched
off with a first slot that is cheaper by 2β, less β), and the work goes to the smallest slopes of
both. This decomposition is ours; tests compare it with the linear programme.
"""

from __future__ import annotations

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.job.exact.levels import level_oracle
from optmodels.scaling.job.exact.taut_string import TIE_TOLERANCE, taut_string
from optmodels.scaling.job.profile import ScalingProfile


def first_servers(
    carbon_g_per_kw: FloatArray,
    profile: ScalingProfile,
    *,
    switching_g: float,
    work: float,
    cap: float,
    running: float,
) -> float:
    """Servers in the first slot of the cheapest plan for the work that is left.

    Parameters
    ----------
    carbon_g_per_kw
        Carbon of one kW through each slot that is left, shape (T,) [g/kW].
    profile
        Levels of the job.
    switching_g
        Carbon of switching one server [g].
    work
        Work that is left; what the slots cannot hold is ignored.
    cap
        Largest number of servers in a slot.
    running
        Average number of servers in the slot before.
    """
    slots = carbon_g_per_kw.size
    work = min(work, slots * profile.work_at(cap))
    if profile.proportional:
        energy = float(profile.power_kw[-1] / profile.servers[-1])
        length = work / float(profile.throughput[-1] / profile.servers[-1])
        return _first_rate(carbon_g_per_kw * energy, switching_g, length, cap, running)
    answer = level_oracle(
        carbon_g_per_kw,
        profile.servers,
        profile.throughput,
        profile.power_kw,
        switching=switching_g,
        work=work,
        cap=cap,
        running=running,
    )
    return float(answer.schedule[0] @ profile.servers)


def _first_rate(costs: FloatArray, beta: float, length: float, cap: float, running: float) -> float:
    """Rate in the first slot; levels below `running` start switched on, those above off."""
    on = min(running, cap)
    started = costs.copy()
    started[0] -= 2 * beta
    parts = [(on, started), (cap - on, costs)]
    slopes = [(mass, taut_string(c, beta)) for mass, c in parts if mass > 0]
    values = np.concatenate([y for _, y in slopes])
    masses = np.concatenate([np.full(y.size, mass) for mass, y in slopes])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(masses[order])
    price = values[order[min(int(np.searchsorted(reached, length)), order.size - 1)]]
    tolerance = TIE_TOLERANCE * float(np.abs(values).max())
    below = float(masses[values < price - tolerance].sum())
    tied = np.abs(values - price) <= tolerance
    share = min(max((length - below) / float(masses[tied].sum()), 0.0), 1.0)
    rate = 0.0
    for mass, y in slopes:
        if y[0] < price - tolerance:
            rate += mass
        elif y[0] <= price + tolerance:
            rate += mass * share
    return min(rate, cap)
