"""The benchmark of edge placement on one small month: every part, every check, wrong numbers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import carbonedge  # noqa: E402

TINY = replace(carbonedge.QUICK, applications=4, limits=(5.0, 15.0), scales=((12, 120),))


@pytest.fixture(scope="module")
def frame(shared_data: Path) -> pd.DataFrame:
    """Rows of central Europe and of one network."""
    cells = [c for c in carbonedge.cells_of(TINY, 0) if c.region == "central Europe"]
    cells.append(carbonedge.Cell("scale", sites=12, applications=120))
    return pd.DataFrame([row for cell in cells for row in carbonedge.perform(cell)])


def test_every_part_feeds_its_checks(frame: pd.DataFrame) -> None:
    """All parts are there; what must hold for any data does; savings are judged, whatever they are.

    Of the missing region nothing is known, and its checks do not hold.
    """
    checks = {check.name: check for check in carbonedge.checks_of(frame)}
    assert set(frame["part"]) == {"months", "limits", "scale"}
    for name in (
        "smallest carbon over the bound",
        "limits broken, all audits",
        "central Europe: grid zones",
        "a longer limit: largest relative rise of the carbon",
        "12 sites, 120 applications: gap",
    ):
        assert checks[name].ok, str(checks[name])
    assert not checks["United States: saving, percent, beside the paper's"].ok


@pytest.mark.parametrize(
    ("column", "value", "failing"),
    [
        ("over_bound", 0.9, "smallest carbon over the bound"),
        ("broken", 1, "limits broken, all audits"),
        ("gap", 0.1, "12 sites, 120 applications: gap"),
        ("one_way_ms", 9.0, "central Europe: added one-way latency, ms"),
        ("saving", 1.0, "central Europe: saving, percent, beside the paper's"),
    ],
)
def test_wrong_numbers_fail(frame: pd.DataFrame, column: str, value: float, failing: str) -> None:
    """Each check falls with the number that it is about."""
    wrong = frame.assign(**{column: value})
    failed = [check.name for check in carbonedge.checks_of(wrong) if not check.ok]
    assert failing in failed
