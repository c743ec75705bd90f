"""The benchmark of serving pipelines at its smallest: every part, every check, wrong numbers."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import pipeline  # noqa: E402
from _harness import Report, _as_json, machine  # noqa: E402

TINY = replace(pipeline.QUICK, scales=(pipeline.Scale(3, 10, 2, 5.0),), rules=1, single=1)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Rows of all parts."""
    tasks = pipeline.tasks_of(TINY, 0)
    return pd.DataFrame([row for task in tasks for row in pipeline.perform(task)])


def test_every_check_is_judged_and_holds(frame: pd.DataFrame) -> None:
    """Each part feeds its checks; none is empty, and none fails on sound code."""
    checks = pipeline.checks_of(frame, TINY.widest_gap)
    assert len(checks) == 20
    assert [str(check) for check in checks if not check.ok] == []
    assert set(frame["part"]) == set(pipeline.PARTS)


def test_report_is_json_and_names_what_is_ours(frame: pd.DataFrame) -> None:
    """Tables and checks can be written; the notes say which numbers are not the paper's."""
    report = Report(
        frame.to_dict("records"),
        pipeline.checks_of(frame, TINY.widest_gap),
        pipeline.tables_of(frame),
        pipeline.notes_of(frame),
    )
    head = {"benchmark": "pipeline", "quick": True, "seed": 0, "seconds": 1, "machine": machine()}
    content = json.loads(_as_json(report, head))
    assert content["ok"]
    assert all(len(table) for table in content["tables"].values())
    assert "Ours, not the paper's" in content["notes"][0]
    assert "Nothing was fitted" in content["notes"][0]


@pytest.mark.parametrize(
    ("part", "column", "value", "failing"),
    [
        ("lone", "latency_ms", 3.0, "toy"),
        ("laws", "value", 2.0, "one client"),
        ("laws", "value", -2.0, "gpudirect <="),
        ("priority", "inversion_ms", 1.0, "priority inversion by GPUDirect"),
        ("priority", "inversion_ms", 0.0, "priority inversion by TCP"),
        ("rules", "ratio", 0.9, "rules"),
        ("one service", "difference", 1e-3, "one service"),
        ("scale", "gap", 0.2, "programme"),
        ("scale", "greedy_gap", 0.2, "improved greedy"),
        ("scale", "compile_s", 9.0, "compiling"),
    ],
)
def test_wrong_numbers_fail_their_check(
    frame: pd.DataFrame, part: str, column: str, value: float, failing: str
) -> None:
    """A number that is off makes the check fail that speaks of it."""
    wrong = frame.copy()
    wrong.loc[wrong["part"] == part, column] = value
    failed = [c.name for c in pipeline.checks_of(wrong, TINY.widest_gap) if not c.ok]
    assert any(name.startswith(failing) for name in failed)
