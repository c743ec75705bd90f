"""Whole servers from a relaxation: a dive, and an exact end where that is small enough.

The relaxation leaves a few hundred fillings fractional, in groups whose servers hold a mix of
fillings. A dive makes them whole step by step: what is there in full stays, the largest fractions
are rounded up, and the programme is solved again from its last basis, so that applications move to
where there is room now. Once all fillings are whole, the rest is a transportation problem and whole
of itself. The programme is given more than the relaxation used: the next best fillings of every
group, for a rounded server needs other company.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from optmodels.placement.edge.columns import Columns, Relaxed, Small, small_programme
from optmodels.placement.edge.instance import IntArray
from optmodels.placement.edge.packing import Filled
from optmodels.placement.edge.prices import dearest
from optmodels.policy import FloatArray

#: Fillings of each group that a dive may use beyond those of the relaxation.
MORE_FILLINGS = 4
#: Shares of the fractional fillings that are rounded up in one step, one dive each: the next one
#: is tried where the last left something out, or the gap open.
SHARES = (0.08, 0.15, 0.3)
#: Fractions from which on a filling is rounded up beyond that share.
NEARLY = 0.85
#: Arcs whose reduced price is above this multiple of the mean price of an application stay out.
DEAR = 1.0
#: Price of an application that must be placed, as a multiple of the dearest way of placing one.
LEFT = 100.0

_WHOLE = 1e-6
# Numbers of HiGHS: new columns keep a basis primal feasible, new limits dual feasible.
_PRIMAL, _DUAL = 4, 1


def dive(
    columns: Columns, relaxed: Relaxed, share: float, deadline: float = np.inf
) -> tuple[IntArray, Filled] | None:
    """Whole applications by arc and fillings by group; None where the dive leaves something out.

    Parameters
    ----------
    columns
        The question and its prices.
    relaxed
        Its relaxation.
    share
        Share of the fractional fillings that is rounded up in one step.
    deadline
        Moment at which to give up.
    """
    instance, prices = columns.instance, columns.prices
    left_price = None if prices.left is not None else LEFT * dearest(prices)
    small = core(columns, relaxed, left_price)
    fillings = small.fillings
    filled, owner = small.columns("filled"), small.owner
    model = small.model
    session = columns.session(small)
    session.set_options({"simplex_strategy": _PRIMAL})
    servers = instance.servers.astype(np.float64)
    lower, upper = model.column_lower.copy(), model.column_upper.copy()
    while True:
        outcome = session.solve()
        session.set_options({"simplex_strategy": _DUAL})
        if outcome.x is None or time.monotonic() > deadline:
            return None
        amount = outcome.x[filled]
        whole = np.floor(amount + _WHOLE)
        rest = np.where(amount - whole > _WHOLE, amount - whole, 0.0)
        if not rest.any():
            break
        low, high = np.maximum(lower[filled], whole), upper[filled]
        _round_up(low, high, rest, share, servers, owner)
        lower, upper = lower.copy(), upper.copy()
        lower[filled], upper[filled] = low, high
        model = model.changed(column_lower=lower, column_upper=upper)
        session.update(model)
    if prices.left is None and outcome.x[small.columns("left")].sum() > _WHOLE:
        return None
    placed = np.zeros(len(columns.d), dtype=np.int64)
    placed[small.arcs] = np.round(outcome.x[small.columns("placed")]).astype(np.int64)
    return placed, expanded(fillings, np.round(amount).astype(np.int64))


def core(columns: Columns, relaxed: Relaxed, left_price: float | None) -> Small:
    """The programme in which whole servers are sought: columns that are cheap by the duals.

    Parameters
    ----------
    columns, relaxed
        The question and its relaxation.
    left_price
        Price of leaving out an application that must be placed; None: it may not be.
    """
    instance, prices = columns.instance, columns.prices
    fillings = columns.richer(relaxed, MORE_FILLINGS, dearest(prices))
    mean = relaxed.value / float(instance.count.sum())
    arcs = _arcs(columns, relaxed, DEAR * mean)
    return small_programme(instance, prices, arcs, fillings, left_price)


def _arcs(columns: Columns, relaxed: Relaxed, most: float) -> NDArray[np.bool_]:
    """Arcs of a relaxation of at most this reduced price, and the cheapest one of every shelf.

    A shelf without arcs would lose its row, and with that the relaxation its basis.
    """
    price = np.where(relaxed.arcs, columns.arc_prices(relaxed.duals), np.inf)
    order = np.argsort(price, kind="stable")
    shelf = columns.g * columns.kinds + columns.kind
    _, first = np.unique(shelf[order], return_index=True)
    chosen: NDArray[np.bool_] = columns.held | (price <= most)
    chosen[order[first]] = True
    chosen &= relaxed.arcs
    return chosen


def _round_up(
    low: FloatArray,
    high: FloatArray,
    rest: FloatArray,
    share: float,
    servers: FloatArray,
    owner: IntArray,
) -> None:
    """Raise lower limits of the largest fractions, in place; no group gets servers it lacks."""
    total = np.bincount(owner, weights=low, minlength=len(servers))
    order = np.argsort(-rest, kind="stable")[: int(np.count_nonzero(rest))]
    wanted = max(1, int(share * len(order)))
    for step, i in enumerate(order.tolist()):
        if step >= wanted and rest[i] < NEARLY:
            break
        if total[owner[i]] + 1 <= servers[owner[i]]:
            low[i] += 1
            total[owner[i]] += 1
        else:
            high[i] = low[i]


def expanded(fillings: list[IntArray], amount: IntArray) -> Filled:
    """One row per server that is on, for each group, from how often each filling is used."""
    ends = np.cumsum([len(one) for one in fillings])
    parts = np.split(amount, ends[:-1])
    return [np.repeat(one, number, axis=0) for one, number in zip(fillings, parts, strict=True)]
