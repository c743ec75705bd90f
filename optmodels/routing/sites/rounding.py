r"""From a linear programme to whole instances: floor, repair, send.

A basic optimum of the linear programme has no more instances that are not whole than it has rows:
two for each site (GPUs, power) and one for each kind of demand. Rounding down loses less than that
many instances. *Repair* then adds instances one by one where they still fit: those that serve the
most of what is left for their share of the free power and GPUs,

.. math::
    \max_{s,r} \frac{\omega_c \min(\lambda_r, \text{rest of the demand that } r \text{ reaches})}
    {W_r / \sum_s \text{free power} + g_r / \sum_s \text{free GPUs}} .

At last the requests are *sent*: the best flows for these instances, by a linear programme again.
The procedure is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import BoolArray, Fleet, IntArray
from optmodels.routing.sites.programme import Costs, Point

#: What a solver leaves below a whole number, and shares of resources that are rounding.
_ALMOST = 1e-7
_ROUNDING = 1e-9

#: Share of what is served that may be lost by rounding before exchanges are tried, and how many.
GAP = 5e-4
EXCHANGES = 8

#: An instance is added in the round in which it was chosen while it is still worth this share.
_STILL_WORTH = 0.95


@dataclass(frozen=True, eq=False)
class Limits:
    """What whole running instances must keep.

    Attributes
    ----------
    power_kw
        Power of each site, grid included [kW], (S,).
    configured
        Instances that may run of each degree, (S, G); None where GPUs are free.
    """

    power_kw: FloatArray
    configured: IntArray | None = None

    def cut(self, fleet: Fleet, running: IntArray) -> IntArray:
        """Instances with no more of any degree than are configured; slow rows go first."""
        kept = running.astype(np.int64)
        if self.configured is None:
            return kept
        over = fleet.of_degree(kept.astype(np.float64)).astype(np.int64) - self.configured
        order = np.argsort(fleet.rate, kind="stable")
        for s, g in np.argwhere(over > 0).tolist():
            rows = order[fleet.degree_of[order] == g]
            before = np.cumsum(kept[s, rows]) - kept[s, rows]
            kept[s, rows] -= np.clip(over[s, g] - before, 0, kept[s, rows])
        return kept


def floored(fleet: Fleet, point: Point, limits: Limits) -> IntArray:
    """Whole running instances of a point, within the power, (S, R).

    What a solver leaves below a whole number counts as whole; where that is too much, the instances
    that it concerns, at most one of each row, are taken away again.
    """
    found: IntArray = np.floor(point.running + _ALMOST).astype(np.int64)
    over = (found @ fleet.kw > limits.power_kw)[:, None] & (found > point.running)
    return found - over


def left_over(fleet: Fleet, running: IntArray, demand: FloatArray) -> float:
    """Weighted demand that instances leave unserved, each sending first to whom few can [1/s]."""
    return float(_unserved(fleet, running, demand).sum(axis=0) @ fleet.weight)


def repaired(
    fleet: Fleet, running: IntArray, demand: FloatArray, limits: Limits, costs: Costs | None = None
) -> IntArray:
    """Add instances where they fit and serve what is left.

    Parameters
    ----------
    fleet
        The fleet.
    running
        Whole instances within the limits, (S, R).
    demand
        Arriving requests [1/s], (O, C).
    limits
        Power and instances.
    costs
        Where losses are weighed against costs: an instance is only added if it saves more than it
        costs. None where losses alone count.

    Returns
    -------
    IntArray
        Running instances, at least those given, (S, R).
    """
    running = running.copy()
    rest = _unserved(fleet, running, demand)
    power, gpus, room = _rest(fleet, running, limits)
    usable = fleet.bins.of >= 0
    saved = 1.0 if costs is None else costs.lost
    price = np.zeros(fleet.rows) if costs is None else costs.running + costs.idle[fleet.degree_of]
    while True:
        served = np.minimum(fleet.rate, _reachable(fleet, rest))
        gain = saved * served * fleet.weight[fleet.row_class] - price
        fits = (
            usable
            & (fleet.kw <= power[:, None])
            & (fleet.tp <= gpus[:, None])
            & (room[:, fleet.degree_of] > 0)
            & (gain > _ROUNDING * saved * fleet.weight[fleet.row_class])
        )
        if not fits.any():
            return running
        worth = np.where(fits, gain, 0.0) / _burden(fleet, power, gpus)
        best = worth.argmax(axis=1)
        top = worth[np.arange(fleet.sites), best]
        before = int(running.sum())
        for s in np.argsort(-top, kind="stable").tolist():
            r = int(best[s])
            if top[s] <= 0.0:
                break
            first = float(gain[s, r])
            wide = fleet.reach_origins[fleet.reach[s, r]]
            c = int(fleet.row_class[r])
            while (
                fleet.tp[r] <= gpus[s]
                and fleet.kw[r] <= power[s]
                and room[s, fleet.degree_of[r]] > 0
            ):
                now = min(float(fleet.rate[r]), float(rest[wide, c].sum()))
                if saved * now * fleet.weight[c] - price[r] < _STILL_WORTH * first:
                    break
                running[s, r] += 1
                gpus[s] -= fleet.tp[r]
                power[s] -= fleet.kw[r]
                room[s, fleet.degree_of[r]] -= 1
                _take(rest, wide, c, now)
        if int(running.sum()) == before:
            return running


def whole(
    fleet: Fleet,
    point: Point,
    demand: FloatArray,
    limits: Limits,
    start: IntArray | None = None,
) -> IntArray:
    """Whole running instances from a point, or from known ones: floor, repair, exchange.

    Exchanges are tried where more than a small share (`GAP`) of what the point serves would be lost
    beyond its loss.

    Returns
    -------
    IntArray
        Running instances within the limits, (S, R).
    """
    begin = floored(fleet, point, limits) if start is None else start
    running = repaired(fleet, begin, demand, limits)
    served = float(demand.sum(axis=0) @ fleet.weight) - point.lost
    if left_over(fleet, running, demand) - point.lost > GAP * served:
        running = improved(fleet, running, demand, limits, EXCHANGES)
    return running


def improved(
    fleet: Fleet, running: IntArray, demand: FloatArray, limits: Limits, rounds: int
) -> IntArray:
    """Exchange single instances, and repair again, while less is lost for it.

    Parameters
    ----------
    fleet, running, demand, limits
        As for `repaired`.
    rounds
        Largest number of exchanges at each site.
    """
    lost = left_over(fleet, running, demand)
    for _ in range(rounds):
        at_start = lost
        for s in range(fleet.sites):
            if lost <= _ROUNDING:
                return running
            trial = _exchanged(fleet, s, running, demand, limits)
            if trial is not None:
                trial = repaired(fleet, trial, demand, limits)
                now = left_over(fleet, trial, demand)
                if now < lost * (1 - _ROUNDING):
                    running, lost = trial, now
        if lost == at_start:
            break
    return running


def _exchanged(
    fleet: Fleet, s: int, running: IntArray, demand: FloatArray, limits: Limits
) -> IntArray | None:
    """The best exchange of an instance at a site for one on another row, None without any."""
    capacity, rest = _capacity(fleet, running), _unserved(fleet, running, demand)
    power, gpus, room = _rest(fleet, running, limits)
    origins = fleet.reach_origins[fleet.reach[s]].astype(np.float64)
    reached = np.einsum("ro,or->r", origins, rest[:, fleet.row_class])
    best, pair = _ROUNDING, None
    for q in np.flatnonzero(running[s]).tolist():
        c, g = int(fleet.row_class[q]), int(fleet.degree_of[q])
        without = capacity[:, c].copy()
        without[fleet.reach[s, q]] -= fleet.rate[q]
        rest_now = _unserved_of(fleet, without, demand[:, c].astype(np.float64))
        mine = fleet.row_class == c
        reached_now = np.where(mine, origins @ rest_now, reached)
        free = room[s] + (np.arange(len(fleet.degrees)) == g)
        fits = (
            (fleet.bins.of[s] >= 0)
            & (fleet.kw <= power[s] + fleet.kw[q])
            & (fleet.tp <= gpus[s] + fleet.tp[q])
            & (free[fleet.degree_of] > 0)
        )
        gain = fleet.weight[fleet.row_class] * np.minimum(fleet.rate, reached_now)
        gain = np.where(fits, gain, 0.0) - fleet.weight[c] * float((rest_now - rest[:, c]).sum())
        r = int(gain.argmax())
        if gain[r] > best:
            best, pair = float(gain[r]), (q, r)
    if pair is None:
        return None
    trial = running.copy()
    trial[s, pair[0]] -= 1
    trial[s, pair[1]] += 1
    return trial


def _burden(fleet: Fleet, power: FloatArray, gpus: FloatArray) -> FloatArray:
    """Share of the free power and GPUs of all sites that an instance takes, (R,)."""
    all_power, all_gpus = float(power[power > 0].sum()), float(gpus[gpus > 0].sum())
    share = np.full(fleet.rows, _ROUNDING)
    if all_power > 0:
        share = share + fleet.kw / all_power
    if 0 < all_gpus < np.inf:
        share = share + fleet.tp / all_gpus
    return share


def _rest(
    fleet: Fleet, running: IntArray, limits: Limits
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Free power (S,), GPUs (S,) and configured instances (S, G)."""
    per_degree = fleet.of_degree(running.astype(np.float64))
    power = limits.power_kw * (1 + _ROUNDING) - running @ fleet.kw
    if limits.configured is None:
        gpus = fleet.gpus - per_degree @ fleet.degrees
        return power, gpus, np.full_like(per_degree, np.inf)
    return power, np.full(fleet.sites, np.inf), limits.configured - per_degree


def _reachable(fleet: Fleet, rest: FloatArray) -> FloatArray:
    """Unserved demand that each row may serve at each site, (S, R)."""
    by_reach = fleet.reach_origins.astype(np.float64) @ rest
    found: FloatArray = by_reach[fleet.reach, fleet.row_class]
    return found


def _unserved(fleet: Fleet, running: IntArray, demand: FloatArray) -> FloatArray:
    """Demand that is left when instances serve what they reach, the narrowest first, (O, C)."""
    capacity = _capacity(fleet, running)
    rest = demand.astype(np.float64).copy()
    for c in np.flatnonzero(capacity.any(axis=0)).tolist():
        rest[:, c] = _unserved_of(fleet, capacity[:, c], rest[:, c])
    return rest


def _capacity(fleet: Fleet, running: IntArray) -> FloatArray:
    """Requests that running instances of each reach and class can serve [1/s], (reaches, C)."""
    capacity = np.zeros((len(fleet.reach_origins), fleet.classes))
    site, row = np.nonzero(running)
    where = (fleet.reach[site, row], fleet.row_class[row])
    np.add.at(capacity, where, running[site, row] * fleet.rate[row])
    return capacity


def _unserved_of(fleet: Fleet, capacity: FloatArray, demand: FloatArray) -> FloatArray:
    """Demand of a class (O,) that capacities by reach leave unserved, (O,)."""
    rest = demand
    for k in fleet.narrow_first.tolist():
        if capacity[k] > 0:
            there = rest * fleet.reach_origins[k]
            total = float(there.sum())
            if total > 0:
                rest = rest - there * min(1.0, float(capacity[k]) / total)
    return rest


def _take(rest: FloatArray, wide: BoolArray, c: int, amount: float) -> None:
    """Serve an amount of a class from the origins that are reached, in proportion to the rest."""
    there = rest[wide, c]
    total = float(there.sum())
    if total > 0:
        rest[wide, c] = there * max(0.0, 1.0 - amount / total)


def configuration(
    fleet: Fleet,
    running: IntArray,
    power_kw: FloatArray,
    *,
    before: IntArray | None = None,
    spare: bool = False,
) -> IntArray:
    """Instances to configure for those that run, and for later ones.

    What was configured before stays where GPUs (and power, where idle instances draw it) are left:
    it need not load when it is needed again. With `spare`, the GPUs that are then left become
    instances of the degree that the site uses most, where this costs no power.

    Parameters
    ----------
    fleet
        The fleet.
    running
        Running instances, within GPUs and power, (S, R).
    power_kw
        Power of each site, grid included [kW], (S,).
    before
        Instances configured until now, (S, G).
    spare
        Whether GPUs that nobody needs now are configured, too.

    Returns
    -------
    IntArray
        Configured instances, (S, G).
    """
    needed = fleet.of_degree(running.astype(np.float64)).astype(np.int64)
    configured = needed.copy()
    gpus = np.asarray(fleet.gpus, dtype=np.int64) - configured @ fleet.degrees
    power = np.maximum(power_kw - running @ fleet.kw, 0.0)

    def add(g: int, wanted: IntArray) -> None:
        most = np.minimum(wanted, gpus // fleet.degrees[g])
        if fleet.idle_kw > 0:
            idle = fleet.idle_of_degree[g]
            most = np.minimum(most, np.floor(power / idle + _ROUNDING).astype(np.int64))
            power[:] = np.maximum(power - most * idle, 0.0)
        configured[:, g] += most
        gpus[:] -= most * fleet.degrees[g]

    order = np.argsort(-fleet.degrees).tolist()
    if before is not None:
        for g in order:
            add(g, np.maximum(before[:, g] - configured[:, g], 0))
    if spare and fleet.idle_kw == 0:
        held = needed * fleet.degrees
        share = held + _ROUNDING * held.sum(axis=0)
        favourite = share.argmax(axis=1)
        for g in order:
            add(g, np.where(favourite == g, gpus, 0))
        for g in order:
            add(g, gpus.copy())
    return configured
