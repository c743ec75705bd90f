"""Fleets that could be built, from values of the first stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.subproblem import Subproblem

#: Share of a nameplate below which GPUs are an error of the iteration, not a size.
_SLIVER = 1e-7


def candidates(
    instance: SitesInstance, made: Mapping[str, Subproblem], mean: FloatArray, most: FloatArray
) -> list[FloatArray]:
    """First stages that could be built: near the mean, and as large as any scenario asks for.

    The largest is firm in all scenarios if each is firm with its own.
    """
    sub = next(iter(made.values()))
    asked = [mean] if instance.parameters.unmet_share_max is None else [mean, most]
    found = []
    for point in asked:
        fleet = fleet_of(instance, sub.names, point)
        eligible = np.flatnonzero(instance.eligible)
        values = point.copy()
        for i, (family, place) in enumerate(sub.names):
            if family == "size":
                values[i] = fleet.gpus[eligible[place]]
            elif family == "battery":
                values[i] = fleet.battery_kwh[_equipped(instance)[place]]
            elif family == "used":
                values[i] = float(fleet.gpus[_opened(instance)[place]] > 0)
        found.append(np.clip(values, sub.lower, sub.upper))
    return found


def fleet_of(instance: SitesInstance, names: Sequence[tuple[str, int]], point: FloatArray) -> Fleet:
    """The fleet of first-stage values, in whole modules."""
    gpus, battery = (np.zeros(len(instance.sites)) for _ in range(2))
    eligible, equipped = np.flatnonzero(instance.eligible), _equipped(instance)
    for (family, place), value in zip(names, point.tolist(), strict=True):
        if family == "size":
            gpus[eligible[place]] = value
        elif family == "battery":
            battery[equipped[place]] = value
    module = instance.parameters.module_gpus
    if module is not None:
        gpus = np.round(gpus / module) * module
    gpus = np.minimum(gpus, instance.most_gpus)
    gpus[gpus <= _SLIVER * instance.nameplate_kw / instance.gpu_kw] = 0.0
    battery = np.where(gpus > 0, np.minimum(battery, instance.battery_max_kwh), 0.0)
    return Fleet(gpus, battery)


def _equipped(instance: SitesInstance) -> Any:
    """Sites with a battery or a grid connection, in the order of the formulation."""
    return np.flatnonzero((instance.battery_max_kwh > 0) | (instance.backup_kw > 0))


def _opened(instance: SitesInstance) -> Any:
    """Sites that cost something to be used at all, in the order of the formulation."""
    return np.flatnonzero((instance.opening_usd > 0) & instance.eligible)
