"""The benchmark of right-sizing on two weeks of real wind: every part, every check, wrong data."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import rightsizing  # noqa: E402

TINY = replace(
    rightsizing.QUICK, hours=336, thresholds=(0.6,), weeks=2, counts=(30,), multiples=(1.5,)
)


@pytest.fixture(scope="module")
def frame(shared_data: Path) -> pd.DataFrame:
    """Rows of all parts for the countries."""
    tasks = [task for task in rightsizing.tasks_of(TINY, 0) if task.source == "countries"]
    return pd.DataFrame([row for task in tasks for row in rightsizing.perform(task)])


def test_every_check_is_judged_and_holds(frame: pd.DataFrame) -> None:
    """Each part feeds its checks; none is empty, and none fails on sound code."""
    checks = rightsizing.checks_of(frame, 0.2)
    assert len(checks) == 17
    assert [str(check) for check in checks if not check.ok] == []
    assert set(frame["part"]) == {
        *("rules", "half year", "quantiles", "firmness", "weeks", "fewer hours", "choice")
    }


@pytest.mark.parametrize(
    ("part", "column", "value", "failing"),
    [
        ("rules", "ratio", 0.99, "rules"),
        ("weeks", "wait_and_see", 1.5, "wait"),
        ("weeks", "expected_value", 0.5, "expected"),
        ("fewer hours", "proven_below", 0.1, "fewer hours, proven lower"),
        ("fewer hours", "proven_above", -0.1, "fewer hours, proven upper"),
        ("choice", "gain", 0.5, "complementarity"),
        ("firmness", "unmet_bound", 1.0, "bound on unmet"),
    ],
)
def test_wrong_numbers_fail_their_check(
    frame: pd.DataFrame, part: str, column: str, value: float, failing: str
) -> None:
    """A number that is off makes the check fail that speaks of it, and no other."""
    wrong = frame.copy()
    wrong.loc[wrong["part"] == part, column] = value
    failed = [check.name for check in rightsizing.checks_of(wrong, 0.2) if not check.ok]
    assert len(failed) >= 1
    assert all(name.startswith((failing, "joint LP")) for name in failed)


def test_gpus_are_spread_by_how_often_they_have_power() -> None:
    """Of two sites the steady one is filled first; the sizes add up."""
    fed = np.array([[4.0, 10.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    assert rightsizing.split_alone(fed, 4.0).tolist() == [4, 0]
    assert rightsizing.split_alone(fed, 9.0).sum() == pytest.approx(9)
