"""The door: recognises the kind of a model, compiles it, solves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import Flaw, InputError, UsageError, shorten
from .labels import is_scalar_index
from .linear import FEASIBILITY_TOLERANCE, LinearModel
from .options import DEFAULT_MIP_GAP, Limits, check_options
from .outcome import Outcome
from .session import Session
from .solution import Solution, check_not_worse, solution_of
from .status import Status

if TYPE_CHECKING:
    from .cones import ConicProblem

_LIBRARIES = ("pyomo", "cvxpy")


def compile_model(model: Any, data: object = None) -> LinearModel | ConicProblem:
    """Turn a model of any kind into arrays; a `LinearModel` passes through.

    Parameters
    ----------
    model
        Pyomo ConcreteModel or AbstractModel, CVXPY Problem, or `LinearModel`.
    data
        Data of an AbstractModel: named arrays (see `optmodels.solver.template.data`), for which
        most formulations are compiled without making Pyomo's objects, or Pyomo's own forms.

    Returns
    -------
    LinearModel or ConicProblem
        Matrices of the model, with labels that lead back to its names.

    Raises
    ------
    UsageError
        The object is no model, or one beyond this layer.
    InputError
        The model holds numbers that no solver can use.
    """
    if isinstance(model, LinearModel):
        return model
    roots = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    library = next((name for name in _LIBRARIES if name in roots), None)
    if library == "pyomo" and hasattr(model, "block_data_objects"):
        from .pyomo_front import compile_by_fastest

        return compile_by_fastest(model, data)
    if library == "cvxpy" and hasattr(model, "get_problem_data"):
        from .cvxpy_adapter import compile_cvxpy

        return compile_cvxpy(model)
    raise UsageError(
        f"{shorten(type(model).__name__)} is not a model. Allowed: a Pyomo ConcreteModel, a Pyomo "
        "AbstractModel with data=..., or a CVXPY Problem."
    )


def linear_only(model: Any, purpose: str, data: object = None) -> LinearModel:
    """Compile a model and refuse cone programmes, for rooms that need rows and columns."""
    compiled = compile_model(model, data)
    if isinstance(compiled, LinearModel):
        return compiled
    raise UsageError(
        f"{purpose} needs a linear or quadratic model; this one has cones "
        f"({compiled.cones_text}). Fix: replace norms and other conic atoms by linear ones."
    )


def solve_model(
    model: Any,
    *,
    time_limit_s: float | None = None,
    mip_gap: float = DEFAULT_MIP_GAP,
    threads: int | None = None,
    seed: int = 0,
    warm_start: Mapping[str, Any] | None = None,
    options: Mapping[str, object] | None = None,
    progress: bool = False,
    data: object = None,
) -> Solution:
    """Solve a Pyomo or CVXPY model; the answer is checked before it is given out.

    Linear, mixed-integer linear and convex quadratic models go to HiGHS; cone programmes to
    Clarabel. The caller's model is not changed: `Solution.load_into_model` writes values back.

    Parameters
    ----------
    model
        Pyomo ConcreteModel (or AbstractModel with `data`), or CVXPY Problem.
    time_limit_s
        Wall seconds for the solver; ``None``: no limit.
    mip_gap
        Relative gap at which a mixed-integer model counts as optimal.
    threads
        Threads of the solver; ``None``: its default.
    seed
        Seed of the solver's own randomness.
    warm_start
        First solution of a mixed-integer model, whole or in part: component name -> Series, dict
        or scalar. Continuous models need none and ignore it.
    options
        Further HiGHS options; unknown ones are refused.
    progress
        Show one line on standard error while solving.
    data
        Data of an AbstractModel, as for `compile_model`.

    Returns
    -------
    Solution
        Also for infeasible and unbounded models: its numbers raise then.

    Raises
    ------
    UsageError
        Unknown or unfitting options and arguments; models beyond this layer.
    InputError
        NaN or infinite coefficients, named by component and index; an unusable warm start.
    SolverError
        The solver's claim contradicts the warm start.
    """
    limits = Limits(time_limit_s, mip_gap, threads, seed)
    check_options(options)
    compiled = compile_model(model, data)
    if not isinstance(compiled, LinearModel):
        return compiled.solve(limits, options)
    session = Session(compiled, limits=limits, options=options, progress=progress)
    known = _give_start(session, compiled, warm_start)
    outcome = session.solve()
    if known is not None:
        _compare_with_start(outcome, known, compiled.maximize, limits.mip_gap)
    return solution_of(
        outcome,
        build_seconds=compiled.build_seconds,
        sense="maximize" if compiled.maximize else "minimize",
        solver=session.solver,
        options={
            "time_limit_s": time_limit_s,
            "mip_gap": mip_gap,
            "threads": threads,
            "seed": seed,
            **session.options,
        },
        model=compiled.source,
        _labels=compiled.labels,
    )


def _give_start(
    session: Session, model: LinearModel, warm_start: Mapping[str, Any] | None
) -> float | None:
    """Pass a warm start on; returns its objective when it is a whole, feasible solution."""
    if not warm_start:
        return None
    positions, values = read_start(model, warm_start)
    if not model.is_mip:
        return None
    session.start_from(positions, values)
    if len(positions) < model.columns:
        return None
    x = np.zeros(model.columns)
    x[positions] = values
    feasible = model.worst_violation(x).relative <= FEASIBILITY_TOLERANCE
    return model.objective(x) if feasible else None


def _compare_with_start(outcome: Outcome, known: float, maximize: bool, gap: float) -> None:
    claim = outcome.objective if outcome.status is Status.OPTIMAL else None
    if outcome.status is Status.INFEASIBLE:
        claim = -np.inf if maximize else np.inf
    if claim is not None:
        sense = "maximize" if maximize else "minimize"
        check_not_worse(claim, known, sense, "Warm start", tolerance=max(gap, 1e-6))


def read_start(model: LinearModel, warm_start: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Positions and values of a first solution given by component names.

    Raises
    ------
    UsageError
        Unknown component.
    InputError
        Unknown labels, values that are not finite numbers.
    """
    families = model.labels.columns
    flaws: list[Flaw] = []
    chosen: dict[int, float] = {}
    for name, given in warm_start.items():
        if name not in families:
            raise UsageError.unknown("variable in warm_start", str(name), families)
        family = families[name]
        index = family.index()
        if not isinstance(given, pd.Series | Mapping):
            scalar = is_scalar_index(index)
            items = [(0 if scalar else label, given) for label in index]
        else:
            items = list(given.items())
            if is_scalar_index(index) and len(items) == 1:
                items = [(0, items[0][1])]
        places = dict(zip(index, family.positions.tolist(), strict=True))
        for label, value in items:
            if label not in places:
                flaws.append(Flaw("is no index of this variable", field=name, value=label))
                continue
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = np.nan
            if not np.isfinite(number):
                flaws.append(Flaw("is not a finite number", field=f"{name}[{label}]", value=value))
            elif places[label] >= 0:
                chosen[places[label]] = number
    if flaws:
        raise InputError(flaws, "warm_start")
    order = sorted(chosen)
    positions = np.array(order, dtype=np.int32)
    return positions, np.array([chosen[position] for position in order])
