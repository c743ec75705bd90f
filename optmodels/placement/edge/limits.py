"""Why applications cannot be placed: the limits in words."""

from __future__ import annotations

import numpy as np

from optmodels.placement.edge.fillings import Servers
from optmodels.placement.edge.greedy import greedy
from optmodels.placement.edge.instance import RESOURCES, EdgeInstance, IntArray
from optmodels.placement.edge.model import formulation, model_data
from optmodels.placement.edge.prices import Prices, carbon
from optmodels.solver import solve_model

_SHOWN = 10
_ROUNDING = 1e-6


def explain(instance: EdgeInstance) -> list[str]:
    """Say which limits keep applications from being placed; empty if all can be.

    First those that can run nowhere, by themselves; else those that compete for servers, found by
    placing as many as possible. Where applications may be left out nothing has to be explained.
    """
    if instance.parameters.unplaced_g is not None:
        return []
    reached = np.bincount(instance.arcs[0], minlength=len(instance.classes)) > 0
    if not reached.all():
        return _unreachable(instance, np.flatnonzero(~reached))
    if greedy(instance, carbon(instance)) is not None:
        return []
    return _short(instance)


def _unreachable(instance: EdgeInstance, alone: IntArray) -> list[str]:
    """Classes that no server can serve: too far, no profile, or too small."""
    reasons = []
    for c in alone[:_SHOWN].tolist():
        name, limit = instance.classes[c], instance.limit_ms[c]
        trips = instance.rtt_ms[c]
        near = trips <= limit
        if not near.any():
            known = trips[~np.isnan(trips)]
            least = f"the nearest server is {known.min():g} ms away" if len(known) else "no path"
            reasons.append(f"latency: {name} allows {limit:g} ms, {least}")
            continue
        take = instance.demand[instance.kind[c], instance.device[near]]
        runs = ~np.isnan(take).any(axis=1)
        if not runs.any():
            kind = instance.kinds[int(instance.kind[c])]
            reasons.append(f"profile: no device within {limit:g} ms of {name} runs '{kind}'")
            continue
        lacking = (take > instance.free[near])[runs]
        words = ", ".join(RESOURCES[k] for k in np.flatnonzero(lacking.any(axis=0)).tolist())
        cause = f"no server within its {limit:g} ms has enough {words}" if words else "it is late"
        reasons.append(f"room: {name} does not fit: {cause}")
    more = len(alone) - _SHOWN
    return reasons + ([f"and {more} more rows of applications"] if more > 0 else [])


def _short(instance: EdgeInstance) -> list[str]:
    """What is left out where as many as possible are placed, and which servers are full."""
    nothing = Prices(
        np.zeros(len(instance.arcs[0])),
        np.zeros(len(instance.groups)),
        np.zeros(len(instance.classes)),
        None,
    )
    servers = Servers(instance)
    data = model_data(instance, nothing, fillings=servers.listed, left_price=1.0)
    data["most_left"] = instance.count.astype(np.float64)
    counted = instance.parameters.moves_max_gb is not None
    solution = solve_model(formulation(counted), data=data)
    reasons = []
    limit = instance.parameters.moves_max_gb
    if limit is not None:
        reasons.append(f"moves: at most {limit:g} GB of state may be moved")
    if not solution.status.has_solution:
        return [*reasons, "moves: applications that may not stay where they are need more"]
    left = solution.values["left"].to_numpy()
    if left.sum() <= _ROUNDING:
        return []
    d, g = instance.arcs
    out = np.flatnonzero(left > _ROUNDING)
    reach = np.unique(g[np.isin(d, out)])
    names = ", ".join(instance.classes[c] for c in out[:_SHOWN].tolist())
    rest = len(out) - _SHOWN
    names += f" and {rest} more rows" if rest > 0 else ""
    groups = ", ".join(instance.groups[j] for j in reach[:_SHOWN].tolist())
    groups += f" and {len(reach) - _SHOWN} more" if len(reach) > _SHOWN else ""
    return [
        f"room: at least {left.sum():.6g} applications have no place, for instance of {names}",
        f"servers: all {int(instance.servers[reach].sum())} in their reach are needed ({groups})",
        *reasons,
    ]
