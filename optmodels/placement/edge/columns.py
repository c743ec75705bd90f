"""The relaxation by columns: only the arcs and fillings that matter, and a bound for all of them.

At the scale of a content network there are a hundred thousand arcs and as many fillings, of which
an optimum uses a few thousand. So the linear programme starts with few, and its duals say which of
the others would pay: every arc and every filling is priced, those of negative reduced cost join,
and the programme is solved again, until none is left.

The bound needs no patience. Whatever the duals are, a column that is not there can lower the value
by no more than its reduced cost times its largest amount: a class places no more than its
applications, a group has no more than its servers. So in every round

    bound = proven value of the small programme
            + sum over classes of n_d min(0, least reduced cost of an absent arc)
            + sum over groups of m_g min(0, least reduced cost of an absent filling)

holds for all placements (Lagrange; our derivation, checked in
tests/placement/edge/test_columns.py). For fillings that are too many to list, the least reduced
cost is itself bounded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optmodels.errors import NoSolutionError, SolverError
from optmodels.placement.edge.fillings import Servers
from optmodels.placement.edge.instance import EdgeInstance, IntArray
from optmodels.placement.edge.model import formulation, model_data
from optmodels.placement.edge.prices import Prices, dearest
from optmodels.placement.edge.restart import Basis, Names, basis_of, restart
from optmodels.policy import FloatArray
from optmodels.solver import LinearModel, Session, compile_model

if TYPE_CHECKING:
    from optmodels.solver.labels import Family
    from optmodels.solver.outcome import Outcome

#: Arcs of each class with which the search starts: so many of the cheapest, and as many others.
FIRST_ARCS = 8
#: Fillings of a server up to which all take part from the start.
FEW_FILLINGS = 12
#: Arcs of a class that join in one round at most.
JOINING = 15
#: Most rounds; what is missing then shows in the bound.
ROUNDS = 60
#: Prices, as multiples of the dearest way of placing one application, of leaving out what must be
#: placed: raised until nothing is left out, or it is clear that something has to be.
RAISES = (10.0, 1e3, 1e5)

_NOISE = 1e-9
# No group has as many fillings.
_SPREAD = 10**6


@dataclass(frozen=True)
class Duals:
    """What the relaxation says a thing is worth.

    Attributes
    ----------
    place
        An application that needs no place, by class, shape (D,).
    room
        Room for one more application of a kind at a group, at least 0, shape (G, K).
    server
        Reduced price of a server of a group before its filling, shape (G,).
    """

    place: FloatArray
    room: FloatArray
    server: FloatArray


@dataclass(frozen=True)
class Relaxed:
    """The relaxation, solved.

    Attributes
    ----------
    value, bound
        Value of the relaxation as far as it was solved, and a bound for all placements.
    duals
        Its duals.
    arcs
        Which arcs of the instance took part.
    fillings
        The fillings of each group that took part.
    left
        Applications left out.
    rounds
        Programmes solved.
    """

    value: float
    bound: float
    duals: Duals
    arcs: NDArray[np.bool_]
    fillings: list[IntArray]
    left: float
    rounds: int


@dataclass(frozen=True)
class Small:
    """A linear programme over some arcs and fillings.

    Attributes
    ----------
    model
        Its arrays, without integrality.
    arcs
        Positions of its arcs among those of the instance.
    fillings
        Fillings of each group.
    shelves
        Group × number of kinds + kind, for each pair of them that an arc needs.
    """

    model: LinearModel
    arcs: IntArray
    fillings: list[IntArray]
    shelves: IntArray

    def columns(self, name: str) -> IntArray:
        """Places of the members of a variable."""
        return self.model.labels.columns[name].positions

    @property
    def names(self) -> Names:
        """What its columns and rows stand for."""
        lengths = [len(one) for one in self.fillings]
        owner, ends = self.owner, np.cumsum(lengths)
        number = np.arange(len(owner)) - np.repeat(ends - lengths, lengths)
        own = {"placed": self.arcs, "filled": owner * _SPREAD + number, "room": self.shelves}
        labels = self.model.labels

        def coded(families: Mapping[str, Family]) -> dict[str, tuple[IntArray, IntArray]]:
            return {
                name: (own.get(name, np.arange(len(family.positions))), family.positions)
                for name, family in families.items()
            }

        return Names(coded(labels.columns), coded(labels.rows))

    @property
    def owner(self) -> IntArray:
        """Group of each filling."""
        lengths = [len(one) for one in self.fillings]
        return np.repeat(np.arange(len(self.fillings)), lengths)


def small_programme(
    instance: EdgeInstance,
    prices: Prices,
    arcs: NDArray[np.bool_],
    fillings: list[IntArray],
    left_price: float | None,
    *,
    alike: bool = False,
) -> Small:
    """The formulation for some arcs and fillings, without integrality.

    With `alike`, the numbers of like servers are there, too.
    """
    data = model_data(
        instance, prices, arcs=arcs, fillings=fillings, left_price=left_price, alike=alike
    )
    if left_price is not None:
        data["most_left"] = instance.count.astype(np.float64)
    compiled = compile_model(formulation(), data)
    if not isinstance(compiled, LinearModel):
        raise SolverError("The formulation did not become a linear model.")
    model = compiled.changed(integer=np.zeros(compiled.columns, dtype=np.bool_))
    d, g = (one[arcs] for one in instance.arcs)
    shelves = np.unique(g * len(instance.kinds) + instance.kind[d])
    return Small(model, np.flatnonzero(arcs), fillings, shelves)


class Columns:
    """The relaxation of one question at some prices.

    Parameters
    ----------
    instance
        The question.
    servers
        Fillings of its servers.
    prices
        Prices.
    """

    def __init__(self, instance: EdgeInstance, servers: Servers, prices: Prices) -> None:
        self.instance, self.servers, self.prices = instance, servers, prices
        self.d, self.g = instance.arcs
        self.kind = instance.kind[self.d]
        self.kinds = len(instance.kinds)
        self.starts = np.searchsorted(self.d, np.arange(len(instance.classes)))
        who, where, _ = instance.placed.T
        groups = len(instance.groups)
        #: Arcs on which applications run already: always there, for their moves hang on them.
        self.held = np.isin(self.d * groups + self.g, who * groups + where)
        self._basis: Basis | None = None
        self.busy = np.flatnonzero(np.bincount(self.d, minlength=len(instance.classes)) > 0)

    def solve(self, gap: float, deadline: float = np.inf) -> Relaxed:
        """Solve the relaxation until its bound is this close, or nothing joins any more.

        Raises
        ------
        NoSolutionError
            The time ended before the first programme was solved.
        """
        arcs, fillings = self.first_arcs(), self._first_fillings()
        found: Relaxed | None = None
        raises = RAISES if self.prices.left is None else (0.0,)
        for factor in raises:
            price = None if self.prices.left is not None else factor * dearest(self.prices)
            for _ in range(ROUNDS):
                rounds = 1 if found is None else found.rounds + 1
                found, more = self._round(arcs, fillings, price, rounds, found)
                arcs, fillings = more.arcs, more.fillings
                close = found.value - found.bound <= gap * abs(found.value) + _NOISE
                if close or not more.any or time.monotonic() > deadline:
                    break
            if found is None or found.left <= 1e-6 or time.monotonic() > deadline:
                break
        if found is None:
            raise NoSolutionError("The time ended before a relaxation was solved.")
        return found

    def _round(
        self,
        arcs: NDArray[np.bool_],
        fillings: list[IntArray],
        left_price: float | None,
        rounds: int,
        before: Relaxed | None,
    ) -> tuple[Relaxed, _Joined]:
        """Solve once, price everything, and let join what pays."""
        small = small_programme(self.instance, self.prices, arcs, fillings, left_price)
        session = self.session(small)
        outcome = session.solve()
        self._basis = basis_of(session, small.names)
        if outcome.objective is None or outcome.bound is None or outcome.x is None:
            raise NoSolutionError("A relaxation was not solved.")
        duals = self.duals(small, outcome)
        reduced = self.arc_prices(duals)
        absent = np.where(arcs, np.inf, reduced)
        lack = np.zeros(len(self.instance.classes))
        if len(absent):
            lack[self.busy] = np.minimum.reduceat(absent, self.starts[self.busy])
        bound = float(outcome.bound) + float(self.instance.count @ np.minimum(lack, 0.0))
        scale = _NOISE * (1.0 + dearest(self.prices))
        joined = _Joined(arcs.copy(), list(fillings), False)
        joined.add_arcs(self, absent, scale)
        for model, members in zip(self.servers.fillings, self.servers.members, strict=True):
            ceiling, best = model.best(duals.room[members])
            least = duals.server[members] - ceiling
            bound += float(self.instance.servers[members] @ np.minimum(least, 0.0))
            for place in np.flatnonzero(least < -scale).tolist():
                joined.add_filling(int(members[place]), best[place][0])
        if before is not None:
            bound = max(bound, before.bound)
        left = float(outcome.x[small.columns("left")].sum())
        value = float(outcome.objective)
        return Relaxed(value, min(bound, value), duals, arcs, fillings, left, rounds), joined

    def session(self, small: Small) -> Session:
        """A session that starts from the last basis, where there is one."""
        session = Session(small.model)
        if self._basis is not None:
            restart(session, small.names, self._basis)
        return session

    def duals(self, small: Small, outcome: Outcome) -> Duals:
        """Duals of a small programme by class, group and kind."""
        if outcome.row_dual is None:
            raise SolverError("A relaxation has no duals.")
        rows, y = small.model.labels.rows, outcome.row_dual
        groups = len(self.instance.groups)
        room = np.zeros((groups, self.kinds))
        room.ravel()[small.shelves] = np.abs(y[rows["room"].positions])
        # The row of a group may have been stored with either sign: that of its servers tells.
        lines, ons = rows["one_filling"].positions, small.columns("on")
        signs = np.asarray(small.model.matrix[lines, ons]).ravel()
        server = signs * y[lines]
        found = Duals(y[rows["placement"].positions].copy(), room, server)
        # Where the limit of a single column binds, its dual belongs to the class, or to the group:
        # the bound is the same, and columns that are not there are not taken for better ones.
        reduced = self.arc_prices(found)[small.arcs]
        np.minimum.at(found.place, self.d[small.arcs], found.place[self.d[small.arcs]] + reduced)
        lack = np.zeros(groups)
        np.minimum.at(lack, small.owner, self.filling_prices(found, small.fillings))
        return Duals(found.place, room, server - lack)

    def arc_prices(self, duals: Duals) -> FloatArray:
        """Reduced price of every arc that does not hold applications already."""
        reduced: FloatArray = self.prices.arc - duals.place[self.d] + duals.room[self.g, self.kind]
        return reduced

    def filling_prices(self, duals: Duals, fillings: list[IntArray]) -> FloatArray:
        """Reduced prices of fillings, group by group."""
        owner = np.repeat(np.arange(len(fillings)), [len(one) for one in fillings])
        counts = np.concatenate(fillings)
        reduced: FloatArray = duals.server[owner] - (counts * duals.room[owner]).sum(axis=1)
        return reduced

    def richer(self, found: Relaxed, limit: int, most: float) -> list[IntArray]:
        """The fillings of a relaxation and the next best ones, by reduced price."""
        fillings = list(found.fillings)
        for model, members in zip(self.servers.fillings, self.servers.members, strict=True):
            _, best = model.best(found.duals.room[members], limit)
            for group, more in zip(members.tolist(), best, strict=True):
                price = found.duals.server[group] - more @ found.duals.room[group]
                present = (more[:, None, :] == fillings[group][None]).all(axis=2).any(axis=1)
                new = more[(price <= most) & ~present]
                fillings[group] = np.concatenate([fillings[group], new])
        return fillings

    # -- the start -----------------------------------------------------------------------------

    def first_arcs(self) -> NDArray[np.bool_]:
        """Cheap arcs of each class, some others, and those of a greedy filling by shares."""
        most = self.servers.most[self.g, self.kind]
        price = self.prices.arc + self.prices.base[self.g] / np.maximum(most, 1)
        order = np.lexsort((price, self.d))
        degree = np.bincount(self.d, minlength=len(self.instance.classes))
        rank = np.arange(len(order)) - np.repeat(self.starts, degree)
        step = np.maximum(degree // FIRST_ARCS, 1)[self.d]
        chosen = np.zeros(len(order), dtype=np.bool_)
        chosen[order[(rank < FIRST_ARCS) | (rank % step == 0)]] = True
        chosen |= self.held
        self._fill_by_shares(order, most, chosen)
        return chosen

    def _fill_by_shares(self, order: IntArray, most: IntArray, chosen: NDArray[np.bool_]) -> None:
        """Mark the arcs that a greedy placement uses, servers being filled by shares."""
        left = self.instance.servers.astype(np.float64)
        ends = np.append(self.starts[1:], len(order))
        group, room = self.g[order].tolist(), most[order].tolist()
        free = left.tolist()
        reach = ends - self.starts
        for d in np.argsort(reach, kind="stable").tolist():
            need = float(self.instance.count[d])
            for i in range(int(self.starts[d]), int(ends[d])):
                if free[group[i]] <= 0.0:
                    continue
                amount = min(need, free[group[i]] * room[i])
                free[group[i]] -= amount / room[i]
                need -= amount
                chosen[order[i]] = True
                if need <= 0.0:
                    break

    def _first_fillings(self) -> list[IntArray]:
        chosen = []
        for model in self.servers.fillings:
            counts = model.counts
            if len(counts) > FEW_FILLINGS:
                best = {int(i) for i in counts.argmax(axis=0)} | {int(counts.sum(axis=1).argmax())}
                counts = counts[sorted(best)]
            chosen.append(counts)
        return [chosen[int(m)] for m in self.servers.model]


@dataclass
class _Joined:
    """Arcs and fillings of the next round."""

    arcs: NDArray[np.bool_]
    fillings: list[IntArray]
    any: bool

    def add_arcs(self, columns: Columns, absent: FloatArray, scale: float) -> None:
        """The best absent arcs of each class."""
        pays = np.flatnonzero(absent < -scale)
        pays = pays[np.lexsort((absent[pays], columns.d[pays]))]
        who = columns.d[pays]
        rank = np.arange(len(pays)) - np.searchsorted(who, who)
        joining = pays[rank < JOINING]
        self.arcs[joining] = True
        self.any |= bool(len(joining))

    def add_filling(self, group: int, filling: IntArray) -> None:
        """One filling of a group, unless it is there."""
        present = self.fillings[group]
        if not (present == filling).all(axis=1).any():
            self.fillings[group] = np.concatenate([present, filling[None]])
            self.any = True
