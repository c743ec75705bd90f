"""One period's linear programme, solved again and again: fewest lost requests, then least cost.

Planning is lexicographic. The first phase finds the least loss; the second keeps it, within a
tolerance, and makes times or power least. Both run on one compiled model whose numbers change and
whose basis stays (`optmodels.solver.LiveModel`).

The first phase needs only the rows on the hulls (`optmodels.routing.sites.hulls`). The second may
need more where times count. It starts from the same few, asks at its prices which of the other rows
would pay, lets these in, and ends when none would: what it finds is then the optimum over all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import BoolArray, Fleet
from optmodels.routing.sites.hulls import Columns, needed_columns

if TYPE_CHECKING:
    from optmodels.solver import Solution
    from optmodels.solver.template import Formulation

#: By how much the second phase may lose more than the first: relative, and absolute [1/s].
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9

#: Reduced costs above this share of the largest cost of a row are rounding.
_ROUNDING = 1e-9

#: Rows let in at a time, for each site and class; and how many are kept for the next period, as a
#: multiple of those of the first phase.
_ENTRIES = 2
_KEPT = 1.0


@dataclass(frozen=True, eq=False)
class Costs:
    """Coefficients of an objective, per second.

    Attributes
    ----------
    lost
        Of a lost request, times its weight.
    running
        Of a running instance on each row, beyond what it costs idle, (R,).
    idle
        Of a configured instance of each degree, (G,).
    imported
        Of a kW from the grid beyond its cost as wind, (S,).
    flow
        Of a request from an origin to a site, (O, S).
    timed
        Whether running instances cost anything but what they cost for their power.
    """

    lost: float
    running: FloatArray
    idle: FloatArray
    imported: FloatArray
    flow: FloatArray
    timed: bool = False

    @classmethod
    def loss(cls, fleet: Fleet) -> Costs:
        """Lost requests alone."""
        return cls(
            1.0,
            np.zeros(fleet.rows),
            np.zeros(len(fleet.degrees)),
            np.zeros(fleet.sites),
            np.zeros((fleet.origins, fleet.sites)),
        )

    @classmethod
    def power(cls, fleet: Fleet) -> Costs:
        """Power of all instances [kW]."""
        return replace(cls.loss(fleet), lost=0.0, running=fleet.draw_kw, idle=fleet.idle_of_degree)

    @classmethod
    def latency(cls, fleet: Fleet) -> Costs:
        """Requests that are in instances or on the way, by Little's law."""
        return replace(
            cls.loss(fleet),
            lost=0.0,
            running=fleet.rate * fleet.residence,
            flow=fleet.rtt_s,
            timed=True,
        )

    @classmethod
    def second(cls, fleet: Fleet, name: str) -> Costs:
        """What is least in the second phase: "latency" or "power"."""
        return cls.power(fleet) if name == "power" else cls.latency(fleet)


@dataclass(frozen=True, eq=False)
class Point:
    """Optimum of the linear programme of a period.

    Attributes
    ----------
    running, configured
        Instances that run, (S, R), and that are configured, (S, G); not whole.
    flow
        Requests by arc (an origin and a bin) [1/s], (A,).
    lost
        Least weighted loss [1/s], of the first phase.
    bound
        Proven lower bound on it, as the solver's own prices have it.
    cost
        Value of the last phase.
    demand_price, power_price, gpu_price
        What another request (O, C), kW and GPU (S,) would lose or save in the first phase.
    seconds
        Time within the solver [s].
    """

    running: FloatArray
    configured: FloatArray
    flow: FloatArray
    lost: float
    bound: float
    cost: float
    demand_price: FloatArray
    power_price: FloatArray
    gpu_price: FloatArray
    seconds: float


class Programme:
    """The linear programme of a period, for one fleet.

    Parameters
    ----------
    fleet
        The fleet.
    costs
        Objective of the second phase; None for the first phase alone.
    free
        Whether instances may be of any degree at any time. The optimum then bounds every policy.
    columns
        Rows that may run; by default those that an optimum can need.
    """

    def __init__(
        self,
        fleet: Fleet,
        costs: Costs | None = None,
        *,
        free: bool = False,
        columns: Columns | None = None,
    ) -> None:
        from optmodels.routing.sites.model import model_data
        from optmodels.solver import LiveModel

        timed = costs is not None and costs.timed
        self.fleet = fleet
        self.columns = columns or needed_columns(fleet, free_degree=free, timed=timed)
        self._costs = costs
        self._first = np.ones(len(self.columns), dtype=np.bool_)
        if timed and columns is None:
            hull = needed_columns(fleet, free_degree=free)
            self._first = _among(fleet, self.columns, hull)
        self._free = free
        self._any_number = np.repeat(fleet.gpus, len(fleet.degrees)) // np.tile(
            fleet.degrees, fleet.sites
        )
        if free:
            self._any_number = self._any_number[:0]
        self._entered = np.zeros_like(self._first)
        nothing = np.zeros((1, fleet.sites))
        data = model_data(
            fleet,
            self.columns,
            nothing,
            np.zeros((1, fleet.origins, fleet.classes)),
            free=free,
        )
        self._live = LiveModel(_traced(), data | {"most_running": self._limit(self._first)})
        bins, (origin, arc_bin) = fleet.bins, data["arcs"]
        self._arc_site = (origin, bins.site[arc_bin])
        self._column_bin = bins.of[self.columns.site, self.columns.row]
        self._group = self.columns.site * len(fleet.degrees) + fleet.degree_of[self.columns.row]
        self._kind = self.columns.site * fleet.classes + fleet.row_class[self.columns.row]

    def solve(
        self,
        power_kw: FloatArray,
        demand: FloatArray,
        *,
        before: FloatArray | None = None,
        reload_share: float = 0.0,
        most_configured: FloatArray | None = None,
        most_running: FloatArray | None = None,
    ) -> Point:
        """Find the least loss, then the least cost.

        Parameters
        ----------
        power_kw
            Wind power of each site [kW], (S,).
        demand
            Arriving requests [1/s], (O, C).
        before
            Instances that were configured before and need not load, (S, G); None for any.
        reload_share
            Share of the time for which the others load.
        most_configured
            Instances that may be configured, (S, G); None for any number.
        most_running
            Instances that may run on each row, (S, R); None for any number.
        """
        limit = self._set(
            Costs.loss(self.fleet),
            power_kw,
            demand,
            before,
            reload_share,
            most_configured,
            most_running,
        )
        last = first = self._live.solve().require()
        seconds = first.seconds["run"]
        if self._costs is not None:
            lost = float(first.objective or 0.0)
            most = lost + RELATIVE_TOLERANCE * max(1.0, lost) + ABSOLUTE_TOLERANCE
            self._live.update(**self._coefficients(self._costs), most_lost=most)
            last, spent = self._sift(self._costs, limit)
            seconds += spent
        return self._point(first, last, seconds)

    def weigh(
        self,
        costs: Costs,
        power_kw: FloatArray,
        demand: FloatArray,
        *,
        before: FloatArray | None = None,
        reload_share: float = 0.0,
        most_configured: FloatArray | None = None,
        most_running: FloatArray | None = None,
    ) -> Point:
        """Find the least of one weighted sum of losses and costs, in one phase.

        The arguments are those of `solve`; what `Point` says of losses is then said of the sum.
        """
        limit = self._set(
            costs, power_kw, demand, before, reload_share, most_configured, most_running
        )
        solution, seconds = self._sift(costs, limit)
        return self._point(solution, solution, seconds)

    # -- letting rows in ---------------------------------------------------------------------

    def _sift(self, costs: Costs, limit: FloatArray | None) -> tuple[Solution, float]:
        """Solve with a few rows, and let those in that pay, until none does."""
        # Rows that were let in lately pay again, more often than not.
        if self._entered.sum() > _KEPT * self._first.sum():
            self._entered[:] = False
        active = self._first | self._entered
        if self._entered.any():
            self._live.update(most_running=self._limit(active, limit))
        seconds = 0.0
        while True:
            solution = self._live.solve().require()
            seconds += solution.seconds["run"]
            if active.all():
                return solution, seconds
            entering = self._entering(costs, solution, active)
            if not entering.any():
                return solution, seconds
            active |= entering
            self._entered |= entering
            self._live.update(most_running=self._limit(active, limit))

    def _entering(self, costs: Costs, solution: Solution, active: BoolArray) -> BoolArray:
        """The rows outside that would pay most, some for each site and class."""
        fleet, row = self.fleet, self.columns.row
        duals = solution.duals
        served = duals["capacity"].to_numpy()[self._column_bin] * fleet.rate[row]
        drawn = (
            duals["power_limit"].to_numpy()[self.columns.site]
            * (fleet.kw if self._free else fleet.draw_kw)[row]
        )
        held = (
            duals["gpu_limit"].to_numpy()[self.columns.site] * fleet.tp[row]
            if self._free
            else duals["loading"].to_numpy()[self._group]
        )
        own = self._own(costs)
        reduced = own + served - drawn - held
        paying = ~active & (reduced < -_ROUNDING * float(np.abs(own).max(initial=0.0)))
        order = np.lexsort((reduced, self._kind))
        order = order[paying[order]]
        kind = self._kind[order]
        rank = np.arange(len(order)) - np.searchsorted(kind, kind)
        chosen = np.zeros_like(active)
        chosen[order[rank < _ENTRIES]] = True
        return chosen

    # -- arrays ------------------------------------------------------------------------------

    def _set(
        self,
        costs: Costs,
        power_kw: FloatArray,
        demand: FloatArray,
        before: FloatArray | None,
        reload_share: float,
        most_configured: FloatArray | None,
        most_running: FloatArray | None,
    ) -> FloatArray | None:
        """Put the numbers of a period into the model; returns the limits of its columns."""
        any_number = self._any_number
        limit = None if most_running is None else self._of_columns(most_running)
        self._live.update(
            power_kw=np.asarray(power_kw, dtype=np.float64).reshape(1, -1),
            demand=np.asarray(demand, dtype=np.float64).ravel(),
            before=any_number if before is None else _flat(before),
            reload_share=float(reload_share),
            most_configured=any_number if most_configured is None else _flat(most_configured),
            most_running=self._limit(self._first, limit),
            **self._coefficients(costs),
            # More than there is to lose: no limit.
            most_lost=1.0 + float(np.sum(demand, axis=0) @ self.fleet.weight),
        )
        return limit

    def _limit(self, active: BoolArray, limit: FloatArray | None = None) -> FloatArray:
        most: FloatArray = np.where(active, np.inf if limit is None else limit, 0.0)
        return most

    def _of_columns(self, values: FloatArray) -> FloatArray:
        found: FloatArray = values[self.columns.site, self.columns.row].astype(np.float64)
        return found

    def _own(self, costs: Costs) -> FloatArray:
        """What a running instance costs on each column."""
        own = costs.running
        if self._free:
            # Nothing is configured that does not run, so whoever runs pays for being there.
            own = own + costs.idle[self.fleet.degree_of]
        return own[self.columns.row]

    def _coefficients(self, costs: Costs) -> dict[str, object]:
        groups = 0 if self._free else self.fleet.sites
        return {
            "lost_weight": costs.lost,
            "running_cost": self._own(costs),
            "idle_cost": np.tile(costs.idle, groups),
            "import_cost": costs.imported.reshape(1, -1),
            "flow_cost": costs.flow[self._arc_site],
        }

    def _point(self, first: Solution, last: Solution, seconds: float) -> Point:
        fleet, values, duals = self.fleet, last.values, first.duals
        running = np.zeros((fleet.sites, fleet.rows))
        running[self.columns.site, self.columns.row] = values["running"].to_numpy()
        if self._free:
            configured = fleet.of_degree(running)
        else:
            configured = values["configured"].to_numpy().reshape(fleet.sites, -1)
        return Point(
            running=np.maximum(running, 0.0),
            configured=np.maximum(configured, 0.0),
            flow=np.maximum(values["flow"].to_numpy(), 0.0),
            lost=float(first.objective or 0.0),
            bound=float(first.bound if first.bound is not None else -np.inf),
            cost=float(last.objective or 0.0),
            demand_price=duals["balance"].to_numpy().reshape(fleet.origins, fleet.classes),
            power_price=-duals["power_limit"].to_numpy(),
            gpu_price=-duals["gpu_limit"].to_numpy(),
            seconds=seconds,
        )


@cache
def _traced() -> Formulation:
    """The relaxation, traced once for all programmes."""
    from optmodels.routing.sites.model import relaxation
    from optmodels.solver.template import Formulation

    return Formulation(relaxation())


def _among(fleet: Fleet, columns: Columns, others: Columns) -> BoolArray:
    """Which columns are among others."""
    found: BoolArray = np.isin(
        columns.site * fleet.rows + columns.row, others.site * fleet.rows + others.row
    )
    return found


def _flat(values: FloatArray) -> FloatArray:
    return np.asarray(values, dtype=np.float64).ravel()
