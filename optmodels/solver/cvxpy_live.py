"""A `LiveProblem`: one CVXPY problem that is solved again and again as its parameters change.

CVXPY canonicalises a problem by a chain of reductions, which costs far more than most solves. Where
parameters enter by the rules of *disciplined parametrised programming* (DPP: every expression is
affine in the parameters, seen as a function of them), the canonical arrays are an affine function
of the parameters, too: CVXPY keeps that map, and new values cost one sparse product.

Here the chain runs once, and the arrays of every later solve are pushed into the same solver:

- linear, mixed-integer linear and quadratic problems into one HiGHS: a linear programme goes on
  from its last basis, one with integers gets the last solution as its first;
- cone programmes into one Clarabel, which keeps its set-up (ordering, symbolic factorisation); an
  interior point method has no use for the last point.

Checks, statuses and duals are those of `solve_model`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse as sp

from ..errors import Flaw, InputError, UsageError, shorten
from .cones import ConicProblem
from .cvxpy_adapter import compile_cvxpy, constraint_names
from .labels import FloatArray
from .linear import LinearModel
from .options import DEFAULT_MIP_GAP, Limits, check_options
from .session import Session
from .solution import Solution, solution_of


class LiveProblem:
    """A CVXPY problem with a solver of its own, to be changed and solved many times.

    Parameters
    ----------
    problem
        DPP problem whose `cvxpy.Parameter` objects change. Their values may come later, by
        `update`. Give them names: ``cp.Parameter(24, name="demand")``.
    time_limit_s, mip_gap, threads, seed, options
        Of every solve, as for `solve_model`.

    Raises
    ------
    UsageError
        The problem is not DPP; two parameters have the same name; unusable limits or options.

    Notes
    -----
    **Let parameters be right-hand sides, bounds and costs; keep what multiplies a variable in a
    constraint constant.** CVXPY's map has an entry for each pair of a coefficient and a parameter
    entry that it depends on: with all data of a routing model of 100,000 coefficients as
    parameters we saw 2 s and 2 GB for the first solve, where constants take 0.06 s. If
    coefficients change, build the problem anew, or state it as a formulation and use a
    `LiveModel`.

    `update` sets the values of the problem's own Parameter objects; values that are set on them
    directly count just as well. A live problem belongs to one thread at a time.
    """

    def __init__(
        self,
        problem: cp.Problem,
        *,
        time_limit_s: float | None = None,
        mip_gap: float = DEFAULT_MIP_GAP,
        threads: int | None = None,
        seed: int = 0,
        options: Mapping[str, object] | None = None,
    ) -> None:
        if not isinstance(problem, cp.Problem):
            name = shorten(type(problem).__name__)
            raise UsageError(f"{name} is not a CVXPY problem; for a formulation take a LiveModel.")
        self._limits = Limits(time_limit_s, mip_gap, threads, seed)
        self._options = check_options(options)
        require_dpp(problem)
        self.problem = problem
        self.parameters = _parameters_by_name(problem)
        # The twin shares variables, constraints and parameters but not CVXPY's memory: whatever
        # the caller does with the problem, the chain runs once here.
        self._twin = cp.Problem(problem.objective, problem.constraints)
        self._session: Session | None = None
        self._clarabel: dict[str, Any] = {}
        self._x: FloatArray | None = None
        self._outside = 0.0

    def update(self, **parameters: Any) -> None:
        """Give parameters new values; all of them, or after an error none.

        Parameters
        ----------
        parameters
            Values by the name of the parameter, of its shape; what counts is their order, not the
            labels of a Series.

        Raises
        ------
        UsageError
            The problem has no parameter of this name.
        InputError
            A value has the wrong shape or sign, or is not a finite number.
        """
        begin = time.perf_counter()
        for name in parameters:
            if name not in self.parameters:
                raise UsageError.unknown("parameter", name, self.parameters)
        before: dict[str, Any] = {}
        flaws: list[Flaw] = []
        for name, value in parameters.items():
            parameter = self.parameters[name]
            old = parameter.value
            flaw = _set_value(parameter, name, value)
            if flaw is None:
                before[name] = old
            else:
                flaws.append(flaw)
        if flaws:
            for name, value in before.items():
                self.parameters[name].value = value
            raise InputError(flaws, "Parameters")
        self._outside += time.perf_counter() - begin

    def solve(self) -> Solution:
        """Solve the problem as it stands, starting from the last solve where that helps.

        Returns
        -------
        Solution
            ``seconds`` has ``run`` (inside the solver; for cones with the check of the point),
            ``outside`` (everything else since the solve before) and their sum ``solve``.

        Raises
        ------
        UsageError
            A parameter has no value; integers together with cones or a quadratic objective.
        InputError
            The parameters give coefficients that no solver can use.
        """
        begin = time.perf_counter()
        compiled = compile_cvxpy(self._twin, self.problem)
        if isinstance(compiled, ConicProblem):
            solution = compiled.solve(self._limits, self._options, self._clarabel)
            run = solution.seconds["solve"]
        else:
            solution, run = self._solve_linear(compiled)
        outside = self._outside + time.perf_counter() - begin - run
        self._outside = 0.0
        seconds = {"run": run, "outside": outside, "solve": run + outside}
        return replace(solution, seconds=seconds)

    def _solve_linear(self, model: LinearModel) -> tuple[Solution, float]:
        # Should HiGHS refuse something on the way, its state is unknown: the next solve has a
        # new session.
        session, self._session = self._session, None
        if session is None:
            session = Session(model, limits=self._limits, options=self._options)
        else:
            session.update(model)
        if model.is_mip and self._x is not None and len(self._x) == model.columns:
            places = np.flatnonzero(model.integer)
            low, high = model.column_lower[places], model.column_upper[places]
            session.start_from(places, np.clip(self._x[places], low, high))
        outcome = session.solve()
        self._session = session
        self._x = outcome.x if outcome.status.has_solution else None
        limits = self._limits
        solution = solution_of(
            outcome,
            sense="maximize" if model.maximize else "minimize",
            solver=session.solver,
            options={
                "time_limit_s": limits.time_limit_s,
                "mip_gap": limits.mip_gap,
                "threads": limits.threads,
                "seed": limits.seed,
                **session.options,
            },
            model=model.source,
            _labels=model.labels,
        )
        return solution, session.run_seconds


def require_dpp(problem: cp.Problem) -> None:
    """Refuse a problem that is not DPP.

    Raises
    ------
    UsageError
        It is not; the message names the objective or constraint, the smallest expression in it
        that breaks the rules, and how to restate it.
    """
    if problem.is_dpp():
        return
    if not problem.is_dcp():
        raise UsageError(
            "The CVXPY problem is not convex by the DCP rules. Fix: find the expression with "
            "`expr.is_convex()`, and write it by convex atoms."
        )
    places = [("objective", problem.objective)]
    places += list(zip(constraint_names(problem), problem.constraints, strict=True))
    wrong = [
        f"{name}: {shorten(_smallest_not_dpp(part))}"
        for name, part in places
        if not part.is_dcp(dpp=True)
    ]
    wrong += [f"bounds of {v.name()}" for v in problem.variables() if not v.is_dpp()]
    raise UsageError(
        "The CVXPY problem is not DPP, so every new value of a parameter would cost the whole "
        f"canonicalisation: {'; '.join(wrong)}. Fix: make one new Parameter for each product or "
        "function of parameters and give it that value (cp.CallbackParam does so by itself); "
        "instead of quad_form(x, P) with a parameter P write sum_squares(root @ x) with "
        "P = root.T @ root; or solve each problem by solve_model."
    )


def _smallest_not_dpp(part: Any) -> Any:
    """The expression that breaks the rules while everything in it keeps them."""
    inner = next((argument for argument in part.args if not argument.is_dpp()), None)
    return part if inner is None else _smallest_not_dpp(inner)


def _parameters_by_name(problem: cp.Problem) -> dict[str, Any]:
    parameters = problem.parameters()
    counts = Counter(parameter.name() for parameter in parameters)
    doubled = sorted(name for name, count in counts.items() if count > 1)
    if doubled:
        raise UsageError(
            f"Several CVXPY parameters are called {', '.join(doubled)}. Fix: give each a name of "
            "its own, as in cp.Parameter(24, name='demand')."
        )
    return {parameter.name(): parameter for parameter in parameters}


def _set_value(parameter: Any, name: str, value: Any) -> Flaw | None:
    """Set a value; what is wrong with it, if it was not set."""
    if isinstance(parameter, cp.CallbackParam):
        return Flaw("is computed", field=name, fix="set `.value` of what it is computed from")
    try:
        # A copy: the caller's array may change afterwards.
        sparse = bool(sp.issparse(value))
        own: Any = value.copy() if sparse else np.array(value, dtype=np.float64)
        if not np.isfinite(own.data if sparse else own).all():
            return Flaw("has values that are not finite numbers", field=name)
        parameter.value = own
    except (TypeError, ValueError) as error:
        reason = str(error).strip().rstrip(".")
        return Flaw(f"does not fit: {reason}", field=name, value=shorten(value))
    return None
