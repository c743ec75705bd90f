"""Drawings of studies.

Told apart without colour: by grey, hatching, line and marker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels import registry
from optmodels.canvas import (
    axes_of,
    entitle,
    figure_of,
    legend_beyond,
    numbers_beside,
    panels,
    row_axes,
)
from optmodels.canvas.ratios import endless_marks, ratio_axis
from optmodels.comparison import OPTIMUM, ROUNDING
from optmodels.errors import UsageError
from optmodels.policy import FloatArray
from optmodels.studies.confidence import LEVEL, by_instance, summary
from optmodels.studies.losses import LOSSES
from optmodels.studies.work import DONE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from optmodels.studies.advice import AdviceCurve
    from optmodels.studies.losses import Gaps
    from optmodels.studies.results import Study

_FILLS: dict[str, dict[str, Any]] = {
    "horizon_loss": {"facecolor": "0.35", "hatch": ""},
    "forecast_loss": {"facecolor": "0.65", "hatch": "//"},
    "commitment_loss": {"facecolor": "0.9", "hatch": ".."},
}
_MARKERS = "os^Dv<>PX*"
#: Charts of a study, the usual one first.
STUDY_CHARTS = ("ratios", "savings")
#: Height of a box as a share of its row, and how far apart neighbouring dots are put in it.
_BOX, _GOLDEN = 0.5, 0.618
_LINES = ("-", "--", "-.", ":")


def draw_gaps(found: Gaps, ax: Axes | None = None) -> Figure:
    """Losses of each policy as bars one behind the other; see `Gaps.plot`."""
    shares = found.shares()
    ax = row_axes(ax, shares["policy"].tolist())
    place = np.arange(len(shares))
    start = np.zeros(len(shares))
    for loss in LOSSES:
        width = 100 * shares[loss].to_numpy()
        words = loss.replace("_", " ")
        # A policy that beats the planner goes back by what it gains.
        ax.barh(place, width, left=start, edgecolor="0", linewidth=0.6, label=words, **_FILLS[loss])
        start = start + width
    ax.plot(start, place, linestyle="", marker="D", color="0", markersize=4, label="in all")
    ax.axvline(0.0, color="0", linewidth=0.8)
    ax.set_xlabel("above the optimum [%]")
    count = found.frame["instance"].nunique()
    numbers_beside(ax, [f"{end:.1f} %" for end in start], "in all")
    legend_beyond(ax)
    entitle(ax, f"planner: {found.planner}; mean of {count} instances")
    return figure_of(ax)


def draw_advice(curve: AdviceCurve, ax: Axes | None = None) -> Figure:
    """Ratios over the quality of the advice; see `AdviceCurve.plot`."""
    ax = axes_of(ax)
    for number, (name, rows) in enumerate(curve.frame.groupby("policy", sort=False)):
        shade = str(0.0 + 0.12 * (number % 5))
        style: dict[str, Any] = {
            "color": shade,
            "marker": _MARKERS[number % len(_MARKERS)],
            "linestyle": _LINES[number % len(_LINES)],
        }
        ax.plot(rows["share"], rows["mean"], markersize=4, label=str(name), **style)
        if rows["low"].notna().all():
            ax.fill_between(rows["share"], rows["low"], rows["high"], color=shade, alpha=0.12, lw=0)
        if rows["proven_mean"].notna().all():
            ax.plot(
                rows["share"],
                rows["proven_mean"],
                color=shade,
                linewidth=0.8,
                linestyle=(0, (1, 1)),
                marker=style["marker"],
                markersize=3,
                markerfacecolor="1",
                label=f"{name}, proven",
            )
    ax.set_xlabel(f"share of {curve.kind} advice [0: perfect, 1: worst]")
    ax.set_ylabel("cost over optimum [×]")
    legend_beyond(ax)
    return figure_of(ax)


def draw_study(
    found: Study, problem: str | None = None, kind: str | None = None, ax: Axes | None = None
) -> Figure:
    """Results of policies over instances; see `Study.plot`."""
    kind = STUDY_CHARTS[0] if kind is None else kind
    if kind not in STUDY_CHARTS:
        raise UsageError.unknown("chart", kind, STUDY_CHARTS)
    problems = found.problems if problem is None else [problem]
    tables = {name: found.of(name) for name in problems}
    if ax is not None or len(problems) == 1:
        return _draw_spread(problems[0], tables[problems[0]], kind, ax)
    made = panels([_shown(table) for table in tables.values()])
    for panel, (name, table) in zip(made, tables.items(), strict=True):
        _draw_spread(name, table, kind, panel)
    return figure_of(made[0])


def _shown(table: pd.DataFrame) -> list[str]:
    """Policies with results, in the order of the rows."""
    return list(dict.fromkeys(table.loc[table["status"] == DONE, "policy"].astype(str)))


def _draw_spread(problem: str, table: pd.DataFrame, kind: str, ax: Axes | None) -> Figure:
    """Every instance as a dot, quartiles as a box, the mean with its interval as a diamond."""
    names = _shown(table)
    column, scale = ("ratio", 1.0) if kind == "ratios" else ("saving", 100.0)
    values = by_instance(table, column).reindex(columns=names) * scale
    means = summary(table, column).set_index("policy").reindex(names) * scale
    proven = _proven(table, names) if kind == "ratios" else np.full(len(names), np.nan)
    ax = row_axes(ax, names)
    known = values.to_numpy()
    if kind == "ratios":
        exact = (table.loc[table["policy"] == OPTIMUM, "ratio"] <= 1 + ROUNDING).all()
        words = OPTIMUM if exact else "optimum or its proven bound"
        ratio_axis(ax, np.append(known.ravel(), proven), words)
    else:
        ax.axvline(0.0, color="0.4", linewidth=0.9, linestyle="--", zorder=1)
        ax.grid(axis="y", color="0.9", linewidth=0.8)
        ax.set_axisbelow(True)
        ax.set_xlabel(f"saving against {registry.problem(problem).baseline} [%]")
    for row, name in enumerate(names):
        one = values[name].dropna().to_numpy()
        _draw_row(ax, row, one[np.isfinite(one)])
    endless = np.flatnonzero(np.isposinf(known).any(axis=0))
    if len(endless):
        endless_marks(ax, endless)
    mean = means["mean"].to_numpy(dtype=np.float64)
    whole = np.isfinite(mean)
    arms = np.abs(means[["low", "high"]].to_numpy(dtype=np.float64).T - mean)
    ax.errorbar(
        mean[whole],
        np.flatnonzero(whole),
        # Few instances have no interval.
        xerr=np.nan_to_num(arms[:, whole]),
        fmt="D",
        color="0",
        markersize=5,
        capsize=4,
        label=f"mean, {LEVEL:.0%} interval",
        zorder=4,
    )
    limited = np.isfinite(proven)
    if limited.any():
        style: dict[str, Any] = {"markersize": 14, "markeredgewidth": 2, "zorder": 3}
        ax.plot(
            proven[limited],
            np.flatnonzero(limited),
            "|",
            color="0",
            label="greatest proven limit",
            **style,
        )
    digits, end_of = (3, "") if kind == "ratios" else (1, " %")
    numbers_beside(ax, ["" if np.isnan(m) else f"{m:.{digits}f}{end_of}" for m in mean], "mean")
    legend_beyond(ax)
    entitle(ax, f"{problem}: {table['fingerprint'].nunique()} instances")
    return figure_of(ax)


def _draw_row(ax: Axes, row: int, values: FloatArray) -> None:
    """A box from the first to the third quartile with the median, and a dot for each value."""
    if not len(values):
        return
    low, middle, high = np.percentile(values, [25, 50, 75])
    first = row == 0
    ax.barh(
        row,
        high - low,
        left=low,
        height=_BOX,
        facecolor="0.9",
        edgecolor="0.5",
        label="quartiles, median" if first else None,
        zorder=2,
    )
    ax.vlines(middle, row - _BOX / 2, row + _BOX / 2, color="0.3", linewidth=1.5, zorder=3)
    # Beside each other, in an order that repeats, so that equal values are seen.
    aside = _BOX * ((np.arange(len(values)) * _GOLDEN) % 1 - 0.5)
    ax.plot(
        values,
        row + aside,
        "o",
        color="0.55",
        markersize=3,
        markeredgewidth=0,
        label="one instance" if first else None,
        zorder=2.5,
    )


def _proven(table: pd.DataFrame, names: list[str]) -> FloatArray:
    """Greatest proven limit of each policy; NaN where some instance has none."""
    done = table[(table["status"] == DONE) & (table["policy"] != OPTIMUM)]
    greatest = done.groupby("policy")["certified_ratio"].agg(
        lambda limits: limits.max(skipna=False)
    )
    return greatest.reindex(names).to_numpy(dtype=np.float64)
