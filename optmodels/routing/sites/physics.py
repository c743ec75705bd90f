"""The physics of a fleet: what its decisions draw and serve, and which limits they break.

One implementation judges both the policy that decides period by period and the finished plan, so
that neither is allowed what the other is not:

- instances fit on the GPUs of a site, and no more run than are configured;
- what runs, and what idles warm, draws no more than the wind gives and the grid may add;
- no row serves more than its running instances can, and the instances of a degree serve only while
  they do not load weights;
- no more requests are served than arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optmodels.plan import Violation
from optmodels.policy import FloatArray
from optmodels.routing.sites.dispatch import Decisions, Loading
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.profile import BoolArray, IntArray
from optmodels.violations import listed

#: Largest tolerated error, relative to the scale of each limit.
TOLERANCE = 1e-7
#: A demand that is served but for this share is served.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Balance:
    """What decisions draw and serve.

    Attributes
    ----------
    running
        Running instances by period, site and degree, shape (T, S, G).
    draw_kw
        Power of each site [kW], shape (T, S).
    busy
        Instances by degree that the flows keep busy, shape (T, S, G).
    served, in_time
        Requests that are served, and those of them that keep their limits [1/s], shape (T, O, C).
    in_system
        Requests in the system, network included: the sum of flow times time, shape (T,).
    """

    running: IntArray
    draw_kw: FloatArray
    busy: FloatArray
    served: FloatArray
    in_time: FloatArray
    in_system: FloatArray


def balance(instance: RoutingInstance, decisions: Decisions) -> Balance:
    """What decisions draw and serve, whether they are allowed or not."""
    d, profile = decisions, instance.profile
    periods, sites, degrees = d.configured.shape
    origins, classes = len(instance.origins), len(instance.classes)
    site_key = d.run_period * sites + d.run_site
    group_key = site_key * degrees + profile.degree_of[d.run_row]
    running = _sums(group_key, d.run_count, (periods, sites, degrees)).astype(np.int64)
    draw = _sums(site_key, d.run_count * profile.kw[d.run_row], (periods, sites))
    if instance.idle_kw:
        idle = np.maximum(d.configured - running, 0) @ profile.degrees
        draw = draw + instance.idle_kw * idle
    flow_group = (d.flow_period * sites + d.flow_site) * degrees + profile.degree_of[d.flow_row]
    load = d.flow_rate / profile.rate[d.flow_row]
    stream = (d.flow_period * origins + d.flow_origin) * classes + profile.row_class[d.flow_row]
    kept = instance.arcs[d.flow_origin, d.flow_site, d.flow_row]
    stay = profile.e2e[d.flow_row] + instance.rtt_s[d.flow_origin, d.flow_site]
    shape = (periods, origins, classes)
    return Balance(
        running=running,
        draw_kw=draw,
        busy=_sums(flow_group, load, (periods, sites, degrees)),
        served=_sums(stream, d.flow_rate, shape),
        in_time=_sums(stream, d.flow_rate * kept, shape),
        in_system=_sums(d.flow_period, d.flow_rate * stay, (periods,)),
    )


def unserved(demand: FloatArray, served: FloatArray) -> FloatArray:
    """Demand that is not served, none negative, nothing where only rounding is missing."""
    short = demand - served
    return np.where(short > _ROUNDING * demand, short, 0.0)


def effective_instances(instance: RoutingInstance, configured: IntArray) -> FloatArray:
    """Configured instances without the time for which they load, shape (T, S, G)."""
    loading = Loading(instance.reload_seconds / instance.period_seconds)
    effective = np.empty(configured.shape)
    for t, now in enumerate(configured):
        effective[t], loading = loading.after(now)
    return effective


def broken_limits(
    instance: RoutingInstance,
    decisions: Decisions,
    found: Balance,
    effective: FloatArray,
    first: int = 0,
) -> list[Violation]:
    """Every limit that decisions break.

    Parameters
    ----------
    instance
        The question.
    decisions
        Decisions of consecutive periods.
    found
        Their balance.
    effective
        Instances that serve, as a mean over each period, shape (T, S, G).
    first
        Period of the instance that the decisions start with.
    """
    d, profile = decisions, instance.profile
    periods = slice(first, first + d.periods)
    power, demand = instance.power_kw[periods], instance.demand[periods]
    sites, origins, classes = instance.sites, instance.origins, instance.classes

    def stamp(t: int) -> str:
        return instance.times[first + t].isoformat()

    def at_site(t: int, s: int) -> str:
        return f"{sites[s]}, {stamp(t)}"

    def at_group(t: int, s: int, g: int) -> str:
        return f"{sites[s]}, {profile.degrees[g]} GPUs each, {stamp(t)}"

    def at_stream(t: int, o: int, c: int) -> str:
        return f"{origins[o]}, class {classes[c]}, {stamp(t)}"

    most = power + instance.backup_kw
    capacity = effective + TOLERANCE * np.maximum(effective, 1.0)
    return [
        *_above("GPUs of a site", d.configured @ profile.degrees, instance.gpus, 0.0, at_site),
        *_above("running of configured", found.running, d.configured, 0.0, at_group),
        *_above(
            "power", found.draw_kw, most, TOLERANCE * (most + profile.kw.min()), at_site, " kW"
        ),
        *_row_violations(instance, d, at_site),
        *_above(
            "instances that have loaded", found.busy, effective, capacity - effective, at_group
        ),
        *_above(
            "demand",
            found.served,
            demand,
            TOLERANCE * (demand + profile.rate.min()),
            at_stream,
            " requests/s",
        ),
    ]


def _row_violations(
    instance: RoutingInstance, d: Decisions, at_site: Callable[[int, int], str]
) -> list[Violation]:
    """Rows that serve more than their running instances can."""
    profile = instance.profile
    shape = (d.periods, len(instance.sites), profile.count)
    flow_key = np.ravel_multi_index((d.flow_period, d.flow_site, d.flow_row), shape)
    run_key = np.ravel_multi_index((d.run_period, d.run_site, d.run_row), shape)
    keys, place = np.unique(flow_key, return_inverse=True)
    flow = np.bincount(place.ravel(), weights=d.flow_rate, minlength=len(keys))
    order = np.argsort(run_key)
    where = np.minimum(np.searchsorted(run_key[order], keys), max(len(run_key) - 1, 0))
    running = np.zeros(len(keys))
    if len(run_key):
        found = order[where]
        running = np.where(run_key[found] == keys, d.run_count[found], 0)
    period, site, row = np.unravel_index(keys, shape)
    capacity = profile.rate[row] * running
    wrong = flow > capacity + TOLERANCE * (capacity + profile.rate[row])
    return [
        Violation(
            "throughput of a row",
            f"row {profile.row[row[i]]}, {at_site(int(period[i]), int(site[i]))}",
            float(flow[i]),
            f"at most {capacity[i]:.9g} requests/s",
        )
        for i in listed(wrong)
    ]


def _above(
    limit: str,
    value: FloatArray | IntArray,
    most: FloatArray | IntArray,
    slack: FloatArray | float,
    where: Callable[..., str],
    unit: str = "",
) -> list[Violation]:
    wrong: BoolArray = value > most + slack
    if not wrong.any():
        return []
    allowed = np.broadcast_to(most, value.shape)
    return [
        Violation(
            limit, where(*at), float(value[tuple(at)]), f"at most {allowed[tuple(at)]:.9g}{unit}"
        )
        for at in listed(wrong)
    ]


def _sums(key: IntArray, values: FloatArray | IntArray, shape: tuple[int, ...]) -> FloatArray:
    """Sums of values by their flat place in an array of this shape."""
    sums = np.bincount(key, weights=values, minlength=int(np.prod(shape)))
    return np.asarray(sums.reshape(shape), dtype=np.float64)
