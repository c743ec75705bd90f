r"""The mathematics of one elastic job with carbon and switching cost.

**In words.** In every slot the job divides its time among the levels of its scaling profile, or
pauses. Over all slots it does exactly its work; in no slot are there more servers than allowed.
Each kWh costs the carbon intensity of its slot, and each server switched on or off costs carbon of
its own; the job starts switched off and ends switched off.

**In symbols.**

.. math::
    \min \sum_{t=1}^{T} \sum_k c_t P_k \lambda_{tk} + \beta \sum_{t=1}^{T+1} (u_t + v_t)

    \text{finish}      && \sum_t \sum_k \theta_k \lambda_{tk} &= W
    \text{one state}   && \sum_k \lambda_{tk} &\le 1          && \forall t
    \text{rate limit}  && n_t = \sum_k s_k \lambda_{tk} &\le d  && \forall t
    \text{ramp}        && n_t - n_{t-1} &= u_t - v_t          && t = 1..T+1,\ n_0 = n_{T+1} = 0
    && \lambda, u, v &\ge 0

================  =====================  ==================================================
symbol            name                   meaning, unit
================  =====================  ==================================================
:math:`c_t`       ``carbon_g_per_kw``    carbon of 1 kW through the slot [g/kW] = g/kWh × h
:math:`s_k`       ``servers``            servers of level k [servers]
:math:`P_k`       ``power_kw``           power of level k [kW]
:math:`\theta_k`  ``throughput``         work of level k in a slot [work]
:math:`W`         ``work``               work to be done [work]
:math:`\beta`     ``switching_g``        carbon of switching one server [g/server]
:math:`d`         ``rate_cap``           largest average number of servers in a slot [servers]
:math:`\lambda`   ``share``              share of slot t at level k [1]
:math:`u, v`      ``up``, ``down``       servers switched on, off at the start of a slot [servers]
================  =====================  ==================================================

Dividing a slot among levels is what makes the last slot fractional and the problem convex; only
levels that no mix of others beats are kept (``JobInstance.levels``; without switching cost: the
hull of `optmodels.scaling.job.profile`). With one level the
problem is the minimisation form of online conversion with switching costs (Lechowicz et al.,
"Online Conversion with Switching Costs", 2023); with several levels and β = 0 it is CarbonScaler's
(Hanafy et al., "CarbonScaler", 2023).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from optmodels.solver.template import instance_of

if TYPE_CHECKING:
    from optmodels.scaling.job.instance import JobInstance


@cache
def formulation() -> pyo.AbstractModel:
    """The formulation without any data in it."""
    m = pyo.AbstractModel(name="scaling.job")
    m.slots = pyo.Set(doc="slots until the deadline, 1 to T")
    m.first_slots = pyo.Set(within=m.slots, doc="the slot before which nothing runs")
    m.later_slots = pyo.Set(within=m.slots, doc="slots that have a slot before them")
    m.last_slots = pyo.Set(within=m.slots, doc="the slot after which nothing runs")
    m.levels = pyo.Set(doc="levels of the scaling profile")

    m.carbon_g_per_kw = pyo.Param(m.slots, mutable=True)
    m.servers = pyo.Param(m.levels)
    m.throughput = pyo.Param(m.levels)
    m.power_kw = pyo.Param(m.levels)
    m.work = pyo.Param(mutable=True)
    m.switching_g = pyo.Param(mutable=True)
    m.rate_cap = pyo.Param(mutable=True)

    m.share = pyo.Var(m.slots, m.levels, within=pyo.NonNegativeReals, dense=False)
    m.up = pyo.Var(m.slots, within=pyo.NonNegativeReals)
    m.down = pyo.Var(m.slots, within=pyo.NonNegativeReals)

    @m.Expression(m.slots)
    def running(m: Any, t: int) -> Any:
        return sum(m.servers[k] * m.share[t, k] for k in m.levels)

    @m.Constraint(doc="all work is done by the deadline")
    def finish(m: Any) -> Any:
        return sum(m.throughput[k] * m.share[t, k] for t in m.slots for k in m.levels) == m.work

    @m.Constraint(m.slots, doc="a slot has no more time than there is")
    def one_state(m: Any, t: int) -> Any:
        return sum(m.share[t, k] for k in m.levels) <= 1

    @m.Constraint(m.slots, doc="no more servers run than the rate cap allows")
    def rate_limit(m: Any, t: int) -> Any:
        return m.running[t] <= m.rate_cap

    @m.Constraint(m.first_slots, doc="the job starts from zero servers")
    def first_ramp(m: Any, t: int) -> Any:
        return m.running[t] == m.up[t] - m.down[t]

    @m.Constraint(m.later_slots, doc="a change of servers is switched on or off")
    def ramp(m: Any, t: int) -> Any:
        return m.running[t] - m.running[t - 1] == m.up[t] - m.down[t]

    # The ramp after the last slot brings n_T down to zero: it costs β n_T and needs no variable.
    @m.Objective(sense=pyo.minimize, doc="carbon of running plus carbon of switching [g]")
    def emissions(m: Any) -> Any:
        execution = sum(
            m.carbon_g_per_kw[t] * m.power_kw[k] * m.share[t, k] for t in m.slots for k in m.levels
        )
        changes = sum(m.up[t] + m.down[t] for t in m.slots)
        ending = sum(m.running[t] for t in m.last_slots)
        return execution + m.switching_g * (changes + ending)

    return m


def model_data(instance: JobInstance) -> dict[str, Any]:
    """Data of the formulation by component name; levels are numbered from 1, off is left out."""
    profile = instance.levels
    slots = np.arange(1, instance.slots + 1)
    return {
        "slots": slots,
        "first_slots": slots[:1],
        "later_slots": slots[1:],
        "last_slots": slots[-1:],
        "levels": np.arange(1, len(profile.servers)),
        "carbon_g_per_kw": instance.carbon * instance.slot_hours,
        "servers": profile.servers[1:],
        "throughput": profile.throughput[1:],
        "power_kw": profile.power_kw[1:],
        "work": float(instance.parameters.work),
        "switching_g": float(instance.parameters.switching_g),
        "rate_cap": instance.cap,
    }


def concrete_model(instance: JobInstance) -> pyo.ConcreteModel:
    """The formulation with the data of an instance, as an ordinary Pyomo model."""
    return instance_of(formulation(), model_data(instance), name=instance.name)
