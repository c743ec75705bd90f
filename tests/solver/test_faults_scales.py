"""Numbers from 1e-9 to 1e9: the answer is right within the stated tolerance, or it is none.

The reference is exact: all vertices of small linear programmes in rational arithmetic. Scales are
powers of two, so that a scaled model is the same model to the last digit.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp

from optmodels.errors import InputError
from optmodels.solver import LinearModel, Session, Status, solve_model
from optmodels.solver.equilibrium import equilibrated, is_doubtful
from optmodels.solver.linear import FEASIBILITY_TOLERANCE

TOLERANCE = Fraction(FEASIBILITY_TOLERANCE) * Fraction(1001, 1000)
KINDS = ("rows", "columns", "costs", "limits", "everything")


def arrays(cost, matrix, least, most, *, integer=False) -> LinearModel:
    """Least cost with at least `least` in every row and variables from 0 to `most`."""
    stored = sp.csc_array(np.atleast_2d(np.asarray(matrix, dtype=float)))
    return LinearModel(
        cost=np.array(cost, dtype=float),
        starts=stored.indptr.astype(np.int32),
        indices=stored.indices.astype(np.int32),
        coefficients=stored.data,
        row_lower=np.array(least, dtype=float),
        row_upper=np.full(stored.shape[0], np.inf),
        column_lower=np.zeros(stored.shape[1]),
        column_upper=np.array(most, dtype=float),
        integer=np.full(stored.shape[1], integer),
    )


def exact(model: LinearModel, slack: Fraction = Fraction(0)) -> Fraction | None:
    """The optimum with all limits loosened by `slack`, by trying every vertex; None without any."""
    n = model.columns
    rows = []
    for row, limit in zip(model.matrix.toarray(), model.row_lower, strict=True):
        rows.append(([Fraction(v) for v in row], loosened(limit, slack)))
    for j in range(n):
        unit = [Fraction(int(i == j)) for i in range(n)]
        rows.append((unit, -slack))
        rows.append(([-v for v in unit], loosened(-model.column_upper[j], slack)))
    best = None
    for chosen in combinations(rows, n):
        x = crossing(chosen)
        if x is None:
            continue
        if all(sum(a * v for a, v in zip(row, x, strict=True)) >= limit for row, limit in rows):
            value = sum(Fraction(c) * v for c, v in zip(model.cost, x, strict=True))
            best = value if best is None else min(best, value)
    return best


def loosened(limit: float, slack: Fraction) -> Fraction:
    """A lower limit with a share of its size, or of 1, taken off."""
    return Fraction(limit) - slack * max(Fraction(1), abs(Fraction(limit)))


def crossing(rows) -> list[Fraction] | None:
    """The point where these rows meet, by Gauss and Jordan."""
    n = len(rows)
    table = [[*row, limit] for row, limit in rows]
    for i in range(n):
        pivot = next((k for k in range(i, n) if table[k][i] != 0), None)
        if pivot is None:
            return None
        table[i], table[pivot] = table[pivot], table[i]
        table[i] = [v / table[i][i] for v in table[i]]
        for k in range(n):
            if k != i and table[k][i] != 0:
                factor = table[k][i]
                table[k] = [a - factor * b for a, b in zip(table[k], table[i], strict=True)]
    return [row[n] for row in table]


def drawn(seed: int, kind: str) -> LinearModel:
    """A small programme of small whole numbers, in odd units."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    matrix = rng.integers(-3, 6, (m, n)).astype(float)
    least = rng.integers(-4, 8, m).astype(float)
    cost = rng.integers(-5, 9, n).astype(float)
    most = rng.integers(1, 9, n).astype(float)

    def scales(count: int) -> np.ndarray:
        return np.exp2(rng.integers(-30, 31, count))

    if kind in ("rows", "everything"):
        by = scales(m)
        matrix, least = matrix * by[:, None], least * by
    if kind in ("columns", "everything"):
        by = scales(n)
        matrix, cost, most = matrix * by, cost * by, most / by
    if kind in ("costs", "everything"):
        cost = cost * scales(1)
    if kind == "limits":
        by = scales(1)
        least, most = least * by, most * by
    return arrays(cost, matrix, least, most)


@pytest.mark.parametrize("kind", KINDS)
def test_right_or_refused(kind: str) -> None:
    """No optimum beyond what the tolerance allows, no false "infeasible", no bound too high."""
    answered = 0
    for seed in range(60):
        model = drawn(seed, kind)
        best, loose = exact(model), exact(model, TOLERANCE)
        try:
            solution = solve_model(model)
        except InputError:
            # Coefficients beyond 1e15.
            continue
        assert solution.status is not Status.UNBOUNDED
        if solution.status is Status.INFEASIBLE:
            assert best is None, seed
        if solution.status is Status.OPTIMAL:
            answered += 1
            rounding = 1e-9 * max(1.0, abs(solution.objective))
            assert loose is not None, seed
            assert solution.objective >= float(loose) - rounding, seed
            if best is not None:
                allowed = 1e-6 * max(1.0, abs(float(best)))
                assert solution.objective <= float(best) + allowed, seed
        if solution.status.has_solution and best is not None:
            assert solution.bound <= float(best) + 1e-9 * max(1.0, abs(float(best))), seed
    assert answered >= 15


@pytest.mark.parametrize("integer", [False, True])
def test_tiny_coefficients_are_no_zeros(integer: bool) -> None:
    """HiGHS drops 5e-10, and calls a row infeasible that a large variable meets: 4e9 of it do.

    Whole numbers of this size it does not manage in other units either: that is an error.
    """
    model = arrays([1e-9, 3e-9], [[5e-10, 1e-9]], [2.0], [1e10, 1e10], integer=integer)
    solution = solve_model(model, mip_gap=0.0)
    if integer and solution.status is Status.ERROR:
        return
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(4.0, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("maximize", [False, True])
def test_tiny_costs_of_whole_numbers(scale: float, maximize: bool) -> None:
    """Costs below 1e-7 are within HiGHS's tolerance: it called 1000 of the first an optimum.

    400 of the first cost 400, 200 of the second 600; at the top 1000 of both cost 4000.
    """
    model = arrays([scale, 3 * scale], [[0.5, 1.0]], [200.0], [1000.0, 1000.0], integer=True)
    solution = solve_model(model.changed(maximize=maximize), mip_gap=0.0)
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx((4000 if maximize else 400) * scale, rel=1e-9)
    session = Session(model)
    session.update(model.changed(cost=model.cost / scale))
    assert session.solve().objective == pytest.approx(400)


def test_tiny_coefficients_do_limit() -> None:
    """Nor is a model unbounded whose only limit has a coefficient of 1e-10."""
    model = arrays([-1.0], [[-1e-10]], [-1.0], [np.inf])
    solution = solve_model(model)
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(-1e10)
    assert solution.bound == pytest.approx(-1e10)


def test_what_is_infeasible_in_any_units_stays_so() -> None:
    """The second look finds no plan where there is none, nor an end where there is none."""
    nothing = arrays([1.0, 1.0], [[1e-6, 1e6], [-1e-6, -1e6]], [3.0, -2.0], [1e9, 1e9])
    assert is_doubtful(nothing)
    assert solve_model(nothing).status is Status.INFEASIBLE
    endless = arrays([-1.0, 0.0], [[1e6, 1e-6]], [1.0], [np.inf, 1.0])
    assert is_doubtful(endless)
    assert solve_model(endless).status is Status.UNBOUNDED


def test_other_units_are_the_same_model() -> None:
    """Powers of two only, whole numbers keep theirs, and what was found goes back unchanged."""
    model = drawn(9, "everything")
    other = equilibrated(model)
    assert not is_doubtful(other.model)
    for by in (other.rows, other.columns):
        assert (np.log2(by) == np.round(np.log2(by))).all()
    assert exact(other.model) == exact(model)
    whole = equilibrated(model.changed(integer=np.array([True, False])))
    assert whole.columns[0] == 1.0
