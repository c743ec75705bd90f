r"""Lost requests against energy, carbon and money: the least weighted sums.

Weights :math:`v` by objective turn each period into one linear programme, in which a lost request,
a kW of wind and a kW from the grid have prices:

.. math::
    a = v_\text{lost} \tau, \qquad
    \kappa_r = h W_r (v_\text{energy} + v_\text{carbon} c^w + v_\text{usd} p^w), \qquad
    \beta_{ts} = h \big( v_\text{carbon} (c_{ts} - c^w) + v_\text{usd} (p_{ts} - p^w) \big)

with the period's length :math:`\tau` [s] and :math:`h` [h], carbon intensities c and prices p of
the wind (w) and the grid. The bound is that of `optmodels.routing.sites.prices`, period by period;
the plan is made whole as the oracle's is.

A site only draws from the grid what its wind does not cover. Where the grid is cheaper than the
wind (:math:`\beta_{ts} < 0`) the cost of a site is concave in what it draws. There the bound uses
the chord below it: nothing for the import, and :math:`\beta_{ts} B_s / (P_{ts} + B_s)` less for
each kW.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from optmodels.errors import SolverError
from optmodels.plan import Plan, Provenance
from optmodels.policy import FloatArray
from optmodels.registry import Weighted
from optmodels.routing.sites.audit import audit
from optmodels.routing.sites.dispatch import Decisions, Dispatch, Loading, tables_of
from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.foresight import USUAL_WAY, Foresight, question_of
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.prices import price_bound
from optmodels.routing.sites.programme import Costs, Programme
from optmodels.routing.sites.rounding import Limits, configuration, floored, repaired
from optmodels.routing.sites.sending import Sender

#: What can be traded, and the column of the cost that holds it.
OBJECTIVES: Mapping[str, str] = MappingProxyType(
    {
        "lost_requests": "total",
        "energy_kwh": "energy_kwh",
        "carbon_g": "carbon_g",
        "usd": "usd",
    }
)

#: Relative difference between two computations of one number that rounding explains.
_ROUNDING = 1e-7


@dataclass(frozen=True, eq=False)
class _Prices:
    """Prices of a weighting, in units of the largest of them.

    Attributes
    ----------
    unit
        What one stands for in the weighted sum.
    lost
        Of a lost request per second through a period.
    power
        Of a kW of wind through a period.
    imported
        What a kW from the grid costs beyond that, (T, S).
    """

    unit: float
    lost: float
    power: float
    imported: FloatArray

    def whole(self, fleet: Fleet, t: int) -> Costs:
        """Costs of what is configured and runs."""
        return replace(
            Costs.loss(fleet),
            lost=self.lost,
            running=self.power * fleet.draw_kw,
            idle=self.power * fleet.idle_of_degree,
            imported=np.maximum(self.imported[t], 0.0),
        )

    def least(self, fleet: Fleet, power_kw: FloatArray, t: int) -> Costs:
        """Costs that are nowhere above the true ones, of what runs."""
        cheaper = np.minimum(self.imported[t], 0.0)
        most = power_kw + fleet.backup_kw
        chord = cheaper * fleet.backup_kw / np.where(most > 0, most, 1.0)
        power = self.power + float(chord.min(initial=0.0))
        return replace(
            Costs.loss(fleet),
            lost=self.lost,
            running=power * fleet.kw,
            imported=np.maximum(self.imported[t], 0.0),
        )


def weighted(
    instance: RoutingInstance,
    weights: Mapping[str, float],
    *,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Weighted:
    """Find a plan of a small weighted sum, with a bound for any plan.

    Parameters
    ----------
    instance
        The question.
    weights
        Weight by objective, at least 0: ``lost_requests``, ``energy_kwh``, ``carbon_g``, ``usd``.
    time_limit_s, mip_gap
        Not used: the linear programmes of the periods are small.

    Raises
    ------
    SolverError
        The bound is above the plan.
    """
    del time_limit_s, mip_gap
    started = time.perf_counter()
    fleet = Fleet.of(instance)
    part = {name: float(weights.get(name, 0.0)) for name in OBJECTIVES}
    prices = _prices_of(instance, part)
    decisions = _decide(instance, fleet, prices)
    bound = prices.unit * _bound(instance, fleet, prices)
    words = " + ".join(f"{weight:.6g} × {name}" for name, weight in part.items() if weight)
    tables = tables_of(instance, decisions)
    plan = Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="weighted optimum",
        # Least in the weighted sum: of the instance's own objective nothing is proven.
        status="feasible",
        bound=None,
        tables=tables,
        audit=audit(instance, tables),
        provenance=Provenance(
            f"least {words}, periods one by one, made whole", time.perf_counter() - started
        ),
    )
    value = sum(weight * plan.cost[OBJECTIVES[name]] for name, weight in part.items())
    scale = prices.unit * prices.lost * float(instance.demand.sum())
    if bound > value + _ROUNDING * (abs(value) + scale):
        raise SolverError(
            f"The bound on the weighted sum for {instance.name} is {bound:.12g}, above the "
            f"{value:.12g} of its own plan."
        )
    return Weighted(plan, value, min(bound, value))


def _prices_of(instance: RoutingInstance, weight: Mapping[str, float]) -> _Prices:
    p, hours = instance.parameters, instance.period_hours
    wind_g, wind_usd = float(p.wind_g_per_kwh), float(p.wind_usd_per_kwh)
    lost = weight["lost_requests"] * instance.period_seconds
    power = hours * (weight["energy_kwh"] + weight["carbon_g"] * wind_g + weight["usd"] * wind_usd)
    imported = hours * (
        weight["carbon_g"] * (instance.carbon - wind_g)
        + weight["usd"] * (instance.price - wind_usd)
    )
    used = imported * (instance.backup_kw > 0)
    unit = max(lost, power, float(np.abs(used).max(initial=0.0)))
    unit = unit if unit > 0 else 1.0
    return _Prices(unit, lost / unit, power / unit, used / unit)


def _decide(instance: RoutingInstance, fleet: Fleet, prices: _Prices) -> Decisions:
    """Whole instances and their flows, period by period."""
    if prices.power == 0 and not prices.imported.any():
        second = str(instance.parameters.second_objective)
        return Foresight(question_of(instance, fleet), second).make(USUAL_WAY)[0]
    programme, sender = Programme(fleet), Sender(fleet)
    loading = Loading(instance.reload_seconds / instance.period_seconds)
    share = min(loading.reload_periods, 1.0)
    parts: list[Decisions] = []
    for t, (power, demand) in enumerate(zip(instance.power_kw, instance.demand, strict=True)):
        costs = prices.whole(fleet, t)
        before = loading.configured
        point = programme.weigh(
            costs,
            power,
            demand,
            before=None if before is None else before.astype(np.float64),
            reload_share=share,
        )
        limits = Limits(power + fleet.backup_kw)
        # An instance pays if it serves enough for what the grid asks where the wind is used up.
        priced = replace(costs, running=costs.running + float(costs.imported.max()) * fleet.kw)
        running = repaired(fleet, floored(fleet, point, limits), demand, limits, priced)
        # Where idle instances cost, none is kept for later.
        kept = before if prices.power * fleet.idle_kw == 0 else None
        held = configuration(fleet, running, limits.power_kw, before=kept)
        effective, loading = loading.after(held)
        flow = sender.send(running, demand, effective).flow
        parts.append(Decisions.of([Dispatch(held, running, flow)]))
    return Decisions.joined(parts)


def _bound(instance: RoutingInstance, fleet: Fleet, prices: _Prices) -> float:
    """Least weighted sum of all periods, in units of the prices."""
    programme, total = Programme(fleet, free=True), 0.0
    for t, (power, demand) in enumerate(zip(instance.power_kw, instance.demand, strict=True)):
        costs = prices.least(fleet, power, t)
        point = programme.weigh(costs, power, demand)
        total += max(0.0, price_bound(fleet, costs, power, demand, point))
    return total
