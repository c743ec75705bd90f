"""Stacked bars: one row for each whole, one fill for each of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

#: Fills that are told apart without colour, one for each part.
FILLS: tuple[dict[str, Any], ...] = (
    {"facecolor": "0.35", "hatch": ""},
    {"facecolor": "0.8", "hatch": "///"},
    {"facecolor": "0.95", "hatch": "..."},
    {"facecolor": "0.6", "hatch": ""},
    {"facecolor": "1.0", "hatch": "xxx"},
    {"facecolor": "0.85", "hatch": "---"},
    {"facecolor": "0.15", "hatch": ""},
    {"facecolor": "1.0", "hatch": "|||"},
)
_EDGE = {"edgecolor": "0", "linewidth": 0.6}


def stacked_bars(
    ax: Axes,
    parts: Mapping[str, NDArray[np.float64]],
    *,
    height: float = 0.8,
    fills: Sequence[Mapping[str, Any]] = FILLS,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw parts beside each other in the rows of `row_axes`, negative ones to the left of zero.

    Parameters
    ----------
    ax
        Axes with the rows.
    parts
        Sizes of each part in every row, by the name that the legend gives it; all of one length.
    height
        Height of a bar, as a share of its row.
    fills
        How each part is drawn, again from the first where there are more parts.

    Returns
    -------
    low, high
        Where the bars of each row end, to the left of zero and to the right of it.
    """
    rows = max((len(values) for values in parts.values()), default=0)
    low, high = np.zeros(rows), np.zeros(rows)
    for number, (name, values) in enumerate(parts.items()):
        style = {**_EDGE, **fills[number % len(fills)]}
        left = np.where(values < 0, low, high)
        ax.barh(np.arange(rows), values, left=left, height=height, label=name, **style)
        low, high = low + np.minimum(values, 0.0), high + np.maximum(values, 0.0)
    return low, high


def largest_parts(
    parts: Mapping[str, NDArray[np.float64]], most: int
) -> dict[str, NDArray[np.float64]]:
    """So many parts at most: the smallest of more as one, in the order in which they were."""
    if len(parts) <= most:
        return dict(parts)
    order = sorted(parts, key=lambda name: -float(parts[name].sum()))
    rest = order[most - 1 :]
    kept = {name: values for name, values in parts.items() if name not in rest}
    return {**kept, f"{len(rest)} others": np.sum([parts[name] for name in rest], axis=0)}
