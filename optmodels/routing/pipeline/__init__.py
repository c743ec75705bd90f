"""The problem of serving pipelines: which hosts, which transports, which network cards.

Rooms: `transport` (times of one hop), `instance` (data) with its `checks`, `steps` and `layers`
(the layered graph), `model` (the mathematics), `audit` (what a plan costs), `labels` (one service,
exactly), `optimum` (the oracle), `assigning`, `policies` and `replay` (rules and their one
decision), `relaxation`, `limits` (why there are no routes), `weighted` (cost against latency),
`improving` (making a plan cheaper), `mva`, `serving` and `loaded` (latency under load), `figures`
(frames and charts for an analyst), `synthetic` and `catalogue` (where instances come from).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.registry import Problem, Series
from optmodels.routing.pipeline import policies, synthetic
from optmodels.routing.pipeline.audit import audit, decision_of, load_of, steps_of
from optmodels.routing.pipeline.charts import latency_chart, services_chart
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.limits import explain
from optmodels.routing.pipeline.optimum import METHODS, solve
from optmodels.routing.pipeline.replay import PipelineEnvironment, decisions
from optmodels.routing.pipeline.steps import Steps
from optmodels.routing.pipeline.transport import VERBS
from optmodels.routing.pipeline.weighted import OBJECTIVES, weighted

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        policies.AllTcp,
        policies.AllRdma,
        policies.GpudirectFirst,
        policies.Colocated,
        policies.MinLatency,
        policies.MinCost,
        policies.SharedCards,
        policies.GreedyCards,
        policies.LpRounding,
        policies.RandomRoutes,
    )
}


def facts(instance: PipelineInstance, plan: Plan) -> dict[str, float]:
    """How requests travel, and how full the facility is.

    ``rdma_share`` is the share of the hops between hosts, weighted by requests, that go by RDMA or
    GPUDirect; ``slowest`` the largest latency relative to its limit; ``fullest`` the largest share
    of a resource that is taken.
    """
    steps = Steps(instance)
    routes = decision_of(instance, plan.tables).routes
    fast = hops = slowest = 0.0
    taken = []
    for service, route in zip(instance.services, routes, strict=True):
        if route is None:
            continue
        taken.append(steps_of(steps, service, route))
        kinds = [visit.kind for visit in route[1:] if visit.kind != "local"]
        hops += service.rate_per_s * len(kinds)
        fast += service.rate_per_s * sum(kind in VERBS for kind in kinds)
        delay = sum(step.delay_ms for step in taken[-1])
        slowest = max(slowest, delay / service.limit_ms)
    capacity = steps.resources.capacity
    load = load_of(steps, taken)
    share = np.divide(load, capacity, out=np.zeros_like(load), where=capacity > 0)
    return {
        "rdma_share": fast / hops if hops > 0 else 0.0,
        "slowest": slowest,
        "fullest": float(share.max(initial=0.0)),
    }


def certify(instance: PipelineInstance, policy: Policy, plan: Plan, optimum: Plan) -> float | None:
    """Nothing is proven about the cost of a rule."""
    return None


def series(instance: PipelineInstance) -> Series:
    """Rates of the services; they are known, so no rule asks for forecasts."""
    return Series(instance.rates, 1, None, default="perfect")


PROBLEM = Problem(
    name="routing.pipeline",
    title=PipelineInstance.title,
    instance=PipelineInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(POLICIES),
    environment=PipelineEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="all-tcp",
    objectives=OBJECTIVES,
    weighted=weighted,
    charts={
        "latency": latency_chart,
        "services": services_chart,
        "costs": cost_chart,
    },
)
