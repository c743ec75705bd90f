"""The chart of a plan: servers over time, beside the carbon intensity that they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.canvas import axes_of, entitle, figure_of, figures, legend_beyond, time_axis
from optmodels.plan import Plan
from optmodels.scaling.job.instance import JobInstance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROOM = 1.08


def schedule_chart(instance: JobInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Servers in each slot until the deadline, with the carbon intensity on a second axis.

    A slot that is divided between numbers of servers is drawn at its average.

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
    ax = axes_of(ax)
    servers = plan.tables["schedule"]["servers"].to_numpy(dtype=np.float64)
    end = instance.times[-1] + pd.Timedelta(hours=instance.slot_hours)
    edges = pd.DatetimeIndex([*instance.times, end])
    moments = edges.to_pydatetime()
    ax.stairs(servers, moments, fill=True, color="0.75", label="servers")
    ax.stairs(servers, moments, color="0.35", linewidth=0.8)
    ax.axhline(instance.cap, color="0.35", linewidth=1.0, linestyle=":", label="most servers")
    twin = ax.twinx()
    carbon = np.append(instance.carbon, instance.carbon[-1])
    twin.step(moments, carbon, where="post", color="0", linewidth=1.4, label="carbon intensity")
    time_axis(ax, edges)
    ax.set_ylim(0, _ROOM * instance.cap)
    twin.set_ylim(0, _ROOM * max(float(carbon.max()), 1e-9))
    ax.set_ylabel("servers")
    twin.set_ylabel("carbon intensity [g/kWh]")
    legend_beyond(ax, twin)
    entitle(ax, f"{plan.maker} on {instance.name}: {figures(plan.objective)} {plan.cost.unit}")
    return figure_of(ax)
