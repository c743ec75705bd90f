"""A chart of the sites of a plan, in one call: a map where places are given, bars where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.canvas import axes_of, figure_of
from optmodels.errors import Flaw, InputError
from optmodels.plan import Plan
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.figures import decisions_of
from optmodels.rightsizing.sites.instance import SitesInstance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = ("site", "latitude", "longitude")
#: Area of the largest disc of a map [points²].
_LARGEST_DISC = 900.0
#: Room around the outermost sites, as a share of the map.
_MARGIN = 0.15


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
    where = None if places is None else _degrees(instance, places)
    made = ax is None
    ax = axes_of(ax)
    if where is None:
        if made:
            figure_of(ax).set_figheight(1.5 + 0.35 * max(len(instance.sites), 4))
        _bars(ax, instance, gpus)
    else:
        _map(ax, instance, gpus, where)
    ax.set_title(f"{plan.maker} on {instance.name}: {gpus.sum():,.0f} GPUs")
    return figure_of(ax)


def _bars(ax: Axes, instance: SitesInstance, gpus: FloatArray) -> None:
    place = np.arange(len(instance.sites))
    most = instance.nameplate_kw / instance.gpu_kw
    ax.barh(place, most, color="0.92", edgecolor="0.6", label="nameplate could feed")
    ax.barh(place, gpus, color="0.3", height=0.5, label="installed")
    ax.set_yticks(place, instance.sites)
    ax.invert_yaxis()
    ax.set_xlabel("GPUs")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False)


def _map(ax: Axes, instance: SitesInstance, gpus: FloatArray, where: FloatArray) -> None:
    latitude, longitude = where.T
    used = gpus > 0
    area = _LARGEST_DISC * gpus / max(float(gpus.max()), 1e-300)
    ax.scatter(
        longitude[used],
        latitude[used],
        s=area[used],
        color="0.65",
        edgecolor="0.2",
        label="installed",
    )
    ax.scatter(longitude[~used], latitude[~used], marker="x", color="0.4", label="left empty")
    for s, name in enumerate(instance.sites):
        text = f"{name}\n{gpus[s]:,.0f} GPUs" if used[s] else name
        # Beside the disc, whatever its size.
        reach = np.sqrt(area[s] / np.pi) + 3 if used[s] else 6
        ax.annotate(
            text,
            (longitude[s], latitude[s]),
            xytext=(reach, 0),
            textcoords="offset points",
            verticalalignment="center",
            fontsize="small",
        )
    ax.margins(_MARGIN)
    # A degree of longitude is shorter the farther it is from the equator.
    middle = np.cos(np.radians(latitude.mean()))
    ax.set_aspect(1 / max(float(middle), 0.1), adjustable="datalim")
    ax.set_xlabel("longitude [°]")
    ax.set_ylabel("latitude [°]")


def _degrees(instance: SitesInstance, places: pd.DataFrame) -> FloatArray:
    """Latitude and longitude of every site, shape (S, 2)."""
    lacking = [name for name in _COLUMNS if name not in places.columns]
    if lacking:
        allowed = ", ".join(_COLUMNS)
        raise InputError(
            [Flaw("is missing", field=f"places.{n}", allowed=allowed) for n in lacking]
        )
    flaws = []
    names = places["site"].astype(str)
    degrees = np.full((len(instance.sites), 2), np.nan)
    for s, site in enumerate(instance.sites):
        rows = places[names == site]
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
