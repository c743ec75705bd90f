"""The problem of GPUs at wind sites: which sites get how many.

Rooms: `instance` (data) with its `checks`, `model` (the mathematics), `audit` (what a plan costs),
`optimum` (the oracle), `dispatch` (running a fleet that stands), `sizing` (sizes from a series
alone), `policies` and `replay` (rules and their one decision), `stochastic` (sizes for several
scenarios), `scenarios` and `risk` (many scenarios, and fear of the dearest), `hedging` (sizes for
them on MPI ranks, with its `subproblem` and `wheel`), `figures` (frames for an analyst), `limits`
(why no fleet is firm enough), `synthetic` (where instances come from).
"""

from __future__ import annotations

import numpy as np

from optmodels.canvas import cost_chart
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.registry import Problem, Series
from optmodels.rightsizing.sites import policies, synthetic
from optmodels.rightsizing.sites.audit import audit
from optmodels.rightsizing.sites.charts import site_chart
from optmodels.rightsizing.sites.figures import decisions_of, powered_shares
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.limits import explain
from optmodels.rightsizing.sites.optimum import METHODS, solve
from optmodels.rightsizing.sites.replay import SitesEnvironment, decisions

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        policies.GridOnly,
        policies.Largest,
        policies.Percentile,
        policies.BreakEven,
        policies.Newsvendor,
        policies.NameplateShare,
        policies.JointLp,
    )
}


def facts(instance: SitesInstance, plan: Plan) -> dict[str, float]:
    """How well a fleet is used, and what the rules were told.

    ``sites`` are open; ``utilisation`` is the share of the installed GPU-hours that is useful;
    ``powered_p5`` the 5th percentile of the share of GPUs that the wind can feed; ``unmet_share``
    of the demand is left to the grid; ``out_of_sample`` is 1 where the rules decided on an earlier
    series, 0 where they knew the one that counts.
    """
    fleet, flows = decisions_of(instance, plan)
    total = float(fleet.gpus.sum())
    served = float(flows.gpus.sum())
    powered = powered_shares(instance, fleet)
    return {
        "sites": int(fleet.open.sum()),
        "utilisation": served / (total * instance.slots) if total > 0 else float("nan"),
        "powered_p5": float(np.percentile(powered, 5)),
        "unmet_share": 1 - served / float(instance.demand.sum()),
        "out_of_sample": int(instance.past_kw is not None),
    }


def certify(instance: SitesInstance, policy: Policy, plan: Plan, optimum: Plan) -> float | None:
    """Nothing is proven about the cost of a rule."""
    return None


def series(instance: SitesInstance) -> Series:
    """Wind power of all sites together; sizes are decided once, so no rule asks for forecasts."""
    per_day = max(1, round(24 / instance.slot_hours))
    return Series(instance.power_kw.sum(axis=1), per_day, None, default="perfect")


PROBLEM = Problem(
    name="rightsizing.sites",
    title=SitesInstance.title,
    instance=SitesInstance,
    solve=solve,
    methods=METHODS,
    audit=audit,
    explain=explain,
    generate=synthetic.generate,
    sizes=synthetic.SIZES,
    policies=POLICIES,
    default_policies=tuple(POLICIES),
    environment=SitesEnvironment,
    decisions=decisions,
    facts=facts,
    certify=certify,
    series=series,
    baseline="grid-only",
    charts={"sites": site_chart, "costs": cost_chart},
)
