"""Maps: places of sites in degrees, and names beside them that do not cover each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels.canvas.paper import figure_of
from optmodels.errors import Flaw, InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

COLUMNS = ("site", "latitude", "longitude")
#: Room around the outermost sites, as a share of the map.
_MARGIN = 0.15
#: Where a name may stand beside its place: to the right, then around it, then farther away.
_TURNS = (0, 180, 45, -45, 135, -135, 90, -90)
_STEPS = (3.0, 14.0, 28.0, 45.0, 65.0)
#: A name that far from its disc gets a line to it [points].
_FAR = 10.0
_LINE: dict[str, Any] = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6}
_POINTS_PER_INCH = 72.0
#: Paper around letters, so that lines below do not cross them out [points], and what is above all.
_HALO, _ON_TOP = 2.0, 6.0


def degrees_of(names: Sequence[str], places: pd.DataFrame) -> NDArray[np.float64]:
    """Latitude and longitude of every name, shape (names, 2).

    Raises
    ------
    InputError
        A column is missing, a name has no place or several, or a place is none.
    """
    lacking = [name for name in COLUMNS if name not in places.columns]
    if lacking:
        allowed = ", ".join(COLUMNS)
        raise InputError(
            [Flaw("is missing", field=f"places.{n}", allowed=allowed) for n in lacking]
        )
    flaws = []
    given = places["site"].astype(str)
    degrees = np.full((len(names), 2), np.nan)
    for s, site in enumerate(names):
        rows = places[given == site]
        if len(rows) != 1:
            what = f"has {len(rows)} places"
            flaws.append(Flaw(what, field="places.site", value=site, allowed="one row per site"))
            continue
        for i, (name, most) in enumerate((("latitude", 90), ("longitude", 180))):
            value = pd.to_numeric(rows[name], errors="coerce").iloc[0]
            if not abs(value) <= most:
                allowed = f"{-most} to {most} degrees"
                found = rows[name].iloc[0]
                where = f"places.{name} of '{site}'"
                flaws.append(Flaw("is no place", field=where, value=found, allowed=allowed))
            degrees[s, i] = value
    if flaws:
        raise InputError(flaws, "places of sites" if len(flaws) > 1 else None)
    return degrees


def map_axes(ax: Axes, latitude: NDArray[np.float64]) -> None:
    """Make the axes those of a map around these latitudes, degrees in true proportion."""
    ax.margins(_MARGIN)
    # A degree of longitude is shorter the farther it is from the equator.
    middle = np.cos(np.radians(latitude.mean()))
    ax.set_aspect(1 / max(float(middle), 0.1), adjustable="datalim")
    ax.set_xlabel("longitude [°]")
    ax.set_ylabel("latitude [°]")


def name_points(
    ax: Axes, x: ArrayLike, y: ArrayLike, texts: Sequence[str], areas: ArrayLike
) -> None:
    """Write texts beside discs, where they cover as little as possible of discs and each other.

    Parameters
    ----------
    ax
        Axes on which everything else is drawn.
    x, y
        Middles of the discs.
    texts
        A text for each disc.
    areas
        Areas of the discs [points²].
    """
    from matplotlib.patheffects import withStroke

    figure = figure_of(ax)
    # The layout decides where the discs are.
    figure.draw_without_rendering()
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    scale = figure.dpi / _POINTS_PER_INCH
    points = ax.transData.transform(np.column_stack([across, up])) / scale
    radii = np.sqrt(np.asarray(areas, dtype=np.float64) / np.pi)
    frame = np.asarray(ax.get_window_extent().extents) / scale
    taken = [np.array([*(p - r), *(p + r)]) for p, r in zip(points, radii, strict=True)]
    for i, text in enumerate(texts):
        size = _size(ax, text) / scale
        found = [
            (_cost(box, taken, frame), n, shift, box)
            for n, (shift, box) in enumerate(_boxes(points[i], radii[i], size))
        ]
        _, _, shift, box = min(found, key=lambda each: each[:2])
        taken.append(box)
        note = ax.annotate(
            text,
            (across[i], up[i]),
            xytext=tuple((box[:2] + box[2:]) / 2 - points[i]),
            textcoords="offset points",
            horizontalalignment="center",
            verticalalignment="center",
            fontsize="small",
            arrowprops=_LINE if float(np.hypot(*shift)) > radii[i] + _FAR else None,
        )
        note.set_path_effects([withStroke(linewidth=_HALO, foreground="1")])
        note.set_zorder(_ON_TOP)
        # The layout is done: a name does not move what it was put beside.
        note.set_in_layout(False)


def _size(ax: Axes, text: str) -> NDArray[np.float64]:
    """Width and height of a text [pixels]."""
    note = ax.text(0.5, 0.5, text, transform=ax.transAxes, fontsize="small")
    box = note.get_window_extent()
    note.remove()
    return np.array([box.width, box.height])


def _boxes(
    point: NDArray[np.float64], radius: float, size: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Places for a text of this size, the best first: shift of its nearest side, and its box."""
    for step in _STEPS:
        for turn in _TURNS:
            way = np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))]).round(6)
            shift = (radius + step) * way
            middle = point + shift + np.sign(way) * size / 2
            yield shift, np.array([*(middle - size / 2), *(middle + size / 2)])


def _cost(
    box: NDArray[np.float64], taken: list[NDArray[np.float64]], frame: NDArray[np.float64]
) -> float:
    """Area of a box that is covered already, or outside the frame."""
    others = np.array(taken)
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    covered = (np.maximum(width, 0) * np.maximum(height, 0)).sum()
    whole = (box[2] - box[0]) * (box[3] - box[1])
    inside = max(0.0, min(box[2], frame[2]) - max(box[0], frame[0])) * max(
        0.0, min(box[3], frame[3]) - max(box[1], frame[1])
    )
    return float(covered + whole - inside)
