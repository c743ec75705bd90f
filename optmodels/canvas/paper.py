"""The paper of a chart: axes that are given or made, colours, legends and times, and saving.

Figures that are made here belong to no window and no global state, so a chart that nobody keeps is
forgotten.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels.atomic import write_bytes_atomically
from optmodels.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "viridis"
# The ends of the colour map are hard to tell from black and from paper.
_ENDS = (0.08, 0.95)
#: Width and height of a figure [in].
INCHES = (8.0, 4.5)
_DPI = 150

#: Endings of file names that name a format of drawings.
DRAWINGS = (".png", ".svg", ".pdf")


def axes_of(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure."""
    if ax is not None:
        return ax
    from optmodels.canvas.sheet import Sheet

    return Sheet(figsize=INCHES, layout="constrained").subplots()


def panels_of(heights: Sequence[float]) -> list[Axes]:
    """Axes of these heights [in], one below the other in a new figure."""
    from optmodels.canvas.sheet import Sheet

    figure = Sheet(figsize=(INCHES[0], sum(heights)), layout="constrained")
    made = figure.subplots(len(heights), 1, height_ratios=list(heights), squeeze=False)
    return list(made[:, 0])


def figure_of(ax: Axes) -> Figure:
    """The whole figure that axes belong to."""
    from matplotlib.figure import Figure

    figure: Any = ax.figure
    found: Figure = figure if isinstance(figure, Figure) else figure.figure
    return found


def check_target(path: Path) -> None:
    """Refuse a file name that neither rows nor a drawing can be saved under.

    Raises
    ------
    UsageError
        The name ends in something else than .csv, .png, .svg or .pdf.
    """
    if path.suffix not in (".csv", *DRAWINGS):
        allowed = ", ".join((".csv", *DRAWINGS))
        raise UsageError(f"Results are saved as one of {allowed}, not as '{path.name}'.")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a drawing as .png, .svg or .pdf by the ending of the name, all or nothing.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    content = io.BytesIO()
    # Drawn in memory first: a drawing that fails leaves the file as it was.
    figure.savefig(content, format=path.suffix[1:], dpi=_DPI, bbox_inches="tight")
    write_bytes_atomically(path, content.getvalue())


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
