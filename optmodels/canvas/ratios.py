"""Policies beside the optimum: a dot for what each costs, a tick for what is proven at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from optmodels.canvas.paper import figure_of
from optmodels.canvas.words import entitle, legend_beyond, numbers_beside, row_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

#: Ratios beyond that are drawn on a logarithmic axis.
_LINEAR = 10.0
_ROOM = 0.06
#: Where arrows at the edge stand, as a share of the width.
_EDGE = 0.985


def draw_ratios(
    names: Sequence[str],
    ratios: ArrayLike,
    proven: ArrayLike,
    *,
    reference: str,
    title: str,
    ax: Axes | None = None,
) -> Figure:
    """Ratios to the optimum as dots, one row for each policy, with proven limits as ticks.

    Parameters
    ----------
    names
        Policies, from the top row down.
    ratios
        Cost over the reference; infinite ones are arrows at the edge, NaN is left out.
    proven
        Proven limits of the ratios; NaN where nothing is proven.
    reference
        What the ratios are over: "optimum", or "proven bound".
    title
        Title of the chart.
    ax
        Axes to draw into; by default those of a new figure, higher the more rows there are.
    """
    ratio = np.asarray(ratios, dtype=np.float64)
    limit = np.asarray(proven, dtype=np.float64)
    ax = row_axes(ax, names)
    place = np.arange(len(names))
    ratio_axis(ax, np.concatenate([ratio, limit]), reference)
    known, limited = np.isfinite(ratio), np.isfinite(limit)
    both = known & limited
    ax.hlines(place[both], ratio[both], limit[both], color="0.6", linewidth=1.0, zorder=2)
    ax.plot(ratio[known], place[known], "o", color="0.1", label="measured", zorder=4)
    endless = np.flatnonzero(np.isinf(ratio))
    if len(endless):
        endless_marks(ax, endless)
    if limited.any():
        ax.plot(
            limit[limited],
            place[limited],
            "|",
            color="0.1",
            markersize=12,
            markeredgewidth=2,
            label="proven limit",
            zorder=3,
        )
    texts = ["" if np.isnan(r) else "∞" if np.isinf(r) else f"{r:.3f}" for r in ratio]
    numbers_beside(ax, texts, "ratio")
    legend_beyond(ax)
    entitle(ax, title)
    return figure_of(ax)


def ratio_axis(ax: Axes, values: np.ndarray, reference: str) -> None:
    """Horizontal axis of ratios with a line at 1; logarithmic where they are far apart."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = values[np.isfinite(values)]
    most, least = (float(finite.max()), float(finite.min())) if finite.size else (1.0, 1.0)
    if most > _LINEAR and least > 0:
        low, high = min(least, 1.0), most
        margin = (high / low) ** _ROOM
        ax.set_xscale("log")
        ax.set_xlim(low / margin, high * margin)
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        low, high = min(least, 1.0), max(most, 1.0)
        margin = _ROOM * (high - low) or _ROOM
        ax.set_xlim(low - margin, high + margin)
    ax.axvline(1.0, color="0.4", linewidth=0.9, linestyle="--", zorder=1)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel(f"cost over {reference} [×]")


def endless_marks(ax: Axes, rows: ArrayLike) -> None:
    """Arrows at the right edge of rows whose ratio is endless."""
    place = np.asarray(rows, dtype=np.float64)
    ax.plot(
        np.full(place.shape, _EDGE),
        place,
        ">",
        color="0.1",
        label="endless",
        transform=ax.get_yaxis_transform(),
        zorder=4,
    )
