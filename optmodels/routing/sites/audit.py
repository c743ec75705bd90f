"""The audit of requests at wind sites: the only place where its losses, kWh and grams are computed.

A plan has three tables, of which rows of zeros are left out: ``configuration`` (time, site, tp,
instances), ``running`` (time, site, row, instances) and ``flows`` (time, origin, site, row,
requests_per_s). What is drawn, imported and served, which instances load and which requests keep
their limits is recomputed here from the raw instance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from optmodels.plan import Audit, Cost
from optmodels.routing.sites.dispatch import Decisions, read_decisions
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.physics import (
    Balance,
    balance,
    broken_limits,
    effective_instances,
    unserved,
)
from optmodels.violations import audited


def audit(instance: RoutingInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what a plan loses and draws, and which limits it breaks.

    Parameters
    ----------
    instance
        The question.
    tables
        ``configuration``, ``running`` and ``flows``.

    Returns
    -------
    Audit
        Cost: the requests that are lost, because nobody serves them or because their limits are
        not kept, each with the weight of its class. With it those that are served late, energy,
        import, carbon and money, the wind that is spilled and the mean time from end to end; and
        the violations.
    """
    decisions, violations = read_decisions(instance, tables)
    found = balance(instance, decisions)
    effective = effective_instances(instance, decisions.configured)
    violations += broken_limits(instance, decisions, found, effective)
    return audited(cost_of(instance, found), violations)


def cost_of(instance: RoutingInstance, found: Balance) -> Cost:
    """What decisions on all periods cost, allowed or not."""
    p, hours = instance.parameters, instance.period_hours
    lost = unserved(instance.demand, found.in_time).sum(axis=(0, 1))
    late = (found.served - found.in_time).sum(axis=(0, 1))
    # Where the draw is above the wind by rounding only, nothing is imported.
    short = np.maximum(found.draw_kw - instance.power_kw, 0.0)
    import_kw = np.minimum(short, instance.backup_kw)
    wind_kw = found.draw_kw - import_kw
    import_kwh = import_kw * hours
    wind_kwh = float(wind_kw.sum()) * hours
    served = float(found.served.sum())
    return Cost(
        parts={"lost_requests": float(lost @ instance.weight) * instance.period_seconds},
        quantities={
            "late_requests": float(late @ instance.weight) * instance.period_seconds,
            "energy_kwh": float(found.draw_kw.sum()) * hours,
            "imported_kwh": float(import_kwh.sum()),
            "carbon_g": wind_kwh * float(p.wind_g_per_kwh)
            + float((import_kwh * instance.carbon).sum()),
            "usd": wind_kwh * float(p.wind_usd_per_kwh)
            + float((import_kwh * instance.price).sum()),
            "spilled_kwh": float(np.maximum(instance.power_kw - wind_kw, 0.0).sum()) * hours,
            "mean_e2e_s": float(found.in_system.sum()) / served if served > 0 else 0.0,
        },
        unit="requests",
    )


def facts_of(instance: RoutingInstance, decisions: Decisions) -> dict[str, float]:
    """What a comparison shows of decisions beside their cost.

    ``goodput_per_s`` is the mean rate of requests that keep their limits, each with the weight of
    its class [1/s]; ``attainment`` the share of all arrivals that they are, unweighted (1 where
    none arrive); ``reloads`` the instances that were newly configured; ``spilled_share`` the share
    of the wind that nobody used.
    """
    found = balance(instance, decisions)
    in_time = found.in_time.sum(axis=(0, 1))
    arrivals = float(instance.demand.sum())
    change = np.diff(decisions.configured, axis=0)
    wind = float(instance.power_kw.sum())
    used = float(np.minimum(found.draw_kw, instance.power_kw).sum())
    return {
        "goodput_per_s": float(in_time @ instance.weight) / instance.periods,
        "attainment": min(float(in_time.sum()) / arrivals, 1.0) if arrivals > 0 else 1.0,
        "reloads": int(np.maximum(change, 0).sum()),
        "spilled_share": 1 - used / wind if wind > 0 else 0.0,
    }
