"""Charts of a selection: what is right when which servers fail, and what fills the servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels.canvas import (
    FILLS,
    entitle,
    figure_of,
    figures,
    largest_parts,
    legend_beyond,
    numbers_beside,
    row_axes,
    stacked_bars,
)
from optmodels.ensembles.selection.audit import read_members
from optmodels.ensembles.selection.evaluation import validated
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PERCENT = 100.0
_MARKERS = "os^v<>PXDp"
#: Room beside the markers, and to the right of the bars.
_MARGIN, _ROOM = 0.08, 1.04
_NOTHING, _EXPECTED, _WORST = "nothing fails", "expected", "worst case"


def accuracies_by_failure(instance: SelectionInstance, plan: Plan) -> pd.DataFrame:
    """Accuracy of every application on validation samples, by what fails.

    Returns
    -------
    pandas.DataFrame
        ``failure`` ("nothing fails"; one server each, or one scenario each where the instance has
        scenarios; then "expected" over all failures, and "worst case" as the instance defines it),
        ``application``, ``accuracy``.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    placements, _ = read_members(instance, plan.tables)
    rows: list[dict[str, Any]] = []
    for task, placement in zip(instance.tasks, placements, strict=True):
        for name, down in _failures(instance):
            alive = frozenset(m for m, s in placement if s not in down)
            value = task.accuracies.of(alive) if alive else task.fallback
            rows.append({"failure": name, "application": task.name, "accuracy": value})
        worth = validated(task, instance.servers, instance.rules, placement)
        for name, value in ((_EXPECTED, worth.expected), (_WORST, worth.worst)):
            rows.append({"failure": name, "application": task.name, "accuracy": value})
    return pd.DataFrame(rows, columns=["failure", "application", "accuracy"])


def _failures(instance: SelectionInstance) -> Iterator[tuple[str, frozenset[int]]]:
    """Failures with names: none, then those of the scenarios, or of one server each."""
    yield _NOTHING, frozenset()
    names = instance.servers.names
    table = instance.tables.get("scenarios")
    if table is None:
        for s, name in enumerate(names):
            yield f"{name} fails", frozenset([s])
        return
    for label, rows in table.groupby("scenario", sort=True):
        down = frozenset(names.index(str(name)) for name in rows["server"])
        yield f"{label}: {len(down)} down", down


def accuracy_chart(instance: SelectionInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Accuracy of every application when servers fail, a row for each failure.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    ax
        Axes to draw into; by default those of a new figure, higher the more failures there are.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    found = accuracies_by_failure(instance, plan)
    table = _PERCENT * found.pivot_table(
        index="failure", columns="application", values="accuracy", sort=False
    )
    ax = row_axes(ax, [str(name) for name in table.index])
    place = np.arange(len(table))
    share = {task.name: task.share for task in instance.tasks}
    mean = table.to_numpy() @ np.array([share[name] for name in table.columns])
    # More applications than markers are not told apart.
    many = len(table.columns) > len(_MARKERS)
    for number, name in enumerate(table.columns):
        words = None if many and number else "one application" if many else str(name)
        ax.plot(
            table[name],
            place,
            marker="." if many else _MARKERS[number],
            linestyle="",
            color="0.45" if many or number % 2 else "0.15",
            label=words,
        )
    ax.plot(mean, place, "|", color="0", markersize=16, markeredgewidth=2, label="mean by weight")
    # What sums up the failures stands apart from them.
    ax.axhline(len(table) - 2.5, color="0.6", linewidth=0.8)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.margins(x=_MARGIN)
    ax.set_xlabel("accuracy on validation samples [%]")
    numbers_beside(ax, [f"{value:.2f}" for value in mean], "mean")
    legend_beyond(ax)
    entitle(ax, f"{plan.maker} on {instance.name}")
    return figure_of(ax)


def memory_chart(instance: SelectionInstance, plan: Plan, *, ax: Axes | None = None) -> Figure:
    """Memory of the members on every server, application after application, before its capacity.

    Parameters
    ----------
    instance, plan
        The question and one of its plans.
    ax
        Axes to draw into; by default those of a new figure, higher the more servers there are.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    placements, _ = read_members(instance, plan.tables)
    servers = instance.servers
    ax = row_axes(ax, servers.names)
    ax.barh(
        np.arange(len(servers)),
        servers.capacity_mb,
        height=0.8,
        facecolor="none",
        edgecolor="0.5",
        linestyle="--",
        label="capacity",
    )
    memory = {
        task.name: task.memory(placement, len(servers))
        for task, placement in zip(instance.tasks, placements, strict=True)
    }
    _, used = stacked_bars(ax, largest_parts(memory, len(FILLS)), height=0.6)
    ax.set_xlim(0, _ROOM * max(float(servers.capacity_mb.max()), float(used.max()), 1e-9))
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("memory [MB]")
    numbers_beside(ax, [figures(float(total)) for total in used], "used")
    legend_beyond(ax)
    entitle(ax, f"{plan.maker} on {instance.name}")
    return figure_of(ax)
