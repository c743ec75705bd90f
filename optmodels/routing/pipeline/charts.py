"""Charts of a plan, one call each: where the time of a service goes, and of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optmodels.canvas import entitle, figure_of, legend_beside, row_axes, stacked_bars
from optmodels.errors import UsageError
from optmodels.plan import Plan
from optmodels.routing.pipeline.figures import breakdown, waterfall
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.steps import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def latency_chart(
    instance: PipelineInstance,
    plan: Plan,
    *,
    service: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Latency of one service of a plan as a waterfall.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    service
        Name of the service; by default the one whose requests take longest.
    ax
        Axes to draw into; by default those of a new figure.

    Raises
    ------
    UsageError
        The plan belongs to another instance, serves nothing, or does not serve this service.
    """
    plan.require_instance(instance)
    parts = breakdown(instance, plan)
    total = parts.groupby("service", sort=False)["ms"].sum()
    if not len(total):
        raise UsageError(f"The plan of '{plan.maker}' serves nothing: there is nothing to draw.")
    if service is None:
        service = str(total.idxmax())
    if service not in total:
        raise UsageError.unknown("service", service, [str(name) for name in total.index])
    rows = parts[parts["service"] == service]
    return waterfall(rows, title=f"{service}: {plan.maker} on {instance.name}", ax=ax)


def services_chart(instance: PipelineInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Latency of every service of a plan, part beside part; services left out have no bar.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    ax
        Axes to draw into; by default those of a new figure, higher the more services there are.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    names = [service.name for service in instance.services]
    found = breakdown(instance, plan).pivot_table(
        index="service", columns="part", values="ms", aggfunc="sum", fill_value=0.0
    )
    found = found.reindex(names, fill_value=0.0)
    ax = row_axes(ax, names)
    stacked_bars(ax, {part: found[part].to_numpy() for part in PARTS if part in found})
    ax.set_xlabel("latency [ms]")
    legend_beside(ax)
    entitle(ax, f"{plan.maker} on {instance.name}")
    return figure_of(ax)
