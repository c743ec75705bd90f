"""Where charts are drawn: axes that are given or made, colours, legends and times.

matplotlib is imported when something is drawn, not before. Figures that are made here belong to no
window and no global state, so a chart that nobody keeps is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "viridis"
# The ends of the colour map are hard to tell from black and from paper.
_ENDS = (0.08, 0.95)
_INCHES = (8.0, 4.5)


def axes_of(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=_INCHES, layout="constrained").subplots()


def figure_of(ax: Axes) -> Figure:
    """The whole figure that axes belong to."""
    from matplotlib.figure import Figure

    figure: Any = ax.figure
    found: Figure = figure if isinstance(figure, Figure) else figure.figure
    return found


def colours(count: int) -> list[Any]:
    """So many colours, from dark to light."""
    import matplotlib

    return list(matplotlib.colormaps[_COLOURS](np.linspace(*_ENDS, count)))


def legend_beside(ax: Axes) -> None:
    """A legend to the right of the axes, where it covers nothing, the topmost area first."""
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        handles[::-1],
        labels[::-1],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
    )


def time_axis(ax: Axes, times: pd.DatetimeIndex) -> None:
    """Label the horizontal axis with times in UTC, from the first to the last."""
    from matplotlib import dates

    kinds: Any = dates
    locator = kinds.AutoDateLocator(tz="UTC")
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(kinds.ConciseDateFormatter(locator, tz="UTC"))
    ends = times[[0, -1]].to_pydatetime()
    ax.set_xlim(ends[0], ends[1])
    ax.set_xlabel("time (UTC)")
