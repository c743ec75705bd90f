"""Making sizes firm: growing a fleet until it serves the share of the demand that it must."""

from __future__ import annotations

import numpy as np

from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.dispatch import merit_order
from optmodels.rightsizing.sites.instance import SitesInstance

_HALVINGS = 50
_ROUNDING = 1e-9


def firm_sizes(instance: SitesInstance, gpus: FloatArray) -> FloatArray:
    """Sizes that serve the share of the demand that they must, without batteries.

    Every site grows by the same share of its free room, the smallest that suffices. Where even the
    largest sites do not suffice, these are returned.

    Parameters
    ----------
    instance
        The question; without a limit on what is left to the grid nothing grows.
    gpus
        Sizes to begin with, whole modules where there are any, shape (S,).
    """
    room = instance.most_gpus - gpus

    def grown(share: float) -> FloatArray:
        return gpus if share == 0 else rounded_up(instance, gpus + share * room)

    def firm(share: float) -> bool:
        wind, backup = merit_order(instance, grown(share))
        unmet = float(instance.demand.sum() - wind.sum() - backup.sum())
        limit = instance.unmet_most / instance.slot_hours
        return unmet <= limit + _ROUNDING * float(instance.demand.sum())

    if instance.parameters.unmet_share_max is None or firm(0.0):
        return gpus
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if firm(middle) else (middle, high)
    return grown(high)


def rounded_up(instance: SitesInstance, gpus: FloatArray) -> FloatArray:
    """Whole modules, no fewer GPUs than these, no more than a site holds."""
    down = instance.whole_modules(gpus)
    module = instance.parameters.module_gpus or 0
    up: FloatArray = np.where(down < gpus * (1 - _ROUNDING), down + module, down)
    return np.minimum(up, instance.most_gpus)
