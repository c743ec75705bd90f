"""Frames and charts for an analyst, one call each.

Of served models: `transport_table` (latency of a lone request by transport), `savings_table` (what
faster transports save, by model and number of clients), `priority_table` (what a client with
priority loses to copies of others). Of a plan: `breakdown` (latency of each service, part by part)
and `load_figures` (how full everything is). `waterfall` draws a latency, part by part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.canvas import entitle, figure_of, row_axes
from optmodels.errors import UsageError
from optmodels.plan import Plan
from optmodels.routing.pipeline.audit import decision_of, load_of, steps_of
from optmodels.routing.pipeline.catalogue import MODELS, ServedModel
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.serving import Serving, prioritised
from optmodels.routing.pipeline.steps import PARTS, Steps
from optmodels.routing.pipeline.transport import DEFAULTS, Constants, Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Chains of hops that tables compare: direct, and through one proxy.
DIRECT: tuple[tuple[Kind, ...], ...] = (("tcp",), ("rdma",), ("gpudirect",), ("local",))
PROXIED: tuple[tuple[Kind, ...], ...] = (
    ("tcp", "tcp"),
    ("tcp", "rdma"),
    ("tcp", "gpudirect"),
    ("rdma", "rdma"),
    ("rdma", "gpudirect"),
)
ARROW = " → "


def chain_name(hops: Sequence[Kind]) -> str:
    """A chain of hops in words."""
    return ARROW.join(hops)


def transport_table(
    models: Iterable[ServedModel] = tuple(MODELS.values()),
    chains: Sequence[tuple[Kind, ...]] = DIRECT,
    *,
    constants: Constants = DEFAULTS,
    raw: bool = False,
) -> pd.DataFrame:
    """Latency of a lone request by model and transports.

    Parameters
    ----------
    models
        What is served.
    chains
        Transports from the client to the server; the first chain is what the others are measured
        by.
    constants
        Times of hops and copies.
    raw
        Whether the raw picture is sent.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``transports``, ``latency_ms``, ``saved_ms`` and ``saved`` (share) against the
        first chain.
    """
    rows = []
    for model in models:
        base = Serving(model, chains[0], constants, raw).alone_ms
        for hops in chains:
            latency = Serving(model, hops, constants, raw).alone_ms
            rows.append(_saving(model, hops, base, latency))
    return pd.DataFrame(rows)


def savings_table(
    models: Iterable[ServedModel] = tuple(MODELS.values()),
    clients: Sequence[int] = (1, 2, 4, 8, 16),
    chains: Sequence[tuple[Kind, ...]] = DIRECT[:3],
    *,
    constants: Constants = DEFAULTS,
    raw: bool = False,
) -> pd.DataFrame:
    """What faster transports save, by model and number of clients, in the closed model.

    Parameters
    ----------
    models, chains, constants, raw
        As of `transport_table`.
    clients
        Numbers of clients.

    Returns
    -------
    pandas.DataFrame
        As of `transport_table`, with ``clients`` and ``requests_per_s``.
    """
    rows = []
    for model in models:
        for count in clients:
            base = Serving(model, chains[0], constants, raw).response_ms(count)
            for hops in chains:
                latency = Serving(model, hops, constants, raw).response_ms(count)
                row = {"clients": count, "requests_per_s": 1e3 * count / latency}
                rows.append(_saving(model, hops, base, latency) | row)
    return pd.DataFrame(rows)


def priority_table(
    model: ServedModel,
    rate_per_s: float,
    other_rates_per_s: Sequence[float],
    chains: Sequence[tuple[Kind, ...]] = DIRECT[:3],
    *,
    constants: Constants = DEFAULTS,
) -> pd.DataFrame:
    """What a client with priority loses to another one's copies, by transport.

    Returns
    -------
    pandas.DataFrame
        ``transports``, ``other_per_s``, ``response_ms``, ``isolated_ms``, ``inversion_ms``.
    """
    rows = []
    for hops in chains:
        one = Serving(model, hops, constants)
        for rate in other_rates_per_s:
            found = prioritised(one, rate_per_s, one, rate)
            rows.append(
                {
                    "transports": chain_name(hops),
                    "other_per_s": float(rate),
                    "response_ms": found.response_ms,
                    "isolated_ms": found.isolated_ms,
                    "inversion_ms": found.inversion_ms,
                }
            )
    return pd.DataFrame(rows)


def serving_parts(serving: Serving) -> pd.DataFrame:
    """Latency of a lone request part by part: ``part``, ``ms``; they add up to it."""
    return pd.DataFrame(serving.parts(), columns=["part", "ms"])


def breakdown(instance: PipelineInstance, plan: Plan) -> pd.DataFrame:
    """Latency of each service of a plan, part by part; parts without time are left out.

    Returns
    -------
    pandas.DataFrame
        ``service``, ``position``, ``stage``, ``host``, ``transport``, ``part``, ``ms``. The parts
        of a service add up to its latency.
    """
    steps = Steps(instance)
    rows = []
    routes = decision_of(instance, plan.tables).routes
    for service, route in zip(instance.services, routes, strict=True):
        for q, step in enumerate(steps_of(steps, service, route or ())):
            visit = (route or ())[q]
            for part, ms in zip(PARTS, step.parts_ms, strict=True):
                if ms > 0:
                    rows.append(
                        {
                            "service": service.name,
                            "position": q + 1,
                            "stage": service.stages[q].name,
                            "host": instance.hosts[visit.place.host],
                            "transport": visit.kind or "",
                            "part": part,
                            "ms": ms,
                        }
                    )
    columns = ["service", "position", "stage", "host", "transport", "part", "ms"]
    return pd.DataFrame(rows, columns=columns)


def load_figures(instance: PipelineInstance, plan: Plan) -> pd.DataFrame:
    """How full every resource is that a plan uses, the fullest first.

    Returns
    -------
    pandas.DataFrame
        ``resource``, ``kind``, ``used``, ``capacity``, ``share``.
    """
    steps = Steps(instance)
    routes = decision_of(instance, plan.tables).routes
    taken = [
        None if route is None else steps_of(steps, service, route)
        for service, route in zip(instance.services, routes, strict=True)
    ]
    load, capacity = load_of(steps, taken), steps.resources.capacity
    used = np.flatnonzero(load > 0)
    frame = pd.DataFrame(
        {
            "resource": [steps.resources.name(int(r)) for r in used],
            "kind": [steps.resources.family[r] for r in used],
            "used": load[used],
            "capacity": capacity[used],
            "share": load[used] / capacity[used],
        }
    )
    return frame.sort_values("share", ascending=False, ignore_index=True)


def waterfall(
    parts: pd.DataFrame | Serving, *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a latency as a waterfall: every part starts where the one before ends.

    Parameters
    ----------
    parts
        A served model, or a frame with the columns ``part`` and ``ms`` in the order of time, such
        as `serving_parts`, or the rows of one service in `breakdown`.
    title
        Title of the chart.
    ax
        Axes to draw into; by default those of a new figure.

    Raises
    ------
    UsageError
        The frame lacks a column or has no rows, or speaks of several services.
    """
    frame = serving_parts(parts) if isinstance(parts, Serving) else parts
    _require_parts(frame)
    labels = _labels(frame)
    ax = row_axes(ax, labels)
    ms = frame["ms"].to_numpy(dtype=np.float64)
    starts = np.concatenate([[0.0], np.cumsum(ms)[:-1]])
    rows = np.arange(len(frame))
    kinds = frame["part"].tolist()
    ax.barh(rows, ms, left=starts, color=[_colour(kind) for kind in kinds], height=0.7)
    for row, start, length in zip(rows, starts, ms, strict=True):
        ax.text(float(start + length), float(row), f" {length:.3g}", va="center", fontsize="small")
    ax.set_xlim(0, float(ms.sum()) * _MARGIN)
    ax.set_xlabel(f"time since the request [ms], {ms.sum():.4g} in all")
    if title is not None:
        entitle(ax, title)
    return figure_of(ax)


_MARGIN = 1.12
#: Computing, copying, moving: light to dark.
_COLOURS = (("copy", "0.25"), ("inference", "0.8"), ("stage", "0.8"), ("preprocessing", "0.7"))


def _colour(part: str) -> str:
    return next((shade for word, shade in _COLOURS if part.startswith(word)), "0.5")


def _labels(frame: pd.DataFrame) -> list[str]:
    if "stage" not in frame:
        return [str(part) for part in frame["part"]]
    labels = []
    for stage, transport, part in zip(
        frame["stage"], frame["transport"], frame["part"], strict=True
    ):
        labels.append(
            str(stage) if part == "stage" else f"{part} ({transport})" if transport else str(part)
        )
    return labels


def _require_parts(frame: pd.DataFrame) -> None:
    for name in ("part", "ms"):
        if name not in frame:
            raise UsageError(f"The frame has no column '{name}', which a waterfall needs.")
    if not len(frame):
        raise UsageError("The frame has no rows to draw.")
    if "service" in frame and frame["service"].nunique() > 1:
        raise UsageError(
            f"The frame speaks of {frame['service'].nunique()} services. Fix: choose the rows of "
            "one of them."
        )


def _saving(
    model: ServedModel, hops: Sequence[Kind], base: float, latency: float
) -> dict[str, object]:
    return {
        "model": model.name,
        "transports": chain_name(hops),
        "latency_ms": latency,
        "saved_ms": base - latency,
        "saved": 1 - latency / base,
    }


def without_interference(constants: Constants = DEFAULTS) -> Constants:
    """The same constants with copies that disturb nobody."""
    return replace(constants, copy_interference=0.0)
