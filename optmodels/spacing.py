"""Series of slots: every row follows the one before it after exactly one slot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place


def spacing_flaws(times: pd.Series[Any], step: pd.Timedelta, place: Place) -> list[Flaw]:
    """Rows that do not follow the one before them after exactly one slot."""
    order = np.argsort(times.to_numpy(), kind="stable")
    stamps = pd.DatetimeIndex(times.iloc[order])
    flaws = []
    # A repeated time is a repeated key, which has its flaw already.
    gaps = np.diff(stamps.asi8)
    for i in np.flatnonzero((gaps != step.as_unit("ns").value) & (gaps > 0)).tolist():
        before, after = stamps[i], stamps[i + 1]
        expected = before + step
        what = (
            f"follows a gap: {expected.isoformat()} is missing"
            if after > expected
            else f"comes too early: the slot before it starts at {before.isoformat()}"
        )
        flaws.append(
            Flaw(
                what,
                file=place.file,
                row=place.row(int(order[i + 1])),
                field="time",
                value=after.isoformat(),
                allowed=f"one row every {step.total_seconds() / 60:g} min",
                cause="rows were lost or added in editing, or slot_minutes is wrong",
                fix="restore the missing rows, or generate the instance from the trace again",
            )
        )
    return flaws
