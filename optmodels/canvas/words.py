"""Words on charts: labels with units, titles that are never cut, names beside rows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optmodels.canvas.paper import axes_of, figure_of, panels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Units that names of costs end in, as a label writes them.
_UNITS = {"g": "g", "kg": "kg", "t": "t", "kwh": "kWh", "mwh": "MWh", "usd": "USD", "ms": "ms"}
_UNITS |= {"hours": "h", "kw": "kW", "mb": "MB", "gb": "GB", "j": "J", "s": "s"}
_WORDS_KEPT = ("hours",)

_POINTS_PER_INCH = 72.0
#: Largest and smallest letters beside rows, and height of a line of text in letters.
_LARGEST, _SMALLEST, _LINE = 10.0, 3.0, 1.3
#: Part of the width of a figure that names beside given axes may take, in so many lines at most.
_NAMES, _MOST_LINES = 0.45, 4
#: Room that a second axis takes with its numbers and its label [points].
_TWIN = 58.0
#: Room that numbers and label of the horizontal axis take [points].
_BELOW = 40.0
#: Numbers from here on are written without a fraction.
_WHOLE = 1000.0
#: Room between a chart and what is written beside it [points].
_GAP = 4.0
#: Letters of a name in one line; longer names are broken.
_NAME_LETTERS = 30
#: Height of a row of a figure of its own, and of what is above and below the rows [in].
_ROW, _REST = 0.3, 1.5
_FEWEST_ROWS = 3
#: Mean width of a letter, as a share of its height, on the safe side.
_WIDTH = 0.62
#: Part of the width of a figure that axes surely have, and fewest letters in a line of a title.
_SURELY, _FEWEST_LETTERS = 0.3, 10


def label(name: str) -> str:
    """Label of an axis from the name of a cost: "energy_kwh" is "energy [kWh]"."""
    *words, last = name.split("_")
    if not words or last not in _UNITS:
        return name.replace("_", " ")
    if last in _WORDS_KEPT:
        words.append(last)
    return f"{' '.join(words)} [{_UNITS[last]}]"


def plain(name: str) -> str:
    """Words of a cost without its unit: "switching_g" is "switching"."""
    *words, last = name.split("_")
    return " ".join(words if words and last in _UNITS else [*words, last])


def entitle(ax: Axes, text: str) -> None:
    """A title above the axes, in as many lines as it takes: call it when all else is drawn."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    figure = figure_of(ax)
    size = FontProperties(size=rcParams["axes.titlesize"]).get_size_in_points() * _WIDTH
    room = _SURELY * figure.get_figwidth() * _POINTS_PER_INCH
    if size * len(text) > room:
        # Only the layout knows how wide the axes are.
        figure.draw_without_rendering()
        room = ax.get_window_extent().width * _POINTS_PER_INCH / figure.dpi
    ax.set_title(broken(text, max(_FEWEST_LETTERS, int(room / size))))


def broken(text: str, letters: int = _NAME_LETTERS) -> str:
    """Text in lines of so many letters at most."""
    return "\n".join(
        line
        for part in text.split("\n")
        for line in (textwrap.wrap(part, letters, break_on_hyphens=True) or [""])
    )


def row_axes(ax: Axes | None, names: Sequence[str], *, lines: int = 1) -> Axes:
    """Axes with a row for each name, the first one on top.

    A figure of its own is as high as the rows need. In given axes, letters become smaller where
    there are many rows.

    Parameters
    ----------
    ax
        Axes to use, or None.
    names
        Names of the rows; long ones are broken into lines.
    lines
        Bars or lines of text that a row has to hold beside its name.
    """
    if ax is None:
        ax = axes_of(None)
        figure_of(ax).set_figheight(_REST + _pitch(names, lines) * max(len(names), _FEWEST_ROWS))
        texts, size = [broken(name) for name in names], _LARGEST
    else:
        texts, size = _fitted(ax, names)
    ax.set_yticks(range(len(texts)), texts, fontsize=size)
    # A single bar is not drawn fat.
    margin = 0.5 + max(0.0, (_FEWEST_ROWS - len(texts)) / 2)
    ax.set_ylim(len(texts) - 1 + margin, -margin)
    return ax


def _fitted(ax: Axes, names: Sequence[str]) -> tuple[list[str], float]:
    """Names in the lines in which their letters can be largest beside given axes."""
    figure = figure_of(ax)
    height = ax.get_position().height * figure.get_figheight() * _POINTS_PER_INCH
    width = _NAMES * figure.get_figwidth() * _POINTS_PER_INCH
    longest = max((len(name) for name in names), default=1)
    best: tuple[float, list[str]] = (0.0, [])
    for parts in range(1, _MOST_LINES + 1):
        letters = max(-(-longest // parts), _FEWEST_LETTERS)
        texts = [broken(name, letters) for name in names]
        lines = max((1 + text.count("\n") for text in texts), default=1)
        size = min(
            _LARGEST,
            height / (max(len(texts), 1) * lines * _LINE),
            width / (_WIDTH * letters),
        )
        if size > best[0]:
            best = (size, texts)
    return best[1], max(best[0], _SMALLEST)


def panels(names: Sequence[Sequence[str]]) -> list[Axes]:
    """Axes one below the other in a new figure, each high enough for rows of these names."""
    heights = [_REST + _pitch(rows) * max(len(rows), _FEWEST_ROWS) for rows in names]
    return panels_of(heights)


def _pitch(names: Sequence[str], lines: int = 1) -> float:
    """Height of a row of these names in letters of full size [in]."""
    return max(_ROW, max(lines, _lines(names)) * _LINE * _LARGEST / _POINTS_PER_INCH)


def _lines(names: Sequence[str]) -> int:
    return max((1 + broken(name).count("\n") for name in names), default=1)


def numbers_beside(ax: Axes, texts: Sequence[str], head: str) -> None:
    """A column of short texts to the right of the rows of `row_axes`, under a heading."""
    style: dict[str, Any] = {
        "xytext": (_GAP, 0),
        "textcoords": "offset points",
        "fontsize": _letters(ax),
    }
    for row, text in enumerate(texts):
        place = ax.get_yaxis_transform()
        ax.annotate(text, (1.0, row), xycoords=place, verticalalignment="center", **style)
    ax.annotate(head, (1.0, 1.0), xycoords="axes fraction", verticalalignment="bottom", **style)


def legend_beyond(ax: Axes, twin: Axes | None = None) -> None:
    """A legend to the right of what `numbers_beside` has written, or of a second axis.

    Parameters
    ----------
    ax
        The axes.
    twin
        Axes with the second vertical axis on the right, whose lines are named as well.
    """
    from matplotlib.transforms import ScaledTranslation

    letters = max((len(text.get_text()) for text in ax.texts), default=0)
    points = 2 * _GAP + _WIDTH * letters * _letters(ax) if twin is None else _TWIN
    place = ax.transAxes + ScaledTranslation(
        points / _POINTS_PER_INCH, 0, figure_of(ax).dpi_scale_trans
    )
    handles, labels = ax.get_legend_handles_labels()
    if twin is not None:
        more = twin.get_legend_handles_labels()
        handles, labels = [*handles, *more[0]], [*labels, *more[1]]
    ax.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        bbox_transform=place,
        borderaxespad=0.0,
        frameon=False,
    )


def legend_below(ax: Axes) -> None:
    """A legend in one line below the label of the horizontal axis."""
    from matplotlib.transforms import ScaledTranslation

    down = ScaledTranslation(0, -_BELOW / _POINTS_PER_INCH, figure_of(ax).dpi_scale_trans)
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=ax.transAxes + down,
        borderaxespad=0.0,
        frameon=False,
        ncols=len(ax.get_legend_handles_labels()[0]),
    )


def figures(value: float) -> str:
    """A number in about four digits, as it is written beside a row."""
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.4g}"


def _letters(ax: Axes) -> float:
    """Size of the letters beside the rows [points]."""
    ticks = ax.yaxis.get_major_ticks()
    return float(ticks[0].label1.get_fontsize()) if ticks else _LARGEST
