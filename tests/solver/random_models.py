"""Random formulations with random data, from a table of rules that cover what can be traced.

Every rule is ordinary Pyomo. What is random: which rules a model has, the kind and number of labels
in each set, which members the sparse and the indexed sets have (also none), and all values, of
which many are zero or equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyomo.environ as pyo

Rule = tuple[tuple[str, ...], Callable[..., Any]]


def _constraints() -> list[Rule]:
    return [
        (("A", "T"), lambda m, a, t: m.x[a, t] <= m.at[a, t]),
        (("A",), lambda m, a: sum(m.x[a, t] for t in m.T) >= m.a[a]),
        (("A",), lambda m, a: m.a[a] >= sum(m.x[a, t] * m.at[a, t] for t in m.T)),
        (("T",), lambda m, t: m.k == sum(m.a[a] * m.x[a, t] for a in m.A) + m.z),
        (("A", "T1"), lambda m, a, t: m.x[a, t] - m.x[a, t - 1] <= m.k),
        (("A", "T1"), lambda m, a, t: pyo.inequality(-m.c, m.x[a, t] - m.x[a, t - 1], m.c)),
        (("T1",), lambda m, t: (-3, sum(m.x[a, t] + 2 for a in m.A) - m.z, m.c)),
        (("T1",), lambda m, t: (sum(m.x[a, 1 + (t - 2)] for a in m.A), m.k * t)),
        (("F",), lambda m, a, b: m.y[a, b] <= m.f[a, b] * m.w[b]),
        (("F", "T"), lambda m, a, b, t: m.u[a, b, t] + m.f[a, b] * m.x[a, t] / 3 <= m.b[b]),
        (("A",), lambda m, a: sum(m.y[a, b] for b in m.J[a]) + m.z <= m.a[a]),
        (("A", "T"), lambda m, a, t: sum(m.u[a, b, t] - m.x[a, t] for b in m.J[a]) >= m.k),
        (("A",), lambda m, a: sum(m.u[a, b, t] for b in m.J[a] for t in m.T) == m.z - m.k),
        (("A",), lambda m, a: sum(m.u[a, b, t] for t in m.T for b in m.J[a]) <= m.k),
        (("A",), lambda m, a: sum(m.b[b] * sum(m.w[c] for c in m.B) for b in m.J[a]) <= m.k),
        (("B",), lambda m, b: sum(m.x[a, t] for a in m.A for t in m.K[b]) - m.w[b] <= m.k),
        (("A",), lambda m, a: sum(m.x[a, t] * m.b[b] for b in m.J[a] for t in m.K[b]) <= m.k),
        (("A",), lambda m, a: sum(m.w[b] + m.x[a, t] for b, t in m.Q[a]) >= m.k - m.a[a]),
        (("A", "A"), lambda m, a, o: m.x[a, m.n[a]] - m.x[o, m.n[o]] <= m.a[a] - m.a[o]),
        (("A",), lambda m, a: m.x[a, m.n[a]] + m.x[a, m.n[a]] <= abs(m.a[a]) ** 2),
        ((), lambda m: sum(m.f[a, b] * m.y[a, b] for a, b in m.F) - m.z <= m.c),
        ((), lambda m: m.k <= sum(m.f[g] * m.y[g] for g in m.F) + m.z),
        ((), lambda m: sum(m.e1[a] for a in m.A) >= m.k),
        ((), lambda m: sum(m.x[s, t] for s in m.S for t in m.T) == m.c * m.z),
        (("S",), lambda m, s: m.e1[s] - m.e0 <= pyo.sqrt(abs(m.a[s])) + m.k),
        (("A", "T1"), lambda m, a, t: m.e2[a, t] - m.e2[a, t - 1] <= m.e3[t] + m.k),
        (("T1",), lambda m, t: sum(m.e2[a, t - 1] for a in m.A) <= m.e3[t - 1]),
        (("T",), lambda m, t: sum(m.e2[a, t] for a in m.A) + m.e3[t] >= m.k / 4),
        (("A",), lambda m, a: m.e4[a] * m.z + m.x[a, m.n[a]] <= m.e4[a]),
        (("A",), lambda m, a: sum(m.e0 for t in m.T) - sum(m.z for b in m.J[a]) <= m.k),
        (("A",), lambda m, a: -(m.z - 2 * sum(m.v[a, b] - m.v[a, b] for b in m.B)) <= m.k),
        (("B",), lambda m, b: sum(m.v[a, b] + sum(m.v[o, b] for o in m.A) for a in m.S) <= m.k),
        (("A",), lambda m, a: sum(t * m.x[a, t] for t in m.T) <= m.k + sum(t for t in m.T)),
        (("T",), lambda m, t: m.z * t <= m.k + t),
        (("A", "B"), lambda m, a, b: m.v[a, b] * (m.ab[a, b] - m.a[a]) <= m.ab[a, b] + m.k),
        (("F",), lambda m, a, b: m.y[a, b] + sum(m.u[a, b, t] for t in m.K[b]) <= m.k),
        (("A",), lambda m, a: m.h[1, a] - m.h[2, a] + sum(m.h[i, a] for i in (1, 2)) == m.k),
        (("A",), lambda m, a: sum((m.h[i, o] for i in m.I for o in m.A), 3) <= m.k),
    ]


def _objectives() -> list[Callable[..., Any]]:
    return [
        lambda m: sum(m.at[a, t] * m.x[a, t] for a in m.A for t in m.T) + m.k,
        lambda m: sum(m.b[b] * m.y[a, b] for a in m.A for b in m.J[a]) - 3 * m.z,
        lambda m: sum(m.e1[a] + m.e1[a] for a in m.A) + sum(m.e3[t] for t in m.T1) + 7,
        lambda m: -m.e0 - sum(m.v[a, b] * m.ab[a, b] / m.c for a in m.A for b in m.B),
        lambda m: sum(m.u[a, b, t] * m.f[a, b] for a, b in m.F for t in m.T) + m.w[m.first],
        lambda m: sum(m.x[a, t] for a in m.A for b in m.J[a] for t in m.K[b]) + m.c * m.k,
    ]


def formulation(rng: np.random.Generator, last_b: Any) -> pyo.AbstractModel:
    """A random formulation."""
    m = pyo.AbstractModel()
    m.A, m.B, m.T = pyo.Set(), pyo.Set(), pyo.Set(dimen=1)
    m.I = pyo.RangeSet(2)
    m.T1 = pyo.Set(within=m.T)
    m.S = pyo.Set(within=m.A)
    m.F = pyo.Set(within=m.A * m.B) if rng.random() < 0.5 else pyo.Set(dimen=2)
    m.J = pyo.Set(m.A, within=m.B) if rng.random() < 0.5 else pyo.Set(m.A)
    m.K = pyo.Set(m.B)
    m.Q = pyo.Set(m.A, dimen=2)
    for name, index in PARAMETERS.items():
        sets = [m.component(one) for one in index]
        setattr(m, name, pyo.Param(*sets, mutable=name != "n"))
    m.first = last_b  # not a component: a label that the rules name themselves
    m.x = pyo.Var(m.A, m.T, within=pyo.NonNegativeReals, dense=False)
    m.y = pyo.Var(m.F, within=(pyo.Binary, pyo.Integers, pyo.Reals)[rng.integers(3)])
    m.z = pyo.Var(bounds=(-2, 9), within=(pyo.Reals, pyo.NonNegativeIntegers)[rng.integers(2)])
    m.w = pyo.Var(m.B, bounds=lambda m, b: (m.b[b] - 3, m.b[b] + m.c))
    m.u = pyo.Var(m.F, m.T, bounds=(None, m.c), dense=False)
    m.v = pyo.Var(m.A, m.B, bounds=lambda m, a, b: (None, m.ab[a, b] + m.a[a]))
    m.h = pyo.Var(m.I, m.A)
    m.e0 = pyo.Expression(rule=lambda m: sum(m.x[a, t] for a in m.A for t in m.T) - m.z + 1)
    m.e1 = pyo.Expression(m.A, rule=lambda m, a: sum(m.b[b] * m.y[a, b] for b in m.J[a]) - 1)
    m.e2 = pyo.Expression(m.A, m.T, rule=lambda m, a, t: m.at[a, t] * m.x[a, t] + m.z)
    m.e3 = pyo.Expression(m.T, rule=lambda m, t: sum(m.e2[a, t] for a in m.A) - m.k)
    m.e4 = pyo.Expression(m.A, rule=lambda m, a: m.a[a] * m.k)
    table = _constraints()
    chosen = rng.choice(len(table), size=int(rng.integers(3, 9)), replace=False)
    for place in chosen:
        index, rule = table[place]
        sets = [m.component(one) for one in index]
        setattr(m, f"c{place}", pyo.Constraint(*sets, rule=rule))
    if rng.random() < 0.95:
        goals = _objectives()
        sense = pyo.maximize if rng.random() < 0.5 else pyo.minimize
        m.goal = pyo.Objective(rule=goals[rng.integers(len(goals))], sense=sense)
    return m


PARAMETERS = {
    "a": ("A",), "b": ("B",), "ab": ("A", "B"), "at": ("A", "T"), "f": ("F",), "c": (), "k": (),
    "n": ("A",),
}  # fmt: skip


def _labels(rng: np.random.Generator, count: int) -> Any:
    kind = rng.integers(5)
    if kind == 0:
        return np.arange(count) + int(rng.integers(-3, 9))
    if kind == 1:
        return rng.permutation(50)[:count]
    if kind == 2:
        return [f"s{i}" for i in rng.permutation(count)]
    if kind == 3:
        return pd.date_range("2026-03-29", periods=count, freq="h", tz="Europe/Berlin")
    return ["mixed", 3, "c", 1.5][:count]


def _numbers(rng: np.random.Generator, *shape: int) -> Any:
    return np.round(rng.choice([0.0, 1.0, -2.0, rng.normal(), rng.normal()], size=shape), 6)


def data(rng: np.random.Generator) -> dict[str, Any]:
    """Random named arrays for the sets and parameters of all random formulations."""
    sizes = rng.integers(1, 5, 3)
    a, b, t = _labels(rng, sizes[0]), _labels(rng, sizes[1]), np.arange(sizes[2]) + 4
    a_list, b_list = list(a), list(b)
    pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if rng.random() < 0.6]
    rng.shuffle(pairs)
    lists = [[b_list[j] for i, j in pairs if i == place] for place in range(len(a))]
    slots = [[int(s) for s in t if rng.random() < 0.6] for _ in b_list]
    tuples = [[(b_list[j], int(s)) for j in range(len(b)) for s in t if rng.random() < 0.3]
              for _ in a_list]  # fmt: skip

    def starts(of: list[list[Any]]) -> Any:
        return np.concatenate([[0], np.cumsum([len(one) for one in of])])

    flat = [pair for one in tuples for pair in one]
    return {
        "A": a,
        "B": b,
        "T": t,
        "T1": t[1:],
        "S": a_list[1:],
        "F": ([a_list[i] for i, _ in pairs], [b_list[j] for _, j in pairs]),
        "J": (starts(lists), [label for one in lists for label in one]),
        "K": dict(zip(b_list, slots, strict=True)),
        "Q": (starts(tuples), ([p for p, _ in flat], [s for _, s in flat])),
        **values(rng, len(a), len(b), t, len(pairs)),
    }


def values(rng: np.random.Generator, a: int, b: int, t: Any, pairs: int) -> dict[str, Any]:
    """Random values of the parameters, for sets of these sizes."""
    return {
        "a": _numbers(rng, a),
        "b": _numbers(rng, b),
        "ab": _numbers(rng, a, b),
        "at": _numbers(rng, *((a * len(t),) if rng.random() < 0.5 else (a, len(t)))),
        "f": _numbers(rng, pairs),
        "c": float(rng.uniform(0.5, 4)),
        "k": float(rng.choice([0.0, 1.0, 2.5])),
        "n": rng.choice(t, size=a),
    }


def random_model(seed: int) -> tuple[pyo.AbstractModel, dict[str, Any]]:
    """A random formulation and data for it."""
    rng = np.random.default_rng(seed)
    given = data(rng)
    return formulation(rng, next(iter(given["B"]))), given
