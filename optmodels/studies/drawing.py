"""Drawings of studies.

Told apart without colour: by grey, hatching, line and marker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optmodels.canvas import axes_of, figure_of
from optmodels.studies.losses import LOSSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from optmodels.studies.advice import AdviceCurve
    from optmodels.studies.losses import Gaps

_FILLS: dict[str, dict[str, Any]] = {
    "horizon_loss": {"facecolor": "0.35", "hatch": ""},
    "forecast_loss": {"facecolor": "0.65", "hatch": "//"},
    "commitment_loss": {"facecolor": "0.9", "hatch": ".."},
}
_MARKERS = "os^Dv<>PX*"
_LINES = ("-", "--", "-.", ":")


def draw_gaps(found: Gaps, ax: Axes | None = None) -> Figure:
    """Losses of each policy as bars one behind the other; see `Gaps.plot`."""
    shares = found.shares()
    ax = axes_of(ax)
    place = np.arange(len(shares))
    start = np.zeros(len(shares))
    for loss in LOSSES:
        width = 100 * shares[loss].to_numpy()
        words = loss.replace("_", " ")
        # A policy that beats the planner goes back by what it gains.
        ax.barh(place, width, left=start, edgecolor="0", linewidth=0.6, label=words, **_FILLS[loss])
        start = start + width
    ax.plot(start, place, linestyle="", marker="D", color="0", markersize=4, label="in all")
    ax.axvline(0.0, color="0", linewidth=0.8)
    ax.set_yticks(place, shares["policy"].tolist())
    ax.invert_yaxis()
    ax.set_xlabel("above the optimum [%]")
    count = found.frame["instance"].nunique()
    ax.set_title(f"planner: {found.planner}; mean of {count} instances")
    ax.legend(loc="best", fontsize="small")
    return figure_of(ax)


def draw_advice(curve: AdviceCurve, ax: Axes | None = None) -> Figure:
    """Ratios over the quality of the advice; see `AdviceCurve.plot`."""
    ax = axes_of(ax)
    for number, (name, rows) in enumerate(curve.frame.groupby("policy", sort=False)):
        shade = str(0.0 + 0.12 * (number % 5))
        style: dict[str, Any] = {
            "color": shade,
            "marker": _MARKERS[number % len(_MARKERS)],
            "linestyle": _LINES[number % len(_LINES)],
        }
        ax.plot(rows["share"], rows["mean"], markersize=4, label=str(name), **style)
        if rows["low"].notna().all():
            ax.fill_between(rows["share"], rows["low"], rows["high"], color=shade, alpha=0.12, lw=0)
        if rows["proven_mean"].notna().all():
            ax.plot(
                rows["share"],
                rows["proven_mean"],
                color=shade,
                linewidth=0.8,
                linestyle=(0, (1, 1)),
                marker=style["marker"],
                markersize=3,
                markerfacecolor="1",
                label=f"{name}, proven",
            )
    ax.set_xlabel(f"share of {curve.kind} advice (0: perfect)")
    ax.set_ylabel("cost over optimum")
    ax.legend(fontsize="small")
    return figure_of(ax)
