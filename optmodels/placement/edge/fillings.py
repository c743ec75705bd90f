"""Fillings: what one server can hold, by kind of application.

Servers that are alike and applications of one kind are interchangeable, so a server is described by
how many applications of each kind it has room for at once: its *filling*, a vector of counts. Only
maximal fillings matter, those to which nothing can be added: whatever a server holds, some maximal
filling has room for it. For the few kinds and the small servers of the edge there are dozens to
hundreds of them, which are listed. Where there would be too many they are not: then fillings are
made greedily for given prices, and what a filling can be worth at most is bounded by each resource
alone, so that bounds stay proven while plans may miss a filling that nobody thought of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice, permutations

import numpy as np
from numpy.typing import NDArray

from optmodels.placement.edge.instance import ROOM, EdgeInstance, IntArray
from optmodels.policy import FloatArray

#: Fillings of one kind of server from which on they are not listed any more.
MOST = 5000
_ORDERS = 24


@dataclass(frozen=True)
class Fillings:
    """Maximal fillings of one kind of server.

    Attributes
    ----------
    counts
        Applications of each kind, shape (P, K): all maximal fillings, or some.
    complete
        Whether these are all.
    take
        What one application of each kind takes, shape (K, 4); NaN where it cannot run.
    free
        Free resources of the server, shape (4,).
    most
        Largest number of each kind by itself, shape (K,).
    """

    counts: IntArray
    complete: bool
    take: FloatArray
    free: FloatArray
    most: IntArray

    def best(self, prices: FloatArray, limit: int = 1) -> tuple[FloatArray, list[IntArray]]:
        """Fillings of the largest value for each row of prices.

        Parameters
        ----------
        prices
            Value of one application of each kind, at least 0, shape (N, K).
        limit
            How many fillings to give for each row.

        Returns
        -------
        tuple
            What no filling is worth more than, shape (N,), and the best fillings of each row, best
            first, each of shape (≤ limit, K).
        """
        if self.complete:
            values = prices @ self.counts.T
            count = min(limit, len(self.counts))
            if count == 1:
                order = values.argmax(axis=1)[:, None]
            else:
                order = np.argsort(-values, axis=1, kind="stable")[:, :count]
            return values.max(axis=1, initial=0.0), [self.counts[row] for row in order]
        return self._ceiling(prices), [self._greedy(row)[None] for row in prices]

    def _ceiling(self, prices: FloatArray) -> FloatArray:
        """The least of what each resource alone, and the largest numbers, allow."""
        ceiling = prices @ self.most
        with np.errstate(divide="ignore", invalid="ignore"):
            density = np.where(self.take > 0, prices[:, :, None] / self.take, np.inf)
        for k in range(len(self.free)):
            # Kinds that take nothing of a resource count with their largest number.
            without = (self.most > 0) & ~(self.take[:, k] > 0)
            rest = (self.most > 0) & (self.take[:, k] > 0)
            value = prices[:, without] @ self.most[without]
            if rest.any():
                value = value + density[:, rest, k].max(axis=1) * self.free[k]
            ceiling = np.minimum(ceiling, value * (1 + ROOM) + ROOM)
        return ceiling

    def _greedy(self, price: FloatArray) -> IntArray:
        """Fill by value per scarcest share of a resource."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.nanmax(np.where(self.free > 0, self.take / self.free, 0.0), axis=1)
            worth = np.where(self.most > 0, price / np.maximum(share, 1e-12), -np.inf)
        return filled_in_order(self.take, self.free, self.most, np.argsort(-worth, kind="stable"))


def filled_in_order(
    take: FloatArray, free: FloatArray, most: IntArray, order: NDArray[np.int64]
) -> IntArray:
    """As many of each kind as there is room for, kind by kind."""
    left = free.astype(np.float64).copy()
    counts = np.zeros(len(most), dtype=np.int64)
    for kind in order.tolist():
        if most[kind] > 0:
            counts[kind] = min(int(most[kind]), int(_largest(take[kind], left[None])[0]))
            left -= counts[kind] * take[kind]
    return counts


def _largest(take: FloatArray, left: FloatArray) -> IntArray:
    """How many of one kind fit into what is left, rows (N, 4)."""
    used = take > 0
    if not used.any():
        return np.full(len(left), np.iinfo(np.int32).max, dtype=np.int64)
    room = (left[:, used] * (1 + ROOM) + ROOM) / take[used]
    number: IntArray = np.maximum(np.floor(room).min(axis=1), 0).astype(np.int64)
    return number


def fillings_of(take: FloatArray, free: FloatArray, wanted: IntArray) -> Fillings:
    """All maximal fillings of a server, or some where there are too many.

    Parameters
    ----------
    take
        What one application of each kind takes, shape (K, 4); NaN where it cannot run.
    free
        Free resources, shape (4,).
    wanted
        Applications of each kind that may come at all: no filling has more, shape (K,).
    """
    able = ~np.isnan(take).any(axis=1)
    most = np.zeros(len(take), dtype=np.int64)
    for kind in np.flatnonzero(able).tolist():
        most[kind] = min(int(wanted[kind]), int(_largest(take[kind], free[None])[0]))
    # Kinds of which most fit come last: their number follows from what is left.
    order = [int(kind) for kind in np.argsort(most, kind="stable") if most[kind] > 0]
    counts = np.zeros((1, len(take)), dtype=np.int64)
    left = free[None].astype(np.float64)
    complete = True
    for position, kind in enumerate(order):
        room = np.minimum(_largest(take[kind], left), most[kind])
        if position == len(order) - 1:
            number, row = room, np.arange(len(counts))
        else:
            if int(room.sum()) + len(room) > 20 * MOST:
                complete = False
                break
            row = np.repeat(np.arange(len(counts)), room + 1)
            number = np.arange(len(row)) - np.repeat(np.cumsum(room + 1) - room - 1, room + 1)
        counts = counts[row]
        counts[:, kind] = number
        left = left[row] - number[:, None] * take[kind]
    if complete:
        full = np.ones(len(counts), dtype=np.bool_)
        for kind in order:
            full &= (_largest(take[kind], left) == 0) | (counts[:, kind] >= most[kind])
        counts = counts[full]
        complete = len(counts) <= MOST
    if not complete:
        made = [
            filled_in_order(take, free, most, np.array(chosen))
            for chosen in islice(permutations(order), _ORDERS)
        ]
        counts = np.unique(np.stack(made), axis=0)
    return Fillings(counts, complete, take, free, most)


class Servers:
    """Fillings of all groups of servers of an instance, equal ones once."""

    def __init__(self, instance: EdgeInstance) -> None:
        self.instance = instance
        d, g = instance.arcs
        groups, kinds = len(instance.groups), len(instance.kinds)
        # No server holds more of a kind than the users who can reach it ask for. Where that is more
        # than it has room for it says nothing, and servers of one device stay alike.
        wanted = np.bincount(
            g * kinds + instance.kind[d], weights=instance.count[d], minlength=groups * kinds
        ).reshape(groups, kinds)
        alone = np.zeros((groups, kinds))
        for k in range(kinds):
            take = instance.demand[k, instance.device]
            with np.errstate(divide="ignore", invalid="ignore"):
                room = np.where(take > 0, (instance.free * (1 + ROOM) + ROOM) / take, np.inf)
            alone[:, k] = np.where(np.isnan(take).any(axis=1), 0, np.floor(room.min(axis=1)))
        most = np.minimum(wanted, alone)
        table = np.column_stack([instance.device, instance.free, most])
        distinct, self.model = np.unique(table, axis=0, return_inverse=True)
        self.model = self.model.ravel()
        self.fillings = [
            fillings_of(instance.demand[:, int(row[0])], row[1:5], row[5:].astype(np.int64))
            for row in distinct
        ]

    @property
    def complete(self) -> bool:
        """Whether all fillings of all servers are listed."""
        return all(fillings.complete for fillings in self.fillings)

    @cached_property
    def members(self) -> list[IntArray]:
        """Groups of each distinct server."""
        return [np.flatnonzero(self.model == m) for m in range(len(self.fillings))]

    def of(self, group: int) -> Fillings:
        """Fillings of the servers of a group."""
        return self.fillings[int(self.model[group])]

    @property
    def listed(self) -> list[IntArray]:
        """The listed fillings of each group."""
        return [self.of(group).counts for group in range(len(self.model))]

    @cached_property
    def most(self) -> IntArray:
        """Largest number of each kind on one server of each group, shape (G, K)."""
        return np.stack([fillings.most for fillings in self.fillings])[self.model]
