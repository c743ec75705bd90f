"""The chart of a plan: servers and jobs of the cluster over time, beside the carbon intensity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.canvas import entitle, figure_of, figures, legend_beyond, panels_of, time_axis
from optmodels.plan import Plan
from optmodels.policy import FloatArray
from optmodels.scaling.cluster.audit import held_servers, outcome, read_schedule
from optmodels.scaling.cluster.instance import ClusterInstance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROOM = 1.08
#: Heights of the panels of servers and of jobs [in].
_HEIGHTS = (3.8, 2.4)
_ROUNDING = 1e-9


def usage(instance: ClusterInstance, plan: Plan) -> pd.DataFrame:
    """What servers and jobs do in each slot.

    Returns
    -------
    pandas.DataFrame
        ``time``, ``carbon_g_per_kwh``, ``running`` (servers that work, on average over the slot),
        ``idle`` (servers that a job holds without working on them), ``jobs_running``,
        ``jobs_waiting`` (arrived and not done, without servers), ``jobs_late`` (not done after
        their due slot).

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    schedule, _ = read_schedule(instance, plan.tables)
    held, used = held_servers(instance, schedule)
    result = outcome(instance, schedule)
    slots = len(used)
    running = np.bincount(schedule.slot, schedule.servers * schedule.share, minlength=slots)
    at_work = np.bincount(held.slot, minlength=slots)
    step = pd.Timedelta(minutes=float(instance.parameters.slot_minutes))
    # Ends are rounded up: who ends within a slot is there in it.
    ends = np.ceil(result.finish - _ROUNDING).astype(np.int64)
    return pd.DataFrame(
        {
            "time": instance.times[0] + step * np.arange(slots),
            "carbon_g_per_kwh": instance.carbon_until(slots),
            "running": running,
            "idle": used - running,
            "jobs_running": at_work,
            "jobs_waiting": _present(instance.jobs.arrival, ends, slots) - at_work,
            "jobs_late": _present(np.minimum(instance.due, ends), ends, slots),
        }
    )


def _present(start: np.ndarray, stop: np.ndarray, slots: int) -> np.ndarray:
    """In each slot, how many intervals [start, stop) hold it."""
    change = np.zeros(slots + 1, dtype=np.int64)
    np.add.at(change, np.minimum(start, slots), 1)
    np.add.at(change, np.minimum(stop, slots), -1)
    return np.cumsum(change)[:-1]


def fleet_chart(instance: ClusterInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Servers by what they do, below the capacity, beside carbon intensity; and the jobs.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    ax
        Axes for the servers alone; by default a new figure has a panel of the jobs below them.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    found = usage(instance, plan)
    below: Axes | None = None
    if ax is None:
        ax, below = panels_of(_HEIGHTS)
    step = pd.Timedelta(minutes=float(instance.parameters.slot_minutes))
    edges = pd.DatetimeIndex([*found["time"], found["time"].iloc[-1] + step])
    _servers(ax, instance, found, edges)
    if below is not None:
        _jobs(below, found, edges)
    entitle(ax, f"{plan.maker} on {instance.name}: {figures(plan.objective)} {plan.cost.unit}")
    return figure_of(ax)


def _servers(
    ax: Axes, instance: ClusterInstance, found: pd.DataFrame, edges: pd.DatetimeIndex
) -> None:
    _stairs(ax, edges, found["running"].to_numpy(), None, "running", "0.6", "")
    if found["idle"].max() > _ROUNDING:
        top = (found["running"] + found["idle"]).to_numpy()
        _stairs(ax, edges, top, found["running"].to_numpy(), "held, idle", "0.9", "///")
    ax.axhline(instance.capacity, color="0.35", linewidth=1.0, linestyle=":", label="capacity")
    twin = ax.twinx()
    carbon = found["carbon_g_per_kwh"].to_numpy()
    twin.step(
        edges.to_pydatetime(),
        np.append(carbon, carbon[-1]),
        where="post",
        color="0",
        linewidth=1.4,
        label="carbon intensity",
    )
    time_axis(ax, edges)
    ax.set_ylim(0, _ROOM * instance.capacity)
    twin.set_ylim(0, _ROOM * max(float(carbon.max()), _ROUNDING))
    ax.set_ylabel("servers")
    twin.set_ylabel("carbon intensity [g/kWh]")
    legend_beyond(ax, twin)


def _jobs(ax: Axes, found: pd.DataFrame, edges: pd.DatetimeIndex) -> None:
    running = found["jobs_running"].to_numpy()
    present = running + found["jobs_waiting"].to_numpy()
    _stairs(ax, edges, running, None, "jobs running", "0.6", "")
    _stairs(ax, edges, present, running, "jobs waiting", "0.97", "...")
    late = found["jobs_late"].to_numpy()
    if late.any():
        moments = edges.to_pydatetime()
        ax.stairs(late, moments, baseline=None, color="0", linestyle="--", label="late jobs")
    time_axis(ax, edges)
    ax.set_ylim(0, _ROOM * max(float(present.max()), 1.0))
    ax.set_ylabel("jobs")
    legend_beyond(ax)


def _stairs(
    ax: Axes,
    edges: pd.DatetimeIndex,
    top: FloatArray,
    base: FloatArray | None,
    name: str,
    shade: str,
    hatch: str,
) -> None:
    """A filled area between steps, with a line on it."""
    ax.stairs(
        top,
        edges.to_pydatetime(),
        baseline=0 if base is None else base,
        fill=True,
        facecolor=shade,
        edgecolor="0.3",
        hatch=hatch or None,
        linewidth=0.6,
        label=name,
    )
