"""How many servers a slot gets: CarbonFlex's provisioning.

The cases nearest to the state of the cluster say what an oracle did in such states. As long as
jobs are in time, the cluster does on average the same; while they come late beyond a tolerance, it
takes the most that any of the neighbours took; and when, in that trouble, the state is unlike
anything seen, it takes all servers.

Source: Hanafy et al., "CarbonFlex" (arXiv 2505.18357), Algorithm 2. The paper leaves open how the
thresholds of the neighbours are put together: as their servers are (the mean, in trouble the
least), our choice, as are rounding up and the least that overdue jobs need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.learning.cases import CaseBase

#: A mean of whole numbers that exceeds a whole number by less is that number.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Provision:
    """Servers of a slot, and the least work that a level must add to be served."""

    servers: int
    threshold: float


def provision(
    base: CaseBase,
    state: FloatArray,
    *,
    violation: float,
    tolerance: float,
    needed: int,
    capacity: int,
) -> Provision:
    """Servers and threshold of a slot.

    Parameters
    ----------
    base
        What the cluster has learned.
    state
        Features of the slot, shape (F,).
    violation
        v: mean delay beyond the limit of the jobs that ended lately, relative to the limit.
    tolerance
        ε: violation up to which nothing is done about it.
    needed
        Servers that overdue jobs need.
    capacity
        M: servers of the cluster.
    """
    found = base.nearest(state)
    if violation <= tolerance:
        servers, threshold = float(found.servers.mean()), float(found.threshold.mean())
    else:
        threshold = float(found.threshold.min())
        unfamiliar = float(found.distance.mean()) > base.far
        servers = float(capacity) if unfamiliar else float(found.servers.max())
    wanted = math.ceil(servers - _ROUNDING)
    return Provision(min(max(wanted, needed), capacity), threshold)
