"""The problem of failover with replicas of many sizes.

Rooms: `instance` (data) with its `checks` and `candidates`; `timeline` (what happens when);
`warm_model` (mathematics of warm backups) with `grouping`, `warm_backups` (the best of them, by
three methods) with `greedy`; `recovering` (what to load at a failure); `model` and `relaxation`
(mathematics of both together); `audit` (what a plan loses) with `plan_tables`; `optimum` (the
oracle); `actions`, `replay` and `policies` (who decides); `limits` (who stays without a backup),
`weighted` (trade-off), `headroom` (how much to keep free), `figures` (frames and charts);
`synthetic`, `load_times`, `torchvision` and `from_events` (where instances come from).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.ensembles.failover import synthetic
from optmodels.ensembles.failover.audit import audit
from optmodels.ensembles.failover.figures import plot_failover
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.limits import explain
from optmodels.ensembles.failover.optimum import METHODS, solve
from optmodels.ensembles.failover.policies import KINDS
from optmodels.ensembles.failover.replay import FailoverEnvironment, decisions
from optmodels.ensembles.failover.weighted import OBJECTIVES, weighted
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.registry import Problem, Series

POLICIES: dict[str, type[Policy]] = {kind.name: kind for kind in KINDS}


def facts(instance: FailoverInstance, plan: Plan) -> dict[str, float]:
    """How many critical applications have a warm backup, as a share of them."""
    critical = set(np.array(instance.applications)[instance.critical].tolist())
    covered = len(critical & set(plan.tables["warm"]["application"]))
    return {"critical_covered": covered / len(critical) if critical else float("nan")}


def certify(instance: FailoverInstance, policy: Policy, plan: Plan, optimum: Plan) -> None:
    """Nothing is proven about what a rule loses."""
    del instance, policy, plan, optimum


def series(instance: FailoverInstance) -> Series:
    """Probability of each failure; no rule asks for forecasts."""
    chances = np.array([failure.probability for failure in instance.failures])
    return Series(chances, 1, None, default="perfect")


PROBLEM = Problem(
    name="ensembles.failover",
    title=FailoverInstance.title,
    instance=FailoverInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(POLICIES),
    environment=FailoverEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="full-cold",
    objectives=OBJECTIVES,
    weighted=weighted,
    soft="some critical applications have no warm backup",
    charts={"timeline": plot_failover, "costs": cost_chart},
)
