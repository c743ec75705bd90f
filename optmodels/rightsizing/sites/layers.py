r"""The cost of a fleet without batteries as a function of its sizes alone.

Prices are the same in all slots and at all sites, so a fleet is run by merit order: first the
cheaper of its sources, then both together. Each of these *layers* feeds at most :math:`L_{ts}` GPUs
of a site in a slot (:math:`X` from the wind, :math:`G` from the grid connection, :math:`X + G` from
both), and leaves, added up over the slots,

.. math:: F(n) = \sum_t \max\Big(0,\ D_t - \sum_s \min(L_{ts}, n_s)\Big)

of the demand, which is convex in the sizes n. Whatever the order of the prices, the least cost of
running the fleet has, up to a constant, one form,

.. math:: \sum_\ell \big( v_\ell F_\ell(n) + v'_\ell \max(0,\ F_\ell(n) - U) \big)

where U is what may be left to the grid, and :math:`v' = \infty` says that no more may be. With the
prices :math:`c_1 \le c_2` of the cheaper and the dearer source, both in the last layer,

=========================  ==========================  =======================  ==================
the grid's :math:`c_g` is  first layer                 last layer               constant
=========================  ==========================  =======================  ==================
dearer than both           :math:`v = c_2 - c_1`       :math:`v = c_g - c_2`,   :math:`c_1 D`
                                                       :math:`v' = \infty`
between them               :math:`v = c_g - c_1`,      :math:`v' = \infty`      :math:`c_1 D`
                           :math:`v' = c_2 - c_g`
cheaper than both          :math:`v' = c_2 - c_1`      :math:`v' = \infty`      :math:`c_1 D` and
                                                                                :math:`c_g - c_1`
                                                                                times U
=========================  ==========================  =======================  ==================

In the second row the sources that are too dear fill up what is left beyond U, in the third the grid
serves all that it may. Without a limit on what is left there is no :math:`v'`, and without grid
connections the two sources are one. The derivation is ours, checked against the linear programme in
tests/rightsizing/sites/test_partition.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optmodels.errors import InfeasibleError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.limits import explain

#: Share of the demand that sums of as many slots explain.
ROUNDING = 1e-12


@dataclass(frozen=True)
class _Layer:
    """Sources taken together: what they feed, and what it costs to leave demand to others."""

    fed: FloatArray
    left_usd: float
    beyond_usd: float


@dataclass(frozen=True, eq=False)
class Layers:
    """The cost of sizes: a constant, what is installed, and what each layer leaves.

    A *slot of a layer* is a slot with the limits of that layer; the layers follow each other.

    Attributes
    ----------
    sites
        The sites that can be of use, by their numbers; S is how many they are.
    fed
        GPUs that a layer can feed at a site in a slot, no more than the site holds, shape (S, P)
        with P slots of all layers.
    demand
        Demand of the slots, no more than the largest fleet can serve, shape (P,).
    layer
        Layer of each slot, shape (P,).
    most
        Largest sizes of which the last GPU is ever of use [GPUs], shape (S,).
    installed_usd
        Cost of an installed GPU through all slots [USD].
    left_usd, beyond_usd
        Cost of a GPU through a slot that a layer leaves, and what it costs more beyond the cap;
        infinite where no more may be left; one each per layer [USD].
    cap
        GPUs times slots that a layer may leave before that; one per layer.
    constant_usd
        What every fleet costs [USD].
    grid_usd
        What the grid alone would cost, the scale of all sums [USD].
    """

    sites: NDArray[np.int64]
    fed: FloatArray
    demand: FloatArray
    layer: NDArray[np.int64]
    most: FloatArray
    installed_usd: float
    left_usd: FloatArray
    beyond_usd: FloatArray
    cap: FloatArray
    constant_usd: float
    grid_usd: float

    def missing(self, gpus: FloatArray) -> FloatArray:
        """Demand less what a layer can serve in each slot, negative where it could serve more."""
        left: FloatArray = self.demand - np.minimum(self.fed, gpus[:, None]).sum(axis=0)
        return left

    def left(self, missing: FloatArray) -> FloatArray:
        """F: what each layer leaves, GPUs times slots."""
        short = np.maximum(missing, 0.0)
        total: FloatArray = np.bincount(self.layer, short, minlength=len(self.cap)).astype(float)
        return total

    def cost(self, gpus: FloatArray, missing: FloatArray) -> float:
        """Cost of sizes that leave no more than they may [USD]."""
        left = self.left(missing)
        more = np.maximum(left - self.cap, 0.0)
        finite = np.isfinite(self.beyond_usd)
        total = self.constant_usd + self.installed_usd * float(gpus.sum())
        total += float(self.left_usd @ left)
        return total + float(self.beyond_usd[finite] @ more[finite])

    def made_firm(self, gpus: FloatArray, missing: FloatArray) -> FloatArray:
        """Sizes drawn towards the largest just as far as needed to leave no more than they may.

        On the way there what is left falls, in straight pieces and ever more slowly: the tangents
        of Newton's method end before the share that suffices, and at it after as many as there are
        pieces. The largest sizes leave nothing.
        """
        hard = np.flatnonzero(np.isinf(self.beyond_usd))
        slack = ROUNDING * float(self.demand.sum())
        room, share, sizes = self.most - gpus, 0.0, gpus
        while True:
            over = (self.left(missing) - self.cap)[hard]
            if not (over > slack).any():
                return sizes
            short = (missing > 0)[None, :] & (self.fed > sizes[:, None])
            fall = np.bincount(self.layer, room @ short, minlength=len(self.cap))[hard]
            step = float((over[over > slack] / fall[over > slack]).max())
            if not step > ROUNDING * share:
                return self.most
            share = min(share + step, 1.0)
            sizes = gpus + share * room
            missing = self.missing(sizes)


def layers_of(instance: SitesInstance) -> Layers:
    """The cost of the sizes of an instance; batteries, modules and openings are left aside.

    Parameters
    ----------
    instance
        The question.

    Raises
    ------
    InfeasibleError
        No fleet is firm enough; the reasons say which limits conflict.
    """
    w, step = instance.gpu_kw, instance.slot_hours
    cap = instance.unmet_most / step
    limited = math.isfinite(cap)
    total = float(instance.demand.sum())
    constant, parts = _priced(instance, min(cap, total), limited)
    shape = (len(instance.sites), 0)
    fed, demand, caps = [np.zeros(shape)], [np.zeros(0)], []
    for part in parts:
        some = np.minimum(part.fed.T / w, instance.most_gpus[:, None])
        # What even the largest fleet leaves is no decision.
        can = some.sum(axis=0)
        never = float(np.maximum(instance.demand - can, 0.0).sum())
        reasons = explain(instance) if never > cap and math.isinf(part.beyond_usd) else []
        if reasons:
            raise InfeasibleError(f"{instance.name} has no plan.", reasons)
        constant += part.left_usd * never
        if limited and math.isfinite(part.beyond_usd):
            constant += part.beyond_usd * max(never - cap, 0.0)
        fed.append(some)
        demand.append(np.minimum(instance.demand, can))
        caps.append(max(cap - never, 0.0))
    every = np.hstack(fed)
    most = every.max(axis=1, initial=0.0)
    sites = np.flatnonzero(most)
    return Layers(
        sites=sites,
        fed=np.ascontiguousarray(every[sites]),
        demand=np.concatenate(demand),
        layer=np.repeat(np.arange(len(parts)), instance.slots),
        most=most[sites],
        installed_usd=instance.installed_usd * instance.hours,
        left_usd=step * np.array([part.left_usd for part in parts]),
        beyond_usd=step * np.array([part.beyond_usd for part in parts]),
        cap=np.array(caps),
        constant_usd=step * constant,
        grid_usd=step * instance.grid_usd * total,
    )


def _priced(instance: SitesInstance, cap: float, limited: bool) -> tuple[float, list[_Layer]]:
    """Constant per hour of a slot, and the layers that cost something or are limited."""
    sources = [(instance.wind_usd, instance.power_kw)]
    if instance.backup_kw.any():
        backup = np.broadcast_to(instance.backup_kw, instance.power_kw.shape)
        sources.append((instance.backup_usd, backup))
    sources.sort(key=lambda source: source[0])
    (cheap, first), dear = sources[0], sources[-1][0]
    every = np.sum([power for _, power in sources], axis=0) if len(sources) > 1 else first
    grid, total = instance.grid_usd, float(instance.demand.sum())
    forbidden = math.inf if limited else 0.0
    if grid >= dear:
        constant = cheap * total
        layers = [_Layer(first, dear - cheap, 0.0), _Layer(every, grid - dear, forbidden)]
    elif grid >= cheap:
        constant = cheap * total
        more = dear - grid if limited else 0.0
        layers = [_Layer(first, grid - cheap, more), _Layer(every, 0.0, forbidden)]
    else:
        constant = cheap * total + (grid - cheap) * cap
        more = dear - cheap if limited else 0.0
        layers = [_Layer(first, 0.0, more), _Layer(every, 0.0, forbidden)]
    return constant, [one for one in layers if one.left_usd > 0 or one.beyond_usd > 0]
