"""Cone programmes: CVXPY problems beyond linear and quadratic, solved by Clarabel and checked here.

Clarabel is an interior point method. Its point is believed only if every slack lies in its cone
up to the stated tolerance, and the bound given out is its dual objective. Cut off by a limit,
neither its point nor its dual need be feasible: then there is no bound, and mostly no solution.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import cvxpy as cp
import numpy as np
import pandas as pd
from cvxpy import settings as names

from ..errors import UsageError
from .cvxpy_adapter import compile_cvxpy, named_solution, problem_data
from .labels import FloatArray, Labels
from .linear import FEASIBILITY_TOLERANCE, LinearModel
from .options import Limits
from .outcome import Outcome
from .session import LP_GAP, Session
from .solution import Solution, solution_of
from .status import Status


class ConicProblem:
    """A CVXPY problem with cones, for Clarabel.

    Parameters
    ----------
    problem
        The problem.
    source
        Problem with the same objective and constraints that values are loaded into.
    begin
        Clock reading (``time.perf_counter``) at which the compilation began.
    """

    def __init__(self, problem: cp.Problem, source: cp.Problem, begin: float) -> None:
        self.problem = source
        self._data, self._chain, self._inverse = problem_data(problem, cp.CLARABEL)
        self.maximize = isinstance(problem.objective, cp.Maximize)
        self.build_seconds = time.perf_counter() - begin

    @property
    def cones_text(self) -> str:
        """The cones in words."""
        dims = self._data["dims"]
        counts = {
            "second-order": len(dims.soc),
            "semidefinite": len(dims.psd),
            "exponential": dims.exp,
            "power": len(dims.p3d) + len(getattr(dims, "pnd", ())),
        }
        return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)

    def solve(
        self,
        limits: Limits,
        options: Mapping[str, object] | None = None,
        kept: dict[str, Any] | None = None,
    ) -> Solution:
        """Solve, check the point against every cone, and bound it by the dual objective.

        Parameters
        ----------
        limits
            Time.
        options
            HiGHS options, of which Clarabel has none.
        kept
            Where Clarabel's set-up is kept from one solve to the next, for problems that differ
            in their numbers alone; ``None``: a set-up for this solve.

        Raises
        ------
        UsageError
            HiGHS options were given.
        """
        if options:
            raise UsageError(
                f"The problem has cones ({self.cones_text}) and goes to Clarabel, which has none "
                f"of the HiGHS options given: {', '.join(options)}."
            )
        begin = time.perf_counter()
        raw = self._run(limits, kept)
        outcome = self._judge(raw, limits)
        seconds = time.perf_counter() - begin
        matrix = self._data[names.A]
        found = None
        if outcome.status.has_solution:
            found = self._chain.invert(raw, self._inverse)
        return solution_of(
            Outcome(
                outcome.status,
                outcome.objective,
                outcome.bound,
                outcome.x,
                np.zeros(0),
                np.zeros(0),
                seconds=seconds,
                message=outcome.message,
                statistics={
                    "rows": matrix.shape[0],
                    "columns": matrix.shape[1],
                    "integers": 0,
                    "nonzeros": int(matrix.nnz),
                    "iterations": int(raw.iterations),
                    "nodes": 0,
                },
            ),
            build_seconds=self.build_seconds,
            sense="maximize" if self.maximize else "minimize",
            solver=f"Clarabel {version('clarabel')}",
            options={"time_limit_s": limits.time_limit_s},
            model=self.problem,
            _labels=ConicLabels(self.problem, found),
        )

    def _run(self, limits: Limits, kept: dict[str, Any] | None) -> Any:
        settings: dict[str, object] = {}
        if limits.time_limit_s is not None:
            settings["time_limit"] = float(limits.time_limit_s)
        solver = self._chain.solver
        return solver.solve_via_data(self._data, kept is not None, False, settings, kept)

    def _judge(self, raw: Any, limits: Limits) -> Outcome:
        ended = str(raw.status)
        if ended == "PrimalInfeasible":
            return Outcome(Status.INFEASIBLE)
        if ended == "DualInfeasible":
            return self._settle_unbounded(limits)
        if ended not in ("Solved", "AlmostSolved", "MaxTime", "MaxIterations"):
            return Outcome(Status.ERROR, message=f"Clarabel ended with '{ended}'")
        sign = -1.0 if self.maximize else 1.0
        offset = float(self._inverse[-1][names.OFFSET])
        x = np.array(raw.x, dtype=np.float64)
        breach = cone_violation(self._data, x)
        if breach > FEASIBILITY_TOLERANCE:
            if ended.startswith("Max"):
                return Outcome(Status.NO_SOLUTION_AT_LIMIT, bound=-sign * math.inf)
            return Outcome(
                Status.ERROR,
                message=f"Clarabel's point violates a cone by {breach:.3g} (relative)",
            )
        objective, bound = sign * (raw.obj_val + offset), sign * (raw.obj_val_dual + offset)
        gap = abs(objective - bound) / max(1.0, abs(objective))
        if not math.isfinite(bound) or ended.startswith("Max"):
            # Away from the optimum the dual point is not feasible: it bounds nothing.
            gap, bound = math.inf, -sign * math.inf
        status = Status.OPTIMAL if gap <= LP_GAP else Status.FEASIBLE
        bound = max(bound, objective) if self.maximize else min(bound, objective)
        return Outcome(status, objective, bound, x)

    def _settle_unbounded(self, limits: Limits) -> Outcome:
        """An infeasible dual: unbounded if any point is feasible, else infeasible."""
        probe = compile_cvxpy(cp.Problem(cp.Minimize(0), self.problem.constraints))
        if isinstance(probe, LinearModel):
            answer = Session(probe, limits=limits).solve().status
        else:
            answer = probe.solve(limits).status
        if answer.has_solution:
            return Outcome(Status.UNBOUNDED)
        return Outcome(answer)


class ConicLabels(Labels):
    """Names of a solved cone problem."""

    def __init__(self, problem: cp.Problem, found: Any) -> None:
        super().__init__(lambda: (), lambda: ())
        self._problem, self._found = problem, found

    def values(self, x: FloatArray) -> dict[str, pd.Series]:
        """Value of every variable by name."""
        return named_solution(self._problem, self._found)[0]

    def duals(self, row_dual: FloatArray) -> dict[str, pd.Series]:
        """``dual_value`` of every constraint by name."""
        return named_solution(self._problem, self._found)[1]

    def load(
        self, x: FloatArray, row_dual: FloatArray | None, column_dual: FloatArray | None
    ) -> bool:
        """Write values and duals into the problem's variables and constraints."""
        self._problem.unpack(self._found)
        return True


def cone_violation(data: Mapping[str, Any], x: FloatArray) -> float:
    """Largest distance of the slacks b - A x from their cones, relative to max(1, slack, b).

    The cones stand in CVXPY's order: zero, nonnegative, second-order, semidefinite (upper
    triangle by columns, off-diagonals times sqrt 2), exponential, power.
    """
    right = np.asarray(data[names.B], dtype=np.float64)
    slack = right - data[names.A] @ x
    if not np.isfinite(slack).all():
        return math.inf
    dims, worst, place = data["dims"], 0.0, 0

    def take(count: int) -> tuple[FloatArray, float]:
        nonlocal place
        part = slack[place : place + count]
        scale = max(1.0, float(np.max(np.abs(part), initial=0.0)))
        scale = max(scale, float(np.max(np.abs(right[place : place + count]), initial=0.0)))
        place += count
        return part, scale

    part, scale = take(dims.zero)
    worst = max(worst, float(np.max(np.abs(part), initial=0.0)) / scale)
    part, scale = take(dims.nonneg)
    worst = max(worst, float(np.max(-part, initial=0.0)) / scale)
    for count in dims.soc:
        part, scale = take(count)
        worst = max(worst, (float(np.linalg.norm(part[1:])) - float(part[0])) / scale)
    for size in dims.psd:
        part, scale = take(size * (size + 1) // 2)
        square = np.zeros((size, size))
        columns, rows = np.tril_indices(size)
        square[rows, columns] = np.where(rows == columns, part, part / math.sqrt(2.0))
        square = square + np.triu(square, 1).T
        worst = max(worst, -float(np.linalg.eigvalsh(square)[0]) / scale)
    for _ in range(dims.exp):
        part, scale = take(3)
        worst = max(worst, _exponential_breach(part) / scale)
    for alpha in dims.p3d:
        part, scale = take(3)
        worst = max(worst, _power_breach(part[:2], (alpha, 1 - alpha), part[2:]) / scale)
    for powers in getattr(dims, "pnd", ()):
        part, scale = take(len(powers) + 1)
        worst = max(worst, _power_breach(part[:-1], powers, part[-1:]) / scale)
    return worst


def _exponential_breach(part: FloatArray) -> float:
    """Breach of y exp(x / y) <= z, y > 0 (and its closure x <= 0, y = 0, z >= 0)."""
    x, y, z = (float(value) for value in part)
    closure = max(x, abs(y), -z)
    if y <= 0:
        return closure
    exponent = min(x / y, 700.0)
    return min(max(y * math.exp(exponent) - z, 0.0), max(closure, 0.0))


def _power_breach(base: FloatArray, powers: Iterable[float], tip: FloatArray) -> float:
    """Breach of prod base^power >= ||tip||, base >= 0."""
    inside = np.maximum(base, 0.0)
    reach = float(np.prod(inside ** np.asarray(list(powers), dtype=np.float64)))
    return max(-float(np.min(base)), float(np.linalg.norm(tip)) - reach)
