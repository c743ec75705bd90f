"""The problem of one elastic job: when should it run, and on how many servers.

Rooms: `instance` (data), `model` (the mathematics), `audit` (what a plan costs), `optimum` (the
oracle), `weighted` (its trade-offs), `replay` (a run under a policy), `policies`,
`threshold_policies` and `rolling` with its `window` (who decides), `guarantees` (what is proven),
`synthetic` and `from_trace` (where instances come from), `staircase` (where worst cases are).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.registry import Problem, Series
from optmodels.scaling.job import policies, rolling, synthetic, threshold_policies
from optmodels.scaling.job.audit import audit
from optmodels.scaling.job.charts import schedule_chart
from optmodels.scaling.job.instance import JobInstance
from optmodels.scaling.job.limits import explain
from optmodels.scaling.job.optimum import METHODS, solve
from optmodels.scaling.job.replay import JobEnvironment, decisions
from optmodels.scaling.job.staircase import StaircaseSpace, published_excess
from optmodels.scaling.job.weighted import OBJECTIVES, weighted

#: Changes of the number of servers below this share of the largest are rounding, not switches.
_SWITCH = 1e-9

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        policies.RunNow,
        policies.DeadlineAware,
        policies.BaseScale,
        policies.RandomSlots,
        policies.StaticScale,
        policies.SuspendResumeThreshold,
        policies.SuspendResumeDeadline,
        policies.LowestSlots,
        policies.CarbonScaler,
        policies.RecedingHorizon,
        rolling.RollingJob,
        threshold_policies.SimpleThreshold,
        threshold_policies.OneWayTrading,
        threshold_policies.Roro,
        threshold_policies.RoroPlus,
        threshold_policies.RateLimitedRoro,
        threshold_policies.RoAdvice,
        threshold_policies.Clip,
        threshold_policies.RoroPredicted,
        threshold_policies.RoroLongest,
        threshold_policies.RobustRoro,
        threshold_policies.Lacs,
        threshold_policies.DoublingRoro,
    )
}

#: Not in the usual comparison: base-scale is run-now where there is no profile, and the rolling
#: horizon brings Pyomo with it, while the receding horizon plans up to the deadline without.
_ON_REQUEST = ("base-scale", "rolling-horizon")


def facts(instance: JobInstance, plan: Plan) -> dict[str, float]:
    """How often a plan changes its number of servers, and when it is done.

    ``switches`` counts the changes between slots, both end ramps included; ``finish_slot`` is the
    number of slots until the work is done.
    """
    servers = plan.tables["schedule"]["servers"].to_numpy()
    changes = np.abs(np.diff(servers, prepend=0.0, append=0.0))
    running = np.flatnonzero(servers > _SWITCH * instance.cap)
    return {
        "switches": int((changes > _SWITCH * instance.cap).sum()),
        "finish_slot": int(running[-1]) + 1,
    }


def certify(
    instance: JobInstance,
    policy: Policy,
    plan: Plan,
    optimum: Plan,
) -> float | None:
    """Proven upper limit on the cost of the run that the policy has just made [g], or None."""
    if not isinstance(policy, threshold_policies.ThresholdPolicy):
        return None
    return policy.certified_limit(instance, optimum.objective)


def series(instance: JobInstance) -> Series:
    """Carbon intensity, which forecasts speak of."""
    per_day = round(24 * 60 / instance.parameters.slot_minutes)
    return Series(instance.carbon, max(1, per_day), instance.vintages())


PROBLEM = Problem(
    name="scaling.job",
    title=JobInstance.title,
    instance=JobInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(name for name in POLICIES if name not in _ON_REQUEST),
    environment=JobEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="run-now",
    planner="receding-horizon",
    space=StaircaseSpace,
    measures={"published-excess": published_excess},
    objectives=OBJECTIVES,
    weighted=weighted,
    charts={"schedule": schedule_chart, "costs": cost_chart},
)
