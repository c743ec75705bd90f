r"""The joint linear programme of all sites by an adaptive partition of its slots.

A year at fifty sites makes a programme of a million columns, but what matters is small: which slots
the fleet serves whole, and where each size stands among the powers of its site. Both are found by
going back and forth between a small programme and the series.

**The small programme.** The slots are parted into groups g. Adding up the rows of a group, it
leaves

.. math:: u_g \ge \sum_{t \in g} \Big( D_t - \sum_s \min(L_{ts}, n_s) \Big), \qquad u_g \ge 0

which is less than its slots leave one by one, and the same as soon as no slot of the group is
served whole while another is not. For each site some sizes :math:`a_0 < a_1 < \dots` are chosen,
and a size is a sum of segments :math:`\delta_k \le a_{k+1} - a_k`, each of which feeds a group by
the chord of its concave function :math:`\sum_{t \in g} \min(L_{ts}, n)`. So there is a row for each
group and a column for each segment, no row for a site, and no order of the segments to be kept:
the chords fall.

**What it lacks.** Its duals :math:`\lambda`, the same for all slots of a group, price a GPU in each
slot. At these prices the sites have nothing to do with each other, and the best size of each is
read off its sorted powers, as that of the newsvendor is. What all that costs together,

.. math:: \sum_t \lambda_t D_t + \sum_s \min_{0 \le n \le N_s}
    \Big( K H n - \sum_t \lambda_t \min(L_{ts}, n) \Big) \le \text{cost of every fleet},

is a bound proven by weak duality in numpy, however inexact the prices. The sizes that the prices
ask for are added to those chosen, and groups that the sizes of the small programme serve in part
are split in two by it. When neither happens bound and cost are the same. There are as many sizes as
powers, and as many groups as slots, so this ends; in practice after some ten rounds with a
few dozen groups.

Adding sizes by prices is the column generation of Dantzig and Wolfe (1960). Rows that are sums over
a partition which is refined until the sum loses nothing are those of Song and Luedtke, "An adaptive
partition-based approach for solving two-stage stochastic programs with fixed recourse" (2015), who
refine by the duals of the slots; refining by signs, and both together for this problem, is ours.
What may be left to the grid, and grid connections of the sites, are in `layers`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from optmodels.errors import SolverError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.layers import ROUNDING, Layers, layers_of

#: Relative gap between cost and bound at which to stop, and up to which sizes count as optimal.
GAP = 1e-9
OPTIMAL_GAP = 1e-7

#: Shares of the sorted powers of a site that are among its first sizes.
FIRST_SHARES = (0.05, 0.2, 0.35, 0.5, 0.65)

#: Share of a site below which two sizes are one, and share of the demand below which a slot is
#: neither short nor served with room to spare.
_ALIKE = 1e-9

#: Of the small programmes: dense and solved in a few steps, presolving them takes longer than that.
_OPTIONS: Mapping[str, object] = {
    "presolve": "off",
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}


@dataclass(frozen=True)
class Sized:
    """Sizes and what is proven about them.

    Attributes
    ----------
    gpus
        GPUs at each site, shape (S,).
    cost
        What they cost [USD].
    bound
        What any sizes cost at least [USD].
    rounds
        Small programmes that were solved.
    groups
        Groups of slots in the last one.
    optimal
        Whether nothing that matters is left between cost and bound.
    """

    gpus: FloatArray
    cost: float
    bound: float
    rounds: int
    groups: int
    optimal: bool


def partitioned_sizes(
    instance: SitesInstance,
    *,
    time_limit_s: float | None = None,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Sized:
    """Cheapest sizes for an instance without batteries, modules and opening costs.

    Parameters
    ----------
    instance
        The question.
    time_limit_s
        Wall seconds; when they are over the best sizes so far are the answer, as after Ctrl-C.
    seed, options
        Of the solver.

    Raises
    ------
    InfeasibleError
        No fleet is firm enough; the reasons say which limits conflict.
    UsageError
        An option is unknown or does not fit.
    SolverError
        The solver fails at a small programme.
    """
    from optmodels.solver.options import Limits, check_options

    Limits(time_limit_s, seed=seed)
    given = check_options(options)
    deadline = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
    layers = layers_of(instance)
    gpus = np.zeros(len(instance.sites))
    if not layers.demand.any():
        # Nobody can be served, or nothing is gained by it.
        return Sized(gpus, layers.constant_usd, layers.constant_usd, 0, 0, True)
    search = _Search(layers)
    solver = _Solver(seed, {**_OPTIONS, **given})
    while not search.is_within(GAP):
        left = deadline - time.monotonic()
        if left <= 0 or not search.improve(solver, left):
            break
    gpus[layers.sites] = search.best
    bound = min(search.bound, search.cost)
    return Sized(gpus, search.cost, bound, *search.size, search.is_within(OPTIMAL_GAP))


@dataclass(frozen=True)
class _Prices:
    """Duals of the small programme: of a GPU in each slot, and of each cap [USD]."""

    slots: FloatArray
    caps: FloatArray


@dataclass
class _Solver:
    """How the small programmes are solved."""

    seed: int
    options: Mapping[str, object]

    def solve(self, model: Any, seconds: float) -> Any:
        """Outcome of one."""
        from optmodels.solver import Session, Status
        from optmodels.solver.options import Limits

        limit = seconds if np.isfinite(seconds) else None
        outcome = Session(model, limits=Limits(limit, seed=self.seed), options=self.options).solve()
        if outcome.status in (Status.INFEASIBLE, Status.UNBOUNDED, Status.ERROR):
            raise SolverError(
                f"The solver says '{outcome.status}' of groups of slots: {outcome.message}"
            )
        return outcome


class _Search:
    """Groups, sizes, the best fleet so far and the best bound."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        #: Falling powers of each site, and the slots that they belong to, shape (S, P).
        self._order = np.argsort(-layers.fed, axis=1, kind="stable")
        self._sorted = np.take_along_axis(layers.fed, self._order, axis=1)
        self._group: NDArray[np.int64] = layers.layer.copy()
        self.best = layers.most
        self.cost = layers.cost(self.best, layers.missing(self.best))
        self.bound = -np.inf
        self._rounds = 0
        own = self._price(_Prices(layers.left_usd[layers.layer], np.zeros_like(layers.cap)))
        self._offer(own)
        self._offer(np.zeros_like(own))
        self._sizes = [self._first_sizes(s, float(own[s])) for s in range(len(own))]

    def is_within(self, gap: float) -> bool:
        """Whether the bound is nearer to the cost than a share of it, and what rounding explains.

        Where wind and GPUs are free the cost is zero, but the sums that it is made of are not.
        """
        slack = ROUNDING * self._layers.grid_usd
        return self.cost - self.bound <= gap * abs(self.cost) + slack

    @property
    def size(self) -> tuple[int, int]:
        """Rounds so far, and groups."""
        return self._rounds, int(self._group.max(initial=-1)) + 1

    def improve(self, solver: _Solver, seconds: float) -> bool:
        """One round; False when nothing was learnt, or the solver was stopped."""
        model, unit, gpu = self._programme()
        outcome = solver.solve(model, seconds)
        if outcome.x is None or outcome.row_dual is None:
            return False
        self._rounds += 1
        gpus = self._sizes_in(outcome.x * gpu)
        asked = self._price(self._prices_in(outcome.row_dual * unit))
        missing = self._offer(gpus)
        added = self._add(asked)
        split = self._split(missing)
        return (added or split) and not outcome.interrupted

    # -- what prices ask for -----------------------------------------------------------------

    def _price(self, prices: _Prices) -> FloatArray:
        """Best size of each site at prices; raises the bound to what they prove."""
        layers = self._layers
        worth = prices.slots[self._order].cumsum(axis=1)
        # The last size at which another GPU is worth more than it costs.
        place = (worth <= layers.installed_usd).sum(axis=1)
        inside = place < worth.shape[1]
        gpus = np.zeros(len(place))
        gpus[inside] = self._sorted[inside, place[inside]]
        used = np.minimum(layers.fed, gpus[:, None]) @ prices.slots
        firm = prices.caps > 0
        bound = layers.constant_usd + float(prices.slots @ layers.demand)
        bound += float((layers.installed_usd * gpus - used).sum())
        bound -= float(prices.caps[firm] @ layers.cap[firm])
        self.bound = max(self.bound, bound)
        return gpus

    def _prices_in(self, duals: FloatArray) -> _Prices:
        """Prices in the duals of the rows: groups, then caps."""
        layers, groups = self._layers, self.size[1]
        caps = np.zeros_like(layers.cap)
        capped = self._capped
        per_slot = -duals[groups:] / len(layers.demand)
        caps[capped] = np.clip(per_slot, 0.0, layers.beyond_usd[capped])
        ceiling = (layers.left_usd + caps)[layers.layer]
        count = np.bincount(self._group, minlength=groups)
        each = (duals[:groups] / count)[self._group]
        return _Prices(np.clip(each, 0.0, ceiling), caps)

    # -- the small programme -----------------------------------------------------------------

    @property
    def _capped(self) -> NDArray[np.int64]:
        """Layers that have a cap."""
        return np.flatnonzero(self._layers.beyond_usd > 0)

    def _programme(self) -> tuple[Any, float, float]:
        """The small programme, and its units: money per dual, and GPUs.

        Rows are means over the slots of a group, so that all coefficients are shares. Columns are
        the segments of all sites, what the groups leave, and what is left beyond each cap that may
        be exceeded.
        """
        from optmodels.solver import LinearModel

        layers, groups, capped = self._layers, self.size[1], self._capped
        slots = len(layers.demand)
        count = np.bincount(self._group, minlength=groups)
        owner = np.zeros(groups, dtype=np.int64)
        owner[self._group] = layers.layer
        adding = sp.csr_array(
            (1.0 / count[self._group], (self._group, np.arange(slots))), shape=(groups, slots)
        )
        widths = [np.diff(sizes) for sizes in self._sizes]
        fed = [
            adding @ (np.clip(power[:, None] - sizes[:-1], 0.0, width) / width)
            for power, sizes, width in zip(layers.fed, self._sizes, widths, strict=True)
        ]
        width = np.concatenate(widths)
        more = capped[np.isfinite(layers.beyond_usd[capped])]
        beyond = (capped[:, None] == more).astype(float)
        share = (owner == capped[:, None]) * (count / slots)
        matrix = sp.csc_array(
            np.block(
                [
                    [*fed, np.eye(groups), np.zeros((groups, len(more)))],
                    [np.zeros((len(capped), len(width))), share, -beyond],
                ]
            )
        )
        gpu = float(layers.demand.max())
        usd = float(np.max(layers.left_usd, initial=0.0)) or layers.installed_usd or 1.0
        cost = [
            np.full(len(width), layers.installed_usd),
            layers.left_usd[owner] * count,
            layers.beyond_usd[more] * slots,
        ]
        rows = np.bincount(self._group, layers.demand, minlength=groups) / count / gpu
        columns = len(width) + groups + len(more)
        model = LinearModel(
            cost=np.concatenate(cost) / usd,
            starts=matrix.indptr.astype(np.int32),
            indices=matrix.indices.astype(np.int32),
            coefficients=matrix.data,
            row_lower=np.concatenate([rows, np.full(len(capped), -np.inf)]),
            row_upper=np.concatenate([np.full(groups, np.inf), layers.cap[capped] / slots / gpu]),
            column_lower=np.zeros(columns),
            column_upper=np.concatenate([width / gpu, np.full(columns - len(width), np.inf)]),
            integer=np.zeros(columns, dtype=np.bool_),
        )
        return model, usd, gpu

    def _sizes_in(self, filled: FloatArray) -> FloatArray:
        """Sizes in a solution: what is filled of the segments of each site."""
        count = [len(sizes) - 1 for sizes in self._sizes]
        begin = np.concatenate([[0], np.cumsum(count)[:-1]])
        gpus = np.add.reduceat(filled[: sum(count)], begin)
        for s, sizes in enumerate(self._sizes):
            near = sizes[int(np.argmin(np.abs(sizes - gpus[s])))]
            if abs(near - gpus[s]) <= _ALIKE * sizes[-1]:
                gpus[s] = near
        return np.clip(gpus, 0.0, self._layers.most)

    # -- what is learnt from an answer -------------------------------------------------------

    def _offer(self, gpus: FloatArray) -> FloatArray:
        """Keep sizes if they are the cheapest so far, made firm; what these miss in each slot."""
        layers = self._layers
        missing = layers.missing(gpus)
        firm = layers.made_firm(gpus, missing)
        cost = layers.cost(firm, missing if firm is gpus else layers.missing(firm))
        if cost < self.cost:
            self.best, self.cost = firm, cost
        return missing

    def _first_sizes(self, s: int, own: float) -> FloatArray:
        """Sizes of a site to begin with."""
        falling = self._sorted[s]
        places = [int((1 - share) * (len(falling) - 1)) for share in FIRST_SHARES]
        most = float(self._layers.most[s])
        inner = np.unique([own, *falling[places]])
        inner = inner[(inner > _ALIKE * most) & (inner < (1 - _ALIKE) * most)]
        inner = inner[np.diff(inner, prepend=0.0) > _ALIKE * most]
        return np.concatenate([[0.0], inner, [most]])

    def _add(self, gpus: FloatArray) -> bool:
        """Choose a further size for each site, where it is new."""
        added = False
        for s, size in enumerate(gpus.tolist()):
            sizes = self._sizes[s]
            if np.abs(sizes - size).min() > _ALIKE * sizes[-1]:
                self._sizes[s] = np.insert(sizes, int(np.searchsorted(sizes, size)), size)
                added = True
        return added

    def _split(self, missing: FloatArray) -> bool:
        """Part the groups of which some slots are served whole and others are not."""
        slack = _ALIKE * self._layers.demand
        groups = self.size[1]
        short = np.bincount(self._group, missing > slack, minlength=groups) > 0
        whole = np.bincount(self._group, missing < -slack, minlength=groups) > 0
        mixed = short & whole
        if not mixed.any():
            return False
        part = 2 * self._group + (mixed[self._group] & (missing < 0))
        self._group = np.unique(part, return_inverse=True)[1].ravel().astype(np.int64)
        return True
