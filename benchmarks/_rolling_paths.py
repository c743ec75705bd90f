"""The ways from one window to the next, all over the same windows of one routing problem.

Every path is a function ``start(first window) -> step``, and ``step(window) -> objective`` solves a
window and reads its plan, so that nothing is left to be paid later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cvxpy as cp
import highspy
import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from _compiler_models import Data, routing
from _compiler_raw import pass_arrays
from _compiler_raw import routing as routing_arrays
from _compiler_vectorised import build_linopy

from optmodels.solver.live import LiveModel
from optmodels.solver.template import Formulation

SITES, CLASSES, SLOTS = 5, 9, 48
DAY_AHEAD_ERROR = 0.02
"""Standard deviation of a forecast's logarithm, 24 hours ahead."""
CHANGING = ("demand", "power_limit", "price")
TIMES = ("slots", "later_slots")

Step = Callable[[Data], float]


class Horizon:
    """A long series of hours, cut into windows that move by one hour.

    Parameters
    ----------
    windows
        Number of windows.
    rng
        Source of the data: daily swings with a phase of their own, and noise. Power runs short
        in part of the hours. Every window holds a new forecast of the same hours, whose errors
        grow with the square root of the lead.
    """

    def __init__(self, windows: int, rng: np.random.Generator) -> None:
        hours = np.arange(windows + SLOTS)

        def swings(rows: int, depth: float, noise: float) -> np.ndarray:
            phase = rng.uniform(0, 24, (rows, 1))
            daily = 1 + depth * np.sin(2 * np.pi * (hours - phase) / 24)
            return np.asarray(daily * rng.lognormal(0, noise, (rows, hours.size)))

        self.windows = windows
        self._seed = int(rng.integers(2**32))
        power = rng.uniform(0.5, 2, (SITES, CLASSES))
        demand = rng.uniform(10, 20, (CLASSES, 1)) * swings(CLASSES, 0.4, 0.08)
        need = float((power.mean(axis=0) @ demand).mean()) / SITES
        self._constants = {
            "sites": np.arange(SITES),
            "classes": np.arange(CLASSES),
            "slots": np.arange(SLOTS),
            "later_slots": np.arange(1, SLOTS),
            "latency": rng.uniform(1, 10, (SITES, CLASSES)),
            "power": power,
            "penalty": rng.uniform(100, 200, CLASSES),
            "ramp_cost": rng.uniform(0.2, 1, SITES),
        }
        self._series = {
            "demand": demand,
            "power_limit": 1.15 * need * swings(SITES, 0.4, 0.1),
            "price": 5 * swings(SITES, 0.5, 0.2),
        }

    def window(self, number: int) -> Data:
        """Data of a window: the present hour as it is, the others as they are forecast then."""
        rng = np.random.default_rng([self._seed, number])
        spread = DAY_AHEAD_ERROR * np.sqrt(np.arange(SLOTS) / 24)
        forecast = {
            name: series[:, number : number + SLOTS]
            * np.exp(spread * rng.standard_normal((len(series), SLOTS)))
            for name, series in self._series.items()
        }
        return {**self._constants, **forecast}


def changing(data: Data) -> Data:
    """What is new in a window."""
    return {name: data[name] for name in CHANGING}


# ------------------------------------------------------------------------------------ by hand
def by_hand(first: Data) -> Step:
    """The yardstick: one HiGHS, the changed part of its arrays rewritten in place, basis kept."""
    arrays = routing_arrays(first)
    highs = pass_arrays(arrays)
    latency, power = first["latency"][:, :, None], first["power"][:, :, None]
    loads = SITES * CLASSES * SLOTS
    balance, limits = CLASSES * SLOTS, SITES * SLOTS
    cost = np.empty((SITES, CLASSES, SLOTS))
    lower = np.full(balance + limits, -np.inf)
    upper = np.empty(balance + limits)
    columns = np.arange(loads, dtype=np.int32)
    rows = np.arange(balance + limits, dtype=np.int32)

    def step(data: Data) -> float:
        np.multiply(data["price"][:, None, :], power, out=cost)
        np.add(cost, latency, out=cost)
        lower[:balance] = upper[:balance] = data["demand"].reshape(-1)
        upper[balance:] = data["power_limit"].reshape(-1)
        highs.changeColsCost(loads, columns, cost.reshape(-1))
        highs.changeRowsBounds(balance + limits, rows, lower, upper)
        return _run(highs)

    return step


def rebuilt_by_hand(first: Data) -> Step:
    """Arrays filled anew and a new HiGHS: a cold solve, whose objectives judge all others."""
    del first
    return lambda data: _run(pass_arrays(routing_arrays(data)))


def _run(highs: Any) -> float:
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError("a window is not optimal")
    np.array(highs.getSolution().col_value)
    return float(highs.getInfo().objective_function_value)


# --------------------------------------------------------------------------------------- ours
def live(first: Data) -> Step:
    """`LiveModel`, compiled once and updated, from the last basis as it stands, as by hand."""
    model = LiveModel(Formulation(routing()), first)

    def step(data: Data) -> float:
        model.update(**changing(data))
        return float(model.solve().require().objective or 0.0)

    return step


def live_moved(first: Data) -> Step:
    """`LiveModel` as `RollingHorizon` uses it: the last basis moves with the window."""
    model = LiveModel(Formulation(routing()), first)

    def step(data: Data) -> float:
        model.shift_start(1, TIMES)
        model.update(**changing(data))
        return float(model.solve().require().objective or 0.0)

    return step


# --------------------------------------------------------------------------------------- others
def pyomo_persistent(first: Data) -> Step:
    """Pyomo's persistent interface (APPSI) to HiGHS, told that only parameters change."""
    from pyomo.contrib.appsi.solvers.highs import Highs

    before = pyo.Param.DefaultMutable
    pyo.Param.DefaultMutable = True
    try:
        abstract = routing()
    finally:
        pyo.Param.DefaultMutable = before
    model = abstract.create_instance({None: {n: _pyomo_data(n, v) for n, v in first.items()}})
    solver = Highs()
    for name in (
        "check_for_new_or_removed_constraints",
        "check_for_new_or_removed_vars",
        "check_for_new_or_removed_params",
        "check_for_new_objective",
        "update_constraints",
        "update_vars",
        "update_named_expressions",
        "update_objective",
    ):
        setattr(solver.update_config, name, False)
    solver.update_config.update_params = True
    solver.config.load_solution = False
    solver.set_instance(model)
    parameters = {
        name: [getattr(model, name)[index] for index in getattr(model, name)] for name in CHANGING
    }

    def step(data: Data) -> float:
        for name, members in parameters.items():
            for member, value in zip(members, data[name].reshape(-1).tolist(), strict=True):
                member.set_value(value)
        results = solver.solve(model)
        results.solution_loader.get_primals()
        return float(results.best_feasible_objective)

    return step


def _pyomo_data(name: str, values: np.ndarray) -> dict[Any, Any]:
    if values.dtype.kind == "i":
        return {None: values.tolist()}
    if values.ndim == 1:
        return dict(enumerate(values.tolist()))
    return {index: float(value) for index, value in np.ndenumerate(values)}


def cvxpy_parameters(first: Data) -> Step:
    """CVXPY's own re-solve: a DPP problem with parameters for costs and right-hand sides."""
    S, K, T = SITES, CLASSES, SLOTS
    served = cp.Variable((S * K, T), nonneg=True)
    unserved = cp.Variable((K, T), nonneg=True)
    up, down = (cp.Variable((S * K, T - 1), nonneg=True) for _ in range(2))
    demand, limit = cp.Parameter((K, T)), cp.Parameter((S, T))
    cost = cp.Parameter((S * K, T))
    over_sites = sp.csr_array(sp.kron(np.ones((1, S)), sp.eye_array(K)))
    over_classes = sp.csr_array(
        (first["power"].reshape(-1), (np.repeat(np.arange(S), K), np.arange(S * K))), (S, S * K)
    )
    change = np.repeat(first["ramp_cost"], K)
    problem = cp.Problem(
        cp.Minimize(
            cp.sum(cp.multiply(cost, served))
            + first["penalty"] @ cp.sum(unserved, axis=1)
            + change @ cp.sum(up + down, axis=1)
        ),
        [
            over_sites @ served + unserved == demand,
            over_classes @ served <= limit,
            served[:, 1:] - served[:, :-1] == up - down,
        ],
    )
    latency, power = first["latency"][:, :, None], first["power"][:, :, None]

    def step(data: Data) -> float:
        demand.value, limit.value = data["demand"], data["power_limit"]
        cost.value = (latency + data["price"][:, None, :] * power).reshape(S * K, T)
        return float(problem.solve(solver=cp.HIGHS))

    return step


def linopy_rebuilt(first: Data) -> Step:
    """linopy: the model built anew for every window and handed over without a file."""
    del first

    def step(data: Data) -> float:
        model = build_linopy("routing", data)
        model.solve("highs", io_api="direct", set_names=False, progress=False, output_flag=False)
        return float(model.objective.value)

    return step


PATHS: Mapping[str, Callable[[Data], Step]] = {
    "by hand, warm": by_hand,
    "ours": live_moved,
    "ours, basis not moved": live,
    "by hand, rebuilt": rebuilt_by_hand,
    "CVXPY DPP": cvxpy_parameters,
    "Pyomo persistent": pyomo_persistent,
    "linopy, rebuilt": linopy_rebuilt,
}
