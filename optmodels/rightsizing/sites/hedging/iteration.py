"""The decomposition: scenarios shared by ranks, hedged, and judged by the audit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optmodels.errors import InfeasibleError, SolverError, UsageError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.hedging.firststage import candidates, fleet_of
from optmodels.rightsizing.sites.hedging.ranks import import_wheel, quiet
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.model import Scenario, formulation, model_data
from optmodels.rightsizing.sites.risk import NEUTRAL, Risk
from optmodels.rightsizing.sites.scenarios import as_instance, scenario_cost
from optmodels.rightsizing.sites.stochastic import TwoStage, check_scenarios
from optmodels.rightsizing.sites.subproblem import Subproblem

#: Iterations between two looks at what the mean decisions cost.
LOOK_EVERY = 5

#: Families of the whole first stage in the Pyomo model of a scenario.
_FIRST_STAGE = ("size", "battery", "used", "modules", "at_risk")
_ROUNDING = 1e-7


@dataclass(frozen=True)
class Hedged(TwoStage):
    """Sizes that progressive hedging found.

    Attributes
    ----------
    scenario_costs
        What the fleet costs in each scenario, by the audit [USD], shape (K,).
    iterations
        Iterations of hedging after the first, in which scenarios decide by themselves.
    seconds
        Wall time, from the scenarios to the audited cost.
    ranks
        MPI ranks that took part.
    """

    scenario_costs: FloatArray
    iterations: int
    seconds: float
    ranks: int

    @property
    def gap(self) -> float:
        """Distance of the cost to the bound, as a share of the cost."""
        return (self.cost - self.bound) / abs(self.cost) if self.cost else 0.0


def progressive_hedging(
    instance: SitesInstance,
    scenarios: Sequence[Scenario],
    *,
    risk: Risk = NEUTRAL,
    bundle: int = 1,
    gap: float = 1e-3,
    iterations: int = 200,
    time_limit_s: float | None = None,
    strength: float = 0.3,
    mip_gap: float = 1e-4,
) -> Hedged:
    """Sizes of the least cost over many scenarios; every rank calls it and gets the result.

    Parameters
    ----------
    instance
        Sites, prices and limits; its own series is not used.
    scenarios
        As in `solve_two_stage`; the slots of a scenario must all stand for the same hours. The
        same on all ranks.
    risk
        How much the dearest scenarios count.
    bundle
        Scenarios of a subproblem.
    gap
        Share of the cost that may be left between it and the bound.
    iterations
        Most iterations.
    time_limit_s
        Wall seconds after which no iteration begins.
    strength
        Strength of the pull, relative to the costs of what is pulled.
    mip_gap
        Gap of each subproblem with integers.

    Raises
    ------
    MissingExtraError
        The extra ``stochastic`` is not installed.
    InputError
        The scenarios do not fit each other or the instance.
    UsageError
        A number is out of range, or there are more ranks than subproblems to share.
    InfeasibleError
        No fleet is firm enough in all scenarios.
    SolverError
        The bound is above the cost: the solver or the library is wrong.

    Notes
    -----
    An error that only one rank has leaves the others waiting: a program of several ranks ends by
    ``MPI.COMM_WORLD.Abort`` then, as the command of this module does.
    """
    started = time.perf_counter()
    check_scenarios(instance, scenarios)
    _check_numbers(bundle, gap, iterations, time_limit_s, strength)
    with quiet():
        wheel = import_wheel()
        world = wheel.WORLD
        groups = _groups(len(scenarios), bundle)
        cylinders = 1 if world.Get_size() % 2 else 2
        if world.Get_size() // cylinders > len(groups):
            raise UsageError(
                f"{world.Get_size()} ranks cannot share {len(groups)} subproblems. "
                "Fix: use fewer ranks, or smaller bundles."
            )
        judge = _Judge(instance, scenarios, risk, world)
        judge.require_firm()
        made: dict[str, Subproblem] = {}

        def create(name: str) -> Any:
            members = [scenarios[k] for k in groups[name]]
            made[name] = Subproblem(instance, members, risk, mip_gap=mip_gap)
            return wheel.first_stage_model(made[name], name)

        options = {
            "solver_name": "highs",
            "PHIterLimit": iterations,
            "defaultPHrho": 1.0,
            "convthresh": 0.0,
            "verbose": False,
            "display_progress": False,
            "toc": False,
            "time_limit": time_limit_s,
            "gap": gap,
            "look_every": LOOK_EVERY,
            "candidates": lambda mean, most: candidates(instance, made, mean, most),
            "rho_setter_kwargs": {"strength": strength},
        }
        found = wheel.spin(options, list(groups), create)
        local = None
        if found is not None:
            if found.point is None:
                raise SolverError("No first stage was feasible in all scenarios.")
            names = next(iter(made.values())).names
            local = (fleet_of(instance, names, found.point), found.bound, found.opt._PHIter)
        fleet, bound, turns = world.bcast(local, root=0)
        costs = judge.costs(fleet)
        ranks = int(world.Get_size())
    cost = risk.measure(costs, judge.probabilities)
    if bound > cost + _ROUNDING * abs(cost):
        raise SolverError(
            f"Hedging claims a bound of {bound:.12g} USD above the {cost:.12g} USD that its fleet "
            f"costs in the scenarios of {instance.name}."
        )
    return Hedged(
        fleet=fleet,
        cost=cost,
        bound=min(bound, cost),
        scenario_costs=costs,
        iterations=turns,
        seconds=time.perf_counter() - started,
        ranks=ranks,
    )


def scenario_creator(
    name: str,
    *,
    instance: SitesInstance,
    scenarios: Mapping[str, Scenario],
    risk: Risk = NEUTRAL,
) -> Any:
    """Pyomo model of one scenario with its root node, as mpi-sppy's programs ask for it.

    Parameters
    ----------
    name
        Name of the scenario.
    instance
        The question.
    scenarios
        All scenarios by name.
    risk
        How much the dearest scenarios count.

    Returns
    -------
    pyomo.environ.ConcreteModel
        Sizes, batteries, openings, modules and the value at risk are its first stage.

    Raises
    ------
    MissingExtraError
        The extra ``stochastic`` is not installed.
    """
    from optmodels.solver.template import instance_of

    with quiet():
        import_wheel()
        from mpisppy.utils.sputils import attach_root_node
    course = scenarios[name]
    alone = Scenario(course.power_kw, course.demand, course.hours)
    data = model_data(instance, [alone], risk=risk)
    model = instance_of(formulation(risk.weight > 0), data, name=name)
    present = [model.component(family) for family in _FIRST_STAGE]
    first = [variable for variable in present if variable is not None and len(variable)]
    attach_root_node(model, 0.0, first)
    model._mpisppy_probability = course.probability
    return model


class _Judge:
    """What a fleet costs in all scenarios, each rank looking at its share of them."""

    def __init__(
        self, instance: SitesInstance, scenarios: Sequence[Scenario], risk: Risk, world: Any
    ) -> None:
        self._instance = instance
        self._world = world
        self._count = len(scenarios)
        self.probabilities: FloatArray = np.array([c.probability for c in scenarios])
        mine = range(int(world.Get_rank()), self._count, int(world.Get_size()))
        self._own = {k: as_instance(instance, scenarios[k]) for k in mine}

    def costs(self, fleet: Fleet) -> FloatArray:
        """Audited cost of a fleet in each scenario [USD], on every rank."""
        own = {k: scenario_cost(self._instance, one, fleet) for k, one in self._own.items()}
        every = {k: cost for part in self._world.allgather(own) for k, cost in part.items()}
        return np.array([every[k] for k in range(self._count)])

    def require_firm(self) -> None:
        """Refuse scenarios in which even the largest fleet is not firm enough, on every rank."""
        if self._instance.parameters.unmet_share_max is None:
            return
        largest = Fleet(self._instance.most_gpus, self._instance.battery_max_kwh)
        wrong = np.flatnonzero(np.isinf(self.costs(largest)))
        if len(wrong):
            shown = ", ".join(str(k) for k in wrong[:10])
            raise InfeasibleError(
                f"No fleet of {self._instance.name} is firm enough in all scenarios.",
                [f"{len(wrong)} scenarios leave too much to the largest fleet: {shown}"],
            )


def _check_numbers(
    bundle: int, gap: float, iterations: int, time_limit_s: float | None, strength: float
) -> None:
    faults = [
        f"{name} is {value}; allowed: {allowed}"
        for name, value, good, allowed in (
            ("bundle", bundle, bundle >= 1, "1 or more"),
            ("gap", gap, gap >= 0, "0 or more"),
            ("iterations", iterations, iterations >= 1, "1 or more"),
            ("time_limit_s", time_limit_s, time_limit_s is None or time_limit_s > 0, "above 0"),
            ("strength", strength, strength > 0, "above 0"),
        )
        if not good
    ]
    if faults:
        raise UsageError(". ".join(faults) + ".")


def _groups(count: int, bundle: int) -> dict[str, list[int]]:
    """Scenarios of each subproblem, far apart in their order, so that bundles are alike."""
    number = -(-count // bundle)
    return {f"group{g}": list(range(g, count, number)) for g in range(number)}
