"""The failover benchmark on a small cell of each kind: rows, duels, checks that can fall short."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _failover_cells as cells  # noqa: E402
import failover  # noqa: E402

from optmodels.ensembles.failover import POLICIES  # noqa: E402


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """A cell of each kind that needs no public trace, and rows as the timed part makes them."""
    rows = []
    for part, preset in (
        ("servers", failover.USUAL),
        ("sites", failover.USUAL),
        ("presets", "fast"),
    ):
        rows += cells.perform(cells.Cell(part, 5, 0.3, preset, 0))
    head = {"part": "backups", "servers": 100, "free": 0.1, "rates": "one", "groups": 21}
    rows += [
        {**head, "policy": mode, "count": 500, "gap": 0.001, "solve_seconds": 3.0}
        for mode in failover.MODES
    ]
    return pd.DataFrame(rows)


def test_everybody_has_a_row(frame: pd.DataFrame) -> None:
    """All policies, FailLite at every headroom, the bound; none loses less than it."""
    own = frame[frame["part"] == "servers"]
    assert set(own["policy"]) == {*POLICIES, cells.BOUND}
    assert sorted(own.loc[own["policy"] == "faillite", "headroom"]) == list(cells.SWEPT)
    assert (frame["over_bound"].dropna() >= 1 - 1e-9).all()
    assert (own["recovery_rate"].dropna().between(0, 1)).all()


def test_duels_are_judged_by_hand(frame: pd.DataFrame) -> None:
    """Who recovers fewer is no rival; who recovers as many and is earlier makes the check fail."""
    table = failover.duels(frame)
    assert len(table) == 3 * len(failover.BASELINES)
    wrong = frame.copy()
    mine = (wrong["part"] == "servers") & (wrong["policy"] == cells.TUNED)
    theirs = (wrong["part"] == "servers") & (wrong["policy"] == "small-cold")
    wrong.loc[theirs, "recovery_rate"] = wrong.loc[mine, "recovery_rate"].iloc[0]
    wrong.loc[theirs, "mttr_ms"] = wrong.loc[mine, "mttr_ms"].iloc[0] - 5
    name = f"{cells.TUNED} earlier than small-cold where that recovers as many, worst cell, ms"
    [check] = [check for check in failover.checks_of(wrong) if check.name == name]
    assert check.value == pytest.approx(-5)
    assert not check.ok
    assert len(failover.behind(wrong)) == 1
    wrong.loc[theirs, "recovery_rate"] -= 0.01
    [check] = [check for check in failover.checks_of(wrong) if check.name == name]
    assert check.ok


@pytest.mark.parametrize(
    ("column", "value", "failing"),
    [
        ("over_bound", 0.99, "least lost service"),
        ("broken", 1.0, "limits broken"),
        ("gap", 0.02, "gap"),
        ("solve_seconds", 31.0, "seconds"),
    ],
)
def test_wrong_numbers_fail_their_check(
    frame: pd.DataFrame, column: str, value: float, failing: str
) -> None:
    """A number that is off fails the checks that speak of it."""
    wrong = frame.copy()
    wrong.loc[wrong[column].notna(), column] = value
    before = {check.name for check in failover.checks_of(frame) if check.ok}
    failed = [c.name for c in failover.checks_of(wrong) if not c.ok and c.name in before]
    assert failed
    assert all(failing in name for name in failed)


def test_tables_hold_the_paper_beside_us(frame: pd.DataFrame) -> None:
    """The paper's row first, ours below by kind of failure; overviews in order of lost service."""
    table = failover.paper_table(frame)
    assert table.iloc[0]["mttr_ms"] == 175.5
    assert f"servers: {cells.TUNED}" in set(table["what"])
    overview = failover.overview(frame, "servers")
    assert overview["lost_s"].is_monotonic_increasing
    assert np.isfinite(overview["lost_s"]).all()
    assert len(failover.by_size(frame, "sites")) == 1
    assert any("duels" in note for note in failover.notes_of(frame))


def test_sizes_keep_every_part() -> None:
    """Quick or full, everything that is judged is run."""
    for size in (failover.QUICK, failover.FULL):
        parts = failover.parts_of(size, 0)
        kinds = {part.part for part in parts if isinstance(part, cells.Cell)}
        assert kinds == {"servers", "sites", "events", "presets"}
        assert {p.mode for p in parts if isinstance(p, cells.Backups)} == set(failover.MODES)
    assert set(failover.FULL.servers) == {10, 30, 100}
    assert failover.FULL.free == (0.1, 0.2, 0.3, 0.4, 0.5)


def test_events_cell(shared_data: Path) -> None:
    """Real failures replayed: fewer failures than servers, some of several servers."""
    assert shared_data
    instance = cells.instance_of(cells.Cell("events", 30, 0.3, failover.USUAL, 0))
    assert 0 < len(instance.failures) < 60
