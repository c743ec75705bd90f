"""Progressive hedging of mpi-sppy, with our subproblems in it.

mpi-sppy keeps the consensus, the prices, the ranks and the cylinders: a *hub* that hedges, and
beside it, where there are ranks for it, a *spoke* that turns the prices into a lower bound
(Knueven, Mildebrath, Muir, Siirola, Watson and Woodruff, "A parallel hub-and-spoke system for
large-scale scenario-based optimization under uncertainty", 2023). It would make a Pyomo model of
each scenario and hand it to a solver in each iteration. Here a scenario model has nothing but the
first stage, and a `Subproblem` answers for the rest.

Importing this module starts MPI: only `optmodels.rightsizing.sites.hedging` does, when it is asked
to hedge.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo
from mpisppy import MPI
from mpisppy.convergers.converger import Converger
from mpisppy.cylinders.hub import PHHub
from mpisppy.cylinders.lagrangian_bounder import LagrangianOuterBound
from mpisppy.extensions.extension import Extension
from mpisppy.opt.ph import PH
from mpisppy.spin_the_wheel import WheelSpinner
from mpisppy.utils.sputils import attach_root_node

from optmodels.errors import SolverError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.subproblem import Subproblem

#: The world of all ranks.
WORLD: Any = MPI.COMM_WORLD

#: Smallest spread of a first-stage variable, and smallest cost of its whole range, that the
#: strength of the pull is computed from: shares of its range, and of the dearest range.
_LEAST = 1e-3


def first_stage_model(subproblem: Subproblem, name: str) -> pyo.ConcreteModel:
    """The first stage of a subproblem as mpi-sppy wants to see it."""
    m = pyo.ConcreteModel(name=name)
    places = range(len(subproblem.names))
    m.first = pyo.Var(
        places,
        bounds=lambda _, i: (float(subproblem.lower[i]), float(subproblem.upper[i])),
        initialize=lambda _, i: float(subproblem.lower[i]),
    )
    m.cost = pyo.Objective(expr=sum(float(subproblem.cost[i]) * m.first[i] for i in places))
    attach_root_node(m, m.cost.expr, [m.first])
    m._mpisppy_probability = subproblem.probability
    m.subproblem = subproblem
    return m


class Hedging(PH):  # type: ignore[misc]
    """mpi-sppy's progressive hedging, whose scenarios are answered for by subproblems."""

    def _create_solvers(self, presolve: bool = True) -> None:
        self._last: Subproblem | None = None
        for model in self.local_scenarios.values():
            model._solver_plugin = model.subproblem
            model._mpisppy_data.solution_available = False

    def attach_PH_to_objective(  # noqa: N802 (mpi-sppy's name)
        self, add_duals: bool, add_prox: bool, add_smooth: int = 0
    ) -> None:
        """Nothing: prices and pull go to the subproblem with every solve."""

    def _prox_is_quadratic(self) -> bool:
        return False

    def solve_one(
        self, solver_options: object, k: str, s: Any, *args: object, **kwargs: object
    ) -> float:
        """Let a subproblem answer to the prices and the pull that hold now."""
        started = time.perf_counter()
        extra, data = s._mpisppy_model, s._mpisppy_data
        if self._last is not None and not data.solution_available:
            s.subproblem.start_like(self._last)
        self._last = s.subproblem
        prices = self.prices(s)
        if pyo.value(extra.prox_on):
            answer = s.subproblem.solve(
                prices,
                rho=_values(extra.rho, data.nonant_indices),
                anchor=_values(extra.xbars, data.nonant_indices),
            )
        else:
            answer = s.subproblem.solve(prices)
        if answer is None:
            raise SolverError(f"{k} has no fleet, although its largest one was firm enough.")
        for variable, value in zip(data.nonant_indices.values(), answer.point, strict=True):
            variable.set_value(float(value), skip_validation=True)
            variable.stale = False
        data.solution_available = True
        data.outer_bound, data.inner_bound = answer.bound, answer.objective
        return time.perf_counter() - started

    def prices(self, model: Any) -> FloatArray:
        """Prices of a scenario's first stage, zero before hedging begins."""
        extra = model._mpisppy_model
        return _values(extra.W, model._mpisppy_data.nonant_indices) * float(pyo.value(extra.W_on))

    def summed(self, values: Sequence[float]) -> float:
        """Sum over the ranks of this cylinder."""
        return float(self.mpicomm.allreduce(float(sum(values)), op=MPI.SUM))

    def lagrangian_bound(self) -> float:
        """Lower bound that the prices of now prove, without touching the iteration."""
        found = []
        for model in self.local_scenarios.values():
            answer = model.subproblem.solve(self.prices(model))
            found.append(-np.inf if answer is None else model.subproblem.probability * answer.bound)
        return self.summed(found)

    def cost_at(self, point: FloatArray) -> float:
        """Cost of first-stage values that all scenarios share; infinite where one is infeasible."""
        found = []
        for model in self.local_scenarios.values():
            answer = model.subproblem.solve(np.zeros(len(point)), fixed=point)
            cost = np.inf if answer is None else answer.objective
            found.append(model.subproblem.probability * cost)
        return self.summed(found)

    def consensus(self) -> tuple[FloatArray, FloatArray]:
        """Mean and largest first-stage values over all scenarios."""
        self.Compute_Xbar()
        models = list(self.local_scenarios.values())
        mean = _values(models[0]._mpisppy_model.xbars, models[0]._mpisppy_data.nonant_indices)
        points = [
            [v.value for v in model._mpisppy_data.nonant_indices.values()] for model in models
        ]
        largest = np.max(np.array(points, dtype=np.float64), axis=0)
        most = np.empty_like(largest)
        self.mpicomm.Allreduce(largest, most, op=MPI.MAX)
        return mean, most


class Incumbents(Extension):  # type: ignore[misc]
    """Keeps the best shared first stage and, without a spoke, a lower bound.

    ``options["candidates"]`` makes first stages that could be built of the mean and the largest
    values over the scenarios; ``options["look_every"]`` says in which iterations to look.
    """

    def __init__(self, opt: Hedging) -> None:
        super().__init__(opt)
        self.best = np.inf
        self.point: FloatArray | None = None
        self.bound = -np.inf

    def post_iter0(self) -> None:
        """Look at the scenarios by themselves."""
        self._look()
        self.bound = self.opt.Ebound()

    def enditer(self) -> None:
        """Look every so many iterations."""
        if self.opt._PHIter % self.opt.options["look_every"] == 0:
            self._look()
            if self.opt.spcomm is None:
                self.bound = max(self.bound, self.opt.lagrangian_bound())

    def _look(self) -> None:
        for point in self.opt.options["candidates"](*self.opt.consensus()):
            cost = self.opt.cost_at(point)
            if cost < self.best:
                self.best, self.point = cost, point

    def outer_bound(self) -> float:
        """Best lower bound, by a spoke or by itself."""
        spokes = self.opt.spcomm
        return max(self.bound, -np.inf if spokes is None else float(spokes.BestOuterBound))

    def gap(self) -> float:
        """Relative distance of the best cost to the best bound."""
        return float((self.best - self.outer_bound()) / abs(self.best))


class SmallGap(Converger):  # type: ignore[misc]
    """Ends hedging when the gap is small enough."""

    def __init__(self, opt: Hedging) -> None:
        super().__init__(opt)
        self._opt = opt

    def is_converged(self) -> bool:
        """Whether some rank of the hub knows a small enough gap."""
        small = self._opt.extobject.gap() <= self._opt.options["gap"]
        return bool(self._opt.allreduce_or(small))


def strengths(model: Any, strength: float) -> list[tuple[int, float]]:
    """Strength of the pull: cost of a variable by how much the scenarios differ in it.

    So a variable that is off by its spread changes its price by `strength` times its cost.
    """
    sub: Subproblem = model.subproblem
    extra, indices = model._mpisppy_model, model._mpisppy_data.nonant_indices
    mean, squares = _values(extra.xbars, indices), _values(extra.xsqbars, indices)
    reach = np.where(sub.upper > sub.lower, sub.upper - sub.lower, 1.0)
    spread = np.maximum(np.sqrt(np.maximum(squares - mean**2, 0.0)), _LEAST * reach)
    cost = np.maximum(np.abs(sub.cost), _LEAST * float((np.abs(sub.cost) * reach).max()) / reach)
    rho = strength * cost / spread
    return [(id(v), float(r)) for v, r in zip(indices.values(), rho, strict=True)]


def spin(options: dict[str, Any], names: Sequence[str], creator: Any) -> Incumbents | None:
    """Hedge on all ranks, with a bounding spoke on every second one; the hub's rank 0 returns it.

    Parameters
    ----------
    options
        Options of mpi-sppy's progressive hedging, and those of `Incumbents` and `SmallGap`.
    names
        Names of the subproblems.
    creator
        Makes the `first_stage_model` of a name.
    """
    given: dict[str, Any] = {
        "options": options,
        "all_scenario_names": list(names),
        "scenario_creator": creator,
    }
    hub = {
        **given,
        "extensions": Incumbents,
        "ph_converger": SmallGap,
        "rho_setter": strengths,
    }
    if WORLD.Get_size() % 2:
        opt = Hedging(**hub)
        opt.ph_main(finalize=False)
        if options["look_every"] > 1:
            opt.extobject._look()
        opt.extobject.bound = max(opt.extobject.bound, opt.lagrangian_bound())
        found: Incumbents = opt.extobject
        return found if WORLD.Get_rank() == 0 else None
    wheel = WheelSpinner(
        {"hub_class": PHHub, "opt_class": Hedging, "opt_kwargs": hub},
        [
            {
                "spoke_class": LagrangianOuterBound,
                "opt_class": Hedging,
                "opt_kwargs": given,
            }
        ],
    )
    wheel.spin()
    if WORLD.Get_rank():
        return None
    found = wheel.spcomm.opt.extobject
    # What the spoke proved after the last iteration counts too.
    found.bound = max(found.bound, float(wheel.BestOuterBound))
    return found


def _values(component: Any, indices: Any) -> FloatArray:
    """Numbers of a Pyomo parameter in the order of the first stage."""
    return np.array([component[i]._value for i in indices], dtype=np.float64)
