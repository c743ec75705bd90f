"""The three shapes in CVXPY and in linopy, vectorised as their documentation advises.

linopy is optional: `HAS_LINOPY` tells.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from _compiler_handover import stopped_at_run
from _compiler_models import RESOURCES, Data

# ------------------------------------------------------------------------------------------ CVXPY


def _cvxpy_routing(d: Data) -> cp.Problem:
    """Loads as one matrix, a row for each site and class, so that sums are sparse products."""
    S, K, T = len(d["sites"]), len(d["classes"]), len(d["slots"])
    served = cp.Variable((S * K, T), nonneg=True)
    unserved = cp.Variable((K, T), nonneg=True)
    up, down = (cp.Variable((S * K, T - 1), nonneg=True) for _ in range(2))
    over_sites = sp.csr_array(sp.kron(np.ones((1, S)), sp.eye_array(K)))
    over_classes = sp.csr_array(
        (d["power"].reshape(-1), (np.repeat(np.arange(S), K), np.arange(S * K))), (S, S * K)
    )
    price = np.repeat(d["price"], K, axis=0)
    cost = d["latency"].reshape(-1, 1) + price * d["power"].reshape(-1, 1)
    change = np.repeat(d["ramp_cost"], K)
    return cp.Problem(
        cp.Minimize(
            cp.sum(cp.multiply(cost, served))
            + d["penalty"] @ cp.sum(unserved, axis=1)
            + change @ cp.sum(up + down, axis=1)
        ),
        [
            over_sites @ served + unserved == d["demand"],
            over_classes @ served <= d["power_limit"],
            served[:, 1:] - served[:, :-1] == up - down,
        ],
    )


def _cvxpy_placement(d: Data) -> cp.Problem:
    application, site = d["pairs"]
    A, J, F = len(d["applications"]), len(d["sites"]), len(site)
    pairs = np.arange(F)
    limit = d["instances"][application]
    placed = cp.Variable(F, integer=True, bounds=[np.zeros(F), limit])
    unplaced = cp.Variable(A, nonneg=True)
    opened = cp.Variable(J, boolean=True)
    assigned = sp.csr_array((np.ones(F), (application, pairs)), (A, F))
    entries = (d["use"][:, application]).reshape(-1)
    rows = (np.arange(RESOURCES)[:, None] * J + site).reshape(-1)
    used = sp.csr_array((entries, (rows, np.tile(pairs, RESOURCES))), (RESOURCES * J, F))
    room = sp.vstack([sp.diags_array(capacity) for capacity in d["capacity"]])
    links = sp.csr_array((limit, (pairs, site)), (F, J))
    return cp.Problem(
        cp.Minimize(
            d["latency"] @ placed + d["penalty"] * cp.sum(unplaced) + d["site_cost"] @ opened
        ),
        [
            assigned @ placed + unplaced == d["instances"],
            used @ placed <= sp.csr_array(room) @ opened,
            placed <= links @ opened,
        ],
    )


def _cvxpy_scaling(d: Data) -> cp.Problem:
    T, N = len(d["slots"]), len(d["windows"])
    servers = cp.Variable(T, bounds=[np.zeros(T), np.full(T, d["most_servers"])])
    backlog = cp.Variable(T, bounds=[np.zeros(T), np.full(T, d["most_backlog"])])
    done, dropped = cp.Variable(T, nonneg=True), cp.Variable(T, nonneg=True)
    up, down = cp.Variable(T - 1, nonneg=True), cp.Variable(T - 1, nonneg=True)
    starts, members = d["slots_of"]
    windows = sp.csr_array((np.ones(T), members, starts), (N, T))
    return cp.Problem(
        cp.Minimize(
            d["price"] @ servers
            + d["holding"] * cp.sum(backlog)
            + d["penalty"] * cp.sum(dropped)
            + d["switching"] * cp.sum(up + down)
        ),
        [
            done <= servers,
            backlog[0] + done[0] + dropped[0] == d["demand"][0],
            backlog[1:] - backlog[:-1] + done[1:] + dropped[1:] == d["demand"][1:],
            servers[1:] - servers[:-1] == up - down,
            windows @ servers <= d["energy"],
        ],
    )


CVXPY_BUILT: dict[str, Callable[[Data], cp.Problem]] = {
    "routing": _cvxpy_routing,
    "placement": _cvxpy_placement,
    "scaling": _cvxpy_scaling,
}


def pass_cvxpy(problem: cp.Problem) -> Any:
    """Let CVXPY canonicalise the problem and hand it over."""
    return stopped_at_run(lambda: problem.solve(solver=cp.HIGHS))


# ----------------------------------------------------------------------------------------- linopy


def _linopy_routing(linopy: Any, xr: Any, d: Data) -> Any:
    m = linopy.Model()
    S, K, T = ((name, d[key]) for name, key in (("s", "sites"), ("k", "classes"), ("t", "slots")))
    later = ("t", d["later_slots"])

    def over(values: np.ndarray, *axes: Any) -> Any:
        return xr.DataArray(values, coords=list(axes))

    served = m.add_variables(lower=0, coords=[S, K, T], name="served")
    unserved = m.add_variables(lower=0, coords=[K, T], name="unserved")
    up = m.add_variables(lower=0, coords=[S, K, later], name="up")
    down = m.add_variables(lower=0, coords=[S, K, later], name="down")
    power, price = over(d["power"], S, K), over(d["price"], S, T)
    m.add_constraints(served.sum("s") + unserved == over(d["demand"], K, T), name="balance")
    m.add_constraints((power * served).sum("k") <= over(d["power_limit"], S, T), name="capacity")
    change = (served - served.shift(t=1)).isel(t=slice(1, None))
    m.add_constraints(change - up + down == 0, name="ramp")
    ramp_cost = over(d["ramp_cost"], S)
    m.add_objective(
        ((over(d["latency"], S, K) + price * power) * served).sum()
        + (over(d["penalty"], K) * unserved).sum()
        + (ramp_cost * up).sum()
        + (ramp_cost * down).sum()
    )
    return m


def _linopy_placement(linopy: Any, xr: Any, d: Data) -> Any:
    m = linopy.Model()
    application, site = d["pairs"]
    pairs = ("f", np.arange(len(site)))
    A, J = ("a", d["applications"]), ("j", d["sites"])
    owner = xr.DataArray(application, coords=[pairs], name="a")
    where = xr.DataArray(site, coords=[pairs], name="j")
    limit = xr.DataArray(d["instances"][application], coords=[pairs])
    instances = xr.DataArray(d["instances"], coords=[A])
    placed = m.add_variables(lower=0, upper=limit, coords=[pairs], integer=True, name="placed")
    unplaced = m.add_variables(lower=0, coords=[A], name="unplaced")
    opened = m.add_variables(binary=True, coords=[J], name="open")
    m.add_constraints(placed.groupby(owner).sum() + unplaced == instances, name="assignment")
    for r in range(RESOURCES):
        use = xr.DataArray(d["use"][r][application], coords=[pairs])
        capacity = xr.DataArray(d["capacity"][r], coords=[J])
        used = (use * placed).groupby(where).sum()
        m.add_constraints(used - capacity * opened <= 0, name=f"room{r}")
    m.add_constraints(placed - limit * opened.sel(j=where) <= 0, name="link")
    m.add_objective(
        (xr.DataArray(d["latency"], coords=[pairs]) * placed).sum()
        + d["penalty"] * unplaced.sum()
        + (xr.DataArray(d["site_cost"], coords=[J]) * opened).sum()
    )
    return m


def _linopy_scaling(linopy: Any, xr: Any, d: Data) -> Any:
    m = linopy.Model()
    T, later = ("t", d["slots"]), ("t", d["later_slots"])
    windows = np.repeat(d["windows"], np.diff(d["slots_of"][0]))
    servers = m.add_variables(lower=0, upper=d["most_servers"], coords=[T], name="servers")
    backlog = m.add_variables(lower=0, upper=d["most_backlog"], coords=[T], name="backlog")
    done = m.add_variables(lower=0, coords=[T], name="done")
    dropped = m.add_variables(lower=0, coords=[T], name="dropped")
    up = m.add_variables(lower=0, coords=[later], name="up")
    down = m.add_variables(lower=0, coords=[later], name="down")
    m.add_constraints(done - servers <= 0, name="capacity")
    # Before the first slot there is no backlog: the shift leaves nothing there.
    balance = backlog - backlog.shift(t=1) + done + dropped
    m.add_constraints(balance == xr.DataArray(d["demand"], coords=[T]), name="balance")
    change = (servers - servers.shift(t=1)).isel(t=slice(1, None))
    m.add_constraints(change - up + down == 0, name="switch")
    window = xr.DataArray(windows, coords=[T], name="n")
    energy = xr.DataArray(d["energy"], coords=[("n", d["windows"])])
    m.add_constraints(servers.groupby(window).sum() <= energy, name="budget")
    m.add_objective(
        (xr.DataArray(d["price"], coords=[T]) * servers).sum()
        + d["holding"] * backlog.sum()
        + d["penalty"] * dropped.sum()
        + d["switching"] * up.sum()
        + d["switching"] * down.sum()
    )
    return m


_LINOPY: dict[str, Callable[[Any, Any, Data], Any]] = {
    "routing": _linopy_routing,
    "placement": _linopy_placement,
    "scaling": _linopy_scaling,
}


def build_linopy(shape: str, data: Data) -> Any:
    """The model, without what linopy has to say about shifts before the first slot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _LINOPY[shape](
            importlib.import_module("linopy"), importlib.import_module("xarray"), data
        )


def pass_linopy(model: Any) -> Any:
    """Hand the model over without a file."""
    solvers = importlib.import_module("linopy.solvers")
    return solvers.Highs.from_model(model, io_api="direct", set_names=False).solver_model


HAS_LINOPY = importlib.util.find_spec("linopy") is not None
