"""The yardstick: each shape's arrays filled by hand, column by column, and passed to HiGHS.

Nobody should have to write this. Every entry is written once, by numpy, at its final place; nothing
is sorted, nothing is converted, row numbers within a column are in no order (HiGHS needs none).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from _compiler_models import RESOURCES, Data

Block = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Entries per column, row numbers, coefficients."""


@dataclass(frozen=True)
class Arrays:
    """What HiGHS takes."""

    cost: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    row_lower: np.ndarray
    row_upper: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    integrality: np.ndarray


def _regular(rows: Sequence[Any], values: Sequence[Any], shape: tuple[int, ...]) -> Block:
    """Columns with the same number of entries each."""
    width = len(rows)
    indices = np.empty((*shape, width), dtype=np.int32)
    numbers = np.empty((*shape, width))
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        indices[..., place] = row
        numbers[..., place] = value
    counts = np.full(int(np.prod(shape)), width, dtype=np.int32)
    return counts, indices.reshape(-1), numbers.reshape(-1)


def _stacked(blocks: Sequence[Block]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.zeros(sum(len(counts) for counts, _, _ in blocks) + 1, dtype=np.int32)
    np.cumsum(np.concatenate([counts for counts, _, _ in blocks]), out=starts[1:])
    rows = np.concatenate([rows for _, rows, _ in blocks])
    return starts, rows, np.concatenate([values for _, _, values in blocks])


def routing(d: Data) -> Arrays:
    """Columns served, unserved, up, down; rows balance, capacity, ramp."""
    S, K, T = len(d["sites"]), len(d["classes"]), len(d["slots"])
    capacity = K * T
    ramp = capacity + S * T
    rows_total = ramp + S * K * (T - 1)
    # The column of an amount served: ramp into the slot, balance, capacity, ramp out of it. The
    # first slot has no ramp into it, the last none out of it: 4 T - 2 entries per site and class.
    indices = np.empty((S, K, 4 * T - 2), dtype=np.int32)
    numbers = np.empty((S, K, 4 * T - 2))
    ramps = ramp + np.arange(S * K * (T - 1), dtype=np.int32).reshape(S, K, T - 1)
    indices[:, :, 3::4], numbers[:, :, 3::4] = ramps, 1.0
    indices[:, :, 0::4] = np.arange(K * T, dtype=np.int32).reshape(1, K, T)
    numbers[:, :, 0::4] = 1.0
    indices[:, :, 1::4] = capacity + np.arange(S * T, dtype=np.int32).reshape(S, 1, T)
    numbers[:, :, 1::4] = d["power"][:, :, None]
    indices[:, :, 2::4], numbers[:, :, 2::4] = ramps, -1.0
    counts = np.full((S, K, T), 4, dtype=np.int32)
    counts[:, :, 0] = counts[:, :, -1] = 3
    starts, rows, values = _stacked(
        [
            (counts.reshape(-1), indices.reshape(-1), numbers.reshape(-1)),
            _regular([np.arange(K * T, dtype=np.int32)], [1.0], (K * T,)),
            _regular([ramps], [-1.0], ramps.shape),
            _regular([ramps], [1.0], ramps.shape),
        ]
    )
    load_cost = d["latency"][:, :, None] + d["price"][:, None, :] * d["power"][:, :, None]
    change_cost = np.repeat(d["ramp_cost"], K * (T - 1))
    cost = np.concatenate(
        [load_cost.reshape(-1), np.repeat(d["penalty"], T), change_cost, change_cost]
    )
    row_lower, row_upper = np.zeros(rows_total), np.zeros(rows_total)
    row_lower[:capacity] = row_upper[:capacity] = d["demand"].reshape(-1)
    row_lower[capacity:ramp] = -np.inf
    row_upper[capacity:ramp] = d["power_limit"].reshape(-1)
    n = len(cost)
    nothing = np.zeros(n, dtype=np.int32)
    full = np.full(n, np.inf)
    return Arrays(cost, np.zeros(n), full, row_lower, row_upper, starts, rows, values, nothing)


def placement(d: Data) -> Arrays:
    """Columns placed, unplaced, open; rows assignment, room, link."""
    application, site = d["pairs"]
    A, J, F = len(d["applications"]), len(d["sites"]), len(site)
    link = A + RESOURCES * J
    instances = d["instances"][application]
    placed = _regular(
        [application, *(A + r * J + site for r in range(RESOURCES)), link + np.arange(F)],
        [1.0, *(d["use"][r][application] for r in range(RESOURCES)), 1.0],
        (F,),
    )
    unplaced = _regular([np.arange(A)], [1.0], (A,))
    # An open site's column: its room, then its links, which lie one after the other.
    starts_of, _ = d["applications_of"]
    by_site = np.argsort(site, kind="stable")
    counts = (np.diff(starts_of) + RESOURCES).astype(np.int32)
    begin = starts_of[:-1] + RESOURCES * np.arange(J)
    indices = np.empty(F + RESOURCES * J, dtype=np.int32)
    numbers = np.empty(len(indices))
    for r in range(RESOURCES):
        indices[begin + r] = A + r * J + np.arange(J)
        numbers[begin + r] = -d["capacity"][r]
    places = np.arange(F) + RESOURCES * (site[by_site] + 1)
    indices[places] = link + by_site
    numbers[places] = -instances[by_site]
    starts, rows, values = _stacked([placed, unplaced, (counts, indices, numbers)])
    row_lower = np.full(link + F, -np.inf)
    row_upper = np.zeros(link + F)
    row_lower[:A] = row_upper[:A] = d["instances"]
    cost = np.concatenate([d["latency"], np.full(A, d["penalty"]), d["site_cost"]])
    upper = np.concatenate([instances, np.full(A, np.inf), np.ones(J)])
    integrality = np.ones(len(cost), dtype=np.int32)
    integrality[F : F + A] = 0
    lower = np.zeros(len(cost))
    return Arrays(cost, lower, upper, row_lower, row_upper, starts, rows, values, integrality)


def scaling(d: Data) -> Arrays:
    """Columns servers, done, backlog, dropped, up, down; rows capacity, balance, switch, budget."""
    T, N = len(d["slots"]), len(d["windows"])
    slots = np.arange(T, dtype=np.int32)
    balance, switch = T, 2 * T
    budget = switch + T - 1
    window = np.repeat(np.arange(N, dtype=np.int32), np.diff(d["slots_of"][0]))
    # As in `routing`: the switch into the slot comes first, the one out of it last.
    indices = np.empty(4 * T - 2, dtype=np.int32)
    numbers = np.empty(4 * T - 2)
    indices[3::4], numbers[3::4] = switch + slots[:-1], 1.0
    indices[0::4], numbers[0::4] = slots, -1.0
    indices[1::4], numbers[1::4] = budget + window, 1.0
    indices[2::4], numbers[2::4] = switch + slots[:-1], -1.0
    counts = np.full(T, 4, dtype=np.int32)
    counts[0] = counts[-1] = 3
    waiting = np.empty(2 * T - 1, dtype=np.int32)
    waiting[0::2], waiting[1::2] = balance + slots, balance + slots[1:]
    signs = np.ones(2 * T - 1)
    signs[1::2] = -1.0
    waiting_counts = np.full(T, 2, dtype=np.int32)
    waiting_counts[-1] = 1
    starts, rows, values = _stacked(
        [
            (counts, indices, numbers),
            _regular([slots, balance + slots], [1.0, 1.0], (T,)),
            (waiting_counts, waiting, signs),
            _regular([balance + slots], [1.0], (T,)),
            _regular([switch + slots[:-1]], [-1.0], (T - 1,)),
            _regular([switch + slots[:-1]], [1.0], (T - 1,)),
        ]
    )
    row_lower, row_upper = np.zeros(budget + N), np.zeros(budget + N)
    row_lower[:T] = -np.inf
    row_lower[balance:switch] = row_upper[balance:switch] = d["demand"]
    row_lower[budget:], row_upper[budget:] = -np.inf, d["energy"]
    n = 4 * T + 2 * (T - 1)
    cost = np.zeros(n)
    cost[:T] = d["price"]
    cost[2 * T : 3 * T], cost[3 * T : 4 * T] = d["holding"], d["penalty"]
    cost[4 * T :] = d["switching"]
    upper = np.full(n, np.inf)
    upper[:T], upper[2 * T : 3 * T] = d["most_servers"], d["most_backlog"]
    nothing = np.zeros(n, dtype=np.int32)
    return Arrays(cost, np.zeros(n), upper, row_lower, row_upper, starts, rows, values, nothing)


FILLED: dict[str, Callable[[Data], Arrays]] = {
    "routing": routing,
    "placement": placement,
    "scaling": scaling,
}


def pass_arrays(a: Arrays) -> Any:
    """A HiGHS that holds the arrays."""
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    returned = highs.passModel(
        len(a.cost),
        len(a.row_lower),
        len(a.values),
        int(highspy.MatrixFormat.kColwise),
        int(highspy.ObjSense.kMinimize),
        0.0,
        a.cost,
        a.lower,
        a.upper,
        a.row_lower,
        a.row_upper,
        a.starts,
        a.rows,
        a.values,
        a.integrality,
    )
    if returned != highspy.HighsStatus.kOk:
        raise RuntimeError(f"HiGHS answers {returned} to the arrays")
    return highs
