r"""The mathematics of applications at edge sites.

**In words.** Each application is placed on a server that is near enough to its users, or left out
at a price. A server that is on has a *filling*: how many applications of each kind it has room for.
Of a kind, no more applications are placed at a group of servers than the fillings of its servers
have room for. Servers that run already stay on, unless they may be switched off. Applications that
ran elsewhere before are moved, at a price and within a budget.

**In symbols.** Class d has :math:`n_d` applications of kind :math:`\kappa(d)`; group g has
:math:`m_g` servers, each filled in one of the ways p of :math:`P_g`.

.. math::
    \min \sum_{(d,g)} c_{dg} z_{dg} + \sum_g b_g Y_g + \sum_{(d,g)} \mu_d v_{dg}
    + M \sum_d s_d

    \text{placement}  && \sum_g z_{dg} + s_d &= n_d \\
    \text{room}       && \sum_{d: \kappa(d) = k} z_{dg} &\le \sum_p a_{pk} \lambda_{gp}
                          \quad \forall g, k \\
    \text{servers}    && \sum_p \lambda_{gp} &= Y_g, \quad m^0_g \le Y_g \le m_g \\
    \text{moves}      && z^0_{dg} - z_{dg} &\le v_{dg} \\
    \text{budget}     && \sum_{(d,g)} \sigma_d v_{dg} &\le V \\
    \text{likes}      && \sum_{g \in G_c} Y_g &= T_c \\
                      && \lambda_{gp}, Y_g, T_c &\in \mathbb{Z}_+, \quad z, s, v \ge 0

=======================  ===============  ======================================================
symbol                   name             meaning, unit
=======================  ===============  ======================================================
:math:`c_{dg}`           ``arc_price``    price of one application of class d at group g: its
                                          energy times the carbon intensity there [g]
:math:`b_g`              ``base_price``   price of a server that is on through the period [g]
:math:`\mu_d, \sigma_d`  ``move_price``,  price of moving one application [g], and its state [GB]
                         ``state_gb``
:math:`M`                ``left_price``   price of an application that is left out [g]
:math:`n_d, m_g, m^0_g`  ``count``,       applications of a class; servers of a group, and those
                         ``servers``,     that run already, if they may not be switched off
                         ``least``
:math:`a_{pk}`           ``held``         applications of kind k that filling p has room for
:math:`z^0_{dg}, V`      ``before``,      what runs at a group already, and the budget [GB]
                         ``budget_gb``
:math:`z, s`             ``placed``,      applications placed at a group, and left out
                         ``left``
:math:`Y, \lambda`       ``on``,          servers of a group that are on, and those of them with
                         ``filled``       a filling
:math:`v`                ``moved``        applications moved away from a group
:math:`G_c, T_c`         ``alike``,       groups of like servers, and how many of these are on: a
                         ``together``     stage of the search, no part of the question
=======================  ===============  ======================================================

**Nothing is lost.** One binary per application and server describes the same placements at the
same cost. A filling is what one server holds, so servers filled as :math:`\lambda` says hold what z
places: the counts can be handed out server by server, always. And for whole :math:`\lambda` the
rest is a transportation problem, from classes to kinds at groups, so that z is whole of itself;
only a budget of moves spoils that, and then z is asked to be whole. Fillings instead of sums of
resources also make the relaxation tighter: a sum would believe that eight applications of 1.5 fit
on three servers of 4, and a plan that believes it cannot be carried out.

**Like servers.** Groups of one device at one price of being on are many where sites share a grid.
The relaxation spreads a fraction of a server over them, and branching on one group only moves it to
the next. How many are on of all of them is whole as well; branching and cuts on that number go
where branching on groups does not. It says nothing new, so presolve would put the sum of the groups
in its place; of one group the fillings are summed up instead, which are not asked to be whole where
this is used, and the number stays.

The weighing of carbon intensity, energy and latency limit is CarbonEdge's (arXiv:2502.14076); the
fillings, the aggregation and the proofs are ours, checked numerically in
tests/placement/edge/test_exactness.py.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from optmodels.placement.edge.fillings import Servers
from optmodels.placement.edge.instance import EdgeInstance, IntArray
from optmodels.placement.edge.prices import Prices, carbon
from optmodels.solver.template import instance_of


@cache
def formulation(counted: bool = False) -> pyo.AbstractModel:
    """The formulation without any data in it.

    Parameters
    ----------
    counted
        Whether placed applications are asked to be whole: needed with a budget of moves only.
    """
    m = pyo.AbstractModel(name="placement.edge")
    m.classes = pyo.Set(doc="classes of applications, from 1")
    m.groups = pyo.Set(doc="groups of servers, from 1")
    m.shelves = pyo.Set(doc="a kind of application at a group of servers, from 1")
    m.arcs = pyo.Set(dimen=2, doc="a class and a group where it may run")
    m.fillings = pyo.Set(dimen=2, doc="a group and the number of a filling of its servers")
    m.contents = pyo.Set(dimen=3, doc="a shelf and a filling that has room for its kind")
    m.placed_arcs = pyo.Set(dimen=2, within=m.arcs, doc="arcs on which applications run already")
    m.budgets = pyo.Set(doc="one member where there is a budget of moves, none otherwise")
    m.alike = pyo.Set(doc="kinds of like servers whose number is whole by itself, from 1")
    m.groups_of_class = pyo.Set(m.classes, doc="groups where a class may run")
    m.arcs_of_shelf = pyo.Set(m.shelves, dimen=2, doc="arcs that need room on a shelf")
    m.fillings_of_shelf = pyo.Set(m.shelves, dimen=2, doc="fillings with room for its kind")
    m.fillings_of_group = pyo.Set(m.groups, doc="numbers of the fillings of a group")
    m.groups_of_alike = pyo.Set(m.alike, doc="groups of like servers but one")
    m.fillings_of_alike = pyo.Set(m.alike, dimen=2, doc="fillings of that one")

    m.arc_price = pyo.Param(m.arcs, mutable=True)
    m.base_price = pyo.Param(m.groups, mutable=True)
    m.move_price = pyo.Param(m.classes, mutable=True)
    m.left_price = pyo.Param(mutable=True)
    m.count = pyo.Param(m.classes, mutable=True)
    m.most_left = pyo.Param(m.classes, mutable=True, doc="applications that may be left out")
    m.servers = pyo.Param(m.groups, mutable=True)
    m.least = pyo.Param(m.groups, mutable=True, doc="servers that stay on")
    m.held = pyo.Param(m.contents)
    m.most_alike = pyo.Param(m.alike, mutable=True, doc="like servers of all groups")
    m.before = pyo.Param(m.placed_arcs, mutable=True)
    m.state_gb = pyo.Param(m.classes, mutable=True)
    m.budget_gb = pyo.Param(mutable=True)

    m.placed = pyo.Var(
        m.arcs,
        within=pyo.NonNegativeIntegers if counted else pyo.NonNegativeReals,
        # Never binding, but solvers are many times faster with variables that have both limits.
        bounds=lambda m, d, g: (0, m.count[d]),
    )
    m.left = pyo.Var(m.classes, bounds=lambda m, d: (0.0, m.most_left[d]))
    m.filled = pyo.Var(
        m.fillings, within=pyo.NonNegativeIntegers, bounds=lambda m, g, p: (0, m.servers[g])
    )
    m.on = pyo.Var(
        m.groups,
        within=pyo.NonNegativeIntegers,
        bounds=lambda m, g: (m.least[g], m.servers[g]),
    )
    m.moved = pyo.Var(m.placed_arcs, within=pyo.NonNegativeReals)
    m.together = pyo.Var(
        m.alike, within=pyo.NonNegativeIntegers, bounds=lambda m, c: (0, m.most_alike[c])
    )

    @m.Constraint(m.classes, doc="each application is placed or left out")
    def placement(m: Any, d: int) -> Any:
        return sum(m.placed[d, g] for g in m.groups_of_class[d]) + m.left[d] == m.count[d]

    @m.Constraint(m.shelves, doc="no more of a kind is placed than fillings have room for")
    def room(m: Any, r: int) -> Any:
        needed = sum(m.placed[d, g] for d, g in m.arcs_of_shelf[r])
        return needed <= sum(m.held[r, g, p] * m.filled[g, p] for g, p in m.fillings_of_shelf[r])

    @m.Constraint(m.groups, doc="every server that is on has one filling")
    def one_filling(m: Any, g: int) -> Any:
        return sum(m.filled[g, p] for p in m.fillings_of_group[g]) == m.on[g]

    @m.Constraint(m.placed_arcs, doc="what no longer runs where it ran has been moved")
    def moving(m: Any, d: int, g: int) -> Any:
        return m.before[d, g] - m.placed[d, g] <= m.moved[d, g]

    @m.Constraint(m.budgets, doc="no more state is moved than the budget allows")
    def move_budget(m: Any, one: int) -> Any:
        return sum(m.state_gb[d] * m.moved[d, g] for d, g in m.placed_arcs) <= m.budget_gb

    @m.Constraint(m.alike, doc="how many like servers are on, of all groups together")
    def likes(m: Any, c: int) -> Any:
        others = sum(m.on[g] for g in m.groups_of_alike[c])
        one = sum(m.filled[g, p] for g, p in m.fillings_of_alike[c])
        return others + one == m.together[c]

    @m.Objective(sense=pyo.minimize, doc="price of running, of servers on, of moves, of being left")
    def price(m: Any) -> Any:
        work = sum(m.arc_price[d, g] * m.placed[d, g] for d, g in m.arcs)
        base = sum(m.base_price[g] * m.on[g] for g in m.groups)
        moves = sum(m.move_price[d] * m.moved[d, g] for d, g in m.placed_arcs)
        return work + base + moves + sum(m.left_price * m.left[d] for d in m.classes)

    return m


def model_data(
    instance: EdgeInstance,
    prices: Prices | None = None,
    *,
    arcs: NDArray[np.bool_] | None = None,
    fillings: list[IntArray] | None = None,
    left_price: float | None = None,
    alike: bool = False,
) -> dict[str, Any]:
    """Data of the formulation by component name.

    Parameters
    ----------
    instance
        The question.
    prices
        Prices; by default grams of carbon.
    arcs
        Which arcs of the instance appear; by default all.
    fillings
        Fillings of each group that appear; by default all that are listed.
    left_price
        Price of leaving an application out although all must be placed: a stage of the search.
    alike
        Whether the numbers of like servers are variables, too: a stage of the search.
    """
    prices = carbon(instance) if prices is None else prices
    lists = Servers(instance).listed if fillings is None else fillings
    d, g = instance.arcs
    use = np.ones(len(d), dtype=np.bool_) if arcs is None else arcs
    d, g, price = d[use], g[use], prices.arc[use]
    classes, groups = np.arange(len(instance.classes)), np.arange(len(instance.groups))
    kinds = len(instance.kinds)
    # A shelf exists where some arc needs it.
    shelf_code = g * kinds + instance.kind[d]
    shelves, shelf = np.unique(shelf_code, return_inverse=True)
    by_shelf = np.argsort(shelf, kind="stable")
    lengths = np.array([len(one) for one in lists])
    owner = np.repeat(groups, lengths)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    counts = np.concatenate([*lists, np.zeros((0, kinds), dtype=np.int64)])
    row, kind = np.nonzero(counts)
    code = owner[row] * kinds + kind
    place = np.minimum(np.searchsorted(shelves, code), max(len(shelves) - 1, 0))
    known = shelves[place] == code if len(shelves) else np.zeros(len(code), dtype=np.bool_)
    row, kind, place = row[known], kind[known], place[known]
    order = np.argsort(place, kind="stable")
    row, kind, place = row[order], kind[order], place[order]
    before, budget = _before(instance, d, g)
    left = prices.left if left_price is None else left_price
    return {
        "classes": classes + 1,
        "groups": groups + 1,
        "shelves": np.arange(len(shelves)) + 1,
        "arcs": (d + 1, g + 1),
        "fillings": (owner + 1, number + 1),
        "contents": (place + 1, owner[row] + 1, number[row] + 1),
        "placed_arcs": (d[before > 0] + 1, g[before > 0] + 1),
        "budgets": np.arange(0 if budget is None else 1) + 1,
        "groups_of_class": (np.searchsorted(d, np.arange(len(classes) + 1)), g + 1),
        "arcs_of_shelf": (
            np.searchsorted(shelf[by_shelf], np.arange(len(shelves) + 1)),
            (d[by_shelf] + 1, g[by_shelf] + 1),
        ),
        "fillings_of_shelf": (
            np.searchsorted(place, np.arange(len(shelves) + 1)),
            (owner[row] + 1, number[row] + 1),
        ),
        "fillings_of_group": (np.append(0, np.cumsum(lengths)), number + 1),
        "arc_price": price,
        "base_price": prices.base,
        "move_price": prices.move,
        "left_price": 0.0 if left is None else left,
        "count": instance.count.astype(np.float64),
        "most_left": np.where(left is None, 0.0, instance.count),
        "servers": instance.servers.astype(np.float64),
        "least": instance.running * (0.0 if instance.parameters.switch_off else 1.0),
        "held": counts[row, kind].astype(np.float64),
        "before": before[before > 0].astype(np.float64),
        "state_gb": instance.state_gb,
        "budget_gb": 0.0 if budget is None else budget,
        **_alike(instance, prices, lengths if alike else None),
    }


def _alike(instance: EdgeInstance, prices: Prices, lengths: IntArray | None) -> dict[str, Any]:
    """Groups of one device at one price of being on, two and more; none without `lengths`.

    Of the group with the fewest fillings these stand for it.
    """
    kinds: list[IntArray] = []
    if lengths is not None:
        table = np.column_stack([instance.device, prices.base])
        _, kind = np.unique(table, axis=0, return_inverse=True)
        order = np.argsort(kind.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(kind.ravel()))
        kinds = [members for members in np.split(order, ends[:-1]) if len(members) > 1]
        kinds = [members[np.argsort(lengths[members], kind="stable")] for members in kinds]
    count = np.zeros(0, dtype=np.int64) if lengths is None else lengths
    ones = np.array([members[0] for members in kinds], dtype=np.int64)
    none = np.zeros(0, dtype=np.int64)
    others = np.concatenate([none, *(members[1:] for members in kinds)])
    number = np.concatenate([none, *(np.arange(count[one]) for one in ones)])
    return {
        "alike": np.arange(len(kinds)) + 1,
        "groups_of_alike": (
            np.cumsum([0, *(len(members) - 1 for members in kinds)]),
            others + 1,
        ),
        "fillings_of_alike": (
            np.append(0, np.cumsum(count[ones])),
            (np.repeat(ones, count[ones]) + 1, number + 1),
        ),
        "most_alike": np.array([float(instance.servers[m].sum()) for m in kinds]),
    }


def _before(instance: EdgeInstance, d: IntArray, g: IntArray) -> tuple[IntArray, float | None]:
    """What runs on each arc already, and what is left of the budget after moves without choice."""
    square = np.zeros((len(instance.classes), len(instance.groups)), dtype=np.int64)
    square[instance.placed[:, 0], instance.placed[:, 1]] = instance.placed[:, 2]
    before: IntArray = square[d, g]
    limit = instance.parameters.moves_max_gb
    if limit is None:
        return before, None
    square[d, g] = 0
    return before, float(limit) - float(instance.state_gb @ square.sum(axis=1))


def forced_moves(instance: EdgeInstance, prices: Prices) -> float:
    """Price of moving applications that may not stay where they run."""
    square = np.zeros((len(instance.classes), len(instance.groups)), dtype=np.int64)
    square[instance.placed[:, 0], instance.placed[:, 1]] = instance.placed[:, 2]
    square[instance.arcs] = 0
    return float(prices.move @ square.sum(axis=1))


def concrete_model(instance: EdgeInstance) -> pyo.ConcreteModel:
    """The formulation with the data of an instance, as an ordinary Pyomo model."""
    counted = instance.parameters.moves_max_gb is not None
    return instance_of(formulation(counted), model_data(instance), name=instance.name)
