"""Small models that several tests of the solve layer share."""

from __future__ import annotations

import itertools

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp

from optmodels.solver import Family, Labels, LinearModel


def linear_model(
    cost, matrix, row_lower, row_upper, lower, upper, integer=None, *, maximize=False, offset=0.0
) -> LinearModel:
    """A `LinearModel` from dense arrays, with components ``x`` and ``row``."""
    matrix = sp.csc_array(np.atleast_2d(np.asarray(matrix, dtype=float)))
    rows, columns = matrix.shape
    import pandas as pd

    labels = Labels(
        lambda: [Family("x", np.arange(columns), lambda: pd.RangeIndex(columns))],
        lambda: [Family("row", np.arange(rows), lambda: pd.RangeIndex(rows))],
    )
    return LinearModel(
        cost=np.asarray(cost, dtype=float),
        starts=matrix.indptr.astype(np.int32),
        indices=matrix.indices.astype(np.int32),
        coefficients=matrix.data,
        row_lower=np.broadcast_to(np.asarray(row_lower, dtype=float), rows).copy(),
        row_upper=np.broadcast_to(np.asarray(row_upper, dtype=float), rows).copy(),
        column_lower=np.broadcast_to(np.asarray(lower, dtype=float), columns).copy(),
        column_upper=np.broadcast_to(np.asarray(upper, dtype=float), columns).copy(),
        integer=np.broadcast_to(
            np.zeros(columns, bool) if integer is None else np.asarray(integer), columns
        ).copy(),
        offset=offset,
        maximize=maximize,
        labels=labels,
    )


def random_lp(seed: int, rows: int = 6, columns: int = 5) -> LinearModel:
    """A random LP with equalities, ranges, free rows and one-sided bounds."""
    rng = np.random.default_rng(seed)
    matrix = np.where(rng.random((rows, columns)) < 0.6, rng.integers(-5, 6, (rows, columns)), 0)
    inside = rng.uniform(-2, 4, columns)
    level = matrix @ inside
    kind = rng.integers(0, 4, rows)
    low = np.where(kind == 0, level, np.where(kind == 1, -np.inf, level - rng.uniform(0, 3, rows)))
    high = np.where(kind == 0, level, np.where(kind == 2, np.inf, level + rng.uniform(0, 3, rows)))
    lower = np.where(rng.random(columns) < 0.8, inside - rng.uniform(0, 5, columns), -np.inf)
    upper = np.where(rng.random(columns) < 0.8, inside + rng.uniform(0, 5, columns), np.inf)
    return linear_model(
        rng.integers(-6, 7, columns),
        matrix,
        low,
        high,
        lower,
        upper,
        maximize=bool(rng.integers(0, 2)),
        offset=float(rng.integers(-3, 4)),
    )


def brute_force(model: LinearModel) -> float | None:
    """Optimum of a pure integer model by enumeration; None when infeasible."""
    ranges = [
        range(int(np.ceil(low)), int(np.floor(high)) + 1)
        for low, high in zip(model.column_lower, model.column_upper, strict=True)
    ]
    dense = model.matrix.toarray()
    best = None
    for point in itertools.product(*ranges):
        x = np.array(point, dtype=float)
        activity = dense @ x
        if (activity < model.row_lower - 1e-9).any() or (activity > model.row_upper + 1e-9).any():
            continue
        value = model.objective(x)
        better = best is None or (value > best if model.maximize else value < best)
        best = value if better else best
    return best


def random_milp(seed: int) -> LinearModel:
    """A random pure integer model, small enough to enumerate; about half are infeasible."""
    rng = np.random.default_rng(seed)
    columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    matrix = rng.integers(-7, 8, (rows, columns))
    level = matrix @ rng.integers(-1, 3, columns) + rng.integers(-2, 3, rows)
    kind = rng.integers(0, 3, rows)
    return linear_model(
        rng.integers(-9, 10, columns),
        matrix,
        np.where(kind == 1, -np.inf, level),
        np.where(kind == 2, np.inf, level + np.where(kind == 0, rng.integers(0, 2, rows), 0)),
        rng.integers(-2, 1, columns),
        rng.integers(1, 4, columns),
        True,
        maximize=bool(rng.integers(0, 2)),
        offset=float(rng.integers(-3, 4)),
    )


def hard_knapsack(items: int = 60, limits: int = 30, seed: int = 0) -> LinearModel:
    """A multi-dimensional knapsack: solutions at once, a proof not within minutes."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 100, (limits, items)).astype(float)
    worth = weights.mean(axis=0) + rng.integers(0, 20, items)
    return linear_model(worth, weights, -np.inf, weights.sum(axis=1) / 2, 0, 1, True, maximize=True)


def market_split(markets: int = 5, seed: int = 0) -> LinearModel:
    """A market split (Cornuejols & Dawande 1998): no solution is found within any short limit."""
    rng = np.random.default_rng(seed)
    shops = 10 * (markets - 1)
    demand = rng.integers(0, 100, (markets, shops)).astype(float)
    half = np.floor(demand.sum(axis=1) / 2)
    return linear_model(np.zeros(shops), demand, half, half, 0, 1, True)


def dispatch(
    peak: float = 3.0, *, spare: float = 0.5, sites: tuple[str, ...] = ("a", "b")
) -> pyo.ConcreteModel:
    """Two sites serve a load by the hour; infeasible for a peak above 8.5 in hour 7."""
    m = pyo.ConcreteModel()
    m.S = pyo.Set(initialize=sites)
    m.H = pyo.RangeSet(1, 8)
    m.power = pyo.Var(m.S, m.H, bounds=(0, 5))
    m.bought = pyo.Var(m.H, within=pyo.NonNegativeReals)
    m.connection = pyo.Constraint(
        m.H,
        rule=lambda m, h: sum(m.power[s, h] for s in m.S) <= 8,
        doc="The grid connection limits the power of all sites together.",
    )
    m.demand = pyo.Constraint(
        m.H,
        rule=lambda m, h: sum(m.power[s, h] for s in m.S) + m.bought[h] >= (peak if h == 7 else 3),
    )
    m.contract = pyo.Constraint(expr=m.bought[7] <= spare)
    m.cost = pyo.Objective(
        expr=sum(m.power[s, h] * (1 + 0.1 * h) for s in m.S for h in m.H)
        + 3 * sum(m.bought[h] for h in m.H)
    )
    return m
