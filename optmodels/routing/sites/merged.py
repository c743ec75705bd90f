"""All sites as one: an upper bound on what any routing between them serves.

One site with the GPUs and the power of all, as near to each origin as the nearest of them, can run
whatever the sites can run together. What it loses at least, no fleet and no policy undercuts. The
distance to it says how much the wind's being in several places costs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.programme import Programme


def merged(fleet: Fleet, power_kw: FloatArray) -> tuple[Fleet, FloatArray]:
    """One site instead of all, and its power.

    Parameters
    ----------
    fleet
        The fleet.
    power_kw
        Wind power of the sites [kW], (T, S).

    Returns
    -------
    Fleet
        The fleet of one site.
    FloatArray
        Its wind power [kW], (T, 1).
    """
    one = replace(
        fleet,
        ok=np.asarray(fleet.ok.any(axis=1, keepdims=True)),
        rtt_s=fleet.rtt_s.min(axis=1, keepdims=True),
        gpus=np.array([fleet.gpus.sum()]),
        backup_kw=np.array([fleet.backup_kw.sum()]),
    )
    return one, power_kw.sum(axis=1, keepdims=True)


def merged_loss(fleet: Fleet, power_kw: FloatArray, demand: FloatArray) -> FloatArray:
    """Weighted requests that all sites as one lose at least in each period [1/s], (T,).

    Parameters
    ----------
    fleet
        The fleet.
    power_kw
        Wind power of the sites [kW], (T, S).
    demand
        Arriving requests [1/s], (T, O, C).
    """
    one, power = merged(fleet, power_kw)
    programme = Programme(one, free=True)
    found = [programme.solve(*period).bound for period in zip(power, demand, strict=True)]
    least: FloatArray = np.maximum(np.array(found), 0.0)
    return least
