"""The problem of applications at edge sites: who runs where, for least carbon.

Rooms: `instance` (data) with its `checks`, `model` (the mathematics), `prices` (what a placement is
charged for), `fillings` (what a server can hold), `audit` (what a plan costs), `optimum` (the
oracle) with `columns`, `restart` and `diving` (its relaxation and whole servers), `closing` and
`corners` (what closes a gap) and `packing` (application by application), `greedy` and `policies`
with `replay` (who decides, batch by batch), `weighted` (trade-offs), `limits` (why there is no
place), `synthetic`, `from_maps` and `catalogue` (where instances come from).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.placement.edge import policies, synthetic
from optmodels.placement.edge.audit import audit, read_placement
from optmodels.placement.edge.charts import placement_chart
from optmodels.placement.edge.instance import EdgeInstance
from optmodels.placement.edge.limits import explain
from optmodels.placement.edge.optimum import METHODS, solve
from optmodels.placement.edge.replay import EdgeEnvironment, decisions
from optmodels.placement.edge.weighted import OBJECTIVES, weighted
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.registry import Problem, Series

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        policies.LatencyAware,
        policies.EnergyAware,
        policies.IntensityAware,
        policies.OneByOne,
        policies.CarbonEdge,
    )
}


def facts(instance: EdgeInstance, plan: Plan) -> dict[str, float]:
    """How far applications are from their users, and what the policies were told.

    ``mean_rtt_ms`` is the mean round trip of the applications that are placed, ``max_rtt_ms`` the
    longest; ``batches`` how many came one after another; ``out_of_sample`` is 1 where policies were
    told a forecast of the intensities.
    """
    placement, _ = read_placement(instance, plan.tables)
    count = placement.rows[:, 3]
    trips = instance.rtt_ms[placement.rows[:, 0], placement.rows[:, 1]]
    return {
        "mean_rtt_ms": float(trips @ count / count.sum()) if len(count) else float("nan"),
        "max_rtt_ms": float(trips.max(initial=0.0)),
        "batches": len(np.unique(instance.batch)),
        "out_of_sample": int("forecast" in instance.tables),
    }


def certify(instance: EdgeInstance, policy: Policy, plan: Plan, optimum: Plan) -> float | None:
    """Nothing is proven about the cost of a policy."""
    del instance, policy, plan, optimum
    return None


def series(instance: EdgeInstance) -> Series:
    """Intensities of the groups; a period has one each, so no policy asks for forecasts."""
    return Series(instance.intensity, 1, None, default="perfect")


PROBLEM = Problem(
    name="placement.edge",
    title=EdgeInstance.title,
    instance=EdgeInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(POLICIES),
    environment=EdgeEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="latency-aware",
    objectives=OBJECTIVES,
    weighted=weighted,
    charts={"map": placement_chart, "costs": cost_chart},
)
