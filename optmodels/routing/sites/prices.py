r"""What no policy undercuts: bounds from prices, on all rows of the profile.

Let :math:`\pi_{oc}` be any prices of requests with :math:`0 \le \pi_{oc} \le a \omega_c`, where
:math:`a \omega_c` is what a lost request costs. Whoever serves a request saves at most its price
beyond what all requests would pay, so for each site only this remains: the most that its instances
can earn at these prices,

.. math::
    \max_{n \ge 0} \sum_r (\lambda_r \kappa_{sr} - c_r)\, n_r
    \quad\text{with}\quad \sum_r W_r n_r \le P_s + i,\; i \le B_s,\; \sum_r g_r n_r \le G_s ,

where :math:`\kappa_{sr}` is the highest price that the row reaches, :math:`c_r` what an instance
costs and :math:`\beta_s i` what import costs. Its dual is cheap to bound: prices :math:`\mu` of a
kW and :math:`\gamma` of a GPU with
:math:`\mu W_r + \gamma g_r \ge \lambda_r \kappa_{sr} - c_r` for all rows. So

.. math::
    \text{least cost} \;\ge\; \sum_{o,c} \pi_{oc} D_{oc}
    - \sum_s \big(\mu P_s + (\mu - \beta_s)^+ B_s + \gamma G_s\big) .

The prices come from the linear programme; they are stretched until the condition holds for every
row of the profile, computed here in numpy. The bound then depends neither on which rows the
programme was given nor on the solver's tolerance. This is the Lagrangian bound of the decomposition
by sites; loading, degrees and whole instances are left out, so it holds for every policy.
"""

from __future__ import annotations

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.programme import Costs, Point, Programme


def price_bound(
    fleet: Fleet, costs: Costs, power_kw: FloatArray, demand: FloatArray, point: Point
) -> float:
    """Lower bound on the weighted cost of a period, per second.

    Parameters
    ----------
    fleet
        The fleet.
    costs
        What losses, running instances and imports cost; flows must cost nothing or more, and
        nothing that idles may earn.
    power_kw
        Wind power of each site [kW], (S,).
    demand
        Arriving requests [1/s], (O, C).
    point
        Optimum of the linear programme, for its prices. Worse prices give a lower bound, which
        holds all the same.
    """
    price = np.clip(point.demand_price, 0.0, costs.lost * fleet.weight)
    masked = np.where(fleet.reach_origins[:, :, None], price, 0.0)
    highest = masked.max(axis=1, initial=0.0)
    earned = fleet.rate * highest[fleet.reach, fleet.row_class] - costs.running
    earned = np.where(fleet.bins.of >= 0, np.maximum(earned, 0.0), 0.0)
    power, gpu = np.maximum(point.power_price, 0.0), np.maximum(point.gpu_price, 0.0)
    paid = power[:, None] * fleet.kw + gpu[:, None] * fleet.tp
    with np.errstate(divide="ignore", invalid="ignore"):
        stretch = np.where(earned > 0, earned / paid, 0.0).max(axis=1, initial=0.0)
    usable = np.isfinite(stretch)
    stretch = np.where(usable, stretch, 0.0)
    # Where the prices are of no use, power or GPUs alone pay for everything.
    by_power = (earned / fleet.kw).max(axis=1, initial=0.0)
    by_gpu = (earned / fleet.tp).max(axis=1, initial=0.0)

    def worth(kw_price: FloatArray, gpu_price: FloatArray) -> FloatArray:
        bought = np.maximum(kw_price - costs.imported, 0.0) * fleet.backup_kw
        total: FloatArray = kw_price * power_kw + bought + gpu_price * fleet.gpus
        return total

    nothing = np.zeros(fleet.sites)
    sites = np.minimum(worth(by_power, nothing), worth(nothing, by_gpu))
    stretched = np.where(usable, worth(stretch * power, stretch * gpu), np.inf)
    return float((price * demand).sum() - np.minimum(sites, stretched).sum())


def least_losses(fleet: Fleet, power_kw: FloatArray, demand: FloatArray) -> FloatArray:
    """Weighted requests that every policy loses at least in each period [1/s], (T,).

    Parameters
    ----------
    fleet
        The fleet.
    power_kw
        Wind power [kW], (T, S).
    demand
        Arriving requests [1/s], (T, O, C).
    """
    programme, costs = Programme(fleet, free=True), Costs.loss(fleet)
    least = np.zeros(len(power_kw))
    for t, (power, wanted) in enumerate(zip(power_kw, demand, strict=True)):
        point = programme.solve(power, wanted)
        least[t] = max(0.0, price_bound(fleet, costs, power, wanted, point))
    return least
