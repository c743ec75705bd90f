"""The problem of inference requests at wind sites: where each is served, and at which settings.

Rooms: `instance` with `profile` and `checks` (data), `model` with `fleet`, `hulls` and `programme`
(the mathematics), `physics` and `audit` (what a plan does and costs), `dispatch` (decisions and
their tables), `planner`, `control`, `rounding` and `sending` (planning a slot and a period),
`optimum` with `prices` (the oracle and its bound), `merged` (another bound), `weighted`, `limits`
(why requests are lost), `replay` and `policies` (who decides), `scheduler`, `serving`, `requests`
and `simulation` (single requests), `charts` (pictures), `synthetic`, `from_traces`, `from_wind`,
`measured`, `laws` and `network` (where instances come from).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.forecast import PublishedForecast
from optmodels.plan import Plan
from optmodels.policy import FloatArray, Policy
from optmodels.registry import Problem, Series
from optmodels.routing.sites import synthetic
from optmodels.routing.sites.audit import audit, facts_of
from optmodels.routing.sites.charts import power_chart, served_chart, site_chart
from optmodels.routing.sites.dispatch import read_decisions
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.limits import explain
from optmodels.routing.sites.optimum import METHODS, solve
from optmodels.routing.sites.policies import POLICIES
from optmodels.routing.sites.replay import RoutingEnvironment, decisions, joined_series
from optmodels.routing.sites.weighted import OBJECTIVES, weighted


def facts(instance: RoutingInstance, plan: Plan) -> dict[str, float]:
    """Goodput, attainment, reloads and the share of the wind that is spilled (see `facts_of`)."""
    return facts_of(instance, read_decisions(instance, plan.tables)[0])


def certify(instance: RoutingInstance, policy: Policy, plan: Plan, optimum: Plan) -> float | None:
    """Nothing is proven about what a policy loses."""
    return None


def series(instance: RoutingInstance) -> Series:
    """Power by site and demand by origin and class, which forecasts speak of."""
    return Series(
        joined_series(instance),
        instance.periods_per_day,
        None,
        default="persistence",
        published=_published(instance),
    )


def _published(instance: RoutingInstance) -> PublishedForecast | None:
    """Power as published the day before; of demand nothing is published."""
    if instance.published_kw is None:
        return None
    nothing = np.full((instance.periods, instance.demand[0].size), np.nan)
    values: FloatArray = np.concatenate([instance.published_kw, nothing], axis=1)
    # Days are those of UTC.
    day = instance.times.normalize().asi8
    return PublishedForecast(
        values, np.searchsorted(day, day, side="right"), instance.periods_per_day
    )


PROBLEM = Problem(
    name="routing.sites",
    title=RoutingInstance.title,
    instance=RoutingInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(POLICIES),
    environment=RoutingEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="weighted-round-robin",
    planner="heron",
    objectives=OBJECTIVES,
    weighted=weighted,
    soft="some requests must be lost",
    charts={
        "power": power_chart,
        "served": served_chart,
        "sites": site_chart,
        "costs": cost_chart,
    },
)
