r"""A bound for large questions: all servers as one.

**In words.** As `optmodels.ensembles.failover.model`, but with the memory of all servers in one
heap, no limit of compute, a backup wherever it may stand at all, and shares of backups. In each
failure, what is loaded fits into the servers that are up, and together with all warm backups into
all of them. A warm backup that may survive does so; where it may not, it saves no less than the
best that could be loaded instead, for nothing.

**In symbols.** With :math:`\bar g_{ij} = \sum_{f:\, i \in I_f} \pi_f g_{ijf}`, where
:math:`g_{ijf}` is 0 if all places where the backup may stand fail in f, :math:`g_{ij}` if none
does, and :math:`\max(g_{ij}, \max_o h_{io})` else,

.. math::
    \min \sum_f \pi_f \sum_{i \in I_f} w_i H - \sum_{ij} \bar g_{ij} x_{ij}
    - \sum_{f,i,o} \pi_f h_{io} y_{fio} + \rho u

    \text{one warm}    && \sum_j x_{ij} &\le 1 \\
    \text{one way}     && \sum_{j \text{ may survive } f} x_{ij} + \sum_o y_{fio} &\le 1 \\
    \text{warm memory} && u = \sum_{ij} m_{ij} x_{ij} &\le \sum_k F_k \\
    \text{all memory}  && u + \sum_{io} m_{io} y_{fio} &\le \sum_k F_k \\
    \text{loaded}      && \sum_{io} m_{io} y_{fio} &\le \sum_{k \notin f} F_k

Every plan gives a solution of no
greater value: its rows are sums of rows of the model, in which the warm backups on servers that are
down fit into these. So the optimum is a lower bound. It is ours.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from optmodels.ensembles.failover.model import all_lost_s, options_of, warm_gain_s

if TYPE_CHECKING:
    from optmodels.ensembles.failover.instance import FailoverInstance

IntArray = NDArray[np.int64]


@cache
def formulation() -> pyo.AbstractModel:
    """The relaxation without any data in it."""
    m = pyo.AbstractModel(name="ensembles.failover relaxation")
    m.applications = pyo.Set(doc="applications")
    m.backups = pyo.Set(doc="candidates that may stand warm somewhere")
    m.backups_of = pyo.Set(m.applications, doc="those of an application")
    m.options = pyo.Set(doc="options that may be loaded somewhere")
    m.losses = pyo.Set(doc="pairs of a failure and an application that it takes")
    m.cold_places = pyo.Set(dimen=2, doc="such a pair and an option")
    m.surviving = pyo.Set(m.losses, doc="candidates that survive somewhere")
    m.cold_of = pyo.Set(m.losses, doc="options of a pair")
    m.failures = pyo.Set(doc="failures")
    m.cold_in = pyo.Set(m.failures, dimen=2, doc="pairs and options of a failure")

    m.all_lost = pyo.Param(mutable=True)
    m.warm_gain = pyo.Param(m.backups, mutable=True)
    m.cold_gain = pyo.Param(m.cold_places, mutable=True)
    m.warm_memory = pyo.Param(m.backups)
    m.memory = pyo.Param(m.options)
    m.memory_total = pyo.Param(mutable=True)
    m.memory_up = pyo.Param(m.failures, mutable=True)
    m.warm_price = pyo.Param(mutable=True)

    m.warm = pyo.Var(m.backups, bounds=(0, 1))
    m.cold = pyo.Var(m.cold_places, bounds=(0, 1))
    m.warm_mb = pyo.Var(bounds=lambda m: (0.0, m.memory_total))

    @m.Constraint(m.applications, doc="at most one warm backup of each application")
    def one_warm(m: Any, i: int) -> Any:
        return sum(m.warm[c] for c in m.backups_of[i]) <= 1

    @m.Constraint(m.losses, doc="an application goes on in one way: warm, cold, or not")
    def one_way(m: Any, f: int) -> Any:
        warm = sum(m.warm[c] for c in m.surviving[f])
        return warm + sum(m.cold[f, o] for o in m.cold_of[f]) <= 1

    @m.Constraint(doc="memory of all warm backups")
    def warm_memory_use(m: Any) -> Any:
        return sum(m.warm_memory[c] * m.warm[c] for c in m.backups) == m.warm_mb

    @m.Constraint(m.failures, doc="warm and cold backups fit into all memory")
    def all_memory(m: Any, f: int) -> Any:
        loaded = sum(m.memory[o] * m.cold[i, o] for i, o in m.cold_in[f])
        return m.warm_mb + loaded <= m.memory_total

    @m.Constraint(m.failures, doc="cold backups fit into the memory that is up")
    def loaded_memory(m: Any, f: int) -> Any:
        return sum(m.memory[o] * m.cold[i, o] for i, o in m.cold_in[f]) <= m.memory_up[f]

    @m.Objective(sense=pyo.minimize, doc="service lost by a failure on average, weighted [s]")
    def lost(m: Any) -> Any:
        warm = sum(m.warm_gain[c] * m.warm[c] for c in m.backups)
        cold = sum(m.cold_gain[f, o] * m.cold[f, o] for f, o in m.cold_places)
        return m.all_lost - warm - cold + m.warm_price * m.warm_mb

    return m


def model_data(instance: FailoverInstance, *, warm_price: float = 0.0) -> dict[str, Any]:
    """Data of the relaxation by component name; arguments as for the model's."""
    options, ways = instance.candidates, options_of(instance)
    count = len(instance.applications)
    backups = np.flatnonzero(instance.may_stand.any(axis=1))
    owner = options.application[backups]
    may = instance.may_stand[backups]
    fits = (
        instance.fast_enough
        & (options.memory_mb[:, None] <= instance.free_mb[None, :])
        & (options.gflops[:, None] <= instance.free_gflops[None, :])
    )
    useful = fits[ways.target].any(axis=1)
    numbers = np.flatnonzero(useful)
    option_owner = options.application[ways.target[numbers]]
    first_option = np.searchsorted(option_owner, np.arange(count + 1))
    first_backup = np.searchsorted(owner, np.arange(count + 1))
    losses = [(f, a) for f, one in enumerate(instance.failures) for a in one.failed.tolist()]
    warm_gain, saved = warm_gain_s(instance)[backups], np.zeros(len(backups))
    cold, surviving = [], []
    for f, a in losses:
        failure = instance.failures[f]
        cold.append(numbers[first_option[a] : first_option[a + 1]])
        own = np.arange(first_backup[a], first_backup[a + 1])
        may_live = (may[own] & ~failure.down[None, :]).any(axis=1)
        may_die = (may[own] & failure.down[None, :]).any(axis=1)
        best_cold = ways.gain_s[cold[-1]].max(initial=0.0)
        gain = np.where(may_die, np.maximum(warm_gain[own], best_cold), warm_gain[own])
        saved[own] += failure.probability * np.where(may_live, gain, 0.0)
        surviving.append(backups[own[may_live]])
    lengths = [len(part) for part in cold]
    loss = np.repeat(np.arange(len(losses)), lengths)
    option = _joined(cold)
    failure_of = np.array([f for f, _ in losses], dtype=np.int64)
    probability = np.array([failure.probability for failure in instance.failures])
    where = failure_of[loss] if len(loss) else loss
    return {
        "applications": np.arange(count),
        "backups": backups,
        "backups_of": (first_backup, backups),
        "options": numbers,
        "losses": np.arange(len(losses)),
        "cold_places": (loss, option),
        "surviving": (_starts([len(part) for part in surviving]), _joined(surviving)),
        "cold_of": (_starts(lengths), option),
        "failures": np.arange(len(instance.failures)),
        "cold_in": (
            np.searchsorted(where, np.arange(len(instance.failures) + 1)),
            (loss, option),
        ),
        "all_lost": all_lost_s(instance),
        "warm_gain": saved,
        "cold_gain": ways.gain_s[option] * probability[where],
        "warm_memory": options.memory_mb[backups],
        "memory": options.memory_mb[ways.target[numbers]],
        "memory_total": float(instance.free_mb.sum()),
        "memory_up": np.array([float(instance.free_mb[~f.down].sum()) for f in instance.failures]),
        "warm_price": warm_price,
    }


def lower_bound(
    instance: FailoverInstance, *, warm_price: float = 0.0, time_limit_s: float | None = None
) -> float:
    """Service that every plan loses at least [s], with its price of warm memory."""
    from optmodels.solver import solve_model

    data = model_data(instance, warm_price=warm_price)
    solution: Any = solve_model(formulation(), data=data, time_limit_s=time_limit_s)
    # Without a solution in time nothing is proven but that nothing is gained for nothing.
    return max(0.0, float(solution.bound)) if solution.bound is not None else 0.0


def _starts(lengths: list[int]) -> IntArray:
    return np.append(0, np.cumsum(lengths)).astype(np.int64)


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
