r"""The mathematics of GPUs at wind sites.

**In words.** Install GPUs and batteries at some sites, once. Then, in every slot of every scenario,
run GPUs at the sites: as many as are installed, as the wind, the battery and the site's grid
connection can feed, and as the demand needs. The demand that is left runs on the grid. What is
installed costs the same however it is used; energy costs what is used of it; what is left to the
grid costs a GPU and its energy there. A firm fleet leaves no more than a given share to the grid,
in each scenario.

**In symbols.** Scenario k has probability :math:`\pi_k`; a slot stands for :math:`h_{kt}` hours.

.. math::
    \min \sum_s (K H n_s + F_s o_s + B b_s)
    + \sum_k \pi_k \sum_t h_{kt} \Big( c_g u_{kt} + \sum_s \big( c_w
    (x_{kts} + \tfrac{1}{w} q_{kts}) + c_b y_{kts} \big) \Big)

    \text{demand}      && \sum_s (x_{kts} + y_{kts} + \tfrac{1}{w} d_{kts}) + u_{kt} &= D_{kt} \\
    \text{size}        && x_{kts} + y_{kts} + \tfrac{1}{w} d_{kts} &\le n_s \\
    \text{wind}        && w x_{kts} + q_{kts} &\le P_{kts} \\
    \text{energy}      && e_{kts} = e_{k,t-1,s} + \Delta (\eta q_{kts} - d_{kts}) &\le b_s \\
    \text{rate}        && q_{kts},\ d_{kts} &\le b_s / h_b \\
    \text{connection}  && w y_{kts} &\le G_s \\
    \text{firmness}    && \sum_t h_{kt} u_{kt} &\le \epsilon \sum_t h_{kt} D_{kt} \quad \forall k \\
    \text{opening}     && n_s &\le N_s o_s, \quad o_s \in \{0, 1\} \\
    \text{modules}     && n_s &= m z_s, \quad z_s \in \mathbb{Z}

=====================  =====================  ===================================================
symbol                 name                   meaning, unit
=====================  =====================  ===================================================
:math:`K H`            ``installed_usd``      cost of an installed GPU through all hours [USD]
:math:`F_s`            ``opening_usd``        cost of using a site [USD]
:math:`B`              ``battery_usd``        cost of a kWh of battery [USD/kWh]
:math:`c_g, c_w, c_b`  ``grid_usd``,          cost of a GPU-hour on the grid, and of the energy of
                       ``wind_usd``,          a GPU-hour from the wind and from the site's grid
                       ``backup_usd``         connection [USD/h]
:math:`\pi_k h_{kt}`   ``weight``             expected hours of a slot [h]
:math:`h_{kt}`         ``hours``              hours that a slot stands for [h]
:math:`\Delta`         ``step``               length of a slot [h]
:math:`D, P`           ``demand``,            demand [GPUs], and wind power in GPUs that it can
                       ``wind``               feed, :math:`P / w` [GPUs]
:math:`N_s, B_s, G_s`  ``most_gpus`` ...      limits of a site [GPUs], [kWh], [GPUs]
:math:`n, b, o, z`     ``size``, ``battery``, GPUs, battery [kWh], whether a site is used, modules
                       ``used``, ``modules``
:math:`x, y, u`        ``direct``,            GPUs that run on wind, on the site's grid connection,
                       ``backed``, ``unmet``  and of the demand left to the grid [GPUs]
:math:`q, d, e`        ``charge``,            flow into, out of and energy in the battery, counted
                       ``discharge``,         in GPUs and GPU-hours, as :math:`q/w, d/w, e/w`
                       ``stored``
=====================  =====================  ===================================================

Batteries are empty before the first slot; one at a site without GPUs has nobody to serve.

**Averse to risk.** With weight :math:`\lambda` on the mean of the dearest scenarios, those of
probability :math:`1 - \beta` in all, the energy and the grid of scenario k, :math:`E_k`, count
:math:`(1 - \lambda) \sum_k \pi_k E_k + \lambda (\zeta + \sum_k \pi_k \delta_k / (1 - \beta))` with
:math:`\delta_k \ge E_k - \zeta`, :math:`\delta_k \ge 0`: the conditional value at risk (CVaR) of
Rockafellar and Uryasev, "Optimization of conditional value-at-risk" (2000). What is installed costs
the same in all scenarios, so this is the same mixture of mean and CVaR of the whole cost. In the
code :math:`\zeta` is ``at_risk`` and :math:`\delta` is ``excess``.

Where no site has an opening cost or modules, the model is a linear programme. Everything here but
CVaR is our own; the idea of sizing wind sites is that of "AI Greenferencing" (arXiv:2505.09989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.risk import NEUTRAL, Risk
from optmodels.solver.template import instance_of

if TYPE_CHECKING:
    from optmodels.rightsizing.sites.instance import SitesInstance


@dataclass(frozen=True)
class Scenario:
    """One course of the wind and the demand.

    Attributes
    ----------
    power_kw
        Wind power [kW], shape (T, S).
    demand
        Demand [GPUs], shape (T,).
    hours
        Hours that each slot stands for [h], shape (T,): its own length, or more where slots were
        drawn or joined. They must add up to the hours of the instance, over which what is
        installed is paid for.
    probability
        Probability of the scenario.
    """

    power_kw: FloatArray
    demand: FloatArray
    hours: FloatArray
    probability: float = 1.0


@cache
def formulation(risk: bool = False) -> pyo.AbstractModel:
    """The formulation without any data in it.

    Parameters
    ----------
    risk
        Whether it has the rows and variables of CVaR.
    """
    m = pyo.AbstractModel(name="rightsizing.sites")
    m.scenarios = pyo.Set(doc="scenarios, from 1")
    m.slots = pyo.Set(doc="slots of a scenario, from 1")
    m.first_slots = pyo.Set(within=m.slots, doc="the slot before which batteries are empty")
    m.later_slots = pyo.Set(within=m.slots, doc="slots that have a slot before them")
    m.sites = pyo.Set(doc="sites that may be used")
    m.plain_sites = pyo.Set(within=m.sites, doc="sites with neither battery nor grid connection")
    m.equipped_sites = pyo.Set(within=m.sites, doc="sites with a battery or a grid connection")
    m.opened_sites = pyo.Set(within=m.sites, doc="sites that cost something to be used at all")
    m.modular_sites = pyo.Set(within=m.sites, doc="sites that hold whole modules")
    m.firm_scenarios = pyo.Set(within=m.scenarios, doc="scenarios in which the fleet is firm")

    for name in ("installed_usd", "battery_usd", "grid_usd", "wind_usd", "backup_usd"):
        setattr(m, name, pyo.Param(mutable=True))
    m.efficiency = pyo.Param(mutable=True)
    m.step = pyo.Param(mutable=True, doc="length of a slot for batteries [h]")
    m.rate = pyo.Param(mutable=True, doc="full battery power per battery capacity [1/h]")
    m.gpu_kw = pyo.Param(mutable=True)
    m.module_gpus = pyo.Param(mutable=True)
    m.opening_usd = pyo.Param(m.sites, mutable=True)
    m.least_gpus = pyo.Param(m.sites, mutable=True)
    m.most_gpus = pyo.Param(m.sites, mutable=True)
    m.least_battery = pyo.Param(m.sites, mutable=True)
    m.most_battery = pyo.Param(m.sites, mutable=True)
    m.most_backed = pyo.Param(m.sites, mutable=True)
    m.demand = pyo.Param(m.scenarios, m.slots, mutable=True)
    m.hours = pyo.Param(m.scenarios, m.slots, mutable=True)
    m.weight = pyo.Param(m.scenarios, m.slots, mutable=True)
    m.wind = pyo.Param(m.scenarios, m.slots, m.sites, mutable=True)
    m.unmet_most = pyo.Param(m.scenarios, mutable=True)

    m.size = pyo.Var(m.sites, bounds=lambda m, s: (m.least_gpus[s], m.most_gpus[s]))
    m.battery = pyo.Var(
        m.equipped_sites, bounds=lambda m, s: (m.least_battery[s], m.most_battery[s])
    )
    m.used = pyo.Var(m.opened_sites, within=pyo.Binary)
    m.modules = pyo.Var(m.modular_sites, within=pyo.NonNegativeIntegers)
    m.direct = pyo.Var(
        m.scenarios, m.slots, m.sites, bounds=lambda m, k, t, s: (0.0, m.wind[k, t, s])
    )
    m.backed = pyo.Var(
        m.scenarios, m.slots, m.equipped_sites, bounds=lambda m, k, t, s: (0.0, m.most_backed[s])
    )
    m.charge = pyo.Var(m.scenarios, m.slots, m.equipped_sites, within=pyo.NonNegativeReals)
    m.discharge = pyo.Var(m.scenarios, m.slots, m.equipped_sites, within=pyo.NonNegativeReals)
    m.stored = pyo.Var(m.scenarios, m.slots, m.equipped_sites, within=pyo.NonNegativeReals)
    m.unmet = pyo.Var(m.scenarios, m.slots, within=pyo.NonNegativeReals)

    @m.Constraint(m.scenarios, m.slots, doc="the fleet and the grid serve the demand")
    def serve(m: Any, k: int, t: int) -> Any:
        direct = sum(m.direct[k, t, s] for s in m.sites)
        other = sum(m.backed[k, t, s] + m.discharge[k, t, s] for s in m.equipped_sites)
        return direct + other + m.unmet[k, t] == m.demand[k, t]

    @m.Constraint(m.scenarios, m.slots, m.plain_sites, doc="no more GPUs run than are installed")
    def plain_size(m: Any, k: int, t: int, s: int) -> Any:
        return m.direct[k, t, s] <= m.size[s]

    @m.Constraint(m.scenarios, m.slots, m.equipped_sites, doc="no more GPUs run than installed")
    def equipped_size(m: Any, k: int, t: int, s: int) -> Any:
        return m.direct[k, t, s] + m.backed[k, t, s] + m.discharge[k, t, s] <= m.size[s]

    @m.Constraint(m.scenarios, m.slots, m.equipped_sites, doc="no more wind is used than blows")
    def wind_limit(m: Any, k: int, t: int, s: int) -> Any:
        return m.direct[k, t, s] + m.charge[k, t, s] <= m.wind[k, t, s]

    @m.Constraint(m.scenarios, m.first_slots, m.equipped_sites, doc="batteries start empty")
    def first_energy(m: Any, k: int, t: int, s: int) -> Any:
        return m.stored[k, t, s] == m.step * (
            m.efficiency * m.charge[k, t, s] - m.discharge[k, t, s]
        )

    @m.Constraint(
        m.scenarios, m.later_slots, m.equipped_sites, doc="energy is neither made nor lost"
    )
    def energy(m: Any, k: int, t: int, s: int) -> Any:
        return m.stored[k, t, s] == m.stored[k, t - 1, s] + m.step * (
            m.efficiency * m.charge[k, t, s] - m.discharge[k, t, s]
        )

    @m.Constraint(m.scenarios, m.slots, m.equipped_sites, doc="a battery holds what it can")
    def capacity(m: Any, k: int, t: int, s: int) -> Any:
        return m.gpu_kw * m.stored[k, t, s] <= m.battery[s]

    @m.Constraint(m.scenarios, m.slots, m.equipped_sites, doc="it is charged at its power")
    def charge_rate(m: Any, k: int, t: int, s: int) -> Any:
        return m.gpu_kw * m.charge[k, t, s] <= m.rate * m.battery[s]

    @m.Constraint(m.scenarios, m.slots, m.equipped_sites, doc="it is discharged at its power")
    def discharge_rate(m: Any, k: int, t: int, s: int) -> Any:
        return m.gpu_kw * m.discharge[k, t, s] <= m.rate * m.battery[s]

    @m.Constraint(m.firm_scenarios, doc="the fleet serves its share of the demand")
    def firmness(m: Any, k: int) -> Any:
        return sum(m.hours[k, t] * m.unmet[k, t] for t in m.slots) <= m.unmet_most[k]

    @m.Constraint(m.opened_sites, doc="GPUs stand only at sites that are used")
    def opening(m: Any, s: int) -> Any:
        return m.size[s] <= m.most_gpus[s] * m.used[s]

    @m.Constraint(m.modular_sites, doc="GPUs come in whole modules")
    def whole(m: Any, s: int) -> Any:
        return m.size[s] == m.module_gpus * m.modules[s]

    if risk:
        _add_tail(m)

    @m.Objective(
        sense=pyo.minimize, doc="cost of the fleet and of what it leaves to the grid [USD]"
    )
    def cost(m: Any) -> Any:
        installed = (
            sum(m.installed_usd * m.size[s] for s in m.sites)
            + sum(m.battery_usd * m.battery[s] for s in m.equipped_sites)
            + sum(m.opening_usd[s] * m.used[s] for s in m.opened_sites)
        )
        left = sum(
            m.weight[k, t] * m.grid_usd * m.unmet[k, t] for k in m.scenarios for t in m.slots
        )
        wind = sum(
            m.weight[k, t] * m.wind_usd * m.direct[k, t, s]
            for k in m.scenarios
            for t in m.slots
            for s in m.sites
        )
        equipped = sum(
            m.weight[k, t] * (m.wind_usd * m.charge[k, t, s] + m.backup_usd * m.backed[k, t, s])
            for k in m.scenarios
            for t in m.slots
            for s in m.equipped_sites
        )
        tail = 0.0
        if risk:
            tail = sum(m.tail_share * m.at_risk[i] for i in m.tail) + sum(
                m.tail_weight[k] * m.excess[k] for k in m.scenarios
            )
        return installed + left + wind + equipped + tail

    return m


def _add_tail(m: pyo.AbstractModel) -> None:
    """The value at risk, and by how much each scenario exceeds it."""
    m.tail = pyo.Set(doc="the one tail of dear scenarios")
    m.tail_share = pyo.Param(mutable=True)
    m.tail_weight = pyo.Param(m.scenarios, mutable=True)
    m.dearest = pyo.Param(mutable=True, doc="more than any scenario needs to cost [USD]")
    m.at_risk = pyo.Var(m.tail, bounds=lambda m, i: (0.0, m.dearest))
    m.excess = pyo.Var(m.scenarios, within=pyo.NonNegativeReals)

    @m.Constraint(m.scenarios, m.tail, doc="what a scenario costs beyond the value at risk")
    def exceed(m: Any, k: int, i: int) -> Any:
        left = sum(m.hours[k, t] * m.grid_usd * m.unmet[k, t] for t in m.slots)
        wind = sum(m.hours[k, t] * m.wind_usd * m.direct[k, t, s] for t in m.slots for s in m.sites)
        equipped = sum(
            m.hours[k, t] * (m.wind_usd * m.charge[k, t, s] + m.backup_usd * m.backed[k, t, s])
            for t in m.slots
            for s in m.equipped_sites
        )
        return left + wind + equipped <= m.at_risk[i] + m.excess[k]


def whole_series(instance: SitesInstance) -> Scenario:
    """The series of an instance as its only scenario."""
    hours = np.full(instance.slots, instance.slot_hours)
    return Scenario(instance.power_kw, instance.demand, hours)


def model_data(
    instance: SitesInstance,
    scenarios: Sequence[Scenario] | None = None,
    *,
    fixed: tuple[FloatArray, FloatArray] | None = None,
    integer: bool = True,
    risk: Risk = NEUTRAL,
) -> dict[str, Any]:
    """Data of the formulation by component name; only sites that may be used appear.

    Parameters
    ----------
    instance
        The question.
    scenarios
        Courses of wind and demand, all of one length; by default the series of the instance.
    fixed
        GPUs and battery [kWh] of each site, shapes (S,), where only the dispatch is asked for;
        openings and modules are then left out.
    integer
        Whether openings and modules are asked for; without them the model is a relaxation, whose
        openings are free.
    risk
        How much the dearest scenarios count; with a weight, the data are those of
        ``formulation(risk=True)``.
    """
    courses = [whole_series(instance)] if scenarios is None else list(scenarios)
    sites: NDArray[np.int64] = np.flatnonzero(instance.eligible)
    number = sites + 1
    w = instance.gpu_kw
    p = instance.parameters
    demand = np.stack([c.demand for c in courses])
    hours = np.stack([c.hours for c in courses])
    chance = np.array([c.probability for c in courses])
    weight = (1 - risk.weight) * hours * chance[:, None]
    equipped = (instance.battery_max_kwh > 0) | (instance.backup_kw > 0)
    least = (np.zeros(len(instance.sites)),) * 2 if fixed is None else fixed
    most = (instance.most_gpus, instance.battery_max_kwh) if fixed is None else fixed
    choosing = integer and fixed is None
    names = np.arange(1, len(courses) + 1)
    slots = np.arange(1, demand.shape[1] + 1)
    share = p.unmet_share_max
    data = {
        "scenarios": names,
        "slots": slots,
        "first_slots": slots[:1],
        "later_slots": slots[1:],
        "sites": number,
        "plain_sites": number[~equipped[sites]],
        "equipped_sites": number[equipped[sites]],
        "opened_sites": number[instance.opening_usd[sites] > 0] if choosing else number[:0],
        "modular_sites": number if choosing and p.module_gpus is not None else number[:0],
        "firm_scenarios": names[:0] if share is None else names,
        "installed_usd": instance.installed_usd * instance.hours,
        "battery_usd": instance.battery_usd,
        "grid_usd": instance.grid_usd,
        "wind_usd": instance.wind_usd,
        "backup_usd": instance.backup_usd,
        "efficiency": float(p.battery_efficiency),
        "step": instance.slot_hours,
        "rate": 1 / float(p.battery_hours),
        "gpu_kw": w,
        "module_gpus": float(p.module_gpus or 1),
        "opening_usd": instance.opening_usd[sites],
        "least_gpus": least[0][sites],
        "most_gpus": most[0][sites],
        "least_battery": least[1][sites],
        "most_battery": most[1][sites],
        "most_backed": instance.backup_kw[sites] / w,
        "demand": demand,
        "hours": hours,
        "weight": weight,
        "wind": np.stack([c.power_kw for c in courses])[:, :, sites] / w,
        "unmet_most": (0.0 if share is None else share) * (hours * demand).sum(axis=1),
    }
    if risk.weight > 0:
        prices = (instance.grid_usd, instance.backup_usd, instance.wind_usd / p.battery_efficiency)
        data |= {
            "tail": names[:1],
            "tail_share": risk.weight,
            "tail_weight": risk.weight / (1 - risk.level) * chance,
            "dearest": max(prices) * float((hours * demand).sum(axis=1).max()),
        }
    return data


def concrete_model(instance: SitesInstance) -> pyo.ConcreteModel:
    """The formulation with the data of an instance, as an ordinary Pyomo model."""
    return instance_of(formulation(), model_data(instance), name=instance.name)
