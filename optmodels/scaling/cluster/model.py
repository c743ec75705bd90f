r"""The mathematics of a cluster of elastic batch jobs.

**In words.** In each slot from its arrival on, a job may *take* blocks: its fewest servers together
(block 1), then one further server after the other. It holds a block that it takes for the whole
slot, and uses it for a share of the slot, if at all: servers that are only held draw no power, and
need no start in the next slot. All it uses does exactly its work. In no slot do the jobs
take more servers than there are. A job that uses a slot after its due slot is late by what has
passed since then. Each kWh costs the carbon intensity of its slot, each further server of a job the
energy of a start, and each slot of lateness its price.

**In symbols.**

.. math::
    \min \sum_{j,t,k} c_t \Delta P_{jk} y_{jtk} + \sum_{j,t} c_t e \, u_{jt} + \sum_j r_j h_j

    \text{work}      && \sum_{t,k} \Delta\theta_{jk} \, y_{jtk} &= l_j    && \forall j
    \text{capacity}  && \sum_{j,k} \Delta s_{jk} \, x_{jtk} &\le M        && \forall t
    \text{use}       && y_{jtk} &\le x_{jtk}                              && \forall j,t,k
    \text{nesting}   && x_{jt,k+1} \le x_{jtk},\; y_{jt,k+1} &\le y_{jtk} && \forall j,t,k
    \text{starting}  && n_{jt} - n_{j,t-1} &\le u_{jt},
                        \; n_{jt} = \sum_k \Delta s_{jk} x_{jtk}          && \forall j,t
    \text{lateness}  && (t - D_j) \, x_{jt1} + y_{jt1} &\le h_j           && \forall j,\ t \ge D_j
    && x \in \{0, 1\},\ y, u, h \ge 0

================  =====================  ==================================================
symbol            name                   meaning, unit
================  =====================  ==================================================
:math:`c_t`       ``carbon_g_per_kw``    carbon of 1 kW through slot t [g/kW] = g/kWh × h
ΔP                ``power_kw``           power that block k adds [kW]
Δθ                ``throughput``         work that block k adds in a slot [work]
Δs                ``servers``            servers that block k adds [servers]
:math:`l_j`       ``length``             work of job j [slots on its fewest servers]
:math:`M`         ``capacity``           servers of the cluster
:math:`e c_t`     ``start_g``            carbon of starting a server in slot t [g/server]
:math:`D_j`       ``overdue_slots``      :math:`t - D_j`: slots since the due slot [slots]
:math:`r_j`       ``late_g``             price of a slot of lateness [g/slot]
:math:`x`         ``taken``              whether the block is taken
:math:`y`         ``used``               share of the slot for which the block is used [1]
:math:`u`         ``started``            servers started for job j at the start of slot t
:math:`h`         ``late``               slots that job j is late [slots]
================  =====================  ==================================================

The cluster, its blocks and due slots are those of CarbonFlex (Hanafy et al., "CarbonFlex: Enabling
Carbon-aware Provisioning and Scheduling for Cloud Clusters", 2025), which solves no such programme.
The price of lateness, the energy of starts and this formulation are ours. Slots end where no
optimum can need a later one (`optmodels.scaling.cluster.horizon`).

`relaxation` is the linear programme whose optimum `optmodels.scaling.cluster.bound` finds by prices
of servers; why it bounds every policy is said there.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from optmodels.scaling.cluster.blocks import Blocks, blocks_of
from optmodels.solver.template import instance_of

if TYPE_CHECKING:
    from optmodels.scaling.cluster.instance import ClusterInstance, IntArray


@cache
def formulation() -> pyo.AbstractModel:
    """The formulation without any data in it."""
    m = pyo.AbstractModel(name="scaling.cluster")
    _add_cluster(m)
    m.pairs = pyo.Set(dimen=2, doc="a job and a slot in which it may run")
    m.upper_blocks = pyo.Set(dimen=3, within=m.blocks, doc="blocks above the fewest servers")
    m.overdue_pairs = pyo.Set(dimen=2, within=m.pairs, doc="pairs after the due slot")
    m.first_starts = pyo.Set(dimen=2, within=m.pairs, doc="arrivals, where a start costs energy")
    m.later_starts = pyo.Set(dimen=2, within=m.pairs, doc="later pairs, where a start costs energy")
    m.starts = pyo.Set(dimen=2, within=m.pairs, doc="pairs where a start costs energy")
    m.blocks_of_job_kind = pyo.Set(m.jobs, doc="numbers of the blocks of a job")

    m.start_g = pyo.Param(m.slots, mutable=True)
    m.overdue_slots = pyo.Param(m.overdue_pairs)
    m.late_g = pyo.Param(m.jobs, mutable=True)

    m.taken = pyo.Var(m.blocks, within=pyo.Binary)
    m.used = pyo.Var(m.blocks, within=pyo.NonNegativeReals)
    m.started = pyo.Var(m.starts, within=pyo.NonNegativeReals)
    m.late = pyo.Var(m.jobs, within=pyo.NonNegativeReals)

    @m.Constraint(m.jobs, doc="all work of a job is done")
    def work(m: Any, j: int) -> Any:
        done = sum(m.throughput[j, k] * m.used[j, t, k] for t, k in m.blocks_of_job[j])
        return done == m.length[j]

    @m.Constraint(m.slots, doc="no more servers are taken than the cluster has")
    def servers_limit(m: Any, t: int) -> Any:
        return sum(m.servers[j, k] * m.taken[j, t, k] for j, k in m.blocks_in_slot[t]) <= m.capacity

    @m.Constraint(m.blocks, doc="only what is taken is used")
    def use(m: Any, j: int, t: int, k: int) -> Any:
        return m.used[j, t, k] <= m.taken[j, t, k]

    @m.Constraint(m.upper_blocks, doc="who takes a block has taken the one below")
    def nested_taken(m: Any, j: int, t: int, k: int) -> Any:
        return m.taken[j, t, k] <= m.taken[j, t, k - 1]

    @m.Constraint(m.upper_blocks, doc="a block is used no longer than the one below")
    def nested_used(m: Any, j: int, t: int, k: int) -> Any:
        return m.used[j, t, k] <= m.used[j, t, k - 1]

    @m.Constraint(m.first_starts, doc="all servers of a job that arrives are started")
    def first_starting(m: Any, j: int, t: int) -> Any:
        return (
            sum(m.servers[j, k] * m.taken[j, t, k] for k in m.blocks_of_job_kind[j])
            <= m.started[j, t]
        )

    @m.Constraint(m.later_starts, doc="servers beyond those of the slot before are started")
    def starting(m: Any, j: int, t: int) -> Any:
        now = sum(m.servers[j, k] * m.taken[j, t, k] for k in m.blocks_of_job_kind[j])
        before = sum(m.servers[j, k] * m.taken[j, t - 1, k] for k in m.blocks_of_job_kind[j])
        return now - before <= m.started[j, t]

    @m.Constraint(m.overdue_pairs, doc="whoever runs after the due slot is late by the time since")
    def lateness(m: Any, j: int, t: int) -> Any:
        return m.overdue_slots[j, t] * m.taken[j, t, 1] + m.used[j, t, 1] <= m.late[j]

    @m.Objective(sense=pyo.minimize, doc="carbon of running and starting, price of lateness [g]")
    def emissions(m: Any) -> Any:
        execution = sum(
            m.carbon_g_per_kw[t] * m.power_kw[j, k] * m.used[j, t, k] for j, t, k in m.blocks
        )
        starts = sum(m.start_g[t] * m.started[j, t] for j, t in m.starts)
        return execution + starts + sum(m.late_g[j] * m.late[j] for j in m.jobs)

    return m


@cache
def relaxation() -> pyo.AbstractModel:
    """The linear programme whose optimum bounds every policy, without any data in it."""
    m = pyo.AbstractModel(name="scaling.cluster relaxation")
    _add_cluster(m)
    m.late_work_g = pyo.Param(m.jobs, mutable=True)

    m.used = pyo.Var(m.blocks, bounds=(0, 1))
    m.late_work = pyo.Var(m.jobs, within=pyo.NonNegativeReals)

    @m.Constraint(m.jobs, doc="all work of a job is done, in time or in the late bin")
    def work(m: Any, j: int) -> Any:
        done = sum(m.throughput[j, k] * m.used[j, t, k] for t, k in m.blocks_of_job[j])
        return done + m.late_work[j] == m.length[j]

    @m.Constraint(m.slots, doc="no more servers are used on average than the cluster has")
    def servers_limit(m: Any, t: int) -> Any:
        return sum(m.servers[j, k] * m.used[j, t, k] for j, k in m.blocks_in_slot[t]) <= m.capacity

    @m.Objective(sense=pyo.minimize, doc="carbon of running, and of the late bin at its least [g]")
    def emissions(m: Any) -> Any:
        execution = sum(
            m.carbon_g_per_kw[t] * m.power_kw[j, k] * m.used[j, t, k] for j, t, k in m.blocks
        )
        return execution + sum(m.late_work_g[j] * m.late_work[j] for j in m.jobs)

    return m


def _add_cluster(m: pyo.AbstractModel) -> None:
    """What both formulations know of a cluster."""
    m.jobs = pyo.Set(doc="numbers of the jobs")
    m.slots = pyo.Set(doc="slots in which some job may run, from 0")
    m.job_blocks = pyo.Set(dimen=2, doc="a job and the number of a block of its, from 1")
    m.blocks = pyo.Set(dimen=3, doc="a job, a slot in which it may run, a block")
    m.blocks_of_job = pyo.Set(m.jobs, dimen=2, doc="slots and blocks of a job")
    m.blocks_in_slot = pyo.Set(m.slots, dimen=2, doc="jobs and their blocks in a slot")

    m.carbon_g_per_kw = pyo.Param(m.slots, mutable=True)
    m.power_kw = pyo.Param(m.job_blocks)
    m.throughput = pyo.Param(m.job_blocks)
    m.servers = pyo.Param(m.job_blocks)
    m.length = pyo.Param(m.jobs, mutable=True)
    m.capacity = pyo.Param(mutable=True)


def model_data(instance: ClusterInstance, until: IntArray | None = None) -> dict[str, Any]:
    """Data of the formulation by component name; jobs by their numbers, slots from 0.

    Parameters
    ----------
    instance
        The question.
    until
        Slot from which on each job may not run; by default what no optimum needs.
    """
    if until is None:
        from optmodels.scaling.cluster.horizon import needed_horizon

        until = needed_horizon(instance)
    data, blocks = _cluster_data(instance, until)
    number = instance.jobs.number
    job, slot = blocks.pair_job, blocks.pair_slot
    overdue = slot >= instance.due[job]
    pays = np.full(len(job), float(instance.parameters.start_kwh) > 0)
    arrives = slot == instance.jobs.arrival[job]
    upper = blocks.level > 0
    levels = np.array([len(p.servers) for p in instance.profiles])[instance.jobs.profile]
    rank = np.arange(int(levels.sum())) - np.repeat(np.cumsum(levels) - levels, levels)
    carbon = instance.carbon_until(len(data["slots"]))

    def pairs(chosen: Any) -> tuple[Any, ...]:
        return number[job[chosen]], slot[chosen]

    return {
        **data,
        "pairs": (number[job], slot),
        "upper_blocks": tuple(column[upper] for column in data["blocks"]),
        "overdue_pairs": pairs(overdue),
        "first_starts": pairs(pays & arrives),
        "later_starts": pairs(pays & ~arrives),
        "starts": pairs(pays),
        "blocks_of_job_kind": (np.append(0, np.cumsum(levels)), rank + 1),
        "start_g": carbon * float(instance.parameters.start_kwh),
        "overdue_slots": (slot - instance.due[job])[overdue].astype(np.float64),
        "late_g": instance.late_g_per_slot,
    }


def relaxation_data(instance: ClusterInstance) -> dict[str, Any]:
    """Data of the relaxation by component name."""
    from optmodels.scaling.cluster.bound import late_costs

    data, _ = _cluster_data(instance, instance.due)
    return {**data, "late_work_g": late_costs(instance)}


def concrete_model(instance: ClusterInstance) -> pyo.ConcreteModel:
    """The formulation with the data of an instance, as an ordinary Pyomo model."""
    return instance_of(formulation(), model_data(instance), name=instance.name)


def _cluster_data(instance: ClusterInstance, until: IntArray) -> tuple[dict[str, Any], Blocks]:
    jobs, profiles = instance.jobs, instance.profiles
    blocks = blocks_of(jobs, until, profiles)
    kinds = [profiles[code] for code in jobs.profile]
    added_kw = [np.diff(power, prepend=0.0) for power in instance.level_power_kw]
    added = [np.diff(profile.servers, prepend=0) for profile in profiles]
    slots = max(instance.slots, int(until.max(initial=0)))
    block = blocks.level + 1
    by_slot = np.argsort(blocks.slot, kind="stable")

    def per_kind(values: list[Any]) -> Any:
        return np.concatenate([np.empty(0), *(values[code] for code in jobs.profile)])

    data = {
        "jobs": jobs.number,
        "slots": np.arange(slots),
        "job_blocks": (
            np.repeat(jobs.number, [len(kind.servers) for kind in kinds]),
            np.concatenate(
                [np.empty(0, dtype=np.int64), *(np.arange(len(k.servers)) + 1 for k in kinds)]
            ),
        ),
        "blocks": (jobs.number[blocks.job], blocks.slot, block),
        "blocks_of_job": (_starts(blocks.job, jobs.count), (blocks.slot, block)),
        "blocks_in_slot": (
            _starts(blocks.slot[by_slot], slots),
            (jobs.number[blocks.job[by_slot]], block[by_slot]),
        ),
        "carbon_g_per_kw": instance.carbon_until(slots) * instance.slot_hours,
        "power_kw": per_kind(added_kw),
        "throughput": per_kind([profile.marginal for profile in profiles]),
        "servers": per_kind(added),
        "length": instance.jobs.length,
        "capacity": float(instance.capacity),
    }
    return data, blocks


def _starts(sorted_labels: IntArray, count: int) -> IntArray:
    return np.searchsorted(sorted_labels, np.arange(count + 1))
