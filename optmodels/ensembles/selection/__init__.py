"""The problem of selecting ensembles: which models run on which servers, if servers fail.

Rooms: `instance` (data) with its `checks`, `failures` (which servers fail together), `accuracies`
(how accurate every set of members is, by rule or as measured), `tasks` (all of that as arrays),
`evaluation` (what members are worth), `audit`, `configurations` (everything that an application may
deploy), `model` (the mathematics), `pricing` and `votes` (two ways through it), `optimum` (the
oracle), `weighted` (errors against energy, and the price of robustness), `greedy`, `caruana`,
`stacking` and `diversity` with the `policies` that use them (`undisturbed`: as if nothing failed),
`replay` (one application after the other), `pool` (instances from arrays of predictions), `limits`
(why nobody can serve somebody), `synthetic` (where instances come from).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.ensembles.selection import policies, synthetic, undisturbed
from optmodels.ensembles.selection.audit import audit
from optmodels.ensembles.selection.charts import accuracy_chart, memory_chart
from optmodels.ensembles.selection.greedy import matroids
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.limits import explain
from optmodels.ensembles.selection.optimum import METHODS, certified, solve
from optmodels.ensembles.selection.replay import SelectionEnvironment, decisions
from optmodels.ensembles.selection.weighted import OBJECTIVES, weighted
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.registry import Problem, Series

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        policies.BestSingle,
        policies.MostAccurate,
        policies.Smallest,
        policies.RandomMembers,
        undisturbed.Caruana,
        undisturbed.BaggedCaruana,
        undisturbed.Stacked,
        undisturbed.NoFailures,
        policies.Diverse,
        policies.Greedy,
        policies.GreedyPerMegabyte,
        policies.LookAhead,
        policies.FailureAwareCaruana,
        policies.ExpectedInTurn,
        policies.WorstInTurn,
        policies.GreedyByWeight,
    )
}


def facts(instance: SelectionInstance, plan: Plan) -> dict[str, float]:
    """Nothing beside the costs, which tell errors on validation and hold-out samples."""
    return {}


def certify(instance: SelectionInstance, policy: Policy, plan: Plan, optimum: Plan) -> float | None:
    """Limit on the error of greedy selection where the gain is monotone and submodular.

    These are the rules "best" and "cover" for the expectation of one application whose limits are
    p matroids: greedy has 1 / (p + 1) of the optimum's gain at least.
    """
    if policy.name != policies.Greedy.name or len(instance.tasks) != 1:
        return None
    task, rules = instance.tasks[0], instance.rules
    count = matroids(task, instance.servers, rules)
    submodular = task.rule in ("best", "cover") and task.fallback == 0
    if not submodular or rules.expected_share < 1 or count is None:
        return None
    # The bound of the oracle is on the safe side: no selection gains more than that says.
    least = optimum.objective if optimum.bound is None else optimum.bound
    return certified(instance, 1.0 - least, count)


def series(instance: SelectionInstance) -> Series:
    """Shares in the order of the applications; no policy asks for forecasts of them."""
    return Series(np.array([task.share for task in instance.tasks]), 1, None, default="perfect")


PROBLEM = Problem(
    name="ensembles.selection",
    title=SelectionInstance.title,
    instance=SelectionInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(POLICIES),
    environment=SelectionEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="best-single",
    soft="these applications cannot be served",
    objectives=OBJECTIVES,
    weighted=weighted,
    charts={"accuracy": accuracy_chart, "memory": memory_chart, "costs": cost_chart},
)
