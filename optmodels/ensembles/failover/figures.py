"""Frames and charts for an analyst: who was recovered how and when, and how service came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels.canvas import entitle, figure_of, legend_beyond, numbers_beside, row_axes
from optmodels.ensembles.failover.actions import NONE
from optmodels.ensembles.failover.audit import Outcome, outcome
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.plan_tables import read_recoveries, read_warm
from optmodels.errors import UsageError
from optmodels.plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PERCENT = 100.0
_FILLS: dict[str, dict[str, Any]] = {
    "down": {"facecolor": "0.25"},
    "smaller first": {"facecolor": "0.75", "hatch": "///"},
    "final": {"facecolor": "0.97"},
}
#: Bars of the chart: thickness, and margin of the time axis as a share of its length.
_BAR, _MARGIN = 0.7, 0.15


def outcomes_of(instance: FailoverInstance, plan: Plan) -> list[Outcome]:
    """What every failure does under a plan.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    warm, _ = read_warm(instance, plan.tables)
    recoveries, _ = read_recoveries(instance, plan.tables)
    return [
        outcome(instance, warm, failure, recovery)
        for failure, recovery in zip(instance.failures, recoveries, strict=True)
    ]


def timeline(instance: FailoverInstance, plan: Plan) -> pd.DataFrame:
    """Every application of every failure: what serves it, where, from when on.

    Returns
    -------
    pandas.DataFrame
        ``scenario``, ``application``, ``way`` ("warm", "cold", "progressive", "lost"),
        ``server``, ``first_model``, ``model`` (None where lost), ``up_ms`` and ``full_ms`` (when
        the first and the last replica serve; NaN where lost), ``accuracy_drop`` (relative),
        ``lost_s`` (service lost within the horizon, not weighted).

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    options = instance.candidates
    names = [options.names[j] for j in options.model.tolist()]
    rows = []
    for found in outcomes_of(instance, plan):
        for i, a in enumerate(found.failure.failed.tolist()):
            c, s, k = (int(part[i]) for part in (found.candidate, found.first, found.server))
            served = c != NONE
            way = "lost" if not served else "warm" if found.warm[i] else "cold"
            rows.append(
                {
                    "scenario": found.failure.name,
                    "application": instance.applications[a],
                    "way": "progressive" if served and s != c else way,
                    "server": instance.servers[k] if served else None,
                    "first_model": names[s] if served else None,
                    "model": names[c] if served else None,
                    "up_ms": float(found.up_ms[i]) if served else np.nan,
                    "full_ms": float(found.final_ms[i]) if served else np.nan,
                    "accuracy_drop": 1 - float(options.quality[c]) if served else np.nan,
                    "lost_s": float(found.down_ms[i] + found.degraded_ms[i]) / 1000,
                }
            )
    columns = (
        *("scenario", "application", "way", "server", "first_model", "model"),
        *("up_ms", "full_ms", "accuracy_drop", "lost_s"),
    )
    return pd.DataFrame(rows, columns=list(columns))


def plot_failover(
    instance: FailoverInstance, plan: Plan, scenario: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw what one failure does: a bar for each application, down, degraded, and whole again.

    Parameters
    ----------
    instance
        The question.
    plan
        A plan for it.
    scenario
        Name of the failure; by default the one that loses the most service.
    ax
        Axes to draw into; by default those of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, to be saved or shown.

    Raises
    ------
    UsageError
        The plan belongs to another instance, the failure is unknown, or nothing fails.
    """
    outcomes = {found.failure.name: found for found in outcomes_of(instance, plan)}
    if scenario is None:
        if not outcomes:
            raise UsageError(f"Nothing fails in {instance.name}: there is nothing to draw.")
        lost = {name: float((o.down_ms + o.degraded_ms).sum()) for name, o in outcomes.items()}
        scenario = max(lost, key=lambda name: lost[name])
    if scenario not in outcomes:
        raise UsageError.unknown("failure", scenario, outcomes)
    found = outcomes[scenario]
    return _draw(instance, found, f"{plan.maker} on {instance.name}", ax)


def _draw(instance: FailoverInstance, found: Outcome, head: str, ax: Axes | None) -> Figure:
    """Bars in the order in which applications come back, the lost ones last."""
    options, served = instance.candidates, found.recovered
    order = np.lexsort((found.final_ms, found.up_ms))
    ax = row_axes(ax, [instance.applications[a] for a in found.failure.failed[order].tolist()])
    ends = found.final_ms[served]
    end = float(ends.max()) * (1 + _MARGIN) if len(ends) else instance.horizon_ms
    quality = np.append(options.quality, 0.0)
    rows = np.arange(len(order))
    up = np.where(served, np.minimum(found.up_ms, end), end)[order]
    final = np.where(served, np.minimum(found.final_ms, end), end)[order]
    for label, start, stop in (
        ("down", np.zeros(len(order)), up),
        ("smaller first", up, final),
        ("final", final, np.full(len(order), end)),
    ):
        words = label if (stop > start).any() else None
        style: dict[str, Any] = {"height": _BAR, "edgecolor": "0", "linewidth": 0.6, "label": words}
        ax.barh(rows, stop - start, left=start, **style, **_FILLS[label])
    texts = []
    for i in order.tolist():
        loss = _PERCENT * (1 - quality[found.candidate[i]])
        way = "lost" if not served[i] else "warm" if found.warm[i] else "cold"
        texts.append(f"{way}, -{loss:.1f} %" if served[i] and loss > 0 else way)
    numbers_beside(ax, texts, "")
    ax.axvline(instance.detection_ms, color="0", linewidth=1.2, linestyle=":", label="noticed")
    ax.set_xlim(0, end)
    ax.set_xlabel("time since the failure [ms]")
    legend_beyond(ax)
    entitle(ax, f"{head}: failure of {found.failure.name}")
    return figure_of(ax)
