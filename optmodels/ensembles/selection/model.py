r"""The mathematics of selecting ensembles.

**In words.** Deploy candidates on servers so that the live ones answer best, within the memory of
the servers and the limits of each application.

**As configurations.** For application a let :math:`\gamma` be a configuration: which members run
where. What it is worth, under all failures and for any rule, is computed beforehand
(`optmodels.ensembles.selection.configurations`). What is left is to choose one for each:

.. math::
    \max \sum_{a, \gamma} g_{a \gamma} y_{a \gamma}, \qquad
    \sum_\gamma y_{a \gamma} \le 1, \qquad
    \sum_{a, \gamma} \frac{r_{a \gamma s}}{R_s} y_{a \gamma} \le 1, \qquad
    y_{a\gamma} \in \{0, 1\}

Memory alone couples the applications: latency, energy, sites and failures live in the
configurations. One application needs no programme at all.

**As votes.** The textbook form of one application, for comparison and as a second opinion, is a
mixed-integer programme with a variable per group of samples g and pattern of failures f. With
:math:`x_{ms}` whether m runs on s, :math:`\ell_{mf} = \sum_{s \notin f} x_{ms}` whether m is alive,
and :math:`\rho` the weight of the expectation:

.. math::
    \max \rho \sum_f \pi_f \alpha_f + (1 - \rho)\, \tau, \qquad
    \tau \le \alpha_f \text{ for every } f \text{ of at most } k \text{ servers}

    \text{best}  && \alpha_f &= \sum_m a_m z_{mf}, \quad \sum_m z_{mf} \le 1, \quad
                    0 \le z_{mf} \le \ell_{mf} \\
    \text{cover} && \alpha_f &= \sum_g \tfrac{n_g}{N} v_{gf}, \quad
                    v_{gf} \le \sum_m d_{mg} \ell_{mf}, \quad 0 \le v_{gf} \le 1 \\
    \text{votes} && \alpha_f &= \sum_g \tfrac{n_g}{N} v_{gf}, \quad
                    \sum_m d_{mcg} \ell_{mf} \ge 1 - B_{cg} (1 - v_{gf}), \quad
                    v_{gf} \in \{0, 1\}

The margins :math:`d` are integers (see `optmodels.ensembles.selection.accuracies`), so that all
coefficients of the votes are. The least constant that frees a row of a vote is
:math:`B_{cg} = 1 - (\text{the sum of the n least of } \min(0, d_{mcg}))` for n members.

================================  ================  ================================================
symbol                            name              meaning
================================  ================  ================================================
:math:`y_{a\gamma}`               ``chosen``        whether an application has a configuration
:math:`g_{a\gamma}`               ``gain``          how much less the objective is than without it
:math:`r_{a\gamma s} / R_s`       ``part``          its memory, as a share of the free one
:math:`x_{ms}`                    ``deployed``      whether a candidate runs on a server
:math:`\ell_{mf}`                 ``live``          whether it is alive in a pattern of failures
:math:`z_{mf}`                    ``answers``       how far it answers there
:math:`v_{gf}`                    ``right``         whether a group of samples is right there
:math:`\pi_f`                     ``probability``   probability of a pattern
:math:`n_g / N`                   ``part_of``       share of the samples that a group has
:math:`d_{mcg}`                   ``margin``        margin of a candidate's vote
:math:`B_{cg}`                    ``free``          what frees a row of a vote
:math:`\tau`                      ``least``         accuracy in the worst case
================================  ================  ================================================

The configurations are ours. That badly scaled votes have made solvers report wrong optima is known
of public issues of HiGHS; so every answer is scored again, and compared with a greedy one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from optmodels.ensembles.selection.accuracies import IntArray
from optmodels.ensembles.selection.configurations import Columns
from optmodels.ensembles.selection.tasks import TOLERANCE
from optmodels.policy import FloatArray

if TYPE_CHECKING:
    from optmodels.ensembles.selection.instance import SelectionInstance


@cache
def column_formulation(*, relaxed: bool = False) -> pyo.AbstractModel:
    """One configuration for each application, without any data in it.

    Parameters
    ----------
    relaxed
        Whether applications may mix configurations.
    """
    m = pyo.AbstractModel(name="ensembles.selection as configurations")
    m.applications = pyo.Set(doc="numbers of the applications")
    m.columns = pyo.Set(doc="numbers of the configurations")
    m.servers = pyo.Set(doc="numbers of the servers that some configuration uses")
    m.uses = pyo.Set(dimen=2, doc="a configuration and a server that it uses")
    m.columns_of = pyo.Set(m.applications, doc="configurations of an application")
    m.columns_on = pyo.Set(m.servers, doc="configurations that use a server")

    m.gain = pyo.Param(m.columns, mutable=True)
    m.part = pyo.Param(m.uses, mutable=True)
    m.room = pyo.Param(mutable=True)

    m.chosen = pyo.Var(m.columns, within=pyo.NonNegativeReals if relaxed else pyo.Binary)

    @m.Constraint(m.applications, doc="an application has one configuration at most")
    def one(m: Any, a: int) -> Any:
        return sum(m.chosen[c] for c in m.columns_of[a]) <= 1

    @m.Constraint(m.servers, doc="a server holds what its memory holds")
    def memory(m: Any, s: int) -> Any:
        return sum(m.part[c, s] * m.chosen[c] for c in m.columns_on[s]) <= m.room

    @m.Objective(sense=pyo.minimize, doc="what members take off the objective, negative")
    def lost(m: Any) -> Any:
        return -sum(m.gain[c] * m.chosen[c] for c in m.columns)

    return m


def column_data(
    columns: Sequence[Columns], chosen: Sequence[IntArray], free_mb: FloatArray
) -> dict[str, Any]:
    """Data of the choice by component name.

    Parameters
    ----------
    columns
        Configurations of each application.
    chosen
        Numbers of those of each application that may be chosen; at least one in all.
    free_mb
        Free memory of each server.
    """
    gains = np.concatenate([c.gains[kept] for c, kept in zip(columns, chosen, strict=True)])
    memory = np.concatenate([c.memory_mb[kept] for c, kept in zip(columns, chosen, strict=True)])
    server, column = np.nonzero(memory.T > 0)
    servers = np.unique(server)
    numbers = np.arange(len(gains))
    return {
        "applications": np.arange(len(columns)),
        "columns": numbers,
        "servers": servers,
        "uses": (column, server),
        "columns_of": (np.cumsum([0, *(len(kept) for kept in chosen)]), numbers),
        "columns_on": (np.append(np.searchsorted(server, servers), len(server)), column),
        "gain": gains,
        "part": memory.T[server, column] / free_mb[server],
        # Half of what the audit tolerates; the other half is the solver's.
        "room": 1 + TOLERANCE / 2,
    }


def concrete_model(instance: SelectionInstance) -> pyo.ConcreteModel:
    """The choice among all configurations of an instance as an ordinary Pyomo model.

    Raises
    ------
    UsageError
        There are too many configurations, or none gains anything.
    """
    from optmodels.ensembles.selection.configurations import Configurations, Prices
    from optmodels.errors import UsageError
    from optmodels.solver.template import instance_of

    rules, servers = instance.rules, instance.servers
    prices = Prices(rules.expected_share, 1 - rules.expected_share)
    columns = [Configurations(t, servers, rules, prices).columns() for t in instance.tasks]
    if not sum(len(c.gains) for c in columns):
        raise UsageError(f"No configuration of {instance.name} gains anything: there is no model.")
    every = [np.arange(len(c.gains)) for c in columns]
    data = column_data(columns, every, servers.capacity_mb)
    return instance_of(column_formulation(), data, name=instance.name)


@cache
def vote_formulation(rule: str) -> pyo.AbstractModel:
    """One application with a row per group of samples and pattern of failures, without any data.

    Parameters
    ----------
    rule
        "best", "cover", or "votes" for all other votes.
    """
    m = pyo.AbstractModel(name=f"ensembles.selection as {rule}")
    m.candidates = pyo.Set(doc="numbers of the candidates that can run somewhere")
    m.used = pyo.Set(doc="numbers of the servers that can run a candidate")
    m.areas = pyo.Set(doc="numbers of the sites, where there may be one member at each")
    m.pairs = pyo.Set(dimen=2, doc="a candidate and a server that can run it")
    m.patterns = pyo.Set(doc="patterns of failures that count")
    m.worst_patterns = pyo.Set(within=m.patterns, doc="those of the worst case")
    m.alive = pyo.Set(dimen=2, doc="a candidate and a pattern in which it may be alive")
    m.servers_of = pyo.Set(m.candidates, doc="servers that can run a candidate")
    m.candidates_on = pyo.Set(m.used, doc="candidates that a server can run")
    m.pairs_at = pyo.Set(m.areas, dimen=2, doc="pairs at a site")
    m.live_servers = pyo.Set(m.alive, doc="servers of a candidate that are alive in a pattern")

    m.memory_mb = pyo.Param(m.candidates, mutable=True)
    m.capacity_mb = pyo.Param(m.used, mutable=True)
    m.energy_j = pyo.Param(m.pairs, mutable=True)
    m.energy_max_j = pyo.Param(mutable=True)
    m.members_max = pyo.Param(mutable=True)
    m.members_per_server = pyo.Param(mutable=True)
    m.probability = pyo.Param(m.patterns, mutable=True)
    m.expected_share = pyo.Param(mutable=True)
    m.least_max = pyo.Param(mutable=True)

    m.deployed = pyo.Var(m.pairs, within=pyo.Binary)
    m.live = pyo.Var(m.alive, bounds=(0, 1))
    m.accuracy = pyo.Var(m.patterns, bounds=(0, 1))
    m.least = pyo.Var(bounds=lambda m: (0, m.least_max))

    @m.Constraint(m.candidates, doc="a candidate runs once at most")
    def once(m: Any, i: int) -> Any:
        return sum(m.deployed[i, s] for s in m.servers_of[i]) <= 1

    @m.Constraint(m.used, doc="members on a server")
    def slots(m: Any, s: int) -> Any:
        return sum(m.deployed[i, s] for i in m.candidates_on[s]) <= m.members_per_server

    @m.Constraint(m.used, doc="a server holds what its memory holds")
    def memory(m: Any, s: int) -> Any:
        return (
            sum(m.memory_mb[i] * m.deployed[i, s] for i in m.candidates_on[s]) <= (m.capacity_mb[s])
        )

    @m.Constraint(m.areas, doc="one member at a site")
    def sites(m: Any, g: int) -> Any:
        return sum(m.deployed[i, s] for i, s in m.pairs_at[g]) <= 1

    @m.Constraint(doc="energy of a request on all members")
    def energy(m: Any) -> Any:
        return sum(m.energy_j[i, s] * m.deployed[i, s] for i, s in m.pairs) <= m.energy_max_j

    @m.Constraint(doc="members of the application")
    def members(m: Any) -> Any:
        return sum(m.deployed[i, s] for i, s in m.pairs) <= m.members_max

    @m.Constraint(m.alive, doc="who runs on a live server is alive")
    def living(m: Any, i: int, f: int) -> Any:
        return m.live[i, f] == sum(m.deployed[i, s] for s in m.live_servers[i, f])

    @m.Constraint(m.worst_patterns, doc="the worst case is the least of its patterns")
    def worst(m: Any, f: int) -> Any:
        return m.least <= m.accuracy[f]

    _ANSWERS[rule](m)

    @m.Objective(sense=pyo.minimize, doc="accuracy, expected and in the worst case, negative")
    def lost(m: Any) -> Any:
        expected = sum(m.probability[f] * m.accuracy[f] for f in m.patterns)
        return -m.expected_share * expected - (1 - m.expected_share) * m.least

    return m


def _best(m: Any) -> None:
    """The most accurate live member answers."""
    m.alive_in = pyo.Set(m.patterns, doc="candidates that may be alive in a pattern")
    m.own = pyo.Param(m.candidates, mutable=True)
    m.answers = pyo.Var(m.alive, bounds=(0, 1))

    @m.Constraint(m.patterns, doc="one member answers")
    def answering(m: Any, f: int) -> Any:
        return sum(m.answers[i, f] for i in m.alive_in[f]) <= 1

    @m.Constraint(m.alive, doc="only who is alive answers")
    def only_live(m: Any, i: int, f: int) -> Any:
        return m.answers[i, f] <= m.live[i, f]

    @m.Constraint(m.patterns, doc="accuracy of who answers")
    def scoring(m: Any, f: int) -> Any:
        return m.accuracy[f] <= sum(m.own[i] * m.answers[i, f] for i in m.alive_in[f])


def _groups(m: Any, within: Any) -> None:
    """Groups of samples, right or wrong in each pattern."""
    m.groups = pyo.Set(doc="groups of samples")
    m.part_of = pyo.Param(m.groups, mutable=True)
    m.right = pyo.Var(m.groups, m.patterns, within=within, bounds=(0, 1))

    @m.Constraint(m.patterns, doc="accuracy: share of the samples that are right")
    def scoring(m: Any, f: int) -> Any:
        return m.accuracy[f] <= sum(m.part_of[g] * m.right[g, f] for g in m.groups)


def _cover(m: Any) -> None:
    """A group is right where anybody alive is right."""
    _groups(m, pyo.NonNegativeReals)
    m.covers = pyo.Set(m.groups, m.patterns, doc="candidates alive in a pattern, right on a group")

    @m.Constraint(m.groups, m.patterns, doc="somebody alive is right")
    def covering(m: Any, g: int, f: int) -> Any:
        return m.right[g, f] <= sum(m.live[i, f] for i in m.covers[g, f])


def _votes(m: Any) -> None:
    """A group is right where every wrong class is behind."""
    _groups(m, pyo.Binary)
    m.rows = pyo.Set(dimen=2, doc="a wrong class and a group")
    m.voters = pyo.Set(m.rows, m.patterns, doc="candidates alive whose margin is not zero")
    m.votes = pyo.Set(dimen=3, doc="a candidate, a wrong class, a group: a margin that is not zero")
    m.margin = pyo.Param(m.votes, mutable=True)
    m.free = pyo.Param(m.rows, mutable=True)

    @m.Constraint(m.rows, m.patterns, doc="a wrong class is behind, or the group is wrong")
    def ahead(m: Any, c: int, g: int, f: int) -> Any:
        votes = sum(m.margin[i, c, g] * m.live[i, f] for i in m.voters[c, g, f])
        return votes >= 1 - m.free[c, g] * (1 - m.right[g, f])


_ANSWERS = {"best": _best, "cover": _cover, "votes": _votes}
