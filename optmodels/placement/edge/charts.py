"""The chart of a placement: which site hosts how many applications, and whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.canvas import (
    axes_of,
    degrees_of,
    entitle,
    figure_of,
    legend_below,
    legend_beyond,
    map_axes,
    name_points,
    numbers_beside,
    row_axes,
)
from optmodels.placement.edge.audit import read_placement
from optmodels.placement.edge.instance import EdgeInstance, IntArray
from optmodels.plan import Plan
from optmodels.policy import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Area of the largest disc in rows and on a map, and of a cross [points²].
_IN_ROWS, _ON_MAP, _CROSS = 330.0, 700.0, 40.0
#: Width of the thinnest and of the thickest arrow [points].
_THIN, _THICK = 0.7, 3.0
_NOWHERE = -1


def stays(instance: EdgeInstance, plan: Plan) -> pd.DataFrame:
    """How many applications of which home run at which site.

    The home of an application is the site that is called like the origin of its users, else the
    site of the shortest round trip from them.

    Returns
    -------
    pandas.DataFrame
        ``home`` (None where no site is in reach of the users), ``site``, ``count``.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    names = _sites(instance)
    found = pd.DataFrame(_flows(instance, plan), index=[*names, None], columns=names)
    rows = found.stack().reset_index()
    rows.columns = pd.Index(["home", "site", "count"])
    return rows[rows["count"] > 0].reset_index(drop=True)


def placement_chart(
    instance: EdgeInstance,
    plan: Plan,
    *,
    places: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Sites with the applications that they host, and arrows from home where these went away.

    Without places every site is a row, the dirtiest on top, and its carbon intensity is to the
    right. With places it is a map, and the intensity is a colour, the lighter the dirtier.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    places
        ``site``, ``latitude`` and ``longitude`` in degrees, one row for each site; rows of other
        sites are not drawn.
    ax
        Axes to draw into; by default those of a new figure.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    InputError
        A site has no place, or a place is none.
    """
    plan.require_instance(instance)
    names = _sites(instance)
    where = None if places is None else degrees_of(names, places)
    flows = _flows(instance, plan)
    left = int(instance.count.sum() - flows.sum())
    title = f"{plan.maker} on {instance.name}"
    if left:
        title = f"{title}: {left} not placed"
    if where is None:
        return _rows(names, _intensity(instance), flows, title, ax)
    return _map(names, _intensity(instance), flows, where, title, ax)


def _sites(instance: EdgeInstance) -> list[str]:
    return [str(name) for name in instance.tables["sites"]["site"]]


def _intensity(instance: EdgeInstance) -> FloatArray:
    """Carbon intensity of every site [g/kWh]."""
    carbon = instance.tables["carbon"].set_index("zone")["carbon_g_per_kwh"]
    found: FloatArray = carbon.reindex(instance.tables["sites"]["zone"]).to_numpy(dtype=np.float64)
    return found


def _flows(instance: EdgeInstance, plan: Plan) -> IntArray:
    """Applications by home (the last row: none) and by site that hosts them."""
    names = pd.Index(_sites(instance))
    placement, _ = read_placement(instance, plan.tables)
    d, g, _, count = placement.rows.T
    host = names.get_indexer(pd.Index(instance.tables["servers"]["site"]))
    found = np.zeros((len(names) + 1, len(names)), dtype=np.int64)
    np.add.at(found, (_homes(instance, names)[d], host[g]), count)
    return found


def _homes(instance: EdgeInstance, names: pd.Index[Any]) -> IntArray:
    """Number of the home of every class of applications, -1 for none."""
    origins = instance.tables["applications"]["origin"]
    latency = instance.tables["latency"]
    nearest = latency.loc[latency.groupby("origin")["rtt_ms"].idxmin()]
    by_origin = nearest.set_index("origin")["site"]
    home = origins.where(origins.isin(names), origins.map(by_origin))
    return names.get_indexer(pd.Index(home)).astype(np.int64)


def _rows(
    names: list[str], intensity: FloatArray, flows: IntArray, title: str, ax: Axes | None
) -> Figure:
    order = np.argsort(-intensity, kind="stable")
    row = np.empty(len(names), dtype=np.int64)
    row[order] = np.arange(len(names))
    ax = row_axes(ax, [names[s] for s in order], lines=2)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    hosted, area = _discs(ax, intensity, row, flows, _IN_ROWS, {"color": "0.75"})[1:]
    ax.set_xlabel("carbon intensity [g/kWh]")
    ax.margins(x=0.1)
    _arrows(ax, intensity, row, flows, area)
    users = flows.sum(axis=1)
    numbers_beside(ax, [f"{hosted[s]} / {users[s]}" for s in order], "hosted / own")
    legend_beyond(ax)
    entitle(ax, title)
    return figure_of(ax)


def _map(
    names: list[str],
    intensity: FloatArray,
    flows: IntArray,
    where: FloatArray,
    title: str,
    ax: Axes | None,
) -> Figure:
    latitude, longitude = where.T
    ax = axes_of(ax)
    shades = {"c": intensity, "cmap": "viridis"}
    discs, hosted, area = _discs(ax, longitude, latitude, flows, _ON_MAP, shades)
    map_axes(ax, latitude)
    bar = figure_of(ax).colorbar(discs, ax=ax)
    bar.set_label("carbon intensity [g/kWh]")
    _arrows(ax, longitude, latitude, flows, area)
    legend_below(ax)
    entitle(ax, title)
    texts = [f"{name}: {count}" for name, count in zip(names, hosted, strict=True)]
    name_points(ax, longitude, latitude, texts, area)
    return figure_of(ax)


def _discs(
    ax: Axes,
    x: FloatArray,
    y: NDArray[Any],
    flows: IntArray,
    largest: float,
    shades: dict[str, Any],
) -> tuple[Any, IntArray, FloatArray]:
    """Discs of hosted applications, crosses where there are none: drawing, numbers, areas."""
    hosted = flows.sum(axis=0)
    used = hosted > 0
    area = np.where(used, np.maximum(largest * hosted / max(int(hosted.max()), 1), _CROSS), _CROSS)
    shades = {key: value[used] if key == "c" else value for key, value in shades.items()}
    if "c" in shades:
        every = np.asarray(x if not used.any() else shades["c"])
        shades |= {"vmin": float(every.min()), "vmax": float(every.max())}
    discs = ax.scatter(
        x[used], y[used], s=area[used], edgecolor="0.2", label="hosts (area)", zorder=3, **shades
    )
    if not used.all():
        ax.scatter(x[~used], y[~used], marker="x", color="0.3", label="hosts none", zorder=3)
    return discs, hosted, area


def _arrows(ax: Axes, x: FloatArray, y: NDArray[Any], flows: IntArray, area: FloatArray) -> None:
    """Arrows from the homes of applications to the sites that host them."""
    away = flows[:-1].copy()
    np.fill_diagonal(away, 0)
    most = max(int(away.max(initial=0)), 1)
    radius = np.sqrt(area / np.pi)
    for home, site in np.argwhere(away):
        ax.annotate(
            "",
            xy=(x[site], y[site]),
            xytext=(x[home], y[home]),
            arrowprops={
                "arrowstyle": "-|>",
                "connectionstyle": "arc3,rad=0.25",
                "color": "0.3",
                "linewidth": _THIN + (_THICK - _THIN) * away[home, site] / most,
                "shrinkA": radius[home],
                "shrinkB": radius[site],
            },
            zorder=2,
        )
    if away.any():
        ax.plot([], [], color="0.3", linewidth=2, label="away from home")
