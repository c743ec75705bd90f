"""The three shapes through layers that make an object per variable and constraint: Pyomo, PuLP.

PuLP is optional: `HAS_PULP` tells. Pyomo gets the same
formulation as ours, its parameters as plain numbers and its data as dicts made beforehand.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from _compiler_models import RESOURCES, Data

# ------------------------------------------------------------------------------------------ Pyomo


def pass_pyomo(instance: Any) -> Any:
    """Pyomo's interface to HiGHS."""
    from pyomo.contrib.solver.solvers.highs import Highs

    solver = Highs()
    solver.set_instance(instance)
    return solver._solver_model


def pass_appsi(instance: Any) -> Any:
    """Pyomo's older interface to HiGHS."""
    from pyomo.contrib.appsi.solvers.highs import Highs

    solver = Highs()
    solver.set_instance(instance)
    return solver._solver_model


# ------------------------------------------------------------------------------------------- PuLP


def _pulp_routing(pulp: Any, d: Data) -> Any:
    lp = pulp.LpProblem("routing", pulp.LpMinimize)
    S, K, T = (range(len(d[name])) for name in ("sites", "classes", "slots"))
    expression = pulp.LpAffineExpression
    x = [[[pulp.LpVariable(f"x_{s}_{k}_{t}", 0) for t in T] for k in K] for s in S]
    u = [[pulp.LpVariable(f"u_{k}_{t}", 0) for t in T] for k in K]
    up = [[[pulp.LpVariable(f"a_{s}_{k}_{t}", 0) for t in T[1:]] for k in K] for s in S]
    down = [[[pulp.LpVariable(f"b_{s}_{k}_{t}", 0) for t in T[1:]] for k in K] for s in S]
    power, demand, limit = d["power"].tolist(), d["demand"].tolist(), d["power_limit"].tolist()
    cost = (d["latency"][:, :, None] + d["price"][:, None, :] * d["power"][:, :, None]).tolist()
    penalty, change = d["penalty"].tolist(), d["ramp_cost"].tolist()
    terms = [(x[s][k][t], cost[s][k][t]) for s in S for k in K for t in T]
    terms += [(u[k][t], penalty[k]) for k in K for t in T]
    terms += [(v, change[s]) for s in S for k in K for v in up[s][k] + down[s][k]]
    lp.setObjective(expression(terms))
    for k in K:
        for t in T:
            served = [(x[s][k][t], 1.0) for s in S]
            lp += expression([*served, (u[k][t], 1.0)]) == demand[k][t]
    for s in S:
        for t in T:
            lp += expression([(x[s][k][t], power[s][k]) for k in K]) <= limit[s][t]
        for k in K:
            row, rise, fall = x[s][k], up[s][k], down[s][k]
            for t in T[1:]:
                change_of = [(row[t], 1), (row[t - 1], -1), (rise[t - 1], -1), (fall[t - 1], 1)]
                lp += expression(change_of) == 0
    return lp


def _pulp_placement(pulp: Any, d: Data) -> Any:
    lp = pulp.LpProblem("placement", pulp.LpMinimize)
    expression = pulp.LpAffineExpression
    application, site = (column.tolist() for column in d["pairs"])
    A, J = range(len(d["applications"])), range(len(d["sites"]))
    instances, latency = d["instances"].tolist(), d["latency"].tolist()
    use, capacity, site_cost = (d[name].tolist() for name in ("use", "capacity", "site_cost"))
    n = [
        pulp.LpVariable(f"n_{a}_{j}", 0, instances[a], "Integer")
        for a, j in zip(application, site, strict=True)
    ]
    u = [pulp.LpVariable(f"u_{a}", 0) for a in A]
    y = [pulp.LpVariable(f"y_{j}", cat="Binary") for j in J]
    of_application: list[list[int]] = [[] for _ in A]
    of_site: list[list[int]] = [[] for _ in J]
    for f, (a, j) in enumerate(zip(application, site, strict=True)):
        of_application[a].append(f)
        of_site[j].append(f)
    terms = list(zip(n, latency, strict=True))
    terms += [(v, d["penalty"]) for v in u]
    terms += list(zip(y, site_cost, strict=True))
    lp.setObjective(expression(terms))
    for a in A:
        lp += expression([*((n[f], 1.0) for f in of_application[a]), (u[a], 1.0)]) == instances[a]
    for r in range(RESOURCES):
        for j in J:
            used = [(n[f], use[r][application[f]]) for f in of_site[j]]
            lp += expression([*used, (y[j], -capacity[r][j])]) <= 0
    for f, (a, j) in enumerate(zip(application, site, strict=True)):
        lp += expression([(n[f], 1.0), (y[j], -instances[a])]) <= 0
    return lp


def _pulp_scaling(pulp: Any, d: Data) -> Any:
    lp = pulp.LpProblem("scaling", pulp.LpMinimize)
    expression = pulp.LpAffineExpression
    T, N = range(len(d["slots"])), range(len(d["windows"]))
    x = [pulp.LpVariable(f"x_{t}", 0, d["most_servers"]) for t in T]
    s = [pulp.LpVariable(f"s_{t}", 0) for t in T]
    b = [pulp.LpVariable(f"b_{t}", 0, d["most_backlog"]) for t in T]
    w = [pulp.LpVariable(f"w_{t}", 0) for t in T]
    up = [pulp.LpVariable(f"a_{t}", 0) for t in T[1:]]
    down = [pulp.LpVariable(f"c_{t}", 0) for t in T[1:]]
    demand, energy = d["demand"].tolist(), d["energy"].tolist()
    terms = list(zip(x, d["price"].tolist(), strict=True))
    terms += [(v, d["holding"]) for v in b] + [(v, d["penalty"]) for v in w]
    terms += [(v, d["switching"]) for v in up + down]
    lp.setObjective(expression(terms))
    starts = np.asarray(d["slots_of"][0]).tolist()
    for t in T:
        lp += expression([(s[t], 1), (x[t], -1)]) <= 0
        before = [(b[t - 1], -1)] if t else []
        lp += expression([(b[t], 1), (s[t], 1), (w[t], 1), *before]) == demand[t]
        if t:
            switched = [(x[t], 1), (x[t - 1], -1), (up[t - 1], -1), (down[t - 1], 1)]
            lp += expression(switched) == 0
    for n in N:
        lp += expression([(v, 1.0) for v in x[starts[n] : starts[n + 1]]]) <= energy[n]
    return lp


_PULP: dict[str, Callable[[Any, Data], Any]] = {
    "routing": _pulp_routing,
    "placement": _pulp_placement,
    "scaling": _pulp_scaling,
}


def build_pulp(shape: str, data: Data) -> Any:
    """The problem."""
    return _PULP[shape](importlib.import_module("pulp"), data)


def pass_pulp(lp: Any) -> Any:
    """Hand the problem over through PuLP's own in-memory interface."""
    solver = importlib.import_module("pulp").HiGHS(msg=False)
    solver.createAndConfigureSolver(lp)
    solver.buildSolverModel(lp)
    return lp.solverModel


HAS_PULP = importlib.util.find_spec("pulp") is not None
