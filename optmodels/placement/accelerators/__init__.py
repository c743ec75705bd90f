"""The problem of sharing accelerators: which applications share which nodes.

Rooms: `hardware` (nodes, devices, applications), `instance` (data) with its `checks`, `response`
(how long requests take, by formula), `audit` (what a placement loses), `judging` (how long they
take, by simulation), `columns` and `model` (the mathematics), `optimum` (the oracle), `fitting`,
`policies`, `foresight` and `replay` (one application after the other), `migration` (moving who is
late), `limits` (why nobody can host somebody), `synthetic` (where instances come from).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.placement.accelerators import foresight, policies, synthetic
from optmodels.placement.accelerators.audit import audit
from optmodels.placement.accelerators.charts import load_chart
from optmodels.placement.accelerators.instance import AcceleratorsInstance
from optmodels.placement.accelerators.judging import judge
from optmodels.placement.accelerators.knapsack import Knapsack
from optmodels.placement.accelerators.limits import explain
from optmodels.placement.accelerators.optimum import METHODS, solve
from optmodels.placement.accelerators.replay import AcceleratorsEnvironment, decisions
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.registry import Problem, Series

#: Requests per node that the facts of a comparison are measured by.
FACT_REQUESTS = 20_000

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        policies.MemoryFirst,
        policies.MemoryBest,
        policies.MemoryWorst,
        policies.Grouping,
        Knapsack,
        policies.FirstFit,
        policies.BestFit,
        policies.WorstFit,
        policies.Breadth,
        policies.Depth,
        policies.Heterogeneous,
        policies.RandomDevice,
        policies.Repair,
        foresight.SmallFirst,
        foresight.LargeFirst,
        foresight.TightFirst,
    )
}


def facts(instance: AcceleratorsInstance, plan: Plan) -> dict[str, float]:
    """What a short simulation says of a placement.

    ``simulated_kept`` applications are on nodes on which nobody is late beyond two standard errors,
    ``simulated_late`` are late beyond that; ``judging.judge`` simulates as long as one likes.
    """
    found = judge(instance, plan, requests=FACT_REQUESTS)
    return {"simulated_kept": found.surely_kept, "simulated_late": found.surely_late}


def certify(
    instance: AcceleratorsInstance, policy: Policy, plan: Plan, optimum: Plan
) -> float | None:
    """Nothing is proven about what a policy loses."""
    return None


def series(instance: AcceleratorsInstance) -> Series:
    """Rates in the order of arrival; no policy asks for forecasts of them."""
    rates = np.array([1000 * application.rate_per_ms for application in instance.applications])
    return Series(rates, 1, None, default="perfect")


PROBLEM = Problem(
    name="placement.accelerators",
    title=AcceleratorsInstance.title,
    instance=AcceleratorsInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(POLICIES),
    environment=AcceleratorsEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="memory-first",
    soft="these applications must be rejected",
    charts={"load": load_chart, "costs": cost_chart},
)
