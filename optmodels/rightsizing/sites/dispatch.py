"""Running a fleet that stands: which GPUs serve the demand, hour by hour, at least cost.

Without batteries every slot stands for itself. The cheaper source goes first, and only as far as it
is cheaper than the grid; if the fleet then leaves more to the grid than it may, the sources that
were too dear fill up what is missing, the cheaper one first. Since prices are the same in all slots
and at all sites, which slots and sites give more costs the same: all give in proportion.

With batteries the slots hang together, and the dispatch is a linear programme: the formulation with
its sizes fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.audit import Dispatch, Fleet
from optmodels.rightsizing.sites.instance import SitesInstance


def dispatch(instance: SitesInstance, fleet: Fleet) -> Dispatch:
    """Least-cost dispatch of a fleet, as firm as it can be.

    A fleet without batteries that cannot serve its share of the demand serves what it can.

    Raises
    ------
    InfeasibleError
        A fleet with batteries cannot serve its share of the demand.
    """
    if fleet.battery_kwh.any():
        return _by_lp(instance, fleet)
    wind, backup = merit_order(instance, fleet.gpus)
    nothing = np.zeros_like(wind)
    return Dispatch(wind + backup, nothing, nothing, backup * instance.gpu_kw)


def merit_order(instance: SitesInstance, gpus: FloatArray) -> tuple[FloatArray, FloatArray]:
    """GPUs that run on wind and on the site's own grid connection, shapes (T, S) [GPUs]."""
    w = instance.gpu_kw
    limit = {
        "wind": instance.power_kw / w,
        "backup": np.broadcast_to(instance.backup_kw / w, instance.power_kw.shape),
    }
    price = {"wind": instance.wind_usd, "backup": instance.backup_usd}
    order = sorted(limit, key=lambda name: price[name])
    running = {name: np.zeros_like(instance.power_kw) for name in limit}
    free = np.broadcast_to(gpus, instance.power_kw.shape)
    left = instance.demand
    for must in (False, True):
        for name in order:
            room = np.maximum(np.minimum(limit[name] - running[name], free), 0.0)
            if must:
                missing = left.sum() - instance.unmet_most / instance.slot_hours
                if missing <= 0:
                    break
            elif price[name] > instance.grid_usd:
                continue
            total = room.sum(axis=1)
            taken = np.minimum(total, left)
            if must and taken.sum() > missing:
                taken = taken * (missing / taken.sum())
            share = np.divide(taken, total, out=np.zeros_like(total), where=total > 0)
            more = room * share[:, None]
            running[name] = running[name] + more
            free = free - more
            left = np.maximum(left - taken, 0.0)
    return running["wind"], running["backup"]


def _by_lp(instance: SitesInstance, fleet: Fleet) -> Dispatch:
    from optmodels.rightsizing.sites.model import formulation, model_data
    from optmodels.solver import solve_model

    data = model_data(instance, fixed=(fleet.gpus, fleet.battery_kwh))
    solution: Any = solve_model(formulation(), data=data).require()
    return dispatch_of(instance, solution)


def dispatch_of(instance: SitesInstance, solution: Any) -> Dispatch:
    """Dispatch in a solution of the formulation with one scenario."""
    shape = instance.power_kw.shape
    flows = {}
    for name in ("direct", "backed", "charge", "discharge"):
        values = solution.values[name]
        flows[name] = np.zeros(shape)
        if len(values):
            slot = values.index.get_level_values(1).to_numpy(dtype=int) - 1
            site = values.index.get_level_values(2).to_numpy(dtype=int) - 1
            flows[name][slot, site] = np.maximum(values.to_numpy(), 0.0)
    w = instance.gpu_kw
    return Dispatch(
        gpus=flows["direct"] + flows["backed"] + flows["discharge"],
        charge_kw=flows["charge"] * w,
        discharge_kw=flows["discharge"] * w,
        backup_kw=flows["backed"] * w,
    )
