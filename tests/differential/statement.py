"""A second way to say a problem, and how two answers are compared.

A `Statement` collects variables and rows as plain numbers, in the order in which the words of a
problem are read, and hands them to ``scipy.optimize.milp``. It shares no code with the package: no
formulation, no template, no arrays of an instance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

INFEASIBLE = math.inf
"""The optimum of a minimisation without any solution."""

Terms = Iterable[tuple[int, float]]


@dataclass(frozen=True)
class Finding:
    """One comparison of two answers.

    Attributes
    ----------
    what
        The two that are compared, such as ``"optimum, taut-string"``.
    difference
        How far they are apart, relative to the larger one, but never to less than 1.
    ours, theirs
        The two values.
    """

    what: str
    difference: float
    ours: float
    theirs: float


def same(what: str, ours: float, theirs: float) -> Finding:
    """Both should be one number; two "infeasible" are."""
    return Finding(what, _apart(ours - theirs, ours, theirs), ours, theirs)


def at_most(what: str, low: float, high: float) -> Finding:
    """The first should not be above the second."""
    return Finding(what, 0.0 if low <= high else _apart(low - high, low, high), low, high)


def _apart(difference: float, one: float, other: float) -> float:
    if one == other:
        return 0.0
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.inf
    return abs(difference) / max(1.0, abs(one), abs(other))


@dataclass
class Statement:
    """A mixed-integer linear minimisation, variable by variable and row by row."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    constant: float = 0.0
    _rows: list[int] = field(default_factory=list)
    _columns: list[int] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)
    _least: list[float] = field(default_factory=list)
    _most: list[float] = field(default_factory=list)

    def number(
        self, cost: float = 0.0, low: float = 0.0, high: float = math.inf, *, whole: bool = False
    ) -> int:
        """A new variable; returns its place."""
        self.cost.append(float(cost))
        self.low.append(float(low))
        self.high.append(float(high))
        self.whole.append(whole)
        return len(self.cost) - 1

    def choice(self, cost: float = 0.0) -> int:
        """A new variable that is 0 or 1."""
        return self.number(cost, 0.0, 1.0, whole=True)

    def row(self, terms: Terms, *, least: float = -math.inf, most: float = math.inf) -> None:
        """Least <= sum of coefficient times variable <= most."""
        for place, value in terms:
            self._rows.append(len(self._least))
            self._columns.append(place)
            self._values.append(float(value))
        self._least.append(float(least))
        self._most.append(float(most))

    def equal(self, terms: Terms, value: float) -> None:
        """Sum of coefficient times variable = value."""
        self.row(terms, least=value, most=value)

    def optimum(self) -> float:
        """The least value; `INFEASIBLE` where there is none.

        Raises
        ------
        RuntimeError
            The solver gave up, or the statement is unbounded.
        """
        return self.solved()[0]

    def solved(self) -> tuple[float, np.ndarray]:
        """The least value, and a point that has it (empty where there is none)."""
        count = len(self.cost)
        if count == 0:
            holds = all(
                low <= 1e-9 and high >= -1e-9
                for low, high in zip(self._least, self._most, strict=True)
            )
            return (self.constant if holds else INFEASIBLE), np.zeros(0)
        rows = len(self._least)
        constraints = []
        if rows:
            matrix = sp.csr_array((self._values, (self._rows, self._columns)), shape=(rows, count))
            constraints = [LinearConstraint(matrix, self._least, self._most)]
        found = milp(
            np.array(self.cost),
            integrality=np.array(self.whole, dtype=int),
            bounds=Bounds(self.low, self.high),
            constraints=constraints,
            options={"mip_rel_gap": 0.0, "time_limit": 60.0},
        )
        if found.status == 2:
            return INFEASIBLE, np.zeros(0)
        if found.status != 0:
            raise RuntimeError(f"the second statement was not solved: {found.message}")
        return float(found.fun) + self.constant, found.x

    def priced(self, places: list[int]) -> tuple[float, np.ndarray]:
        """The least value of a linear statement, and its derivative by the bounds of variables.

        Parameters
        ----------
        places
            Variables that are fixed: their lower bound is their upper one.
        """
        matrix = sp.csr_array(
            (self._values, (self._rows, self._columns)), shape=(len(self._least), len(self.cost))
        )
        least, most = np.array(self._least), np.array(self._most)
        equal = least == most
        above, below = ~equal & np.isfinite(most), ~equal & np.isfinite(least)
        found = linprog(
            self.cost,
            A_ub=sp.vstack([matrix[above], -matrix[below]]),
            b_ub=np.concatenate([most[above], -least[below]]),
            A_eq=matrix[equal],
            b_eq=most[equal],
            bounds=list(zip(self.low, self.high, strict=True)),
            method="highs-ds",
        )
        if found.status == 2:
            return INFEASIBLE, np.zeros(len(places))
        if found.status != 0:
            raise RuntimeError(f"the second statement was not solved: {found.message}")
        slope = found.lower.marginals[places] + found.upper.marginals[places]
        return float(found.fun) + self.constant, slope
