"""Why requests are lost: which classes, origins, hours and sites, in words.

An instance can always be planned: what cannot be served is lost. That requests must be lost is
proven, period by period, by the bound that holds for every policy
(`optmodels.routing.sites.prices`); its prices say which sites lack power and which lack GPUs.
Losses of whole instances and of loading, which the bound leaves out, are not explained.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import BoolArray, Fleet
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.prices import price_bound
from optmodels.routing.sites.programme import Costs, Programme

#: Shares of all requests below this are rounding.
_ROUNDING = 1e-9
_SHOWN = 10


def explain(instance: RoutingInstance) -> list[str]:
    """Say which requests cannot be served and why; empty if none must be lost.

    The instance can be planned all the same: a lost request has a price.
    """
    fleet = Fleet.of(instance)
    lost, scarce_kw, scarce_gpus = _shortages(instance, fleet)
    total = float(instance.demand.sum(axis=(0, 1)) @ fleet.weight)
    if lost.sum() <= _ROUNDING * total:
        return []
    reasons = _unreachable(instance, fleet)
    short = lost > _ROUNDING * total / len(lost)
    seconds = instance.period_seconds
    reasons.append(
        f"requests: at least {lost.sum() * seconds:,.6g} of {total * seconds:,.6g} (weighted) are "
        f"lost, whatever anyone does, {_spans(instance, short)}"
    )
    for what, where in (("power", scarce_kw), ("GPUs", scarce_gpus)):
        parts = [
            f"{instance.sites[s]} in {int(where[:, s].sum())} of {instance.periods} periods"
            for s in np.argsort(-where.sum(axis=0), kind="stable")[:_SHOWN].tolist()
            if where[:, s].any()
        ]
        if parts:
            reasons.append(f"{what}: more would serve more at {', '.join(parts)}")
    dark = (np.asarray(instance.power_kw) + instance.backup_kw <= 0) & short[:, None]
    if dark.any():
        parts = [
            f"{instance.sites[s]} in {int(dark[:, s].sum())} periods"
            for s in np.flatnonzero(dark.any(axis=0))[:_SHOWN].tolist()
        ]
        reasons.append(f"calm: without any power are then {', '.join(parts)}")
    return reasons


def _shortages(instance: RoutingInstance, fleet: Fleet) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Least loss of each period (T,), and where power and GPUs are scarce in it (T, S)."""
    programme, costs = Programme(fleet, free=True), Costs.loss(fleet)
    lost = np.zeros(instance.periods)
    shape = (instance.periods, fleet.sites)
    power, gpus = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    for t, (there, wanted) in enumerate(zip(instance.power_kw, instance.demand, strict=True)):
        point = programme.solve(there, wanted)
        lost[t] = max(0.0, price_bound(fleet, costs, there, wanted, point))
        power[t] = point.power_price > _ROUNDING
        gpus[t] = point.gpu_price > _ROUNDING
    return lost, power, gpus


def _unreachable(instance: RoutingInstance, fleet: Fleet) -> list[str]:
    """Origins and classes that no row at any site serves within the limits."""
    reasons = []
    for c, name in enumerate(instance.classes):
        rows = fleet.row_class == c
        served = fleet.ok[:, :, rows].any(axis=(1, 2))
        wanted = instance.demand[:, :, c].sum(axis=0) > 0
        far = np.flatnonzero(wanted & ~served & (fleet.weight[c] > 0)).tolist()
        if not far:
            continue
        names = ", ".join(instance.origins[o] for o in far[:_SHOWN])
        why = "no row of the profile serves it" if not rows.any() else "no row is fast enough"
        reasons.append(f"limits of class {name}: {why} at any site for requests from {names}")
    return reasons


def _spans(instance: RoutingInstance, chosen: BoolArray) -> str:
    """Periods as spans of time."""
    step = pd.Timedelta(seconds=instance.period_seconds)
    places = np.flatnonzero(chosen)
    parts = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    times = instance.times
    shown = [
        f"from {times[part[0]].isoformat()} to {(times[part[-1]] + step).isoformat()}"
        for part in parts[:_SHOWN]
    ]
    more = len(parts) - len(shown)
    return ", ".join(shown) + (f" and in {more} more spans" if more else "")
