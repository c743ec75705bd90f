"""The three shapes of the compiler benchmark: formulations and data, nothing about speed.

`routing`: a linear program over sites, classes and slots, coupled in time by ramps. `placement`: a
mixed-integer program over a sparse list of (application, site) pairs. `scaling`: a linear program
over one long chain of slots with switching costs and a budget per window.

Data are numpy arrays by component name, as `optmodels.solver.template` takes them; every path of
the benchmark starts from the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

Data = dict[str, Any]

RESOURCES = 3
_SITES, _CLASSES = 10, 8
_SITES_PER_APPLICATION = 10


def routing() -> Any:
    """Serve classes of requests at sites; every change of a load between slots costs."""
    m = pyo.AbstractModel(name="routing")
    m.sites = pyo.Set(doc="where requests can be served")
    m.classes = pyo.Set(doc="classes of requests")
    m.slots = pyo.Set(doc="time slots")
    m.later_slots = pyo.Set(doc="all slots but the first")
    m.latency = pyo.Param(m.sites, m.classes, doc="cost of latency per request")
    m.power = pyo.Param(m.sites, m.classes, doc="power per request")
    m.demand = pyo.Param(m.classes, m.slots, doc="requests")
    m.power_limit = pyo.Param(m.sites, m.slots, doc="power that a site may draw")
    m.price = pyo.Param(m.sites, m.slots, doc="price of power")
    m.penalty = pyo.Param(m.classes, doc="cost of a request that is not served")
    m.ramp_cost = pyo.Param(m.sites, doc="cost of changing a load by one request")

    def amounts(*sets: Any, doc: str) -> Any:
        return pyo.Var(*sets, within=pyo.NonNegativeReals, dense=False, doc=doc)

    m.served = amounts(m.sites, m.classes, m.slots, doc="requests served")
    m.unserved = amounts(m.classes, m.slots, doc="requests not served")
    m.up = amounts(m.sites, m.classes, m.later_slots, doc="rise of a load")
    m.down = amounts(m.sites, m.classes, m.later_slots, doc="fall of a load")

    @m.Constraint(m.classes, m.slots, doc="every request is served or counted as not served")
    def balance(m: Any, k: Any, t: Any) -> Any:
        return sum(m.served[s, k, t] for s in m.sites) + m.unserved[k, t] == m.demand[k, t]

    @m.Constraint(m.sites, m.slots, doc="no site draws more power than it may")
    def capacity(m: Any, s: Any, t: Any) -> Any:
        return sum(m.power[s, k] * m.served[s, k, t] for k in m.classes) <= m.power_limit[s, t]

    @m.Constraint(m.sites, m.classes, m.later_slots, doc="a load changes by its rise and fall")
    def ramp(m: Any, s: Any, k: Any, t: Any) -> Any:
        return m.served[s, k, t] - m.served[s, k, t - 1] - m.up[s, k, t] + m.down[s, k, t] == 0

    @m.Objective(doc="cost of latency, power, requests not served, and changes")
    def cost(m: Any) -> Any:
        return (
            sum(
                (m.latency[s, k] + m.price[s, t] * m.power[s, k]) * m.served[s, k, t]
                for s in m.sites
                for k in m.classes
                for t in m.slots
            )
            + sum(m.penalty[k] * m.unserved[k, t] for k in m.classes for t in m.slots)
            + sum(
                m.ramp_cost[s] * (m.up[s, k, t] + m.down[s, k, t])
                for s in m.sites
                for k in m.classes
                for t in m.later_slots
            )
        )

    return m


def routing_data(nonzeros: int, rng: np.random.Generator) -> Data:
    """Data of `routing` with about so many matrix entries."""
    S, K = _SITES, _CLASSES
    T = max(2, round(nonzeros / (6 * S * K + K)))
    hours = np.arange(T)
    swing = 1 + 0.4 * np.sin(2 * np.pi * hours / 24)
    demand = rng.uniform(20, 40, (K, 1)) * swing * rng.uniform(0.9, 1.1, (K, T))
    power = rng.uniform(1, 2, (S, K))
    return {
        "sites": np.arange(S),
        "classes": np.arange(K),
        "slots": np.arange(T),
        "later_slots": np.arange(1, T),
        "latency": rng.uniform(0, 3, (S, K)),
        "power": power,
        "demand": demand,
        "power_limit": rng.uniform(0.8, 1.2, (S, T)) * demand.sum() * 1.5 / (S * T) * 1.1,
        "price": rng.uniform(0.5, 1.5, (S, T)),
        "penalty": rng.uniform(20, 30, K),
        "ramp_cost": rng.uniform(0.05, 0.2, S),
    }


def placement() -> Any:
    """Place instances of applications on sites they can reach, and open the sites."""
    m = pyo.AbstractModel(name="placement")
    m.applications = pyo.Set(doc="applications; equal instances are counted, not listed")
    m.sites = pyo.Set(doc="sites that can be opened")
    m.resources = pyo.Set(doc="kinds of resources")
    m.pairs = pyo.Set(dimen=2, within=m.applications * m.sites, doc="who can reach which site")
    m.sites_of = pyo.Set(m.applications, doc="sites that an application can reach")
    m.applications_of = pyo.Set(m.sites, doc="applications that can reach a site")
    m.latency = pyo.Param(m.pairs, doc="cost of latency per instance")
    m.instances = pyo.Param(m.applications, doc="instances to place")
    m.use = pyo.Param(m.resources, m.applications, doc="resources per instance")
    m.capacity = pyo.Param(m.resources, m.sites, doc="resources of an open site")
    m.site_cost = pyo.Param(m.sites, doc="cost of an open site")
    m.penalty = pyo.Param(doc="cost of an instance that is not placed")
    m.placed = pyo.Var(
        m.pairs,
        within=pyo.NonNegativeIntegers,
        bounds=lambda m, a, j: (0, m.instances[a]),
        dense=False,
        doc="instances of an application on a site",
    )
    m.unplaced = pyo.Var(
        m.applications, within=pyo.NonNegativeReals, dense=False, doc="instances not placed"
    )
    m.open = pyo.Var(m.sites, within=pyo.Binary, dense=False, doc="whether a site is open")

    @m.Constraint(m.applications, doc="every instance is placed or counted as not placed")
    def assignment(m: Any, a: Any) -> Any:
        return sum(m.placed[a, j] for j in m.sites_of[a]) + m.unplaced[a] == m.instances[a]

    @m.Constraint(m.resources, m.sites, doc="only open sites have resources")
    def room(m: Any, r: Any, j: Any) -> Any:
        used = sum(m.use[r, a] * m.placed[a, j] for a in m.applications_of[j])
        return used <= m.capacity[r, j] * m.open[j]

    @m.Constraint(m.pairs, doc="nothing is placed on a closed site")
    def link(m: Any, a: Any, j: Any) -> Any:
        return m.placed[a, j] <= m.instances[a] * m.open[j]

    @m.Objective(doc="cost of latency, instances not placed, and open sites")
    def cost(m: Any) -> Any:
        return (
            sum(m.latency[a, j] * m.placed[a, j] for a, j in m.pairs)
            + sum(m.penalty * m.unplaced[a] for a in m.applications)
            + sum(m.site_cost[j] * m.open[j] for j in m.sites)
        )

    return m


def placement_data(nonzeros: int, rng: np.random.Generator) -> Data:
    """Data of `placement` with about so many matrix entries."""
    reach = _SITES_PER_APPLICATION
    A = max(4, round(nonzeros / ((RESOURCES + 3) * reach + 1)))
    J = max(2 * reach, A // 30)
    # Distinct sites for every application: a random start, then random gaps.
    first = rng.integers(0, J, (A, 1))
    gaps = rng.integers(1, J // reach + 1, (A, reach - 1))
    steps = np.concatenate([np.zeros((A, 1), dtype=np.int64), np.cumsum(gaps, axis=1)], axis=1)
    site = np.sort((first + steps) % J, axis=1).reshape(-1)
    application = np.repeat(np.arange(A), reach)
    by_site = np.argsort(site, kind="stable")
    use = rng.uniform(0.5, 2, (RESOURCES, A))
    instances = rng.integers(1, 20, A)
    load = (use @ instances)[:, None] / J
    return {
        "applications": np.arange(A),
        "sites": np.arange(J),
        "resources": np.arange(RESOURCES),
        "pairs": (application, site),
        "sites_of": (np.arange(0, A * reach + 1, reach), site),
        "applications_of": (_starts(site, J), application[by_site]),
        "latency": rng.uniform(1, 10, A * reach),
        "instances": instances.astype(np.float64),
        "use": use,
        "capacity": load * rng.uniform(1.5, 3, (RESOURCES, J)),
        "site_cost": rng.uniform(50, 150, J),
        "penalty": 100.0,
    }


def _starts(group: np.ndarray, groups: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(group, minlength=groups))])


def scaling() -> Any:
    """Scale a cluster through a long time: backlog, switching, an energy budget per window."""
    m = pyo.AbstractModel(name="scaling")
    m.slots = pyo.Set(doc="time slots")
    m.later_slots = pyo.Set(doc="all slots but the first")
    m.windows = pyo.Set(doc="windows of slots, such as days")
    m.slots_of = pyo.Set(m.windows, doc="slots of a window")
    m.demand = pyo.Param(m.slots, doc="work that arrives")
    m.price = pyo.Param(m.slots, doc="cost of a server for a slot")
    m.energy = pyo.Param(m.windows, doc="server slots that a window may use")
    m.switching = pyo.Param(doc="cost of switching one server")
    m.holding = pyo.Param(doc="cost of keeping work for one slot")
    m.penalty = pyo.Param(doc="cost of dropping work")
    m.most_servers = pyo.Param(doc="servers of the cluster")
    m.most_backlog = pyo.Param(doc="work that may wait")

    def amounts(*sets: Any, doc: str) -> Any:
        return pyo.Var(*sets, within=pyo.NonNegativeReals, dense=False, doc=doc)

    m.servers = pyo.Var(
        m.slots, bounds=lambda m, t: (0, m.most_servers), dense=False, doc="servers that are on"
    )
    m.done = amounts(m.slots, doc="work done")
    m.backlog = pyo.Var(
        m.slots, bounds=lambda m, t: (0, m.most_backlog), dense=False, doc="work that waits"
    )
    m.dropped = amounts(m.slots, doc="work given up")
    m.up = amounts(m.later_slots, doc="servers switched on")
    m.down = amounts(m.later_slots, doc="servers switched off")

    @m.Constraint(m.slots, doc="servers do the work")
    def capacity(m: Any, t: Any) -> Any:
        return m.done[t] <= m.servers[t]

    @m.Constraint(doc="the first backlog")
    def first_backlog(m: Any) -> Any:
        return m.backlog[0] + m.done[0] + m.dropped[0] == m.demand[0]

    @m.Constraint(m.later_slots, doc="what is neither done nor dropped waits")
    def balance(m: Any, t: Any) -> Any:
        return m.backlog[t] - m.backlog[t - 1] + m.done[t] + m.dropped[t] == m.demand[t]

    @m.Constraint(m.later_slots, doc="switching")
    def switch(m: Any, t: Any) -> Any:
        return m.servers[t] - m.servers[t - 1] == m.up[t] - m.down[t]

    @m.Constraint(m.windows, doc="no window uses more than its budget")
    def budget(m: Any, n: Any) -> Any:
        return sum(m.servers[t] for t in m.slots_of[n]) <= m.energy[n]

    @m.Objective(doc="cost of servers, waiting, dropping and switching")
    def cost(m: Any) -> Any:
        return sum(
            m.price[t] * m.servers[t] + m.holding * m.backlog[t] + m.penalty * m.dropped[t]
            for t in m.slots
        ) + sum(m.switching * (m.up[t] + m.down[t]) for t in m.later_slots)

    return m


def scaling_data(nonzeros: int, rng: np.random.Generator) -> Data:
    """Data of `scaling` with about so many matrix entries."""
    T = max(48, round(nonzeros / 12))
    day = 24
    N = -(-T // day)
    hours = np.arange(T)
    demand = 50 * (1 + 0.5 * np.sin(2 * np.pi * hours / day)) * rng.uniform(0.7, 1.3, T)
    return {
        "slots": hours,
        "later_slots": hours[1:],
        "windows": np.arange(N),
        "slots_of": (np.minimum(day * np.arange(N + 1), T), hours),
        "demand": demand,
        "price": rng.uniform(0.5, 1.5, T),
        "energy": np.full(N, day * demand.mean()) * rng.uniform(0.95, 1.15, N),
        "switching": 0.7,
        "holding": 0.05,
        "penalty": 8.0,
        "most_servers": 120.0,
        "most_backlog": 80.0,
    }


@dataclass(frozen=True)
class Shape:
    """A formulation and the way to its data.

    Parameters
    ----------
    formulation
        Makes the AbstractModel.
    data
        Makes arrays for about so many matrix entries.
    linear
        Whether all variables are continuous.
    """

    formulation: Callable[[], Any]
    data: Callable[[int, np.random.Generator], Data]
    linear: bool = True

    def draw(self, nonzeros: int, seed: int) -> Data:
        """Data for about so many matrix entries."""
        return self.data(nonzeros, np.random.default_rng([seed, nonzeros]))


SHAPES = {
    "routing": Shape(routing, routing_data),
    "placement": Shape(placement, placement_data, linear=False),
    "scaling": Shape(scaling, scaling_data),
}


def as_dicts(model: Any, data: Mapping[str, Any]) -> dict[None, dict[str, Any]]:
    """The same data as ``create_instance`` takes them: labels as keys, plain numbers."""
    plain: dict[str, Any] = {}
    for name, given in data.items():
        component = model.component(name)
        if component.ctype is pyo.Set:
            plain[name] = _set_members(component, given, plain)
        elif not component.is_indexed():
            plain[name] = {None: float(given)}
        else:
            labels = _labels(component.index_set(), plain)
            plain[name] = dict(zip(labels, np.ravel(given).tolist(), strict=True))
    return {None: plain}


def _set_members(component: Any, given: Any, known: Mapping[str, Any]) -> dict[Any, Any]:
    if not component.is_indexed():
        columns = given if isinstance(given, tuple) else (given,)
        lists = [column.tolist() for column in columns]
        return {None: lists[0] if len(lists) == 1 else list(zip(*lists, strict=True))}
    starts, members = (part.tolist() for part in given)
    owners = known[component.index_set().local_name][None]
    return {o: members[starts[i] : starts[i + 1]] for i, o in enumerate(owners)}


def _labels(index_set: Any, known: Mapping[str, Any]) -> list[Any]:
    if index_set.local_name in known:
        return list(known[index_set.local_name][None])
    first, second = (known[part.local_name][None] for part in index_set.subsets())
    return [(one, other) for one in first for other in second]
