"""Closing a gap: whole servers first, whole fillings second, everything last.

Mixed-integer programmes, each over those arcs and fillings alone that a better plan could use. That
loses nothing: whoever uses another column pays at least its reduced price above the bound of the
relaxation, and so no less than the best plan at hand.

1. The number of servers of each group is whole, and that of like servers of all groups together;
   their fillings are not, so that the corners of these are enough (`corners`). There are few such
   numbers, so this is soon solved; and its bound is nearly tight, because what is lost between
   fractional and whole is mostly the base power of servers that are half used.
2. The fillings are whole, too, and the numbers of servers are those of the first programme, or a
   little more, at groups that have any: a plan. It is enough once it is near the bound, which those
   fillings mostly reach that are cheap by the duals; all of them are tried where they do not.
3. If a gap is left, all numbers are whole and free.

Each is given up after a number of nodes. Where a better plan could use very many columns, the first
two are solved over the core of columns first in which dives seek whole servers, too. That proves
nothing, but the bound of the relaxation is often near enough to what it finds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optmodels.placement.edge import prices as priced
from optmodels.placement.edge.audit import Placement
from optmodels.placement.edge.columns import Columns, Relaxed, Small, small_programme
from optmodels.placement.edge.corners import all_corners
from optmodels.placement.edge.diving import MORE_FILLINGS, core, expanded
from optmodels.placement.edge.instance import IntArray
from optmodels.placement.edge.packing import pack
from optmodels.placement.edge.prices import dearest
from optmodels.policy import FloatArray
from optmodels.solver import Session, Status
from optmodels.solver.options import Limits as SolverLimits

#: Columns up to which a programme is solved where there is no time limit.
COLUMNS = 30_000
#: Nodes of each of the three programmes without a time limit.
NODES = (1000, 200, 100)
#: Nodes of the two programmes over the core.
CORE_NODES = (20, 100)
#: Servers of a group that the second programme may have beyond the first one's.
MORE_SERVERS = 1
#: Share of the gap asked for that the first two programmes may leave open, each by itself.
SHARE = 0.5

_ROUNDING = 1e-7
_WHOLE = 1e-6


@dataclass(frozen=True)
class Closed:
    """The best plan, a bound without the price of moves that cannot be avoided, and if any ran."""

    placement: Placement | None
    bound: float
    ran: bool


def close_gap(
    columns: Columns,
    relaxed: Relaxed,
    best: tuple[Placement, float] | None,
    gap: float,
    deadline: float,
) -> Closed:
    """Close the gap between a plan and the bound of a relaxation, as far as limits allow.

    Parameters
    ----------
    columns, relaxed
        The question and its relaxation.
    best
        The best plan and its value, without the price of moves that cannot be avoided.
    gap
        Relative gap to reach.
    deadline
        Moment at which to stop; infinite: the limits of this module.
    """
    search = _Search(columns, relaxed, best, gap, deadline)
    limited = bool(np.isfinite(deadline))
    if search.size > COLUMNS:
        few = core(columns, relaxed, None)
        ran = limited or few.model.columns <= COLUMNS
        if ran:
            search.two_steps(few, (few,), CORE_NODES)
        if search.done or (not limited and search.placement is not None):
            return Closed(search.placement, search.bound, ran)
    # Only fillings that are all listed prove anything beyond the relaxation.
    proving = columns.servers.complete
    nodes = (None, None, None) if limited else NODES
    arcs, fillings = search.useful
    cheap = columns.richer(relaxed, MORE_FILLINGS, dearest(columns.prices))
    mixed, few, everything = (
        small_programme(columns.instance, columns.prices, arcs, lists, None, alike=True)
        for lists in (all_corners(columns.servers), cheap, fillings)
    )
    search.two_steps(mixed, (few, everything), nodes[:2], proving=proving)
    if not search.done:
        search.run(everything, everything.columns("filled"), nodes[2], 1.0, proving=proving)
    return Closed(search.placement, search.bound, True)


class _Search:
    """What is known so far."""

    def __init__(
        self,
        columns: Columns,
        relaxed: Relaxed,
        best: tuple[Placement, float] | None,
        gap: float,
        deadline: float,
    ) -> None:
        self.columns, self.gap, self.deadline = columns, gap, deadline
        self.placement = None if best is None else best[0]
        self.value = np.inf if best is None else best[1]
        self.bound = relaxed.bound
        room = self.value - relaxed.bound + _ROUNDING * (1.0 + abs(relaxed.bound))
        instance = columns.instance
        arcs = columns.held | (columns.arc_prices(relaxed.duals) <= room)
        lists = []
        for group in range(len(instance.groups)):
            counts = np.concatenate([columns.servers.of(group).counts, relaxed.fillings[group]])
            counts = np.unique(counts, axis=0)
            price = relaxed.duals.server[group] - counts @ relaxed.duals.room[group]
            keep = price <= room
            # Servers that stay on need some filling.
            keep[int(price.argmin())] = True
            lists.append(counts[keep])
        #: Arcs and fillings that a better plan could use.
        self.useful = arcs, lists
        self.size = int(arcs.sum()) + sum(len(one) for one in lists)

    @property
    def done(self) -> bool:
        """Whether the gap is closed, or the time is over."""
        slack = self.gap * abs(self.value) + _ROUNDING * (1.0 + abs(self.value))
        return self.value - self.bound <= slack or time.monotonic() > self.deadline

    def two_steps(
        self,
        first: Small,
        second: tuple[Small, ...],
        nodes: tuple[int | None, ...],
        *,
        proving: bool = False,
    ) -> None:
        """Whole numbers of servers, and near them whole fillings, in one programme or the next."""
        numbers = np.concatenate([first.columns("on"), first.columns("together")])
        found = self.run(first, numbers, nodes[0], SHARE, proving=proving)
        if found is None:
            return
        number = np.round(found[first.columns("on")])
        few = np.where(number > 0, number + MORE_SERVERS, 0.0)
        for small in second:
            if self.done:
                return
            ons = small.columns("on")
            low, high = small.model.column_lower.copy(), small.model.column_upper.copy()
            high[ons] = np.maximum(np.minimum(high[ons], few), low[ons])
            self.run(small, small.columns("filled"), nodes[1], SHARE, (low, high))

    def run(
        self,
        small: Small,
        integers: IntArray,
        nodes: int | None,
        share: float,
        box: tuple[FloatArray, FloatArray] | None = None,
        *,
        proving: bool = False,
    ) -> FloatArray | None:
        """One programme: some columns whole, within a box; a plan or a bound comes of it.

        Only a programme with all useful columns, without a box, proves anything (`proving`).
        """
        model = small.model
        whole: NDArray[np.bool_] = np.zeros(model.columns, dtype=np.bool_)
        whole[integers] = True
        model = model.changed(integer=whole)
        if box is not None:
            model = model.changed(column_lower=box[0], column_upper=box[1])
        left = max(self.deadline - time.monotonic(), 0.1) if np.isfinite(self.deadline) else None
        session = Session(
            model,
            limits=SolverLimits(time_limit_s=left, mip_gap=self.gap * share),
            options=self._options(nodes, whole_servers=box is not None),
        )
        outcome = session.solve()
        if proving:
            bound = outcome.bound
            if outcome.status is Status.INFEASIBLE:
                bound = np.inf
            if bound is not None:
                # Columns that were left out cost no less than the best plan.
                self.bound = max(self.bound, min(float(bound), self.value))
        if outcome.x is None:
            return None
        self._take(small, outcome.x)
        return outcome.x

    def _options(self, nodes: int | None, *, whole_servers: bool) -> dict[str, object]:
        """Where to stop: at so many nodes, or at a plan that is near enough to the bound."""
        options: dict[str, object] = {} if nodes is None else {"mip_max_nodes": nodes}
        if whole_servers and self.bound > 0:
            options["objective_target"] = self.bound / (1.0 - min(self.gap, 0.5))
        return options

    def _take(self, small: Small, x: FloatArray) -> None:
        """Keep the plan of a solution with whole fillings, if it is better."""
        amount = x[small.columns("filled")]
        if np.abs(amount - np.round(amount)).max(initial=0.0) > _WHOLE:
            return
        instance = self.columns.instance
        given = x[small.columns("placed")]
        if np.abs(given - np.round(given)).max(initial=0.0) > _WHOLE:
            return
        placed = np.zeros(len(self.columns.d), dtype=np.int64)
        placed[small.arcs] = np.round(given).astype(np.int64)
        filled = expanded(small.fillings, np.round(amount).astype(np.int64))
        placement = pack(instance, self.columns.servers, placed, filled)
        square = placement.square(instance)
        value = priced.total(instance, self.columns.prices, square[instance.arcs], placement.on)
        if value < self.value:
            self.placement, self.value = placement, value
