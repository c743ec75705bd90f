"""Cost splits: what a total is made of, as stacked bars, one bar for each plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optmodels.canvas.bars import stacked_bars
from optmodels.canvas.paper import figure_of
from optmodels.canvas.words import entitle, figures, legend_beyond, numbers_beside, plain, row_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from optmodels.instance import Instance
    from optmodels.plan import Cost, Plan

_ROOM = 1.03
#: Numbers below the axis, which may be long.
_TICKS = 6


def cost_chart(instance: Instance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """What the cost of a plan is made of.

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
    plan.require_instance(instance)
    return draw_costs({plan.maker: plan.cost}, f"{plan.maker} on {instance.name}", ax)


def draw_costs(costs: Mapping[str, Cost], title: str, ax: Axes | None = None) -> Figure:
    """Stacked bars of the parts of several costs of one unit, with their totals beside.

    Parts that are nothing everywhere are left out. Gains (negative parts) go to the left of zero.

    Parameters
    ----------
    costs
        Costs by the name of their row, at least one.
    title
        Title of the chart.
    ax
        Axes to draw into; by default those of a new figure, higher the more rows there are.
    """
    ax = row_axes(ax, list(costs))
    names = dict.fromkeys(name for cost in costs.values() for name in cost.parts)
    parts = {
        plain(name): np.array([cost.parts.get(name, 0.0) for cost in costs.values()])
        for name in names
    }
    shown = {name: values for name, values in parts.items() if values.any()} or parts
    ends = stacked_bars(ax, shown, height=0.7)
    low, high = float(ends[0].min()), float(ends[1].max())
    ax.set_xlim(low * _ROOM, high * _ROOM if high > 0 else None if low < 0 else 1.0)
    ax.locator_params(axis="x", nbins=_TICKS)
    unit = next(iter(costs.values())).unit
    ax.set_xlabel(f"cost [{unit}]")
    totals = [cost.total for cost in costs.values()]
    numbers_beside(ax, [figures(total) for total in totals], "total")
    legend_beyond(ax)
    entitle(ax, title)
    return figure_of(ax)
