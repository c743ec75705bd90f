"""A chart of the sites of a plan, in one call: a map where places are given, bars where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.canvas import (
    axes_of,
    degrees_of,
    entitle,
    figure_of,
    legend_beyond,
    map_axes,
    name_points,
    row_axes,
)
from optmodels.plan import Plan
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.figures import decisions_of
from optmodels.rightsizing.sites.instance import SitesInstance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Area of the largest disc of a map [points²].
_LARGEST_DISC = 900.0
#: Area of a cross of a map [points²].
_CROSS = 40.0


def site_chart(
    instance: SitesInstance,
    plan: Plan,
    *,
    places: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Sites of a plan and their sizes.

    Without places every site is a bar: the GPUs that the plan installs, and behind them those that
    its nameplate could feed. With places it is a map of discs, whose areas are the installed GPUs;
    sites that the plan leaves empty are crosses.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    places
        ``site``, ``latitude`` and ``longitude`` in degrees, one row for each site; rows of other
        sites are not drawn.
    ax
        Axes to draw into; by default those of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; to keep it: ``site_chart(instance, plan).savefig("sites.png")``.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    InputError
        A site has no place, or a place is none.
    """
    gpus = decisions_of(instance, plan)[0].gpus
    where = None if places is None else degrees_of(instance.sites, places)
    ax = row_axes(ax, instance.sites) if where is None else axes_of(ax)
    if where is None:
        _bars(ax, instance, gpus)
    else:
        _map(ax, instance, gpus, where)
    entitle(ax, f"{plan.maker} on {instance.name}: {gpus.sum():,.0f} GPUs")
    if where is not None:
        _names(ax, instance, gpus, where)
    return figure_of(ax)


def _bars(ax: Axes, instance: SitesInstance, gpus: FloatArray) -> None:
    place = np.arange(len(instance.sites))
    most = instance.nameplate_kw / instance.gpu_kw
    ax.barh(place, most, color="0.92", edgecolor="0.6", label="nameplate could feed")
    ax.barh(place, gpus, color="0.3", height=0.5, label="installed")
    ax.set_xlabel("GPUs")
    ax.locator_params(axis="x", nbins=6)
    legend_beyond(ax)


def _map(ax: Axes, instance: SitesInstance, gpus: FloatArray, where: FloatArray) -> None:
    latitude, longitude = where.T
    used = gpus > 0
    area = _areas(gpus)
    ax.scatter(
        longitude[used],
        latitude[used],
        s=area[used],
        color="0.65",
        edgecolor="0.2",
        label="installed",
    )
    ax.scatter(longitude[~used], latitude[~used], marker="x", color="0.4", label="left empty")
    map_axes(ax, latitude)
    legend_beyond(ax)


def _names(ax: Axes, instance: SitesInstance, gpus: FloatArray, where: FloatArray) -> None:
    latitude, longitude = where.T
    texts = [
        f"{name}\n{count:,.0f} GPUs" if count > 0 else name
        for name, count in zip(instance.sites, gpus, strict=True)
    ]
    name_points(ax, longitude, latitude, texts, np.maximum(_areas(gpus), _CROSS))


def _areas(gpus: FloatArray) -> FloatArray:
    """Areas of discs [points²]."""
    found: FloatArray = _LARGEST_DISC * gpus / max(float(gpus.max()), 1e-300)
    return found
