"""The `Solution`: numbers only where there is a solution, and every one of them labelled.

Sign convention of the duals: the model's. For a Pyomo model (and for arrays) a dual is the change
of the objective per unit of the right-hand side, as in Pyomo's ``dual`` suffix, for minimisation
and maximisation, whichever way the constraint was written. For a CVXPY problem it is what
``constraint.dual_value`` would hold.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ..errors import (
    InfeasibleError,
    NoSolutionError,
    OptmodelsError,
    SolverError,
    UnboundedError,
    UsageError,
)
from .labels import FloatArray, Labels
from .status import Status

GAP_FLOOR = 1e-9
"""The gap is relative to |objective|, but never to less than this."""


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    r"""How a solve ended and, where there is a solution, its numbers.

    Parameters
    ----------
    status
        How the solve ended.
    sense
        ``minimize`` or ``maximize``.
    objective
        Objective of the solution, re-computed from the model's arrays; ``None`` without solution.
    bound
        No solution is better than this. For an LP proven from the duals by weak duality, for a
        MIP the tree's bound, for a cone programme the dual objective; infinite where nothing is
        proven; ``None`` when infeasible, unbounded or failed.
    seconds
        Wall seconds: ``build`` (front end) and ``solve``.
    statistics
        ``iterations``, ``nodes``, ``rows``, ``columns``, ``integers``, ``nonzeros``.
    solver
        Name and version.
    options
        Limits and options used.
    interrupted
        Whether Ctrl-C came during the solve.
    message
        What the solver or the check said, for the status ``error``.
    model
        The model that was solved (for an AbstractModel: the instance).
    """

    status: Status
    sense: str
    objective: float | None = None
    bound: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    statistics: Mapping[str, int] = field(default_factory=dict)
    solver: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    interrupted: bool = False
    message: str = ""
    model: object = None
    _labels: Labels = field(default_factory=lambda: Labels(lambda: (), lambda: ()))
    _x: FloatArray | None = None
    _row_dual: FloatArray | None = None
    _column_dual: FloatArray | None = None

    @property
    def gap(self) -> float | None:
        """|objective - bound| / max(|objective|, 1e-9); ``None`` without solution."""
        if self.objective is None or self.bound is None:
            return None
        distance = abs(self.objective - self.bound)
        return distance / max(abs(self.objective), GAP_FLOOR)

    @cached_property
    def values(self) -> dict[str, pd.Series]:
        """Value of every variable: component name -> series over the component's index.

        Raises
        ------
        InfeasibleError, UnboundedError, NoSolutionError, SolverError
            There is no solution.
        """
        return self._labels.values(self._point())

    @cached_property
    def duals(self) -> dict[str, pd.Series]:
        """Dual of every constraint, in the model's sign convention.

        Raises
        ------
        UsageError
            The model has integer variables, or the solve was cut off: there are no duals.
        InfeasibleError, UnboundedError, NoSolutionError, SolverError
            There is no solution.
        """
        self._point()
        return self._labels.duals(self._prices(self._row_dual))

    @cached_property
    def reduced_costs(self) -> dict[str, pd.Series]:
        """Reduced cost of every variable; NaN for a fixed one; empty for CVXPY problems.

        Raises
        ------
        UsageError
            As for `duals`.
        InfeasibleError, UnboundedError, NoSolutionError, SolverError
            There is no solution.
        """
        self._point()
        return self._labels.reduced_costs(self._prices(self._column_dual))

    def require(self) -> Solution:
        """Give this solution back, or raise the exception that says why there is none."""
        self._point()
        return self

    def load_into_model(self) -> Solution:
        """Write values (and duals, where the model asks for them) into the caller's model.

        Raises
        ------
        InfeasibleError, UnboundedError, NoSolutionError, SolverError
            There is no solution; the model is left as it was.
        UsageError
            The solution does not come from a Pyomo or CVXPY model.
        """
        if not self._labels.load(self._point(), self._row_dual, self._column_dual):
            raise UsageError("This solution belongs to plain arrays: there is no model to load.")
        return self

    def _point(self) -> FloatArray:
        if self.status.has_solution and self._x is not None:
            return self._x
        raise self._refusal()

    def _prices(self, vector: FloatArray | None) -> FloatArray:
        if vector is None:
            raise UsageError(
                "This solution has no duals: the model has integer variables, or the solver was "
                "cut off. Fix: fix the integers at their values, make them continuous, and solve "
                "again; or give it more time."
            )
        return vector

    def _refusal(self) -> OptmodelsError:
        detail = f" ({self.message})" if self.message else ""
        if self.status is Status.INFEASIBLE:
            return InfeasibleError(
                f"The model is infeasible{detail}: no decision satisfies all its constraints. "
                "`explain_model(model)` names the constraints and bounds that conflict."
            )
        if self.status is Status.UNBOUNDED:
            return UnboundedError(
                "The model is unbounded: the objective improves without end. Likely cause: a "
                "missing limit or a wrong sign. Fix: bound the variables in the objective and "
                "look at which of them runs away."
            )
        if self.status is Status.NO_SOLUTION_AT_LIMIT:
            why = "interrupted" if self.interrupted else "the limit was reached"
            return NoSolutionError(
                f"No solution: {why} before one was found{detail}. Fix: a larger time_limit_s, or "
                "a warm_start. If the model may be infeasible, `explain_model(model)` tells."
            )
        return SolverError(f"{self.solver or 'The solver'} failed: {self.message or 'unknown'}.")

    def _facts(self) -> dict[str, str]:
        facts = {"status": str(self.status) + (" (interrupted)" if self.interrupted else "")}
        if self.objective is not None:
            facts["objective"] = f"{self.objective:.10g} ({self.sense})"
        if self.bound is not None and math.isfinite(self.bound):
            facts["bound"] = f"{self.bound:.10g}"
        if self.gap is not None and math.isfinite(self.gap):
            facts["gap"] = f"{self.gap:.3%}"
        if self.message:
            facts["message"] = self.message
        size = self.statistics
        if "rows" in size:
            facts["size"] = (
                f"{size['rows']} rows, {size['columns']} columns "
                f"({size.get('integers', 0)} integer), {size.get('nonzeros', 0)} nonzeros"
            )
        if "iterations" in size:
            facts["work"] = f"{size['iterations']} iterations, {size.get('nodes', 0)} nodes"
        if self.seconds:
            facts["seconds"] = ", ".join(f"{k} {v:.3g}" for k, v in self.seconds.items())
        facts["solver"] = self.solver
        return facts

    def __repr__(self) -> str:
        lines = (f"  {name:<10}{value}" for name, value in self._facts().items())
        return "Solution\n" + "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>Solution</caption>{rows}</table>"


def check_not_worse(
    solution_objective: float,
    heuristic_objective: float,
    sense: str,
    what: str,
    *,
    tolerance: float = 1e-6,
) -> None:
    """Refuse a claimed optimum (or bound) that a known feasible value beats.

    Parameters
    ----------
    solution_objective
        The claimed optimum, or a bound on it.
    heuristic_objective
        Objective of a decision known to be feasible.
    sense
        ``minimize`` or ``maximize``.
    what
        What is being compared, for the message.
    tolerance
        Share of max(1, |heuristic_objective|) by which the claim may be worse; pass the MIP
        gap for an optimum that was only asked for within a gap.

    Raises
    ------
    SolverError
        The claim is worse than the feasible value.
    UsageError
        Another sense, or a value that is not a number.
    """
    if sense not in ("minimize", "maximize"):
        raise UsageError.unknown("sense", str(sense), ("minimize", "maximize"))
    if math.isnan(solution_objective) or math.isnan(heuristic_objective):
        raise UsageError(f"{what}: a value to compare is not a number.")
    worse = solution_objective - heuristic_objective
    if sense == "maximize":
        worse = -worse
    if worse > tolerance * max(1.0, abs(heuristic_objective)):
        raise SolverError(
            f"{what}: the solver claims {solution_objective:.10g} ({sense}), but a feasible "
            f"decision scores {heuristic_objective:.10g}. The solver's answer is wrong. Likely "
            "cause: badly scaled coefficients (a big M). Fix: scale the model, or solve with "
            "options={'presolve': 'off'}."
        )


def solution_of(outcome: Any, **facts: Any) -> Solution:
    """A `Solution` from a session's outcome and the facts about its model."""
    seconds = {"build": facts.pop("build_seconds", 0.0), "solve": outcome.seconds}
    solved = outcome.status.has_solution
    return Solution(
        status=outcome.status,
        objective=outcome.objective if solved else None,
        bound=outcome.bound,
        seconds=facts.pop("seconds", seconds),
        statistics=outcome.statistics,
        interrupted=outcome.interrupted,
        message=outcome.message,
        _x=outcome.x if solved else None,
        _row_dual=outcome.row_dual,
        _column_dual=outcome.column_dual,
        **facts,
    )
