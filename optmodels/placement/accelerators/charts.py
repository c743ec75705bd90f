"""The chart of a placement: how full and how busy every node is, beside its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels.canvas import entitle, figure_of, legend_beyond, numbers_beside, row_axes
from optmodels.placement.accelerators.audit import read_placement
from optmodels.placement.accelerators.instance import AcceleratorsInstance
from optmodels.placement.accelerators.response import report
from optmodels.plan import Plan
from optmodels.policy import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PERCENT = 100.0
_ROOM = 1.05
_BAR = 0.36


def node_figures(instance: AcceleratorsInstance, plan: Plan) -> pd.DataFrame:
    """How full and how busy every node is.

    Returns
    -------
    pandas.DataFrame
        ``node``, ``apps`` (number of hosted applications), ``memory_share`` (of all memory of the
        node), ``load`` (share of the time for which its accelerator is busy, switches included),
        ``kept`` (whether all its promises are kept).

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    placement, _ = read_placement(instance, plan.tables)
    hardware = instance.hardware
    rows = []
    for node, hosted in enumerate(placement):
        device = hardware.device(node)
        found = report(device, hosted, hardware.rules)
        rows.append(
            {
                "node": hardware.nodes[node],
                "apps": len(hosted),
                "memory_share": device.memory_of(hosted) / hardware.memory_mb[node],
                "load": found.load,
                "kept": found.ok,
            }
        )
    return pd.DataFrame(rows)


def load_chart(instance: AcceleratorsInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Memory and load of every node as bars, with the limits of both.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    ax
        Axes to draw into; by default those of a new figure, higher the more nodes there are.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    found = node_figures(instance, plan)
    rules = instance.rules
    ax = row_axes(ax, found["node"].tolist(), lines=2)
    place = np.arange(len(found))
    memory = _PERCENT * found["memory_share"].to_numpy()
    load = _PERCENT * found["load"].to_numpy()
    shown: dict[str, tuple[FloatArray, float, float, dict[str, Any]]] = {
        "memory": (memory, rules.memory_share_max, -_BAR / 2, {"facecolor": "0.45"}),
        "load": (load, rules.load_max, _BAR / 2, {"facecolor": "0.92", "hatch": "///"}),
    }
    for name, (values, limit, aside, fill) in shown.items():
        ax.barh(
            place + aside, values, height=_BAR, edgecolor="0", linewidth=0.6, label=name, **fill
        )
        ax.vlines(
            np.full(len(place), _PERCENT * limit),
            place + aside - _BAR / 2,
            place + aside + _BAR / 2,
            color="0",
            linewidth=2.5,
            linestyle="-" if name == "memory" else (0, (1, 0.5)),
            label=f"limit of {name}",
        )
    ends = [memory.max(initial=0), load.max(initial=0)]
    ax.set_xlim(0, _ROOM * max(*ends, _PERCENT))
    ax.set_xlabel("share of the node [%]")
    texts = [
        f"{row.apps} apps" + ("" if row.kept else ", promises broken") for row in found.itertuples()
    ]
    numbers_beside(ax, texts, "")
    left = len(instance.applications) - int(found["apps"].sum())
    rejected = "none rejected" if left == 0 else f"{left} rejected"
    legend_beyond(ax)
    entitle(ax, f"{plan.maker} on {instance.name}: {rejected}")
    return figure_of(ax)
