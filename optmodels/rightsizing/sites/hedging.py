"""Sizes for hundreds of scenarios: progressive hedging on MPI ranks, with a proven bound.

All scenarios in one programme, the extensive form of `solve_two_stage`, soon take too long. They
hang together only by what is decided once: sizes, batteries, openings. *Progressive hedging*
(Rockafellar and Wets, 1991) lets each scenario decide by itself, then prices the difference to the
mean of all decisions and pulls each towards it, and again, until they agree:

    x_k   = argmin  E_k(x) + W_k x + ρ/2 (x - x̄)²
    x̄     = Σ π_k x_k,        W_k ← W_k + ρ (x_k - x̄)

Since Σ π_k W_k = 0, the prices alone, without the pull, prove a lower bound at any time, with or
without integers: Σ π_k min (E_k(x) + W_k x) (Gade, Hackebeil, Ryan, Watson, Wets and Woodruff,
2016). The mean decisions, made whole where there are modules, can be built: what they cost is an
upper bound, and it is recomputed from the raw scenarios by the audit. What is between the two is
the gap; with integers it may stay open however long one hedges.

The iteration is that of mpi-sppy, its ranks are MPI's, its subproblems are ours (`subproblem`).
With an even number of ranks every second one does nothing but prove bounds. ``bundle`` joins
several scenarios to one subproblem: fewer iterations, larger programmes.

Run it by::

    mpiexec -n 2 python -m optmodels.rightsizing.sites.hedging FOLDER --weeks 50 --errors 4

It needs the extra ``stochastic``. `scenario_creator` gives the whole Pyomo model of a scenario to
whoever wants to use other parts of mpi-sppy.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from optmodels.errors import (
    InfeasibleError,
    MissingExtraError,
    OptmodelsError,
    SolverError,
    UsageError,
)
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.model import Scenario, formulation, model_data
from optmodels.rightsizing.sites.risk import NEUTRAL, Risk
from optmodels.rightsizing.sites.scenarios import as_instance, scenario_cost, with_forecast_errors
from optmodels.rightsizing.sites.stochastic import TwoStage, check_scenarios, sampled_weeks
from optmodels.rightsizing.sites.subproblem import Subproblem

#: Iterations between two looks at what the mean decisions cost.
LOOK_EVERY = 5

#: Families of the whole first stage in the Pyomo model of a scenario.
_FIRST_STAGE = ("size", "battery", "used", "modules", "at_risk")
_ROUNDING = 1e-7
_LOG = logging.getLogger(__name__)


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
        wheel = _wheel()
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
            "candidates": lambda mean, most: _candidates(instance, made, mean, most),
            "rho_setter_kwargs": {"strength": strength},
        }
        found = wheel.spin(options, list(groups), create)
        local = None
        if found is not None:
            if found.point is None:
                raise SolverError("No first stage was feasible in all scenarios.")
            names = next(iter(made.values())).names
            local = (_fleet(instance, names, found.point), found.bound, found.opt._PHIter)
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
    from optmodels.solver.template.data import instance_of

    with quiet():
        _wheel()
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


def _candidates(
    instance: SitesInstance, made: Mapping[str, Subproblem], mean: FloatArray, most: FloatArray
) -> list[FloatArray]:
    """First stages that could be built: near the mean, and as large as any scenario asks for.

    The largest is firm in all scenarios if each is firm with its own.
    """
    sub = next(iter(made.values()))
    asked = [mean] if instance.parameters.unmet_share_max is None else [mean, most]
    found = []
    for point in asked:
        fleet = _fleet(instance, sub.names, point)
        eligible = np.flatnonzero(instance.eligible)
        values = point.copy()
        for i, (family, place) in enumerate(sub.names):
            if family == "size":
                values[i] = fleet.gpus[eligible[place]]
            elif family == "battery":
                values[i] = fleet.battery_kwh[_equipped(instance)[place]]
            elif family == "used":
                values[i] = float(fleet.gpus[_opened(instance)[place]] > 0)
        found.append(np.clip(values, sub.lower, sub.upper))
    return found


def _fleet(instance: SitesInstance, names: Sequence[tuple[str, int]], point: FloatArray) -> Fleet:
    """The fleet of first-stage values, in whole modules."""
    gpus, battery = (np.zeros(len(instance.sites)) for _ in range(2))
    eligible, equipped = np.flatnonzero(instance.eligible), _equipped(instance)
    for (family, place), value in zip(names, point.tolist(), strict=True):
        if family == "size":
            gpus[eligible[place]] = value
        elif family == "battery":
            battery[equipped[place]] = value
    module = instance.parameters.module_gpus
    if module is not None:
        gpus = np.round(gpus / module) * module
    gpus = np.minimum(gpus, instance.most_gpus)
    gpus[gpus <= _ROUNDING * instance.nameplate_kw / instance.gpu_kw] = 0.0
    battery = np.where(gpus > 0, np.minimum(battery, instance.battery_max_kwh), 0.0)
    return Fleet(gpus, battery)


def _equipped(instance: SitesInstance) -> Any:
    """Sites with a battery or a grid connection, in the order of the formulation."""
    return np.flatnonzero((instance.battery_max_kwh > 0) | (instance.backup_kw > 0))


def _opened(instance: SitesInstance) -> Any:
    """Sites that cost something to be used at all, in the order of the formulation."""
    return np.flatnonzero((instance.opening_usd > 0) & instance.eligible)


def _wheel() -> Any:
    """Import the room that needs MPI."""
    try:
        import mpi4py  # noqa: F401
        import mpisppy.log
    except ImportError as error:
        missing = error.name or "mpi-sppy"
        raise MissingExtraError(missing, "stochastic", "Progressive hedging") from None
    # While it is imported the library would open log files in the working directory.
    opening = mpisppy.log.setup_logger
    mpisppy.log.setup_logger = lambda *args, **kwargs: None
    try:
        from optmodels.rightsizing.sites import wheel
    finally:
        mpisppy.log.setup_logger = opening
    return wheel


class _Lines(io.TextIOBase):
    """A stream whose lines go to the log."""

    def write(self, text: str) -> int:
        """Log what is written, line by line."""
        for line in text.splitlines():
            if line.strip():
                _LOG.info(line.rstrip())
        return len(text)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what the library prints to the log of this module."""
    with contextlib.redirect_stdout(_Lines()):
        yield


# ------------------------------------------------------------------------------------- the command
def run(
    path: Annotated[Path, typer.Argument(help="Folder of the instance.")],
    weeks: Annotated[int, typer.Option(help="Weeks drawn from the series.")] = 20,
    errors: Annotated[int, typer.Option(help="Courses of each week, by forecast errors.")] = 1,
    spread: Annotated[float, typer.Option(help="Spread of the errors (logarithm).")] = 0.2,
    persistence: Annotated[float, typer.Option(help="Their correlation hour to hour.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the draw and of the errors.")] = 0,
    risk_weight: Annotated[float, typer.Option(help="Share of the objective on CVaR.")] = 0.0,
    risk_level: Annotated[float, typer.Option(help="Probability outside its tail.")] = 0.9,
    bundle: Annotated[int, typer.Option(help="Scenarios of a subproblem.")] = 1,
    gap: Annotated[float, typer.Option(help="Share of the cost at which to stop.")] = 1e-3,
    iterations: Annotated[int, typer.Option(help="Most iterations.")] = 200,
    time_limit: Annotated[float | None, typer.Option(help="Seconds; none by default.")] = None,
    strength: Annotated[float, typer.Option(help="Strength of the pull.")] = 0.3,
) -> dict[str, Any]:
    """Hedge over weeks of an instance folder with forecast errors; what the command prints.

    Parameters
    ----------
    path
        Folder of the instance.
    weeks, seed
        Weeks that are drawn, and the seed of the draw and of the errors.
    errors, spread, persistence
        Courses made of each week, as in `with_forecast_errors`; no errors for one course.
    risk_weight, risk_level
        As in `Risk`.
    bundle, gap, iterations, time_limit, strength
        As in `progressive_hedging`.
    """
    instance = SitesInstance.load(path)
    scenarios = sampled_weeks(instance, weeks, seed=seed)
    if errors > 1:
        scenarios = with_forecast_errors(
            instance, scenarios, errors, spread=spread, persistence=persistence, seed=seed
        )
    found = progressive_hedging(
        instance,
        scenarios,
        risk=Risk(risk_weight, risk_level),
        bundle=bundle,
        gap=gap,
        iterations=iterations,
        time_limit_s=time_limit,
        strength=strength,
    )
    return {
        "problem": instance.problem,
        "instance": instance.name,
        "fingerprint": instance.fingerprint,
        "scenarios": len(scenarios),
        "bundle": bundle,
        "ranks": found.ranks,
        "risk": {"weight": risk_weight, "level": risk_level},
        "cost_usd": found.cost,
        "bound_usd": found.bound,
        "gap": found.gap,
        "mean_usd": float(np.mean(found.scenario_costs)),
        "dearest_usd": float(found.scenario_costs.max()),
        "iterations": found.iterations,
        "seconds": found.seconds,
        "fleet": [
            {"site": site, "gpus": float(n), "battery_kwh": float(b)}
            for site, n, b in zip(
                instance.sites, found.fleet.gpus, found.fleet.battery_kwh, strict=True
            )
        ],
    }


@functools.wraps(run)
def command(*args: Any, **kwargs: Any) -> None:
    """Print what `run` finds as JSON, by the first rank; end all ranks on any error."""
    try:
        found = run(*args, **kwargs)
    except Exception as error:
        if not isinstance(error, OptmodelsError):
            _LOG.exception("Hedging failed.")
        code = error.exit_code if isinstance(error, OptmodelsError) else 1
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        _end_others(code)
        raise typer.Exit(code) from None
    if _rank() == 0:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))


def _rank() -> int:
    from mpi4py import MPI

    return int(MPI.COMM_WORLD.Get_rank())


def _end_others(code: int) -> None:
    """Ranks that wait for this one would wait for ever."""
    if "mpi4py.MPI" not in sys.modules:
        return
    from mpi4py import MPI

    if MPI.COMM_WORLD.Get_size() > 1:
        MPI.COMM_WORLD.Abort(code)


def main() -> None:
    """Run as a command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help="Size GPUs at wind sites for many scenarios.")(command)
    app()


if __name__ == "__main__":
    main()
