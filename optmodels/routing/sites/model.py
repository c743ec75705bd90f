r"""The mathematics of inference requests at wind sites.

**In words.** Configure instances at the sites, of some degree of tensor parallelism each; run some
of them on rows of the profile, each of which serves one class; send requests from origins to them.
Instances take GPUs and power. What is newly configured loads first. What is not served is lost.

**In symbols.** Periods t, sites s, rows r of class :math:`c_r` and degree :math:`g_r`, origins o;
bins b are sets of rows at a site which serve one class and the same origins within the limits
(`optmodels.routing.sites.fleet`), so that flows need not know rows.

.. math::
    \min \; a \sum_{t,o,c} \omega_c u_{toc} + \sum_{t,s,r} \kappa_{sr} n_{tsr}
    + \sum_{t,s,g} \iota_{sg} m_{tsg} + \sum_{t,s} \beta_{ts} i_{ts}
    + \sum_{t,o,b} \rho_{ob} y_{tob}

    \text{GPUs (L1)}   && \sum_g g\, m_{tsg} + \sum_{r \text{ free}} g_r n_{tsr} &\le G_s \\
    \text{power (L2)}  && \sum_r (W_r - w g_r)\, n_{tsr} + \sum_g w g\, m_{tsg} - i_{ts} &\le P_{ts}
    \quad (i_{ts} \le B_s) \\
    \text{demand (L3)} && \sum_b y_{tob} + u_{toc} &= D_{toc} \\
    \text{capacity}    && \sum_o y_{tob} &\le \sum_{r \in b} \lambda_r v_{tsr} \\
    \text{serving}     && v_{tsr} &\le n_{tsr} \\
    \text{running}     && \sum_{r: g_r = g} n_{tsr} &\le m_{tsg} \\
    \text{loading (L4)}&& \sum_{r: g_r = g} v_{tsr} &\le m_{tsg} - \phi\, h_{tsg},
    \quad h_{tsg} \ge m_{tsg} - m_{t-1,sg},\; h \ge 0 \\
    \text{worst loss}  && \sum_{t,o,c} \omega_c u_{toc} &\le U

=======================  =====================  ===================================================
symbol                   name                   meaning, unit
=======================  =====================  ===================================================
:math:`G_s, P_{ts}`      ``gpus``, ``power_kw`` GPUs; wind power [kW]
:math:`B_s, i_{ts}`      ``backup_kw``,         grid power that may be, and is, drawn [kW]
                         ``imported``
:math:`D_{toc}, u`       ``demand``, ``lost``   arriving and lost requests [1/s]
:math:`\omega_c`         ``weight``             what a request counts
:math:`\lambda_r, W_r`   ``rate``, ``draw_kw``  requests that an instance serves [1/s]; the power
                                                that running adds, :math:`W_r - w g_r` [kW]
:math:`g`                ``tp``, ``degree``     GPUs of an instance
:math:`w g`              ``idle_kw``            power of a configured instance that does not run
                                                [kW], 0 where GPUs are switched off
:math:`n, v`             ``running``,           instances that run, and of these those that serve
                         ``serving``            (in the mean over the period)
:math:`m, h`             ``configured``,        instances that hold GPUs, and how many of these are
                         ``added``              new
:math:`\phi`             ``reload_share``       share of a period that loading takes, at most 1
:math:`y`                ``flow``               requests from an origin to a bin [1/s]
:math:`a, \kappa,`       ``lost_weight``,       coefficients of the objective of a phase: first the
:math:`\iota, \beta,`    ``running_cost``,      loss alone (a = 1), then times or power (a = 0)
:math:`\rho`             ``idle_cost``,         with the loss at most
                         ``import_cost``,
                         ``flow_cost``
:math:`U`                ``most_lost``          the loss of the first phase; no limit in that phase
=======================  =====================  ===================================================

The second objective is the power, :math:`\kappa_{sr} = W_r` (less what is idle), or the time that
requests spend: by Little's law :math:`\kappa_{sr} = \lambda_r e_r` is the mean number of requests
in an instance of residence :math:`e_r`, and :math:`\rho_{ob}` is the round trip.

`formulation` is the mixed-integer programme in whole instances. `relaxation` is its linear
programme, in which everything that runs serves (:math:`v = n`) and rows may be *free*: of any
degree at any time, without an instance being configured. That leaves out loading, so its optimum
bounds what any policy can do in a period.

That one plans an integer programme from power and load every quarter of an hour is Heron's idea
("AI Greenferencing", arXiv:2505.09989); its formulas are not public, and everything here is ours.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import Fleet, IntArray
from optmodels.routing.sites.hulls import Columns, all_columns
from optmodels.solver.template import instance_of

if TYPE_CHECKING:
    from optmodels.routing.sites.instance import RoutingInstance


@cache
def formulation() -> pyo.AbstractModel:
    """The mixed-integer programme, without any data in it."""
    m = pyo.AbstractModel(name="routing.sites")
    _add_data(m)
    m.running = pyo.Var(m.periods, m.rows, within=pyo.NonNegativeIntegers)
    m.serving = pyo.Var(m.periods, m.rows, within=pyo.NonNegativeReals)
    m.configured = pyo.Var(m.periods, m.groups, within=pyo.NonNegativeIntegers)
    _add_flows(m)

    @m.Constraint(m.periods, m.bins, doc="flows are served by the instances of their bin")
    def capacity(m: Any, t: int, b: int) -> Any:
        served = sum(m.rate[s, r] * m.serving[t, s, r] for s, r in m.rows_of_bin[b])
        return sum(m.flow[t, o, b] for o in m.origins_of_bin[b]) <= served

    @m.Constraint(m.periods, m.rows, doc="only what runs serves")
    def serve(m: Any, t: int, s: int, r: int) -> Any:
        return m.serving[t, s, r] <= m.running[t, s, r]

    @m.Constraint(m.periods, m.groups, doc="only what is configured runs")
    def run(m: Any, t: int, s: int, g: int) -> Any:
        return sum(m.running[t, s, r] for r in m.rows_of_group[s, g]) <= m.configured[t, s, g]

    @m.Constraint(m.periods, m.groups, doc="only what has loaded serves")
    def loading(m: Any, t: int, s: int, g: int) -> Any:
        loaded = m.configured[t, s, g] - m.reload_share * m.added[t, s, g]
        return sum(m.serving[t, s, r] for r in m.rows_of_group[s, g]) <= loaded

    _add_limits(m)
    return m


@cache
def relaxation() -> pyo.AbstractModel:
    """The linear programme, in which rows may be free of degrees, without any data in it."""
    m = pyo.AbstractModel(name="routing.sites relaxation")
    _add_data(m)
    m.least_configured = pyo.Param(m.groups, mutable=True, default=0.0)
    m.most_configured = pyo.Param(m.groups, mutable=True, default=np.inf)
    m.most_running = pyo.Param(m.rows, mutable=True, default=np.inf)
    m.running = pyo.Var(m.periods, m.rows, bounds=lambda m, t, s, r: (0.0, m.most_running[s, r]))
    m.configured = pyo.Var(
        m.periods,
        m.groups,
        bounds=lambda m, t, s, g: (m.least_configured[s, g], m.most_configured[s, g]),
    )
    _add_flows(m)

    @m.Constraint(m.periods, m.bins, doc="flows are served by the instances of their bin")
    def capacity(m: Any, t: int, b: int) -> Any:
        served = sum(m.rate[s, r] * m.running[t, s, r] for s, r in m.rows_of_bin[b])
        return sum(m.flow[t, o, b] for o in m.origins_of_bin[b]) <= served

    @m.Constraint(m.periods, m.groups, doc="only what is configured and has loaded runs")
    def loading(m: Any, t: int, s: int, g: int) -> Any:
        loaded = m.configured[t, s, g] - m.reload_share * m.added[t, s, g]
        return sum(m.running[t, s, r] for r in m.rows_of_group[s, g]) <= loaded

    _add_limits(m)
    return m


def _add_data(m: pyo.AbstractModel) -> None:
    """Sets and parameters of both models."""
    m.periods = pyo.Set(doc="periods, from 0")
    m.first_periods = pyo.Set(within=m.periods, doc="the period before which `before` was the case")
    m.later_periods = pyo.Set(within=m.periods, doc="periods that have a period before them")
    m.sites = pyo.Set(doc="sites")
    m.bins = pyo.Set(doc="bins: rows of one class and reach at a site")
    m.rows = pyo.Set(dimen=2, doc="a site and a row that may run there")
    m.groups = pyo.Set(dimen=2, doc="a site and a degree of which instances are configured there")
    m.demands = pyo.Set(dimen=2, doc="an origin and a class")
    m.arcs = pyo.Set(dimen=2, doc="an origin and a bin that serves it within the limits")
    m.rows_of_site = pyo.Set(m.sites, doc="rows that may run at a site")
    m.free_rows_of_site = pyo.Set(m.sites, doc="those that need no configured instance")
    m.groups_of_site = pyo.Set(m.sites, doc="degrees of which instances are configured at a site")
    m.rows_of_group = pyo.Set(m.groups, doc="rows of a degree at a site")
    m.rows_of_bin = pyo.Set(m.bins, dimen=2, doc="sites and rows of a bin")
    m.origins_of_bin = pyo.Set(m.bins, doc="origins that a bin serves")
    m.bins_of_demand = pyo.Set(m.demands, doc="bins that serve a class for an origin")

    m.power_kw = pyo.Param(m.periods, m.sites, mutable=True)
    m.backup_kw = pyo.Param(m.sites, mutable=True)
    m.gpus = pyo.Param(m.sites, mutable=True)
    m.demand = pyo.Param(m.periods, m.demands, mutable=True)
    m.weight = pyo.Param(m.demands, mutable=True)
    m.rate = pyo.Param(m.rows)
    m.draw_kw = pyo.Param(m.rows)
    m.tp = pyo.Param(m.rows)
    m.degree = pyo.Param(m.groups)
    m.idle_kw = pyo.Param(m.groups)
    m.before = pyo.Param(m.groups, mutable=True)
    m.reload_share = pyo.Param(mutable=True)
    m.lost_weight = pyo.Param(mutable=True)
    m.running_cost = pyo.Param(m.rows, mutable=True)
    m.idle_cost = pyo.Param(m.groups, mutable=True)
    m.import_cost = pyo.Param(m.periods, m.sites, mutable=True)
    m.flow_cost = pyo.Param(m.arcs, mutable=True)
    m.most_lost = pyo.Param(mutable=True)


def _add_flows(m: pyo.AbstractModel) -> None:
    """Variables that are continuous in both models."""
    m.added = pyo.Var(m.periods, m.groups, within=pyo.NonNegativeReals)
    m.imported = pyo.Var(m.periods, m.sites, bounds=lambda m, t, s: (0.0, m.backup_kw[s]))
    m.flow = pyo.Var(m.periods, m.arcs, within=pyo.NonNegativeReals)
    m.lost = pyo.Var(m.periods, m.demands, within=pyo.NonNegativeReals)


def _add_limits(m: pyo.AbstractModel) -> None:
    """Constraints and objective of both models."""

    @m.Constraint(m.periods, m.sites, doc="instances hold no more GPUs than the site has")
    def gpu_limit(m: Any, t: int, s: int) -> Any:
        held = sum(m.degree[s, g] * m.configured[t, s, g] for g in m.groups_of_site[s])
        free = sum(m.tp[s, r] * m.running[t, s, r] for r in m.free_rows_of_site[s])
        return held + free <= m.gpus[s]

    @m.Constraint(m.periods, m.sites, doc="instances draw no more power than there is")
    def power_limit(m: Any, t: int, s: int) -> Any:
        running = sum(m.draw_kw[s, r] * m.running[t, s, r] for r in m.rows_of_site[s])
        idle = sum(m.idle_kw[s, g] * m.configured[t, s, g] for g in m.groups_of_site[s])
        return running + idle - m.imported[t, s] <= m.power_kw[t, s]

    @m.Constraint(m.periods, m.demands, doc="every request is served or lost")
    def balance(m: Any, t: int, o: int, c: int) -> Any:
        served = sum(m.flow[t, o, b] for b in m.bins_of_demand[o, c])
        return served + m.lost[t, o, c] == m.demand[t, o, c]

    @m.Constraint(m.first_periods, m.groups, doc="what was not configured before is new")
    def first_added(m: Any, t: int, s: int, g: int) -> Any:
        return m.configured[t, s, g] - m.added[t, s, g] <= m.before[s, g]

    @m.Constraint(m.later_periods, m.groups, doc="what was not configured a period ago is new")
    def later_added(m: Any, t: int, s: int, g: int) -> Any:
        return m.configured[t, s, g] - m.added[t, s, g] <= m.configured[t - 1, s, g]

    @m.Constraint(doc="no more is lost than the first phase found")
    def worst_loss(m: Any) -> Any:
        lost = sum(m.weight[o, c] * m.lost[t, o, c] for t in m.periods for o, c in m.demands)
        return lost <= m.most_lost

    @m.Objective(sense=pyo.minimize, doc="lost requests, or times, power or other costs")
    def cost(m: Any) -> Any:
        lost = sum(
            m.lost_weight * m.weight[o, c] * m.lost[t, o, c]
            for t in m.periods
            for o, c in m.demands
        )
        running = sum(
            m.running_cost[s, r] * m.running[t, s, r] for t in m.periods for s, r in m.rows
        )
        idle = sum(
            m.idle_cost[s, g] * m.configured[t, s, g] for t in m.periods for s, g in m.groups
        )
        imports = sum(m.import_cost[t, s] * m.imported[t, s] for t in m.periods for s in m.sites)
        flows = sum(m.flow_cost[o, b] * m.flow[t, o, b] for t in m.periods for o, b in m.arcs)
        return lost + running + idle + imports + flows


def model_data(
    fleet: Fleet,
    columns: Columns,
    power_kw: FloatArray,
    demand: FloatArray,
    *,
    before: FloatArray | None = None,
    reload_share: float = 0.0,
    free: bool = False,
) -> dict[str, Any]:
    """Data of both models for the first phase, by component name.

    Parameters
    ----------
    fleet
        The fleet.
    columns
        Rows that may run at each site.
    power_kw
        Wind power [kW], shape (T, S).
    demand
        Arriving requests [1/s], shape (T, O, C).
    before
        Instances configured before the first period, shape (S, G); None where any configuration
        stands there loaded.
    reload_share
        Share of a period for which a new instance loads, at most 1.
    free
        Whether rows need no configured instances: for the relaxation, whose periods then do not
        know each other, and in which what does not run draws no power.
    """
    periods = np.arange(len(power_kw))
    sites = np.arange(fleet.sites)
    bins = fleet.bins
    site, row = columns.site, columns.row
    bin_of = bins.of[site, row]
    degrees = np.arange(len(fleet.degrees))
    group_site = np.repeat(sites, 0 if free else len(degrees))
    group_degree = np.tile(degrees, 0 if free else len(sites))
    origin, of_class = (
        part.ravel() for part in np.indices((fleet.origins, fleet.classes), dtype=np.int64)
    )
    arc_bin, arc_origin = np.nonzero(bins.origins)
    by_bin = np.argsort(bin_of, kind="stable")
    group = site * len(degrees) + fleet.degree_of[row]
    by_group = np.argsort(group, kind="stable")
    by_demand = np.lexsort((arc_bin, bins.row_class[arc_bin], arc_origin))
    demand_of_arc = arc_origin * fleet.classes + bins.row_class[arc_bin]
    grouped = 0 if free else len(group_site)
    return {
        "periods": periods,
        "first_periods": periods[:1],
        "later_periods": periods[1:],
        "sites": sites,
        "bins": np.arange(len(bins)),
        "rows": (site, row),
        "groups": (group_site, group_degree),
        "demands": (origin, of_class),
        "arcs": (arc_origin, arc_bin),
        "rows_of_site": (_starts(site, len(sites)), row),
        "free_rows_of_site": (
            (_starts(site, len(sites)), row)
            if free
            else (np.zeros(len(sites) + 1, dtype=np.int64), row[:0])
        ),
        "groups_of_site": (_starts(group_site, len(sites)), group_degree),
        "rows_of_group": (
            _starts(group[by_group], grouped),
            row[by_group][: None if grouped else 0],
        ),
        "rows_of_bin": (_starts(bin_of[by_bin], len(bins)), (site[by_bin], row[by_bin])),
        "origins_of_bin": (_starts(arc_bin, len(bins)), arc_origin),
        "bins_of_demand": (
            _starts(demand_of_arc[by_demand], len(origin)),
            arc_bin[by_demand],
        ),
        "power_kw": power_kw,
        "backup_kw": fleet.backup_kw,
        "gpus": np.asarray(fleet.gpus, dtype=np.float64),
        "demand": demand.ravel(),
        "weight": fleet.weight[of_class],
        "rate": fleet.rate[row],
        "draw_kw": (fleet.kw if free else fleet.draw_kw)[row],
        "tp": fleet.tp[row].astype(np.float64),
        "degree": fleet.degrees[group_degree].astype(np.float64),
        "idle_kw": fleet.idle_of_degree[group_degree],
        "before": np.repeat(fleet.gpus, len(degrees))[:grouped] // fleet.degrees[group_degree]
        if before is None
        else before.ravel(),
        "reload_share": float(reload_share),
        "lost_weight": 1.0,
        "running_cost": np.zeros(len(site)),
        "idle_cost": np.zeros(len(group_site)),
        "import_cost": np.zeros((len(periods), len(sites))),
        "flow_cost": np.zeros(len(arc_bin)),
        # More than there is to lose: no limit.
        "most_lost": 1.0 + float(demand.sum(axis=(0, 1)) @ fleet.weight),
    }


def concrete_model(instance: RoutingInstance) -> pyo.ConcreteModel:
    """The fewest lost requests of an instance's first slot, as an ordinary Pyomo model."""
    end = min(instance.periods_per_slot, instance.periods)
    fleet = Fleet.of(instance)
    data = model_data(
        fleet,
        all_columns(fleet),
        instance.power_kw[:end],
        instance.demand[:end],
        reload_share=min(instance.reload_seconds / instance.period_seconds, 1.0),
    )
    return instance_of(formulation(), data, name=instance.name)


def _starts(sorted_labels: IntArray, count: int) -> IntArray:
    found: IntArray = np.searchsorted(sorted_labels, np.arange(count + 1))
    return found
