r"""The elastic job stated for a window, for a rolling horizon.

**In words.** In the window the job is what it is in `optmodels.scaling.job.model`. It begins with
the servers that run already, and not all work has to be done in it: what is left over is bought
from the slots after the window, which are known by how clean they are expected to be, and not by
when. They are sorted by their expected carbon intensity and cut into equal parts; a unit of work
that a part still does with level k costs what the part's average slot makes of it. The cleanest
parts and the most efficient levels fill up first, so that the less work is left over, the less the
last unit of it costs. Slots of the window beyond the deadline are closed.

**In symbols**, beside those of the model: parts q of N_q slots with mean carbon :math:`\bar c_q`,

.. math::
    \text{finish}      && \sum_t \sum_k \theta_k \lambda_{tk} + \sum_q \sum_k z_{qk} &= W - w
    \text{capacity}    && 0 \le z_{qk} &\le N_q (\theta_k - \theta_{k-1})
    \text{one state}   && \sum_k \lambda_{tk} &\le a_t
    \text{first ramp}  && n_1 - n_0 &= u_1 - v_1
    \text{terminal value in the objective}
    && \sum_q \sum_k \bar c_q \frac{P_k - P_{k-1}}{\theta_k - \theta_{k-1}} z_{qk}

================  =======================  ====================================================
symbol            name                     meaning
================  =======================  ====================================================
:math:`w`         ``work`` is W - w        work done before the window
:math:`n_0`       ``before``               servers in the slot before the window
:math:`a_t`       ``open``                 1 before the deadline, 0 after it
:math:`z`         ``afterwards``           work left for a part, by level
================  =======================  ====================================================

The terminal value is the optimum of what comes after without switching, at the resolution of the
parts; one part is the mean of the forecast. The switching that later work needs is not in it, so
that a window much shorter than a day puts work off too readily where switching is dear. Each
server that runs at the end of the window pays for being switched off some time later, as at the
end of the job. All this is exact where nothing comes after: a window up to the deadline is the
whole problem. The seam of ``finish`` is a carried budget: the capacities say how much can still be
done afterwards, and the rest must be done in the window. The window, its terminal value and its
seams are ours; tests/scaling/job/test_rolling.py compares them with the optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pyomo.environ as pyo

from optmodels.policy import FloatArray, Observation
from optmodels.rolling import Seam, WindowProblem, carried
from optmodels.scaling.job.job_policy import ahead
from optmodels.scaling.job.model import formulation
from optmodels.scaling.job.replay import JobHeader
from optmodels.solver.solution import Solution
from optmodels.solver.template import Formulation


@cache
def window_formulation() -> Formulation:
    """The formulation of a window: the job's own, with the rows that a cut changes replaced."""
    m = formulation().clone()
    for name in ("finish", "one_state", "first_ramp", "emissions"):
        m.del_component(name)
    m.parts = pyo.Set(doc="equal parts of the slots after the window, cleanest first")
    m.open = pyo.Param(m.slots, mutable=True)
    m.before = pyo.Param(mutable=True)
    m.capacity = pyo.Param(m.parts, m.levels, mutable=True)
    m.carbon_g_per_work = pyo.Param(m.parts, m.levels, mutable=True)
    m.afterwards = pyo.Var(
        m.parts, m.levels, bounds=lambda m, q, k: (0, m.capacity[q, k]), dense=False
    )

    @m.Constraint(doc="what the window does not do is left for the slots after it")
    def finish(m: Any) -> Any:
        inside = sum(m.throughput[k] * m.share[t, k] for t in m.slots for k in m.levels)
        return inside + sum(m.afterwards[q, k] for q in m.parts for k in m.levels) == m.work

    @m.Constraint(m.slots, doc="a slot has no more time than there is, and none after the deadline")
    def one_state(m: Any, t: int) -> Any:
        return sum(m.share[t, k] for k in m.levels) <= m.open[t]

    @m.Constraint(m.first_slots, doc="the window starts from the servers that run already")
    def first_ramp(m: Any, t: int) -> Any:
        return m.running[t] - m.before == m.up[t] - m.down[t]

    @m.Objective(sense=pyo.minimize, doc="carbon of the window and of the work left over [g]")
    def emissions(m: Any) -> Any:
        execution = sum(
            m.carbon_g_per_kw[t] * m.power_kw[k] * m.share[t, k] for t in m.slots for k in m.levels
        )
        changes = sum(m.up[t] + m.down[t] for t in m.slots)
        ending = sum(m.running[t] for t in m.last_slots)
        later = sum(
            m.carbon_g_per_work[q, k] * m.afterwards[q, k] for q in m.parts for k in m.levels
        )
        return execution + m.switching_g * (changes + ending) + later

    return Formulation(m)


class JobWindow(WindowProblem):
    """The elastic job, stated for a window.

    Work is counted in full-rate slots and servers in shares of the largest level, so that the
    solver's tolerances mean the same for every job.

    Parameters
    ----------
    parts
        Equal parts into which the slots after a window are cut.
    """

    slot_sets: ClassVar[tuple[str, ...]] = ("slots", "first_slots", "later_slots", "last_slots")
    seams: ClassVar[Mapping[str, Seam]] = {
        "finish": carried("work", "capacity", "carbon_g_per_work"),
        "ramp": carried("before"),
        "first_ramp": carried("before"),
    }
    beyond: ClassVar[bool] = True

    def __init__(self, parts: int) -> None:
        self._parts = parts

    def formulation(self) -> Formulation:
        """The formulation of `window_formulation`."""
        return window_formulation()

    def begin(self, header: JobHeader) -> int:
        """Remember the header."""
        self._header = header
        profile = header.profile.up_to(header.cap)
        self._servers = float(profile.servers[-1])
        self._full = float(profile.throughput[-1])
        self._levels = profile.servers[1:] / self._servers
        self._work = profile.throughput[1:] / self._full
        self._power = profile.power_kw[1:]
        self._steps = np.diff(profile.throughput) / self._full
        self._power_steps = np.diff(profile.power_kw) / self._steps
        longest = header.work_max if header.work is None else header.work
        self._longest = longest / self._full
        return header.slots

    def constants(self, slots: int) -> dict[str, Any]:
        """Sets and levels of a window."""
        numbers = np.arange(1, slots + 1)
        return {
            "slots": numbers,
            "first_slots": numbers[:1],
            "later_slots": numbers[1:],
            "last_slots": numbers[-1:],
            "levels": np.arange(1, self._levels.size + 1),
            "parts": np.arange(1, self._parts + 1),
            "servers": self._levels,
            "throughput": self._work,
            "power_kw": self._power,
            "switching_g": self._header.switching_g * self._servers,
            "rate_cap": 1.0,
        }

    def window(self, observation: Observation, slots: int) -> dict[str, Any]:
        """Carbon of the window, what runs, what is left, and what comes after."""
        expected = ahead(observation) * self._header.slot_hours
        inside = expected[:slots]
        carbon, is_open = np.zeros(slots), np.zeros(slots)
        carbon[: inside.size], is_open[: inside.size] = inside, 1.0
        counts, means = parts_of(expected[slots:], self._parts)
        done = float(observation.state.work_done) / self._full
        left = max(self._longest - done, 0.0)
        return {
            "carbon_g_per_kw": carbon,
            "open": is_open,
            "before": float(observation.state.servers) / self._servers,
            # Work beyond what the slots can hold is ignored: the job may have run on other levels.
            "work": min(left, float(expected.size)),
            "capacity": np.multiply.outer(counts, self._steps),
            "carbon_g_per_work": np.multiply.outer(means, self._power_steps),
        }

    def action(self, solution: Solution, ahead: int) -> float:
        """Average number of servers in a slot of the plan."""
        share = solution.values["share"].to_numpy().reshape(-1, self._levels.size)[ahead]
        return float(share @ self._levels) * self._servers


def parts_of(expected: FloatArray, parts: int) -> tuple[FloatArray, FloatArray]:
    """Cut values into equal parts by size.

    Parameters
    ----------
    expected
        One value per slot.
    parts
        Number of parts.

    Returns
    -------
    counts, means
        Slots in each part, smallest values first, and the mean of each part; 0 where it is empty.
    """
    cut = np.array_split(np.sort(expected), parts)
    counts = np.array([float(part.size) for part in cut])
    return counts, np.array([part.mean() if part.size else 0.0 for part in cut])
