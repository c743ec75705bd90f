r"""The mathematics of sharing accelerators.

**In words.** Host applications on nodes, each at most once, so that the value of those that are not
hosted is least. A node holds what its memory holds, each model once; its load stays below a limit;
and everybody on it is answered in time.

**As rows.** Where loading a model takes no time, "in time" is linear. With :math:`L_{ij}` the time
that application i may spend at the accelerator of node j, and :math:`\omega_{ij} = L_{ij} - s_{ij}`
the time that it may wait there:

.. math::
    \min \sum_i w_i \Big(1 - \sum_j x_{ij}\Big)

    \text{once}      && \sum_j x_{ij} &\le 1 \\
    \text{memory}    && \sum_i f_j x_{ij} + \sum_m b_{mj} r_{mj} &\le B_j, \quad
                        x_{ij} \le r_{m(i) j} \\
    \text{load}      && \rho_j = \sum_i \lambda_i s_{ij} x_{ij} &\le \bar\rho \\
    \text{sharing}   && \rho_j + \frac{s_{ij}}{L_{ij}} x_{ij} &\le 1 \\
    \text{queue}     && \frac{v_j}{2 \omega_{ij}} + \rho_j + H_{ij} x_{ij} &\le 1 + H_{ij},
                        \quad v_j = \sum_i \lambda_i m_{ij} x_{ij}

The row of sharing is :math:`s_{ij}/(1-\rho_j) \le L_{ij}` where :math:`x_{ij} = 1` and holds of
itself where :math:`x_{ij} = 0`: no large constant. That of a queue is :math:`W_j \le \omega_{ij}`
(Pollaczek and Khinchine) times :math:`(1 - \rho_j)/\omega_{ij}`, with the least constant that frees
it, :math:`H_{ij} = \bar\rho\,(\max_k m_{kj}/s_{kj} / (2\omega_{ij}) + 1) - 1`. Both are exact.
With the variables :math:`\rho_j` and :math:`v_j` a row has two or three coefficients however many
applications there are.

**As columns.** Where loading takes time, every set of applications that a node can host is listed
(`optmodels.placement.accelerators.columns`). With :math:`z_q` nodes that host the set q, which has
:math:`a_{kq}` applications of the kind k, of which there are :math:`n_k`:

.. math::
    \min \sum_k w_k \Big(n_k - \sum_q a_{kq} z_q + u_k\Big), \quad
    \sum_{q \in Q_c} z_q \le N_c, \quad \sum_q a_{kq} z_q - u_k \le n_k, \quad
    0 \le u_k \le \sum_{q\,\text{safe}} a_{kq} z_q, \quad z_q \in \mathbb{Z}

Of a safe set every part can be hosted, too, so that whoever is hosted once too often (:math:`u_k`)
just leaves one; smaller sets need not be listed.

================================  ================  ================================================
symbol                            name              meaning, unit
================================  ================  ================================================
:math:`w_i`                       ``value``         what hosting an application is worth
:math:`\lambda_i s_{ij}`          ``brought``       load that it brings to a node
:math:`\lambda_i m_{ij}`          ``moment``        its part of the moment of the load [ms]
:math:`s_{ij} / L_{ij}`           ``part``          its service over the time it may take
:math:`1 / (2\omega_{ij})`        ``haste``         how little it may wait [1/ms]
:math:`H_{ij}`                    ``free``          what frees the row of who is not hosted
:math:`f_j, b_{mj}, B_j`          ``frontend_mb``,  memory of a front end, of a model, and of the
                                  ``model_mb``,     node as far as it may be used [MB]
                                  ``usable_mb``
:math:`\bar\rho`                  ``load_max``      largest load
:math:`x, r, \rho, v`             ``hosted``,       whether a node hosts an application; whether it
                                  ``resident``,     holds a model; load; moment of the load [ms]
                                  ``busy``,
                                  ``spread``
:math:`z, N, n, a`                ``used``,         nodes that host a set; nodes of a class,
                                  ``nodes``,        applications of a kind, and those in a set
                                  ``members``,
                                  ``count``
:math:`u`                         ``surplus``       applications of a kind hosted once too often
================================  ================  ================================================

The limits are those of Ibis (arXiv:2201.07312), which places greedily; both formulations are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from optmodels.errors import UsageError
from optmodels.placement.accelerators.columns import Columns, columns_of, may_host
from optmodels.placement.accelerators.hardware import (
    TOLERANCE,
    Application,
    Hardware,
    allowed_ms,
)
from optmodels.solver.template import instance_of

if TYPE_CHECKING:
    from optmodels.placement.accelerators.instance import AcceleratorsInstance

#: Rows of a queue that hold for every placement are left out.
_FREE = 0.0


@cache
def row_formulation() -> pyo.AbstractModel:
    """The placement as rows, without any data in it."""
    m = pyo.AbstractModel(name="placement.accelerators as rows")
    m.apps = pyo.Set(doc="numbers of the applications that some node can host")
    m.nodes = pyo.Set(doc="numbers of the nodes")
    m.pairs = pyo.Set(dimen=2, doc="an application and a node that can host it")
    m.held = pyo.Set(dimen=2, doc="a model and a node that can hold it")
    m.needs = pyo.Set(dimen=3, doc="an application, its model, a node")
    m.sharing_pairs = pyo.Set(dimen=2, doc="pairs on a shared accelerator")
    m.queue_pairs = pyo.Set(dimen=2, doc="pairs on an accelerator with a queue")
    m.queue_nodes = pyo.Set(within=m.nodes, doc="nodes with a queue")
    m.nodes_of_app = pyo.Set(m.apps, doc="nodes that can host an application")
    m.apps_of_node = pyo.Set(m.nodes, doc="applications that a node can host")
    m.models_of_node = pyo.Set(m.nodes, doc="models that a node can hold")

    m.total = pyo.Param(mutable=True)
    m.value = pyo.Param(m.apps, mutable=True)
    m.brought = pyo.Param(m.pairs, mutable=True)
    m.moment = pyo.Param(m.pairs, mutable=True)
    m.part = pyo.Param(m.sharing_pairs, mutable=True)
    m.haste = pyo.Param(m.queue_pairs, mutable=True)
    m.free = pyo.Param(m.queue_pairs, mutable=True)
    m.model_mb = pyo.Param(m.held, mutable=True)
    m.frontend_mb = pyo.Param(m.nodes, mutable=True)
    m.usable_mb = pyo.Param(m.nodes, mutable=True)
    m.load_max = pyo.Param(mutable=True)

    m.hosted = pyo.Var(m.pairs, within=pyo.Binary)
    # Between 0 and 1 it is whole by itself, as far as memory is better free.
    m.resident = pyo.Var(m.held, bounds=(0, 1))
    m.busy = pyo.Var(m.nodes, bounds=lambda m, j: (0, m.load_max))
    m.spread = pyo.Var(m.queue_nodes, within=pyo.NonNegativeReals)

    @m.Constraint(m.apps, doc="an application is hosted once at most")
    def once(m: Any, i: int) -> Any:
        return sum(m.hosted[i, j] for j in m.nodes_of_app[i]) <= 1

    @m.Constraint(m.nodes, doc="a node holds what its memory holds")
    def memory(m: Any, j: int) -> Any:
        front = sum(m.frontend_mb[j] * m.hosted[i, j] for i in m.apps_of_node[j])
        models = sum(m.model_mb[k, j] * m.resident[k, j] for k in m.models_of_node[j])
        return front + models <= m.usable_mb[j]

    @m.Constraint(m.needs, doc="who is hosted has its model there")
    def holding(m: Any, i: int, k: int, j: int) -> Any:
        return m.hosted[i, j] <= m.resident[k, j]

    @m.Constraint(m.nodes, doc="load of an accelerator")
    def loading(m: Any, j: int) -> Any:
        return sum(m.brought[i, j] * m.hosted[i, j] for i in m.apps_of_node[j]) == m.busy[j]

    @m.Constraint(m.queue_nodes, doc="moment of the load of an accelerator with a queue")
    def spreading(m: Any, j: int) -> Any:
        return sum(m.moment[i, j] * m.hosted[i, j] for i in m.apps_of_node[j]) == m.spread[j]

    @m.Constraint(m.sharing_pairs, doc="who shares an accelerator is answered in time")
    def sharing(m: Any, i: int, j: int) -> Any:
        return m.busy[j] + m.part[i, j] * m.hosted[i, j] <= 1

    @m.Constraint(m.queue_pairs, doc="who waits for an accelerator is answered in time")
    def queue(m: Any, i: int, j: int) -> Any:
        weighted = m.haste[i, j] * m.spread[j] + m.busy[j]
        return weighted + m.free[i, j] * m.hosted[i, j] <= 1 + m.free[i, j]

    @m.Objective(sense=pyo.minimize, doc="value of the applications that are not hosted")
    def lost(m: Any) -> Any:
        return m.total - sum(m.value[i] * m.hosted[i, j] for i, j in m.pairs)

    return m


@cache
def column_formulation() -> pyo.AbstractModel:
    """The placement as columns, without any data in it."""
    m = pyo.AbstractModel(name="placement.accelerators as columns")
    m.sets = pyo.Set(doc="sets of applications that a node can host")
    m.classes = pyo.Set(doc="classes of nodes")
    m.kinds = pyo.Set(doc="kinds of applications that some node can host")
    m.entries = pyo.Set(dimen=2, doc="a kind and a set with it")
    m.sets_of_class = pyo.Set(m.classes, doc="sets that nodes of a class can host")
    m.sets_with_kind = pyo.Set(m.kinds, doc="sets with applications of a kind")
    m.safe_sets_with_kind = pyo.Set(m.kinds, doc="those of them whose parts can be hosted, too")

    m.total = pyo.Param(mutable=True)
    m.worth = pyo.Param(m.sets, mutable=True)
    m.count = pyo.Param(m.entries, mutable=True)
    m.members = pyo.Param(m.kinds, mutable=True)
    m.nodes = pyo.Param(m.classes, mutable=True)

    m.value = pyo.Param(m.kinds, mutable=True)

    m.used = pyo.Var(m.sets, within=pyo.NonNegativeIntegers)
    m.surplus = pyo.Var(m.kinds, within=pyo.NonNegativeReals)

    @m.Constraint(m.classes, doc="a node hosts one set")
    def one_set(m: Any, c: int) -> Any:
        return sum(m.used[q] for q in m.sets_of_class[c]) <= m.nodes[c]

    @m.Constraint(m.kinds, doc="no more applications are hosted than there are")
    def once(m: Any, k: int) -> Any:
        hosted = sum(m.count[k, q] * m.used[q] for q in m.sets_with_kind[k])
        return hosted - m.surplus[k] <= m.members[k]

    @m.Constraint(m.kinds, doc="only from safe sets somebody may leave")
    def leaving(m: Any, k: int) -> Any:
        return m.surplus[k] <= sum(m.count[k, q] * m.used[q] for q in m.safe_sets_with_kind[k])

    @m.Objective(sense=pyo.minimize, doc="value of the applications that are not hosted")
    def lost(m: Any) -> Any:
        hosted = sum(m.worth[q] * m.used[q] for q in m.sets)
        return m.total - hosted + sum(m.value[k] * m.surplus[k] for k in m.kinds)

    return m


@dataclass(frozen=True)
class RowData:
    """Data of the rows, and what they leave out.

    Attributes
    ----------
    data
        Data by component name; applications and nodes by their numbers, from 0.
    exact
        Whether the rows say everything. They leave out the time to load models and the additive
        form of sharing: then their optimum is a bound.
    """

    data: dict[str, Any]
    exact: bool


def row_data(
    hardware: Hardware, applications: tuple[Application, ...], *, memory_only: bool = False
) -> RowData | None:
    """Data of the rows; None where no node can host anybody.

    Parameters
    ----------
    hardware
        The nodes.
    applications
        Who wants to be hosted.
    memory_only
        Whether loads and responses are left out: the knapsack.
    """
    rules = hardware.rules
    pairs = [
        (i, j)
        for i, a in enumerate(applications)
        for j in range(len(hardware.nodes))
        if (hardware.has_room(j, (a,)) if memory_only else may_host(hardware, j, a))
    ]
    if not pairs:
        return None
    used = [hardware.device(j) for _, j in pairs]
    chosen = [applications[i] for i, _ in pairs]
    app, node = (np.array(column) for column in zip(*pairs, strict=True))
    model = np.array([a.model for a in chosen])
    rate = np.array([a.rate_per_ms for a in chosen])
    service = np.array([d.service_ms[m] for d, m in zip(used, model, strict=True)])
    second = np.array([d.second_ms2[m] for d, m in zip(used, model, strict=True)])
    shares = np.array([d.discipline == "ps" for d in used])
    timed = np.full(len(pairs), not memory_only)
    if rules.sharing == "additive":
        timed &= ~shares
    # Half of what the audit tolerates; the other half is the solver's.
    allowed = np.array(
        [
            allowed_ms(d, a, rules) + TOLERANCE / 2 * a.slo_ms
            for d, a in zip(used, chosen, strict=True)
        ]
    )
    longest = np.zeros(len(hardware.nodes))
    np.maximum.at(longest, node, second / service)
    wait = allowed - service
    with np.errstate(divide="ignore", invalid="ignore"):
        haste = 1 / (2 * wait)
        free = rules.load_max * (longest[node] * haste + 1) - 1
    queue = timed & ~shares & (free > _FREE)
    sharing = timed & shares
    apps, nodes = np.unique(app), range(len(hardware.nodes))
    by_node = np.argsort(node, kind="stable")
    held = sorted({(j, m) for j, m in zip(node.tolist(), model.tolist(), strict=True)})
    held_node, held_model = (np.array(column) for column in zip(*held, strict=True))
    queue_nodes = np.unique(node[queue])
    data = {
        "apps": apps,
        "nodes": np.arange(len(nodes)),
        "pairs": (app, node),
        "held": (held_model, held_node),
        "needs": (app, model, node),
        "sharing_pairs": (app[sharing], node[sharing]),
        "queue_pairs": (app[queue], node[queue]),
        "queue_nodes": queue_nodes,
        "nodes_of_app": (_starts(app, apps), node),
        "apps_of_node": (_starts(node[by_node], list(nodes)), app[by_node]),
        "models_of_node": (_starts(held_node, list(nodes)), held_model),
        "total": float(np.sum([a.value for a in applications])),
        "value": np.array([applications[i].value for i in apps]),
        "brought": np.zeros(len(pairs)) if memory_only else rate * service,
        "moment": rate * second,
        "part": (service / np.where(allowed > 0, allowed, np.inf))[sharing],
        "haste": haste[queue],
        "free": free[queue],
        "model_mb": np.array([hardware.device(j).memory_mb[m] for j, m in held]),
        "frontend_mb": np.array([hardware.device(j).frontend_mb for j in nodes]),
        "usable_mb": np.array([hardware.usable_mb(j) for j in nodes]),
        "load_max": rules.load_max,
    }
    left_out = rules.sharing == "additive" and bool(shares.any())
    exact = not left_out and not any(device.swaps for device in used)
    return RowData(data, exact)


def chosen_pairs(solution: Any) -> list[tuple[int, int]]:
    """Applications and nodes that a solution of the rows puts together, by their numbers."""
    hosted = solution.values["hosted"]
    return [(int(i), int(j)) for i, j in hosted.index[hosted.to_numpy() > 1 / 2]]


def column_data(columns: Columns, total: float) -> dict[str, Any]:
    """Data of the columns by component name: sets, classes and kinds by their numbers, from 0.

    Parameters
    ----------
    columns
        At least one set.
    total
        Value of all applications, hosted or not.
    """
    kind, chosen = np.nonzero(columns.counts.T)
    safe = columns.safe[chosen]
    kinds = np.unique(kind)
    classes = np.arange(len(columns.classes))
    value = np.array([group.example.value for group in columns.kinds])
    return {
        "sets": np.arange(len(columns.counts)),
        "classes": classes,
        "kinds": kinds,
        "entries": (kind, chosen),
        "sets_of_class": (_starts(columns.class_of, classes), np.arange(len(columns.counts))),
        "sets_with_kind": (_starts(kind, kinds), chosen),
        "safe_sets_with_kind": (_starts(kind[safe], kinds), chosen[safe]),
        "total": total,
        "worth": columns.counts @ value,
        "value": value[kinds],
        "count": columns.counts.T[kind, chosen].astype(np.float64),
        "members": np.array([float(len(columns.kinds[k].members)) for k in kinds]),
        "nodes": np.array([float(len(group.nodes)) for group in columns.classes]),
    }


def concrete_model(instance: AcceleratorsInstance) -> pyo.ConcreteModel:
    """The exact placement of an instance as an ordinary Pyomo model, as rows where these say all.

    Raises
    ------
    UsageError
        No node can host anybody, or there are too many sets of applications to list.
    """
    rows = row_data(instance.hardware, instance.applications)
    if rows is None:
        raise UsageError(f"No node of {instance.name} can host any application: there is no model.")
    if rows.exact:
        return instance_of(row_formulation(), rows.data, name=instance.name)
    columns = columns_of(instance.hardware, instance.applications)
    if not columns.complete:
        raise UsageError(
            f"{instance.name} has too many sets of applications that a node could host to list "
            "them all. Fix: round rates and SLOs to fewer kinds of applications."
        )
    data = column_data(columns, instance.total_value)
    return instance_of(column_formulation(), data, name=instance.name)


def _starts(sorted_labels: Any, labels: Any) -> Any:
    """Where the members of each label begin, and where the last ones end."""
    return np.append(np.searchsorted(sorted_labels, labels), len(sorted_labels))
