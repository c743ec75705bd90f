"""When servers failed and were repaired, from published records of events.

The format is that of the trace published with InfiniteHBD (stepfun-ai/InfiniteHBD-Trace): a JSON
list of events, in the order of their times, each with ``node_id``, ``event_time`` (days since the
beginning), ``event_type`` (``fault_start`` or ``fault_end``) and ``fault_type`` (``Level``,
``Class``, ``Desc``). It tells of 400 GPU servers over 348 days; servers that never failed are not
named. A start and an end belong together if they have the same server and the same fault.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, shorten
from optmodels.json_file import read_json
from optmodels.traces.parse import MAX_FLAWS

_SUBJECT = "failures of servers"
_JSON_BYTES = 64 * 2**20
_TYPES = ("fault_start", "fault_end")
_FAULT = ("Level", "Class", "Desc")
_LARGEST_DAYS = 1e6


def read_failures(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read when servers failed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    DataFrame
        One row per fault, in the order of the starts: ``server``, ``start_days``, ``end_days``
        (NaN where it did not end), ``level``, ``fault`` and ``description``.

    Raises
    ------
    InputError
        Not of this format, events without a server or a time, ends without a start; all of it
        together.
    """
    events, label = _events(path)
    flaws: list[Flaw] = []
    open_faults: dict[tuple[str, ...], list[int]] = {}
    rows: list[dict[str, Any]] = []
    last = 0.0
    for number, event in enumerate(events, start=1):
        found = _event_flaws(event, label, number, last)
        if found:
            flaws += found[: MAX_FLAWS - len(flaws)]
            continue
        last = float(event["event_time"])
        fault = tuple(str(event["fault_type"][name]) for name in _FAULT)
        key = (event["node_id"], *fault)
        if event["event_type"] == "fault_start":
            open_faults.setdefault(key, []).append(len(rows))
            rows.append(
                {
                    "server": event["node_id"],
                    "start_days": last,
                    "end_days": np.nan,
                    **dict(zip(("level", "fault", "description"), fault, strict=True)),
                }
            )
        elif open_faults.get(key):
            rows[open_faults[key].pop(0)]["end_days"] = last
        elif len(flaws) < MAX_FLAWS:
            what = "ends a fault that has not begun"
            flaws.append(Flaw(what, label, None, f"event {number}", shorten(event["node_id"])))
    if not flaws and not rows:
        flaws.append(Flaw("has no events", file=label))
    if flaws:
        raise InputError(flaws, _SUBJECT)
    return pd.DataFrame(rows)


def _events(path: str | os.PathLike[str]) -> tuple[list[Any], str]:
    """The list of events, and the name of the file for messages."""
    label = Path(path).name
    content = read_json(path, max_bytes=_JSON_BYTES, kind="a JSON text", subject=_SUBJECT)
    if not isinstance(content, list):
        allowed = "a list of events"
        raise InputError(Flaw("is another kind of JSON", file=label, allowed=allowed), _SUBJECT)
    return content, label


def _event_flaws(event: Any, label: str, number: int, last: float) -> list[Flaw]:
    """What is wrong with one event by itself, or with its place in time."""
    where = f"event {number}"
    if not isinstance(event, dict):
        return [Flaw("is no object", label, None, where, shorten(event))]
    flaws = []
    server, time, kind = (event.get(name) for name in ("node_id", "event_time", "event_type"))
    if not isinstance(server, str) or not server:
        flaws.append(Flaw("is no name", label, None, f"{where}, node_id", server, "a text"))
    if kind not in _TYPES:
        allowed = " or ".join(_TYPES)
        flaws.append(
            Flaw("is not known", label, None, f"{where}, event_type", shorten(kind), allowed)
        )
    number_like = isinstance(time, int | float) and not isinstance(time, bool)
    if not number_like or not 0 <= time <= _LARGEST_DAYS:  # type: ignore[operator]
        allowed = f"days, 0 to {_LARGEST_DAYS:g}"
        flaws.append(
            Flaw("is no time", label, None, f"{where}, event_time", shorten(time), allowed)
        )
    elif time < last:  # type: ignore[operator]
        flaws.append(
            Flaw(
                "is before the event above it",
                label,
                None,
                f"{where}, event_time",
                time,
                f"at least {last:g}",
            )
        )
    fault = event.get("fault_type")
    if not isinstance(fault, dict) or any(name not in fault for name in _FAULT):
        allowed = f"an object with {', '.join(_FAULT)}"
        flaws.append(
            Flaw("is no fault", label, None, f"{where}, fault_type", shorten(fault), allowed)
        )
    return flaws
