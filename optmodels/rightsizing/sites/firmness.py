"""The firmest fleet of so many GPUs: sizes that leave least of the demand without wind.

Sizing site by site, the next GPU goes where it has wind for the largest share of the time, whatever
the other sites do at that time. A fleet is firmer if its sites have wind at different times. With
sizes ``C`` of ``n`` GPUs in all, fed by ``P`` and asked for ``D``, the joint sizes solve

    minimise   F(C) = Σ_t max(0, D_t - Σ_s min(P_ts, C_s))   with   Σ_s C_s = n,  0 ≤ C ≤ most

which is convex and piecewise linear in as few variables as there are sites. It is minimised by
cutting planes (Kelley, 1960): every evaluation of ``F``, at the cost of looking at the series once,
adds a plane below it; the optimum of the planes is a proven lower bound, and their minimiser, drawn
towards the best sizes so far in every other round, is evaluated next.

As long as ``n`` is no more than the demand of every slot the sites cannot be in each other's way,
and the joint sizes are no firmer than those site by site. Derivation and code are ours; the
question is that of "AI Greenferencing" (Heron, arXiv:2505.09989), which gives no formulas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from optmodels.errors import SolverError, UsageError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.instance import SitesInstance

#: Share of the way from the best sizes so far to the minimiser of the planes, in every other round.
_STEP = 0.7
_MOST_ROUNDS = 2000


@dataclass(frozen=True)
class Firmest:
    """Sizes of a given number of GPUs, and how firm they are.

    Attributes
    ----------
    gpus
        GPUs at each site, any number, shape (S,).
    unmet_share
        Share of the demand that they leave without wind.
    bound
        Proven lower bound on that share, for any sizes of as many GPUs.
    """

    gpus: FloatArray
    unmet_share: float
    bound: float


def unmet_share(instance: SitesInstance, gpus: FloatArray) -> float:
    """Share of the demand that sizes leave without wind.

    Parameters
    ----------
    instance
        The question; batteries and grid connections are not used.
    gpus
        GPUs at each site, shape (S,).

    Returns
    -------
    float
        Share of the demand, 0 to 1.
    """
    fed = np.minimum(instance.power_kw / instance.gpu_kw, gpus).sum(axis=1)
    asked = float(instance.demand.sum())
    left = float(np.maximum(instance.demand - fed, 0.0).sum())
    return left / asked


def firmest_sizes(instance: SitesInstance, gpus: float, *, tolerance: float = 1e-6) -> Firmest:
    """Sizes of so many GPUs that leave least of the demand without wind.

    Parameters
    ----------
    instance
        The question; batteries, grid connections, modules and costs are left aside.
    gpus
        GPUs in all, at most what the sites hold.
    tolerance
        Difference between `Firmest.unmet_share` and `Firmest.bound` at which to stop.

    Returns
    -------
    Firmest
        Sizes, what they leave, and how little any sizes could leave.

    Raises
    ------
    UsageError
        The sites do not hold so many GPUs, or a number is out of range.
    SolverError
        The planes did not close the gap.
    """
    most = instance.most_gpus
    if not 0 < gpus <= float(most.sum()):
        raise UsageError(
            f"gpus is {gpus:g}; allowed: more than 0 and at most {most.sum():.6g}, which is what "
            "the sites of the instance hold."
        )
    if not tolerance > 0:
        raise UsageError(f"tolerance is {tolerance:g}; allowed: more than 0.")
    asked = float(instance.demand.sum())
    sizes = most * (gpus / float(most.sum()))
    # In shares of the fleet and of the demand, so that all numbers are near one.
    fed, demand = instance.power_kw / instance.gpu_kw / gpus, instance.demand / gpus
    planes = _Planes(most / gpus)
    best, share, bound = sizes / gpus, np.inf, 0.0
    point = best
    for turn in range(_MOST_ROUNDS):
        left = demand - np.minimum(fed, point).sum(axis=1)
        short = left > 0
        value = float(left[short].sum()) * gpus / asked
        slope = -(short[:, None] & (fed > point)).sum(axis=0) * gpus / asked
        if value < share:
            best, share = point, value
        planes.add(value, slope, point)
        lowest, bound = planes.lowest()
        if share - bound <= tolerance:
            return Firmest(best * gpus, share, min(bound, share))
        point = lowest if turn % 2 else best + _STEP * (lowest - best)
    raise SolverError(
        f"After {_MOST_ROUNDS} planes the firmest sizes of {gpus:g} GPUs of {instance.name} leave "
        f"{share:.9g} of the demand, and {bound:.9g} is proven."
    )


class _Planes:
    """Planes below a convex function of shares that add up to one, and their least value."""

    def __init__(self, room: FloatArray) -> None:
        self._room = room
        self._slopes: list[FloatArray] = []
        self._offsets: list[float] = []

    def add(self, value: float, slope: FloatArray, point: FloatArray) -> None:
        """Learn the plane through a point."""
        self._slopes.append(slope)
        self._offsets.append(value - float(slope @ point))

    def lowest(self) -> tuple[FloatArray, float]:
        """Where the highest plane is lowest, and how low that is."""
        from optmodels.solver import LinearModel, Session, Status

        sites, planes = len(self._room), len(self._slopes)
        # One column per site and one for the value; one row per plane, and one for the sum.
        matrix = sp.csc_array(
            np.block(
                [
                    [-np.array(self._slopes), np.ones((planes, 1))],
                    [np.ones((1, sites)), np.zeros((1, 1))],
                ]
            )
        )
        model = LinearModel(
            cost=np.append(np.zeros(sites), 1.0),
            starts=matrix.indptr.astype(np.int32),
            indices=matrix.indices.astype(np.int32),
            coefficients=matrix.data,
            row_lower=np.append(self._offsets, 1.0),
            row_upper=np.append(np.full(planes, np.inf), 1.0),
            column_lower=np.zeros(sites + 1),
            column_upper=np.append(self._room, np.inf),
            integer=np.zeros(sites + 1, dtype=bool),
        )
        outcome = Session(model).solve()
        x, bound = outcome.x, outcome.bound
        if outcome.status is not Status.OPTIMAL or x is None or bound is None:
            raise SolverError(f"The solver says '{outcome.status}' of planes: {outcome.message}")
        return np.maximum(x[:sites], 0.0), float(bound)
