"""The audit of failover: the only place where lost service, recovery and its times are computed.

A plan has two tables. ``warm`` (application, model, server) says which backups stand ready.
``recovery`` (scenario, application, server, first_model, model, turn, upgrade_turn) says what is
loaded in each failure: `first_model` first, `model` in the end, in the order of the turns of the
server's queue (`upgrade_turn` is 0 where the first one stays). Rows that are not there mean that
nothing stands ready, or is loaded. An application with a warm backup that survives the failure
switches to it and may load nothing; when everything happens is recomputed here from the raw
instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.ensembles.failover.actions import NONE, Recovery, Warm
from optmodels.ensembles.failover.instance import FailoverInstance, Failure
from optmodels.ensembles.failover.plan_tables import read_recoveries, read_warm
from optmodels.ensembles.failover.timeline import loading, lost_ms, peaks
from optmodels.plan import Audit, Cost, Violation
from optmodels.policy import FloatArray
from optmodels.violations import audited

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: Largest tolerated excess, relative to a capacity.
TOLERANCE = 1e-6
_MS = 1e-3


@dataclass(frozen=True)
class Outcome:
    """What one failure does to the applications that it takes; arrays of shape (len(failed),).

    Attributes
    ----------
    failure
        The failure.
    candidate
        Candidate that serves in the end, or `NONE` where nothing does.
    first
        Candidate that serves first, or `NONE`.
    server
        Where, or `NONE`.
    warm
        Whether it is a warm backup.
    up_ms, final_ms
        When the first and the last replica serve [ms after the failure]; infinite where none does.
    down_ms, degraded_ms
        Service lost within the horizon by being down, and by lower accuracy [ms].
    """

    failure: Failure
    candidate: IntArray
    first: IntArray
    server: IntArray
    warm: BoolArray
    up_ms: FloatArray
    final_ms: FloatArray
    down_ms: FloatArray
    degraded_ms: FloatArray

    @property
    def recovered(self) -> BoolArray:
        """Whether each application serves again."""
        served: BoolArray = self.candidate != NONE
        return served


def outcome(
    instance: FailoverInstance, warm: Warm, failure: Failure, recovery: Recovery
) -> Outcome:
    """What a failure does, sound or not."""
    failed = failure.failed
    candidate, first, server = (np.full(len(failed), NONE, dtype=np.int64) for _ in range(3))
    up_ms, final_ms = np.full(len(failed), np.inf), np.full(len(failed), np.inf)
    alive = survives(warm, failure)[failed]
    candidate[alive], first[alive] = (warm.candidate[failed[alive]],) * 2
    server[alive] = warm.server[failed[alive]]
    up_ms[alive] = final_ms[alive] = instance.warm_ms
    times = loading(instance, recovery)
    row = np.searchsorted(failed, recovery.application)
    candidate[row], first[row] = recovery.target, recovery.first
    server[row] = recovery.server
    up_ms[row] = instance.cold_ms + times.first_end
    final_ms[row] = instance.cold_ms + times.last_end
    quality = np.append(instance.candidates.quality, 0.0)
    # An application that is not recovered is down for the whole horizon.
    down, degraded = lost_ms(instance, up_ms, final_ms, quality[first], quality[candidate])
    return Outcome(failure, candidate, first, server, alive, up_ms, final_ms, down, degraded)


def survives(warm: Warm, failure: Failure) -> BoolArray:
    """Whether the warm backup of each application exists and outlives a failure, shape (N,)."""
    alive: BoolArray = (warm.candidate != NONE) & ~failure.down[warm.server]
    return alive


def audit(instance: FailoverInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what a plan loses and which limits it breaks.

    Parameters
    ----------
    instance
        The question.
    tables
        ``warm`` and ``recovery``, see the module.

    Returns
    -------
    Audit
        Service lost per failure, weighted [s]: by applications that are not recovered, by being
        down, by lower accuracy; recovery rate, MTTR and accuracy reductions beside it (see
        `cost_of`); and the violations.
    """
    warm, violations = read_warm(instance, tables)
    recoveries, wrong = read_recoveries(instance, tables)
    violations += wrong + warm_violations(instance, warm)
    outcomes = []
    for failure, recovery in zip(instance.failures, recoveries, strict=True):
        violations += recovery_violations(instance, warm, failure, recovery)
        outcomes.append(outcome(instance, warm, failure, _loadable(warm, failure, recovery)))
    return audited(cost_of(instance, warm, outcomes), violations)


def cost_of(instance: FailoverInstance, warm: Warm, outcomes: list[Outcome]) -> Cost:
    """Lost service of all failures, and the figures of failover.

    ``recovery_rate`` is the share of failed applications that serve again, ``mttr_ms`` their mean
    time to recovery, ``full_ms`` the mean time until their last replica serves,
    ``accuracy_drop`` and ``accuracy_drop_points`` the mean reduction of their accuracy, relative
    to the primary's and in percentage points, and ``accuracy_drop_all`` the relative one with
    every application that is not recovered counted as 1. All are means over the applications of
    all failures by the probabilities of these, not means of means; what is a mean over nobody is
    left out.
    """
    options = instance.candidates
    lost = {"unrecovered_s": 0.0, "down_s": 0.0, "degraded_s": 0.0}
    failed = recovered = up = final = drop = points = 0.0
    for found in outcomes:
        probability, served = found.failure.probability, found.recovered
        weight = probability * instance.weight[found.failure.failed] * _MS
        lost["unrecovered_s"] += float(weight[~served] @ found.down_ms[~served])
        lost["down_s"] += float(weight[served] @ found.down_ms[served])
        lost["degraded_s"] += float(weight[served] @ found.degraded_ms[served])
        failed += probability * len(served)
        recovered += probability * int(served.sum())
        up += probability * float(found.up_ms[served].sum())
        final += probability * float(found.final_ms[served].sum())
        now = found.candidate[served]
        before = options.primary[options.application[now]]
        drop += probability * float((1 - options.quality[now]).sum())
        points += probability * float((options.accuracy[before] - options.accuracy[now]).sum())
    placed = warm.candidate[warm.placed]
    primaries = float(options.memory_mb[options.primary].sum())
    warm_mb = float(options.memory_mb[placed].sum())
    means = {
        "recovery_rate": (recovered, failed),
        "mttr_ms": (up, recovered),
        "full_ms": (final, recovered),
        "accuracy_drop": (drop, recovered),
        "accuracy_drop_points": (100 * points, recovered),
        "accuracy_drop_all": (drop + failed - recovered, failed),
    }
    return Cost(
        parts=lost,
        quantities={
            **{name: part / whole for name, (part, whole) in means.items() if whole > 0},
            "warm_mb": warm_mb,
            "warm_overhead": warm_mb / primaries,
            "warm_value": float(instance.weight[warm.placed] @ options.quality[placed]),
            "warm_count": float(len(placed)),
        },
        unit="s",
    )


def warm_violations(instance: FailoverInstance, warm: Warm) -> list[Violation]:
    """Warm backups that stand where they may not, or are too many for a server."""
    options, placed = instance.candidates, warm.placed
    found = []
    for a in placed.tolist():
        c, k = int(warm.candidate[a]), int(warm.server[a])
        who, where = instance.applications[a], instance.servers[k]
        if k == instance.home[a]:
            allowed = "another server than its primary's"
            found.append(
                Violation("warm backup beside its primary", f"{who} on {where}", k, allowed)
            )
        elif instance.parameters.site_rule and instance.site[k] == instance.site[instance.home[a]]:
            found.append(
                Violation("site rule", f"{who} on {where}", k, "another site than its primary's")
            )
        found += _latency(instance, a, c, k, "a warm backup")
    candidate, server = warm.candidate[placed], warm.server[placed]
    used: FloatArray = np.bincount(
        server, options.memory_mb[candidate], minlength=len(instance.servers)
    ).astype(np.float64)
    found += _over_capacity(instance, "memory of warm backups [MB]", used, instance.free_mb)
    if not instance.parameters.multiplexed_compute:
        busy = np.bincount(server, options.gflops[candidate], minlength=len(instance.servers))
        limit = "compute of warm backups [GFLOP/s]"
        found += _over_capacity(instance, limit, busy.astype(np.float64), instance.free_gflops)
    return found


def room_left(
    instance: FailoverInstance, warm: Warm, failure: Failure
) -> tuple[FloatArray, FloatArray]:
    """Memory [MB] and compute [GFLOP/s] of each server for cold backups in a failure, shapes (S,).

    Nothing on servers that are down. Where compute is multiplexed only the warm backups that the
    failure needs take any.
    """
    options, placed = instance.candidates, warm.placed
    candidate, server = warm.candidate[placed], warm.server[placed]
    busy = np.ones(len(placed), dtype=bool)
    if instance.parameters.multiplexed_compute:
        busy = failure.down[instance.home[placed]]
    count = len(instance.servers)
    memory = instance.free_mb - np.bincount(server, options.memory_mb[candidate], minlength=count)
    gflops = np.where(busy, options.gflops[candidate], 0.0)
    compute = instance.free_gflops - np.bincount(server, gflops, minlength=count)
    return np.where(failure.down, 0.0, memory), np.where(failure.down, 0.0, compute)


def recovery_violations(
    instance: FailoverInstance, warm: Warm, failure: Failure, recovery: Recovery
) -> list[Violation]:
    """Loadings of applications that need none, on servers that are down, too slow or too full."""
    found = []
    alive = survives(warm, failure)
    failed = np.isin(recovery.application, failure.failed)
    for i, (a, k) in enumerate(
        zip(recovery.application.tolist(), recovery.server.tolist(), strict=True)
    ):
        where = f"{failure.name}, {instance.applications[a]}"
        if not failed[i]:
            found.append(Violation("recovery", where, a, "an application that has failed"))
        elif alive[a]:
            found.append(Violation("recovery", where, a, "an application without a warm backup"))
        if failure.down[k]:
            found.append(Violation("recovery", where, k, "a server that is up"))
        for c in {int(recovery.first[i]), int(recovery.target[i])}:
            found += _latency(instance, a, c, k, failure.name)
    memory, compute = peaks(instance, recovery, loading(instance, recovery))
    have_mb, have_gflops = room_left(instance, warm, failure)
    for limit, used, most, scale in (
        ("memory in a failure [MB]", memory, have_mb, instance.free_mb),
        ("compute in a failure [GFLOP/s]", compute, have_gflops, instance.free_gflops),
    ):
        found += _over_capacity(instance, limit, used, most, scale, failure)
    return found


def _loadable(warm: Warm, failure: Failure, recovery: Recovery) -> Recovery:
    """The rows of a recovery that speak of failed applications without a warm backup."""
    alive = survives(warm, failure)
    keep = np.isin(recovery.application, failure.failed) & ~alive[recovery.application]
    columns = (
        *(recovery.application, recovery.server, recovery.first),
        *(recovery.target, recovery.turn, recovery.upgrade_turn),
    )
    return Recovery(*(column[keep] for column in columns))


def _latency(instance: FailoverInstance, a: int, c: int, k: int, when: str) -> list[Violation]:
    if instance.fast_enough[c, k]:
        return []
    took = instance.network_ms[a, k] + instance.candidates.inference_ms[c]
    where = f"{when}: {instance.applications[a]} on {instance.servers[k]}"
    return [Violation("latency [ms]", where, float(took), "the limit of the application")]


def _over_capacity(
    instance: FailoverInstance,
    limit: str,
    used: FloatArray,
    most: FloatArray,
    scale: FloatArray | None = None,
    failure: Failure | None = None,
) -> list[Violation]:
    slack = TOLERANCE * np.maximum(most if scale is None else scale, 1e-3)
    return [
        Violation(
            limit,
            instance.servers[k] if failure is None else f"{failure.name}, {instance.servers[k]}",
            float(used[k]),
            f"at most {most[k]:.9g}",
        )
        for k in np.flatnonzero(used > most + slack).tolist()
    ]
