"""The `Session`: solves a `LinearModel` by HiGHS, and believes nothing unchecked.

What it adds to a living HiGHS (`handle`):

- "unbounded or infeasible" is settled by a solve without objective;
- the log goes to ``logging.getLogger("optmodels.solver")``, never to standard output;
- Ctrl-C stops HiGHS through its interrupt callback; the incumbent is kept;
- "infeasible" and "unbounded" are looked at twice where coefficients are tiny or span many orders
  of magnitude (`equilibrium`);
- integers are integers: the point is rounded, and where a row breaks, or holds only within the
  solver's tolerance, the continuous rest is solved again with the integers fixed;
- the point is re-computed in numpy, and the bound of an LP is proven by weak duality.
"""

from __future__ import annotations

import logging
import math
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from .equilibrium import equilibrated, is_doubtful
from .handle import TIGHT, Handle
from .handover import pass_model
from .labels import FloatArray
from .linear import FEASIBILITY_TOLERANCE, INFINITE, SOLVER_DUAL_NOISE, LinearModel
from .listening import listening, logger
from .options import Limits
from .outcome import Outcome
from .status import Status

LP_GAP = 1e-6
"""Relative gap between objective and proven bound up to which an LP counts as optimal.

The same for a mixed-integer point that gave up what only the solver's tolerance had won.
"""

POLISH_GAP = 1e-9
"""Relative gap above which an LP is polished: re-solved from its basis with tight tolerances."""

_TINY_COST = 1e-3
_SHORT_SECONDS = 0.1


class Session(Handle):
    """A living HiGHS whose answers are checked.

    Parameters
    ----------
    model
        The model; checked (`LinearModel.check`) before HiGHS sees it.
    limits
        Time, gap, threads, seed.
    options
        Further HiGHS options.
    progress
        Show one line on standard error.

    Raises
    ------
    InputError
        The model holds NaN or unusable infinities.
    UsageError
        An option is unknown or does not fit; an integer model has a quadratic objective.
    SolverError
        HiGHS refuses the model.

    Notes
    -----
    A session belongs to one thread at a time. Ctrl-C is caught only in the main thread, and only
    where Python's own handler is in charge: elsewhere signal handlers are left alone. An LP that is
    solved again, and whose last run took less than 0.1 s, is not interrupted: Ctrl-C comes through
    as a KeyboardInterrupt when the run is over.
    """

    def __init__(
        self,
        model: LinearModel,
        *,
        limits: Limits | None = None,
        options: Mapping[str, object] | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(model, limits=limits, options=options)
        self._stop = threading.Event()
        self._progress = progress
        self._work: dict[str, int] = {}
        self._trusting = False

    # -- solving -----------------------------------------------------------------------------

    def solve(self) -> Outcome:
        """Solve, settle the status, check the point, prove the bound."""
        begin = time.monotonic()
        limit = self.limits.time_limit_s
        self._deadline = math.inf if limit is None else begin + limit
        self._stop.clear()
        ears: AbstractContextManager[None] = (
            nullcontext()
            if self._is_short()
            else listening(
                self.highs, self._stop, is_mip=self.model.is_mip, progress=self._progress
            )
        )
        self.run_seconds = 0.0
        self._work = {}
        with ears:
            if not self.model.columns:
                outcome = self._solve_without_columns()
            elif self._has_tiny_costs:
                outcome = self._in_small_change()
            else:
                outcome = self._solve()
            if outcome.status in (Status.INFEASIBLE, Status.UNBOUNDED) and self.model.columns:
                outcome = self._looked_at_twice(outcome)
        return replace(
            outcome,
            interrupted=self._stop.is_set(),
            seconds=time.monotonic() - begin,
            statistics={
                "rows": self.model.rows,
                "columns": self.model.columns,
                "integers": int(np.count_nonzero(self.model.integer)),
                "nonzeros": self.model.nonzeros,
                **self._work,
            },
        )

    def _is_short(self) -> bool:
        """Whether the last run of this LP was so short that Ctrl-C can wait for the end of one.

        Being asked at every iteration whether to stop costs a short run a tenth of its time.
        """
        silent = not (self.model.is_mip or self._progress or logger.isEnabledFor(logging.INFO))
        return silent and 0.0 < self.run_seconds < _SHORT_SECONDS

    def _solve_without_columns(self) -> Outcome:
        nothing = np.zeros(0)
        breach = self.model.worst_violation(nothing)
        if breach.relative > FEASIBILITY_TOLERANCE:
            return Outcome(Status.INFEASIBLE, message=breach.describe(self.model.labels))
        return Outcome(
            Status.OPTIMAL,
            self.model.offset,
            self.model.offset,
            nothing,
            np.zeros(self.model.rows),
            nothing,
        )

    def _solve(self) -> Outcome:
        ended = self._run()
        info = self.highs.getInfo()
        self._work = _work_of(info)
        kinds = self._hp.HighsModelStatus
        if ended == kinds.kUnknown and not self.model.is_mip:
            # An interior point method that came close: the simplex method finishes.
            with self._tightened():
                ended = self._run()
            info = self.highs.getInfo()
        if ended == kinds.kOptimal:
            return self._read(info, claimed_optimal=True)
        if ended == kinds.kInfeasible:
            return Outcome(Status.INFEASIBLE)
        if ended in (kinds.kUnbounded, kinds.kUnboundedOrInfeasible):
            return self._settle_unbounded()
        if ended in (
            kinds.kTimeLimit,
            kinds.kIterationLimit,
            kinds.kSolutionLimit,
            kinds.kInterrupt,
            kinds.kMemoryLimit,
            kinds.kObjectiveBound,
            kinds.kObjectiveTarget,
            kinds.kUnknown,
        ):
            return self._read(info, claimed_optimal=False)
        text = self.highs.modelStatusToString(ended)
        return Outcome(Status.ERROR, message=f"HiGHS ended with '{text}'")

    def _read(self, info: Any, *, claimed_optimal: bool) -> Outcome:
        """Turn HiGHS's answer into an outcome, after checking it."""
        model = self.model
        answer = self.highs.getSolution()
        if info.primal_solution_status != 2 or not answer.value_valid:
            if claimed_optimal:
                return Outcome(Status.ERROR, message="HiGHS claims an optimum but gives no point")
            bound = self._mip_bound(info) if model.is_mip else self._worst_bound()
            return Outcome(Status.NO_SOLUTION_AT_LIMIT, bound=bound)
        given = _vector(answer.col_value)
        x = self._with_true_integers(given) if model.is_mip else given
        breach = model.worst_violation(x)
        if breach.relative > self._tolerance:
            if not claimed_optimal and not model.is_mip:
                return Outcome(Status.NO_SOLUTION_AT_LIMIT, bound=self._worst_bound())
            mended = None if model.is_mip else self._mended()
            if mended is not None:
                return self._lp_outcome(*mended, claimed_optimal)
            return Outcome(
                Status.ERROR,
                message=f"HiGHS's point fails the check: {breach.describe(model.labels)}",
            )
        if model.is_mip:
            return self._mip_outcome(x, given, self._mip_bound(info), claimed_optimal)
        return self._lp_outcome(x, answer, claimed_optimal)

    def _lp_outcome(self, x: FloatArray, answer: Any, claimed_optimal: bool) -> Outcome:
        model = self.model
        objective = model.objective(x)
        # Without valid duals, zeros still bound a model whose variables are bounded.
        priced = bool(answer.dual_valid)
        y = _vector(answer.row_dual) if priced else np.zeros(model.rows)
        d = model.reduced_costs(y, x)
        bound = self._clamp(model.dual_bound(y, x, reduced=d), objective)
        if claimed_optimal and _gap(objective, bound) > POLISH_GAP:
            polished = self._polish()
            if polished is not None:
                x_tight, y_tight = polished
                value = model.objective(x_tight)
                tight = self._clamp(model.dual_bound(y_tight, x_tight), value)
                if _gap(value, tight) < _gap(objective, bound):
                    x, y, objective, bound = x_tight, y_tight, value, tight
                    d = model.reduced_costs(y, x)
            if not math.isfinite(bound):
                bound = self._clamp(model.dual_bound(y, x, noise=SOLVER_DUAL_NOISE), objective)
        optimal = claimed_optimal and _gap(objective, bound) <= LP_GAP
        status = Status.OPTIMAL if optimal else Status.FEASIBLE
        if not (priced or optimal):
            return Outcome(status, objective, bound, x)
        return Outcome(status, objective, bound, x, y, d)

    def _mended(self) -> tuple[FloatArray, Any] | None:
        """Solve once more for a point that passes the check; None if there is none to be had.

        A basis that fits another model badly, or a scaling, may use up more than the tolerance.
        Tighter tolerances from the same basis help as a rule, a start from nothing else.
        """
        for cold in (False, True):
            if cold:
                self._ok(self.highs.clearSolver())
            with self._tightened():
                ended = self._run()
            answer = self.highs.getSolution()
            if ended == self._hp.HighsModelStatus.kOptimal and answer.value_valid:
                x = _vector(answer.col_value)
                if self.model.worst_violation(x).relative <= self._tolerance:
                    return x, answer
        return None

    def _polish(self) -> tuple[FloatArray, FloatArray] | None:
        """Re-solve from the basis with the tightest tolerances; None if that fails."""
        with self._tightened():
            ended = self._run()
        answer = self.highs.getSolution()
        if ended != self._hp.HighsModelStatus.kOptimal or not answer.dual_valid:
            return None
        x = _vector(answer.col_value)
        if self.model.worst_violation(x).relative > self._tolerance:
            return None
        return x, _vector(answer.row_dual)

    def _mip_outcome(
        self, x: FloatArray, given: FloatArray, bound: float, claimed_optimal: bool
    ) -> Outcome:
        objective = self.model.objective(x)
        bound = self._clamp(bound, objective)
        distance, size = abs(objective - bound), max(1.0, abs(objective))
        absolute = float(self.highs.getOptionValue("mip_abs_gap")[1])
        # HiGHS closed the gap for the point it gave. Where that one used up its tolerance, the
        # true point is worse by a little, which no search would have won back.
        given_up = min(abs(objective - self.model.objective(given)), LP_GAP * size)
        closed = distance <= (
            max(self.limits.mip_gap * abs(objective), absolute) + given_up + POLISH_GAP * size
        )
        status = Status.OPTIMAL if claimed_optimal and closed else Status.FEASIBLE
        return Outcome(status, objective, bound, x)

    def _with_true_integers(self, x: FloatArray) -> FloatArray:
        """Round the integers; where a row breaks or is stretched, solve the continuous rest anew.

        HiGHS may use up its feasibility tolerance, and then claims an optimum that no true point
        attains. The rest solved anew is taken where it is optimal, and breaks less.
        """
        model = self.model
        rounded = np.where(model.integer, np.round(x), x)
        rounded = np.clip(rounded, model.column_lower, model.column_upper)
        breach = model.worst_violation(rounded).relative
        if breach > POLISH_GAP and not model.integer.all():
            answer = self._rest_of(rounded, broken=breach > self._tolerance)
            if answer.x is not None and (
                answer.status is Status.OPTIMAL or breach > self._tolerance
            ):
                again = np.where(model.integer, rounded, answer.x)
                if model.worst_violation(again).relative < breach:
                    return again
        return x if breach > self._tolerance else rounded

    def _rest_of(self, rounded: FloatArray, *, broken: bool) -> Outcome:
        """The continuous rest for fixed integers, with the tightest tolerance it can be had."""
        model = self.model
        fixed = replace(
            model,
            column_lower=np.where(model.integer, rounded, model.column_lower),
            column_upper=np.where(model.integer, rounded, model.column_upper),
            integer=np.zeros(model.columns, dtype=np.bool_),
        )
        left = 0.0 if self._stop.is_set() else self._deadline - time.monotonic()
        budget = Limits(
            time_limit_s=max(left, 1.0) if math.isfinite(left) else None,
            threads=self.limits.threads,
            seed=self.limits.seed,
        )
        tight = {"primal_feasibility_tolerance": TIGHT}
        answer = Session(fixed, limits=budget, options=tight).solve()
        if answer.x is None and broken:
            return Session(fixed, limits=budget).solve()
        return answer

    def _settle_unbounded(self) -> Outcome:
        """Decide "unbounded or infeasible": without objective only feasibility is left.

        A feasible integer model (with rational data) whose relaxation is unbounded is unbounded.
        """
        model, kinds = self.model, self._hp.HighsModelStatus
        probe = replace(model, cost=np.zeros(model.columns), hessian=None, offset=0.0)
        before = self.highs.getOptionValue("presolve")[1]
        self._set("presolve", "off")
        pass_model(self.highs, probe)
        ended = self._run()
        self._set("presolve", before)
        pass_model(self.highs, model)
        if ended == kinds.kInfeasible:
            return Outcome(Status.INFEASIBLE)
        if ended == kinds.kOptimal:
            return Outcome(Status.UNBOUNDED)
        return Outcome(
            Status.NO_SOLUTION_AT_LIMIT,
            bound=self._worst_bound(),
            message="the time ended before 'unbounded or infeasible' was settled",
        )

    def _looked_at_twice(self, claim: Outcome) -> Outcome:
        """What has no optimum only because of its coefficients' sizes is solved in other units.

        A point found there counts when it passes the check of the model as it was given.
        """
        model = self.model
        if self._trusting or self._stop.is_set() or not is_doubtful(model):
            return claim
        other = equilibrated(model)
        session = Session(other.model, limits=self._limits_left(), options=self.options)
        session._trusting = True
        answer = session.solve()
        if answer.x is None:
            return answer
        x = np.where(model.integer, answer.x, answer.x * other.columns)
        breach = model.worst_violation(x)
        if breach.relative > self._tolerance:
            return Outcome(
                Status.ERROR,
                message=f"HiGHS calls the model {claim.status}, and in other units it does not; "
                "its coefficients are too small, or span too many orders of magnitude",
            )
        objective = model.objective(x)
        if answer.row_dual is None:
            return replace(answer, objective=objective, x=x)
        y = answer.row_dual * other.rows
        d = model.reduced_costs(y, x)
        bound = self._clamp(model.dual_bound(y, x, reduced=d), objective)
        return replace(answer, objective=objective, bound=bound, x=x, row_dual=y, column_dual=d)

    # -- small things ------------------------------------------------------------------------

    @property
    def _has_tiny_costs(self) -> bool:
        """Whether this is a mixed-integer model whose costs HiGHS hardly sees.

        Costs below its dual tolerance of 1e-7 are nothing to it. The bound of a linear programme is
        proven here, and tells; that of a tree is believed.
        """
        return self.model.is_mip and 0.0 < float(np.abs(self.model.cost).max()) < _TINY_COST

    def _in_small_change(self) -> Outcome:
        """The same model with its costs counted in a smaller unit of money, a power of two.

        Not by HiGHS's own option for that: HiGHS 1.15 may leave it in the bound.
        """
        model = self.model
        unit = 2.0 ** math.floor(math.log2(float(np.abs(model.cost).max())))
        other = model.changed(cost=model.cost / unit, offset=model.offset / unit)
        session = Session(other, limits=self._limits_left(), options=self.options)
        if self._start is not None:
            session.start_from(*self._start)
        found = session.solve()
        objective, bound = (
            None if value is None else value * unit for value in (found.objective, found.bound)
        )
        return replace(found, objective=objective, bound=bound)

    def _limits_left(self) -> Limits:
        """The limits for another session that works for this one."""
        left = self._deadline - time.monotonic()
        return replace(self.limits, time_limit_s=max(left, 1e-3) if math.isfinite(left) else None)

    @cached_property
    def _tolerance(self) -> float:
        """The stated tolerance, or the caller's own where that is looser."""
        names = ("primal_feasibility_tolerance", "mip_feasibility_tolerance")
        own = max(float(self.highs.getOptionValue(name)[1]) for name in names)
        return max(FEASIBILITY_TOLERANCE, own) * (1.0 + 1e-3)

    def _worst_bound(self) -> float:
        return math.inf if self.model.maximize else -math.inf

    def _clamp(self, bound: float, objective: float) -> float:
        return max(bound, objective) if self.model.maximize else min(bound, objective)

    def _mip_bound(self, info: Any) -> float:
        """The bound of the tree; before there is any, that of the columns' own bounds."""
        bound = float(info.mip_dual_bound)
        if abs(bound) < INFINITE:
            return bound
        # Duals of zero: each column at its better end, whatever the rows say.
        return self.model.dual_bound(np.zeros(self.model.rows))


def _work_of(info: Any) -> dict[str, int]:
    counts = (
        info.simplex_iteration_count,
        info.ipm_iteration_count,
        info.crossover_iteration_count,
        info.pdlp_iteration_count,
        info.qp_iteration_count,
    )
    return {
        "iterations": sum(max(int(count), 0) for count in counts),
        "nodes": max(int(info.mip_node_count), 0),
    }


def _vector(values: Sequence[float]) -> FloatArray:
    """Array of a list of floats, read-only; numpy's own way looks at every element twice."""
    return np.frombuffer(struct.pack(f"{len(values)}d", *values), dtype=np.float64)


def _gap(objective: float, bound: float) -> float:
    return abs(objective - bound) / max(1.0, abs(objective))
