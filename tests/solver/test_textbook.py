"""Ten textbook models as people write them in Pyomo, with optima known by hand or enumeration.

Some are AbstractModels with named arrays, some with Pyomo's own data, some ConcreteModels;
`solve_model` takes the fastest path that fits, and each test says which one that is.
"""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pyomo.environ as pyo
import pytest

from optmodels.solver import solve_model
from optmodels.solver.template import instance_of


@pytest.fixture
def solved(caplog):
    """Solve, and say whether it went through traced rules."""
    caplog.set_level(logging.INFO, "optmodels.solver")

    def solve(model, data=None):
        caplog.clear()
        found = solve_model(model, data=data, mip_gap=0.0).require()
        slow = any("standard form" in record.getMessage() for record in caplog.records)
        traced = isinstance(found.model, pyo.AbstractModel)
        assert traced != slow or data is None
        if traced:
            ordinary = solve_model(instance_of(model, data), mip_gap=0.0)
            assert ordinary.objective == pytest.approx(found.objective, rel=1e-9)
        return found, traced

    return solve


def test_transport(solved):
    """Two plants, three markets (Dantzig 1963): 153.675 thousand dollars."""
    m = pyo.AbstractModel()
    m.I, m.J = pyo.Set(), pyo.Set()
    m.a, m.b = pyo.Param(m.I), pyo.Param(m.J)
    m.d, m.f = pyo.Param(m.I, m.J), pyo.Param()
    m.x = pyo.Var(m.I, m.J, within=pyo.NonNegativeReals)
    m.cost = pyo.Objective(
        rule=lambda m: sum(m.f * m.d[i, j] / 1000 * m.x[i, j] for i in m.I for j in m.J)
    )
    m.supply = pyo.Constraint(m.I, rule=lambda m, i: sum(m.x[i, j] for j in m.J) <= m.a[i])
    m.demand = pyo.Constraint(m.J, rule=lambda m, j: sum(m.x[i, j] for i in m.I) >= m.b[j])
    data = {
        "I": ["seattle", "san-diego"], "J": ["new-york", "chicago", "topeka"], "a": [350, 600],
        "b": [325, 300, 275], "d": [[2.5, 1.7, 1.8], [2.5, 1.8, 1.4]], "f": 90,
    }  # fmt: skip
    found, traced = solved(m, data)
    assert traced and found.objective == pytest.approx(153.675)
    assert found.duals["demand"]["topeka"] == pytest.approx(0.126)


def test_facility_location(solved):
    """Opening costs against distances, by enumeration of the open sites; sparse links."""
    rng = np.random.default_rng(1)
    fixed, distance = rng.integers(10, 20, 5), rng.integers(1, 15, (7, 5))
    links = [(c, s) for c in range(7) for s in range(5) if distance[c, s] < 12]
    m = pyo.AbstractModel()
    m.C, m.S = pyo.Set(), pyo.Set()
    m.L = pyo.Set(within=m.C * m.S)
    m.near = pyo.Set(m.C, within=m.S)
    m.f, m.d = pyo.Param(m.S), pyo.Param(m.L)
    m.open = pyo.Var(m.S, within=pyo.Binary)
    m.x = pyo.Var(m.L, bounds=(0, 1))

    @m.Constraint(m.C)
    def served(m, c):
        return sum(m.x[c, s] for s in m.near[c]) == 1

    @m.Constraint(m.L)
    def only_open(m, c, s):
        return m.x[c, s] <= m.open[s]

    @m.Objective()
    def cost(m):
        return sum(m.f[s] * m.open[s] for s in m.S) + sum(m.d[k] * m.x[k] for k in m.L)

    data = {
        "C": range(7), "S": range(5), "L": links, "f": fixed,
        "near": {c: [s for k, s in links if k == c] for c in range(7)},
        "d": [distance[c, s] for c, s in links],
    }  # fmt: skip
    far = np.where(distance < 12, distance, np.inf)
    best = min(
        fixed[list(sites)].sum() + far[:, list(sites)].min(axis=1).sum()
        for count in range(1, 6)
        for sites in itertools.combinations(range(5), count)
    )
    found, traced = solved(m, data)
    assert traced and found.objective == pytest.approx(best)


def test_lot_sizing(solved):
    """Wagner & Whitin (1958): set-ups against holding, by their own recursion."""
    demand, setup, hold = np.array([69, 29, 36, 61, 61, 26, 34, 67, 45, 67, 79, 56]), 85.0, 1.0
    best = [0.0]
    for t in range(1, 13):
        best.append(
            min(
                best[s] + setup + hold * sum((u - s) * demand[u] for u in range(s, t))
                for s in range(t)
            )
        )
    m = pyo.AbstractModel()
    m.n = pyo.Param(within=pyo.PositiveIntegers)
    m.T = pyo.RangeSet(m.n)
    m.T0 = pyo.RangeSet(0, m.n)
    m.d = pyo.Param(m.T)
    m.setup, m.hold, m.most = pyo.Param(), pyo.Param(default=1.0), pyo.Param()
    m.made = pyo.Var(m.T, within=pyo.NonNegativeReals)
    m.stock = pyo.Var(m.T0, within=pyo.NonNegativeReals)
    m.on = pyo.Var(m.T, within=pyo.Binary)
    m.empty = pyo.Constraint(rule=lambda m: m.stock[0] == 0)
    m.balance = pyo.Constraint(
        m.T, rule=lambda m, t: m.stock[t - 1] + m.made[t] - m.d[t] == m.stock[t]
    )
    m.ready = pyo.Constraint(m.T, rule=lambda m, t: m.made[t] <= m.most * m.on[t])
    m.cost = pyo.Objective(rule=lambda m: sum(m.setup * m.on[t] + m.hold * m.stock[t] for t in m.T))
    data = {"n": 12, "d": demand, "setup": setup, "most": demand.sum()}
    found, traced = solved(m, data)
    assert traced and found.objective == pytest.approx(best[-1])
    assert found.values["stock"].index.tolist() == list(range(13))


def test_knapsack(solved):
    """Eight things, by enumeration; a ConcreteModel."""
    rng = np.random.default_rng(3)
    worth, weight = rng.integers(1, 30, 8), rng.integers(1, 20, 8)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(8), within=pyo.Binary)
    m.fits = pyo.Constraint(expr=sum(int(weight[i]) * m.x[i] for i in range(8)) <= 40)
    m.worth = pyo.Objective(expr=sum(int(worth[i]) * m.x[i] for i in range(8)), sense=pyo.maximize)
    best = max(
        worth @ np.array(chosen)
        for chosen in itertools.product((0, 1), repeat=8)
        if weight @ np.array(chosen) <= 40
    )
    found, traced = solved(m)
    assert not traced and found.objective == pytest.approx(best)


def test_unit_commitment(solved):
    """Three units, five hours, starts and minimum output, by enumeration of what is on."""
    low, high = np.array([10.0, 20, 5]), np.array([60.0, 80, 30])
    price, start = np.array([20.0, 15, 40]), np.array([100.0, 300, 10])
    load = np.array([50.0, 90, 140, 80, 40])
    m = pyo.AbstractModel()
    m.G, m.T = pyo.Set(), pyo.Set()
    m.T1 = pyo.Set(within=m.T)
    for name in ("low", "high", "price", "start"):
        setattr(m, name, pyo.Param(m.G))
    m.demand = pyo.Param(m.T)
    m.p = pyo.Var(m.G, m.T, within=pyo.NonNegativeReals)
    m.on, m.up = (pyo.Var(m.G, m.T, within=pyo.Binary) for _ in range(2))
    m.meet = pyo.Constraint(m.T, rule=lambda m, t: sum(m.p[g, t] for g in m.G) == m.demand[t])
    m.least = pyo.Constraint(m.G, m.T, rule=lambda m, g, t: m.p[g, t] >= m.low[g] * m.on[g, t])
    m.most = pyo.Constraint(m.G, m.T, rule=lambda m, g, t: m.p[g, t] <= m.high[g] * m.on[g, t])
    m.begin = pyo.Constraint(m.G, rule=lambda m, g: m.on[g, 0] <= m.up[g, 0])
    m.later = pyo.Constraint(
        m.G, m.T1, rule=lambda m, g, t: m.on[g, t] - m.on[g, t - 1] <= m.up[g, t]
    )
    m.running = pyo.Expression(m.T, rule=lambda m, t: sum(m.price[g] * m.p[g, t] for g in m.G))
    m.cost = pyo.Objective(
        rule=lambda m: (
            sum(m.running[t] for t in m.T) + sum(m.start[g] * m.up[g, t] for g in m.G for t in m.T)
        )
    )
    data = {
        "G": ["coal", "gas", "peak"], "T": np.arange(5), "T1": np.arange(1, 5), "low": low,
        "high": high, "price": price, "start": start, "demand": load,
    }  # fmt: skip

    def dispatch(on: tuple[int, ...], need: float) -> float:
        used = np.array(on, dtype=bool)
        if not low[used].sum() <= need <= high[used].sum():
            return np.inf
        left, cost = need - low[used].sum(), float(price[used] @ low[used])
        for g in np.argsort(price):
            more = min(left, high[g] - low[g]) if used[g] else 0.0
            left, cost = left - more, cost + more * price[g]
        return cost

    states = list(itertools.product((0, 1), repeat=3))
    value = {(0, 0, 0): 0.0}
    for need in load:
        value = {
            state: dispatch(state, need)
            + min(
                cost + start @ np.maximum(np.array(state) - np.array(before), 0)
                for before, cost in value.items()
            )
            for state in states
        }
    found, traced = solved(m, data)
    assert traced and found.objective == pytest.approx(min(value.values()))


def test_cutting_stock(solved):
    """Patterns by name for rolls of 100 inches (Chvátal 1983): 453 rolls in whole numbers."""
    widths, orders = [45, 36, 31, 14], [97, 610, 395, 211]
    ranges = [range(100 // w + 1) for w in widths]
    patterns = [
        p for p in itertools.product(*ranges)
        if 0 < np.dot(p, widths) <= 100
    ]  # fmt: skip
    m = pyo.AbstractModel()
    m.W, m.P = pyo.Set(), pyo.Set()
    m.order, m.gives = pyo.Param(m.W), pyo.Param(m.W, m.P)
    m.cut = pyo.Var(m.P, within=pyo.NonNegativeIntegers)
    m.enough = pyo.Constraint(
        m.W, rule=lambda m, w: sum(m.gives[w, p] * m.cut[p] for p in m.P) >= m.order[w]
    )
    m.rolls = pyo.Objective(rule=lambda m: sum(m.cut[p] for p in m.P))
    data = {
        "W": widths, "P": range(len(patterns)), "order": orders, "gives": np.array(patterns).T,
    }  # fmt: skip
    found, traced = solved(m, data)
    assert traced and found.objective == pytest.approx(453)


def test_network_flow(solved):
    """Cheapest flow of 4 units over six arcs, by hand: 3 by the short way, 1 by the long."""
    arcs = {("s", "a"): (3, 1), ("s", "b"): (2, 2), ("a", "t"): (3, 1), ("b", "t"): (2, 3),
            ("a", "b"): (1, 1), ("b", "a"): (1, 0)}  # fmt: skip
    m = pyo.AbstractModel()
    m.N = pyo.Set()
    m.A = pyo.Set(within=m.N * m.N)
    m.out = pyo.Set(m.N, dimen=2)
    m.into = pyo.Set(m.N, dimen=2)
    m.cap, m.cost, m.need = pyo.Param(m.A), pyo.Param(m.A), pyo.Param(m.N)
    m.flow = pyo.Var(m.A, bounds=lambda m, i, j: (0, m.cap[i, j]))
    m.keep = pyo.Constraint(
        m.N,
        rule=lambda m, n: (
            sum(m.flow[a] for a in m.into[n]) - sum(m.flow[i, j] for i, j in m.out[n]) == m.need[n]
        ),
    )
    m.total = pyo.Objective(rule=lambda m: sum(m.cost[i, j] * m.flow[i, j] for i, j in m.A))
    nodes = ["s", "a", "b", "t"]
    data = {
        "N": nodes, "A": list(arcs), "out": {n: [a for a in arcs if a[0] == n] for n in nodes},
        "into": {n: [a for a in arcs if a[1] == n] for n in nodes},
        "cap": {a: arcs[a][0] for a in arcs}, "cost": {a: arcs[a][1] for a in arcs},
        "need": {"s": -4, "t": 4, "a": 0, "b": 0},
    }  # fmt: skip
    found, traced = solved(m, data)
    assert traced and found.objective == pytest.approx(3 * 2 + 5)
    assert found.values["flow"]["s", "a"] == pytest.approx(3)


def test_blending(solved):
    """Two feeds, protein and fibre between limits, by hand; Pyomo's own data and arrays."""
    m = pyo.AbstractModel()
    m.F, m.N = pyo.Set(), pyo.Set()
    m.price = pyo.Param(m.F)
    m.holds = pyo.Param(m.F, m.N)
    m.low, m.high = pyo.Param(m.N, default=0.0), pyo.Param(m.N, default=1.0)
    m.share = pyo.Var(m.F, bounds=(0, 1))
    m.whole = pyo.Constraint(rule=lambda m: sum(m.share[f] for f in m.F) == 1)
    m.right = pyo.Constraint(
        m.N,
        rule=lambda m, n: (m.low[n], sum(m.holds[f, n] * m.share[f] for f in m.F), m.high[n]),
    )
    m.cost = pyo.Objective(rule=lambda m: sum(m.price[f] * m.share[f] for f in m.F))
    holds = {("corn", "protein"): 0.09, ("corn", "fibre"): 0.02, ("soy", "protein"): 0.6,
             ("soy", "fibre"): 0.06}  # fmt: skip
    own = {None: {
        "F": {None: ["corn", "soy"]}, "N": {None: ["protein", "fibre"]}, "holds": holds,
        "price": {"corn": 0.3, "soy": 0.9}, "low": {"protein": 0.3}, "high": {"fibre": 0.05},
    }}  # fmt: skip
    by_hand = 0.3 + 0.6 * (0.3 - 0.09) / (0.6 - 0.09)
    found, traced = solved(m, own)
    assert not traced and found.objective == pytest.approx(by_hand)
    named = {"F": ["corn", "soy"], "N": ["protein", "fibre"], "holds": holds, "price": [0.3, 0.9],
             "low": {"protein": 0.3}, "high": {"fibre": 0.05}}  # fmt: skip
    found, traced = solved(m, named)
    assert traced and found.objective == pytest.approx(by_hand)


def test_scheduling(solved):
    """One machine, weighted completion times, by enumeration; pairs i < j need an `if`."""
    length, weight = [3, 1, 4, 2], [2, 5, 1, 3]
    m = pyo.AbstractModel()
    m.J = pyo.Set()
    m.length, m.weight, m.long = pyo.Param(m.J), pyo.Param(m.J), pyo.Param()
    m.start = pyo.Var(m.J, within=pyo.NonNegativeReals)
    m.first = pyo.Var(m.J, m.J, within=pyo.Binary)

    @m.Constraint(m.J, m.J)
    def one_at_a_time(m, i, j):
        if i == j:
            return pyo.Constraint.Skip
        return m.start[i] + m.length[i] <= m.start[j] + m.long * (1 - m.first[i, j])

    @m.Constraint(m.J, m.J)
    def some_order(m, i, j):
        if i >= j:
            return pyo.Constraint.Skip
        return m.first[i, j] + m.first[j, i] == 1

    m.cost = pyo.Objective(
        rule=lambda m: sum(m.weight[j] * (m.start[j] + m.length[j]) for j in m.J)
    )
    best = min(
        sum(np.cumsum([length[j] for j in order]) * [weight[j] for j in order])
        for order in itertools.permutations(range(4))
    )
    data = {"J": range(4), "length": length, "weight": weight, "long": 10}
    found, traced = solved(m, data)
    assert not traced and found.objective == pytest.approx(best)


def test_p_median(solved):
    """Three of nine points on a line, by enumeration; sums inside sums."""
    places = np.array([0.0, 1, 2, 10, 11, 12, 30, 31, 35])
    distance = np.abs(places[:, None] - places[None, :])
    m = pyo.AbstractModel()
    m.V = pyo.Set()
    m.d, m.p = pyo.Param(m.V, m.V, mutable=True), pyo.Param()
    m.x = pyo.Var(m.V, m.V, bounds=(0, 1), dense=False)
    m.y = pyo.Var(m.V, within=pyo.Binary)
    m.once = pyo.Constraint(m.V, rule=lambda m, v: sum(m.x[v, w] for w in m.V) == 1)
    m.number = pyo.Constraint(rule=lambda m: m.p == sum(m.y[v] for v in m.V))
    m.open = pyo.Constraint(m.V, m.V, rule=lambda m, v, w: m.y[w] >= m.x[v, w])
    m.far = pyo.Objective(rule=lambda m: sum(sum(m.d[v, w] * m.x[v, w] for w in m.V) for v in m.V))
    best = min(
        distance[:, list(chosen)].min(axis=1).sum()
        for chosen in itertools.combinations(range(9), 3)
    )
    found, traced = solved(m, {"V": places, "d": distance, "p": 3})
    assert traced and found.objective == pytest.approx(best)
