"""The problem of a cluster of elastic batch jobs that share a capacity which follows carbon.

Rooms: `instance` with `checks` (data), `model` (the mathematics), `audit` (what a plan costs),
`optimum`, `bound` and `greedy` (the oracle, its bound, and the oracle of the paper), `replay` (a
run under a policy), `policies`, `carbonscaler`, `capacity_curves`, `learning`, `receding` and
`opportunity` (who decides), `synthetic`, `from_trace`, `load` and `profile_facts` (where instances
come from).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.registry import Problem, Series
from optmodels.scaling.cluster import capacity_curves, carbonscaler, policies, synthetic
from optmodels.scaling.cluster.audit import audit, outcome, read_schedule
from optmodels.scaling.cluster.charts import fleet_chart
from optmodels.scaling.cluster.instance import ClusterInstance
from optmodels.scaling.cluster.learning.carbonflex import CarbonFlex
from optmodels.scaling.cluster.limits import explain
from optmodels.scaling.cluster.opportunity import OpportunityPrice
from optmodels.scaling.cluster.optimum import METHODS, solve
from optmodels.scaling.cluster.receding import RecedingHorizon
from optmodels.scaling.cluster.replay import ClusterEnvironment, decisions
from optmodels.scaling.cluster.weighted import OBJECTIVES, weighted

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        policies.Fcfs,
        policies.LowestWindow,
        policies.LowestSlot,
        policies.CarbonTime,
        policies.WaitAwhile,
        policies.Ecovisor,
        carbonscaler.CarbonScaler,
        capacity_curves.Vcc,
        capacity_curves.VccScaling,
        CarbonFlex,
        RecedingHorizon,
        OpportunityPrice,
    )
}


def facts(instance: ClusterInstance, plan: Plan) -> dict[str, float]:
    """How long jobs were delayed, how many were late, and how much of the cluster was used.

    ``mean_delay_h`` is the mean time between arrival and end beyond the length of a job [h];
    ``late_share`` the share of jobs that ended after their due slot; ``mean_violation`` the mean
    excess of the delay over the allowed one, relative to it, over the jobs that are allowed any
    (as CarbonFlex counts it); ``utilisation`` the server-hours in use relative to those of the
    cluster in the hours of the carbon series.
    """
    schedule, _ = read_schedule(instance, plan.tables)
    result = outcome(instance, schedule)
    allowed = instance.queues.delay[instance.jobs.queue]
    may = allowed > 0
    excess = np.maximum(result.delay[may] - allowed[may], 0.0) / allowed[may]
    hours = instance.slots * instance.slot_hours
    return {
        "mean_delay_h": float(result.delay.mean()) * instance.slot_hours,
        "late_share": float((result.late > 0).mean()),
        "mean_violation": float(excess.mean()) if may.any() else 0.0,
        "utilisation": plan.cost["server_hours"] / (instance.capacity * hours),
    }


def certify(
    instance: ClusterInstance,
    policy: Policy,
    plan: Plan,
    optimum: Plan,
) -> None:
    """No policy of this problem carries a proof."""
    del instance, policy, plan, optimum


def series(instance: ClusterInstance) -> Series:
    """Carbon intensity, which forecasts speak of."""
    return Series(instance.carbon, instance.slots_per_day, instance.vintages(), default="perfect")


PROBLEM = Problem(
    name="scaling.cluster",
    title=ClusterInstance.title,
    instance=ClusterInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(POLICIES),
    environment=ClusterEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="fcfs",
    planner="receding-horizon",
    objectives=OBJECTIVES,
    weighted=weighted,
    soft="some jobs must be late",
    charts={"fleet": fleet_chart, "costs": cost_chart},
)
