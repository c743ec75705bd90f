"""Why no fleet is firm enough: its limits in words."""

from __future__ import annotations

import numpy as np

from optmodels.errors import InfeasibleError
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.dispatch import dispatch, merit_order
from optmodels.rightsizing.sites.instance import SitesInstance

_ROUNDING = 1e-9


def explain(instance: SitesInstance) -> list[str]:
    """Say which limits keep every fleet from being firm; empty if one can be.

    Only the firmness can fail, and no fleet serves more than the largest one.
    """
    share = instance.parameters.unmet_share_max
    if share is None:
        return []
    step = instance.slot_hours
    total = float(instance.demand.sum()) * step
    wind, backup = merit_order(instance, instance.most_gpus)
    unmet = total - float((wind + backup).sum()) * step
    if unmet <= instance.unmet_most + _ROUNDING * total:
        return []
    battery = bool(instance.battery_max_kwh.any())
    if battery:
        try:
            dispatch(instance, Fleet(instance.most_gpus, instance.battery_max_kwh))
        except InfeasibleError:
            pass
        else:
            return []
    far = [name for name, near in zip(instance.sites, instance.eligible, strict=True) if not near]
    reasons = [
        f"firmness: at most {share:.4g} of the demand may be left to the grid",
        f"wind and grid connections: the largest fleet of {instance.most_gpus.sum():,.6g} GPUs "
        f"leaves {unmet / total:.4g}{' without batteries' if battery else ''}",
    ]
    if battery:
        reasons.append(
            f"batteries: the largest, of {instance.battery_max_kwh.sum():,.6g} kWh, are not enough"
        )
    if far:
        limit = instance.parameters.rtt_limit_ms
        reasons.append(f"round trip: farther than {limit:g} ms are {', '.join(far)}")
    calm = int((np.asarray(instance.power_kw[:, instance.eligible]).sum(axis=1) <= 0).sum())
    if calm:
        reasons.append(f"calm: in {calm} of {instance.slots} slots there is no wind at any site")
    return reasons
