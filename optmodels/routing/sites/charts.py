"""Charts of a plan, one call each: power by site, requests by class, energy of each site.

Every call draws into the axes that it is given, or into a new figure, and returns the figure; to
keep it: ``power_chart(instance, plan).savefig("power.png")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels.canvas import (
    axes_of,
    colours,
    entitle,
    figure_of,
    largest_parts,
    legend_beside,
    legend_beyond,
    row_axes,
    stacked_bars,
    time_axis,
)
from optmodels.plan import Plan
from optmodels.policy import FloatArray
from optmodels.routing.sites.dispatch import Decisions, read_decisions
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.physics import Balance, balance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Areas that a stack shows one by one; the smallest of more are drawn as one.
MOST_AREAS = 9
#: Fills of the parts of a site's energy, in the order of the parts; linewidth None is the usual.
_ENERGY: dict[str, dict[str, Any]] = {
    name: {"facecolor": shade, "edgecolor": "0.2", "linewidth": None}
    for name, shade in (("wind used", "0.25"), ("imported", "0.6"), ("wind spilled", "0.9"))
}


def decisions_of(instance: RoutingInstance, plan: Plan) -> Decisions:
    """Decisions of a plan as arrays.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    return read_decisions(instance, plan.tables)[0]


def power_chart(instance: RoutingInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Power that the sites draw, one above the other, below the power that there is.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    ax
        Axes to draw into; by default those of a new figure.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    found = _balance(instance, plan)
    ax = axes_of(ax)
    _stack(ax, instance, found.draw_kw, instance.sites)
    _line(ax, instance, instance.power_kw.sum(axis=1), "wind", "-")
    if instance.backup_kw.any():
        most = instance.power_kw.sum(axis=1) + instance.backup_kw.sum()
        _line(ax, instance, most, "wind and grid", ":")
    return _finish(ax, instance, plan, "power [kW]")


def served_chart(instance: RoutingInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Requests that are served within their limits, class above class, below those that arrive.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    ax
        Axes to draw into; by default those of a new figure.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    found = _balance(instance, plan)
    ax = axes_of(ax)
    _stack(ax, instance, found.in_time.sum(axis=1), instance.classes)
    _line(ax, instance, instance.demand.sum(axis=(1, 2)), "arrivals", "-")
    return _finish(ax, instance, plan, "requests [1/s]")


def site_chart(instance: RoutingInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Energy of each site: wind that is used, imported energy, wind that is spilled.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    ax
        Axes to draw into; by default those of a new figure, higher the more sites there are.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    found = _balance(instance, plan)
    names = [f"{n} ({g:,} GPUs)" for n, g in zip(instance.sites, instance.gpus, strict=True)]
    ax = row_axes(ax, names)
    used = np.minimum(found.draw_kw, instance.power_kw)
    parts = {
        "wind used": used,
        "imported": found.draw_kw - used,
        "wind spilled": instance.power_kw - used,
    }
    if not instance.backup_kw.any():
        del parts["imported"]
    energy = {name: kw.sum(axis=0) * instance.period_hours for name, kw in parts.items()}
    stacked_bars(ax, energy, fills=[_ENERGY[name] for name in energy])
    ax.set_xlabel("energy [kWh]")
    ax.locator_params(axis="x", nbins=6)
    legend_beyond(ax)
    entitle(ax, f"{plan.maker} on {instance.name}")
    return figure_of(ax)


def _balance(instance: RoutingInstance, plan: Plan) -> Balance:
    return balance(instance, decisions_of(instance, plan))


def _ends(instance: RoutingInstance) -> pd.DatetimeIndex:
    """Starts of all periods and the end of the last."""
    last = instance.times[-1] + pd.Timedelta(seconds=instance.period_seconds)
    return pd.DatetimeIndex([*instance.times, last])


def _held(values: FloatArray) -> FloatArray:
    """Values at those times: the last period is held to its end."""
    return np.concatenate([values, values[-1:]])


def _stack(ax: Axes, instance: RoutingInstance, values: FloatArray, names: tuple[str, ...]) -> None:
    """Areas one above the other, the smallest of many drawn as one."""
    areas = largest_parts(dict(zip(names, values.T, strict=True)), MOST_AREAS)
    ax.stackplot(
        _ends(instance).to_pydatetime(),
        [_held(area) for area in areas.values()],
        labels=list(areas),
        colors=colours(len(areas)),
        step="post",
        linewidth=0,
    )


def _line(ax: Axes, instance: RoutingInstance, values: FloatArray, name: str, style: str) -> None:
    ax.step(
        _ends(instance).to_pydatetime(),
        _held(values),
        where="post",
        color="0",
        linewidth=1.2,
        linestyle=style,
        label=name,
    )


def _finish(ax: Axes, instance: RoutingInstance, plan: Plan, label: str) -> Figure:
    time_axis(ax, _ends(instance))
    ax.set_ylim(bottom=0)
    ax.set_ylabel(label)
    legend_beside(ax)
    entitle(ax, f"{plan.maker} on {instance.name}")
    return figure_of(ax)
