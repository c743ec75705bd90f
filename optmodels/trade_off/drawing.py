"""The drawing of a front."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optmodels.canvas import axes_of, entitle, figure_of, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from optmodels.trade_off.front import Frontier

_MARGIN, _ROUNDING = 0.06, 1e-9


def draw(front: Frontier, ax: Axes | None = None) -> Figure:
    """Draw a front into axes; see `Frontier.plot`."""
    ax = axes_of(ax)
    first, second = front.objectives
    x, y = front.frame[first].to_numpy(), front.frame[second].to_numpy()
    outer_x, outer_y = front.outer[first].to_numpy(), front.outer[second].to_numpy()
    right, top = _ends(x, outer_x), _ends(y, outer_y)
    # What is dominated reaches to the edges of the drawing: up from the first point, and to the
    # right of the last one.
    ax.fill(
        [x[0], *x, right[1], right[1], x[0]],
        [top[1], *y, y[-1], top[1], top[1]],
        color="0.9",
        linewidth=0,
        label="dominated",
        zorder=1,
    )
    ax.plot(
        [outer_x[0], *outer_x, right[1]],
        [top[1], *outer_y, outer_y[-1]],
        color="0.45",
        linestyle="--",
        linewidth=1.2,
        label="no plan below (proven)",
        zorder=2,
    )
    ax.plot(x, y, color="0", marker="o", markersize=4, linewidth=1.2, label="front", zorder=3)
    ax.set_xlim(*right)
    ax.set_ylim(*top)
    ax.set_xlabel(label(first))
    ax.set_ylabel(label(second))
    ax.legend(facecolor="1", framealpha=1.0)
    entitle(ax, front.instance)
    return figure_of(ax)


def _ends(inner: np.ndarray, outer: np.ndarray) -> tuple[float, float]:
    low, high = min(inner.min(), outer.min()), max(inner.max(), outer.max())
    # Where one plan is best in both, only rounding keeps the ends apart.
    apart = high - low > _ROUNDING * abs(high)
    margin = _MARGIN * (high - low if apart else abs(high)) or 1.0
    return float(low - margin), float(high + margin)
