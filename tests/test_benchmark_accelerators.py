"""The benchmark of shared accelerators on two workloads: every part, every check, wrong numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import accelerators  # noqa: E402

TINY = accelerators.Size(workloads={"as given": 1}, forms=1, requests=3000)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Rows of one workload on every cluster, and one for every formula."""
    tasks = accelerators.tasks_of(TINY, 4)
    return pd.DataFrame([row for task in tasks for row in accelerators.perform(task)])


def test_every_check_is_judged_and_holds(frame: pd.DataFrame) -> None:
    """Each part feeds its checks and tables; none fails on sound code."""
    checks = accelerators.checks_of(frame)
    assert len(checks) == 7
    assert [str(check) for check in checks if not check.ok] == []
    assert set(frame["part"]) == {"hosting", "forms"}
    assert set(frame.loc[frame["part"] == "forms", "label"]) == set(accelerators.FORMS)
    table = accelerators.ratios(frame)
    assert table["cluster"].tolist() == list(accelerators.CLUSTERS)
    assert (table["exact"] >= table["Ibis"]).all()
    assert len(accelerators.overview(frame, "gpu", "as given")) == 14
    assert len(accelerators.form_table(frame)) == len(accelerators.FORMS)
    assert all(accelerators.notes_of(frame))


@pytest.mark.parametrize(
    ("column", "policy", "value", "failing"),
    [
        ("promised", "exact", 1, "exact over the best greedy"),
        ("promised", "exact", 30, "hosted over what is proven"),
        ("surely_late", "exact", 5, "exact: share"),
        ("surely_late", "best-fit", 24, "model-driven"),
        ("kept", "exact", 1, "gpu"),
        ("kept", "knapsack", 20, "mixed"),
    ],
)
def test_wrong_numbers_fail_their_check(
    frame: pd.DataFrame, column: str, policy: str, value: int, failing: str
) -> None:
    """A number that is off makes the check fail that speaks of it."""
    wrong = frame.copy()
    wrong.loc[wrong["policy"] == policy, column] = value
    failed = [check.name for check in accelerators.checks_of(wrong) if not check.ok]
    assert any(name.startswith(failing) for name in failed), failed
