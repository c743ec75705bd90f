"""A few scenarios of a hedging run as one linear model, made once and solved again and again.

Progressive hedging changes little between two iterations: the first-stage variables get other
prices, and are pulled towards another consensus. So the formulation is compiled once
(`optmodels.solver`), and each iteration changes a few numbers in a living solver, which goes on
from its last basis.

**The pull without a quadratic term.** Progressive hedging adds ρ/2 (x - x̄)² for each first-stage
variable x. HiGHS has no quadratic term with integers, and a linear programme keeps its basis, so
the square is replaced by its chords: a row ``x - Σ up + Σ down = x̄`` splits the distance into
segments whose lengths double, and a segment from d to d' costs ρ (d + d') / 2 per unit. The square
is convex, so near segments fill up first. An iteration changes the right-hand side and the costs,
never the matrix. The shortest segment is ``2 ** (1 - SEGMENTS)`` of the range of the variable.

The first stage is what is decided before the scenario is known: sizes, batteries, openings, and the
value at risk. Modules are left out: they are sizes, counted otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from optmodels.errors import SolverError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.model import Scenario, formulation, model_data
from optmodels.rightsizing.sites.risk import Risk

#: Families of the first stage, in the order of their prices.
FIRST_STAGE = ("size", "battery", "used", "at_risk")
SEGMENTS = 14


@dataclass(frozen=True)
class Answer:
    """What a subproblem answers to prices.

    Attributes
    ----------
    point
        First-stage values, shape (F,).
    bound
        Proven lower bound on the objective, with the prices and the pull in it [USD].
    objective
        The objective of the point, with them in it [USD].
    """

    point: FloatArray
    bound: float
    objective: float


class Subproblem:
    """Scenarios that share their sizes, whose first stage has prices and a pull.

    Parameters
    ----------
    instance
        The question.
    scenarios
        Some of its scenarios; their probabilities are scaled to add up to 1.
    risk
        How much the dearest scenarios count.
    mip_gap
        Gap of each solve, where there are integers.

    Attributes
    ----------
    probability
        Of all the scenarios.
    names
        First-stage columns as (family, place in the family).
    cost, lower, upper
        Their costs [USD] and bounds, shape (F,).
    """

    def __init__(
        self,
        instance: SitesInstance,
        scenarios: Sequence[Scenario],
        risk: Risk,
        *,
        mip_gap: float,
    ) -> None:
        from optmodels.solver import LinearModel, Session, compile_model
        from optmodels.solver.options import Limits

        self.probability = sum(c.probability for c in scenarios)
        own = [replace(c, probability=c.probability / self.probability) for c in scenarios]
        data = model_data(instance, own, risk=risk)
        base: Any = compile_model(formulation(risk.weight > 0), data)
        families = base.labels.columns
        chosen = [
            (name, place, position)
            for name in FIRST_STAGE
            if name in families
            for place, position in enumerate(families[name].positions.tolist())
        ]
        self.names = tuple((name, place) for name, place, _ in chosen)
        self._columns: NDArray[np.int64] = np.array([p for *_, p in chosen], dtype=np.int64)
        self.cost: FloatArray = base.cost[self._columns]
        self.lower: FloatArray = base.column_lower[self._columns]
        self.upper: FloatArray = base.column_upper[self._columns]
        self._base = base
        count = len(chosen)
        # Breakpoints as shares of the range: 0, then powers of two up to 1.
        ends = np.concatenate([[0.0], 2.0 ** np.arange(1 - SEGMENTS, 1)])
        reach = self.upper - self.lower
        widths = (reach[:, None] * np.diff(ends)).ravel()
        self._slopes = (reach[:, None] * (ends[1:] + ends[:-1]) / 2).ravel()
        select = sp.csr_array(
            (np.ones(count), (np.arange(count), self._columns)), shape=(count, base.columns)
        )
        split = sp.kron(sp.eye_array(count), np.ones((1, SEGMENTS)))
        matrix = sp.csc_array(
            sp.block_array([[base.matrix, None, None], [select, -split, split]], format="csc")
        )
        more = 2 * len(widths)
        self._model = LinearModel(
            cost=np.concatenate([base.cost, np.zeros(more)]),
            starts=matrix.indptr.astype(np.int32),
            indices=matrix.indices.astype(np.int32),
            coefficients=matrix.data,
            row_lower=np.concatenate([base.row_lower, self.lower]),
            row_upper=np.concatenate([base.row_upper, self.lower]),
            column_lower=np.concatenate([base.column_lower, np.zeros(more)]),
            column_upper=np.concatenate([base.column_upper, widths, widths]),
            integer=np.concatenate([base.integer, np.zeros(more, dtype=bool)]),
            offset=base.offset,
            labels=base.labels,
        )
        self._session = Session(self._model, limits=Limits(None, mip_gap, 1, 0))

    def start_like(self, other: Subproblem) -> None:
        """Begin the first solve at the last basis of a subproblem of as many scenarios.

        Scenarios differ in their numbers only, so this halves the time of a first solve.
        """
        mine, model = self._session, other._model
        alike = (model.rows, model.columns) == (self._model.rows, self._model.columns)
        basis = other._session.highs.getBasis()
        if alike and basis.valid and not model.is_mip:
            mine.highs.setBasis(basis)

    def solve(
        self,
        prices: FloatArray,
        *,
        rho: FloatArray | None = None,
        anchor: FloatArray | None = None,
        fixed: FloatArray | None = None,
    ) -> Answer | None:
        """Answer to prices on the first stage; None where there is no feasible point.

        Parameters
        ----------
        prices
            Added to the costs of the first stage, shape (F,).
        rho, anchor
            Strength of the pull and where to, shape (F,); without them there is none.
        fixed
            First-stage values that are given, shape (F,).

        Raises
        ------
        SolverError
            The solver fails.
        """
        from optmodels.solver import Session, Status

        base = self._base
        cost = self._model.cost.copy()
        cost[self._columns] += prices
        rows = [self._model.row_lower, self._model.row_upper]
        if rho is not None and anchor is not None:
            pull = np.repeat(rho, SEGMENTS) * self._slopes
            cost[base.columns :] = np.concatenate([pull, pull])
            inside = np.clip(anchor, self.lower, self.upper)
            rows = [np.concatenate([side[: base.rows], inside]) for side in rows]
        lower, upper = self._model.column_lower, self._model.column_upper
        if fixed is not None:
            lower, upper = lower.copy(), upper.copy()
            lower[self._columns] = upper[self._columns] = fixed
        self._session.update(
            self._model.changed(
                cost=cost,
                row_lower=rows[0],
                row_upper=rows[1],
                column_lower=lower,
                column_upper=upper,
            )
        )
        outcome = self._session.solve()
        if not (outcome.status.has_solution or outcome.status is Status.INFEASIBLE):
            # From a basis that fits badly HiGHS may give up ("unknown"); from none it does not.
            self._session = Session(self._session.model, limits=self._session.limits)
            outcome = self._session.solve()
        if outcome.status is Status.INFEASIBLE:
            return None
        if outcome.x is None or outcome.bound is None or outcome.objective is None:
            raise SolverError(f"The solver says '{outcome.status}' of scenarios: {outcome.message}")
        point = np.clip(outcome.x[self._columns], self.lower, self.upper)
        return Answer(point, float(outcome.bound), float(outcome.objective))
