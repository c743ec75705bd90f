"""The benchmark of multi-level ensembles with one seed: every part, every check."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _ensembles_mel as mel  # noqa: E402
import _harness  # noqa: E402
from _harness import Report  # noqa: E402


@pytest.fixture(scope="module")
def report() -> Report:
    """The quick run, from one seed."""
    pytest.importorskip("sklearn", reason="scikit-learn, whose digits this trains on, is missing")
    cells = [cell for cell in mel.cells_of(True, 0) if cell.seed == 0]
    rows = [row for cell in cells for row in mel.perform(cell)]
    return mel.report_of(rows, 0)


def test_every_check_is_judged_and_holds(report: Report) -> None:
    """Each part feeds its tables and checks; none fails on sound code."""
    assert [str(check) for check in report.checks if not check.ok] == []
    assert len(report.checks) == 5
    frame = pd.DataFrame(report.rows)
    assert set(frame["part"]) == {"mel", "subset", "worth", "deadline"}
    of_mel = frame[(frame["part"] == "subset") & (frame["system"] == "multilevel")]
    assert len(of_mel) == 2**3 - 1
    assert len(report.tables) == 4
    assert all(report.notes)
    written = json.loads(_harness._as_json(report, {}))
    assert len(written["rows"]) == len(report.rows)


@pytest.mark.parametrize(
    ("part", "system", "column", "value", "failing"),
    [
        ("mel", "multilevel", "full", 0.2, "MEL M=3, 41 %: above"),
        ("mel", "multilevel", "alone", 0.1, "MEL: a member"),
        ("mel", "multilevel", "retention", 0.9, "MEL M=3, 41 %: accuracy kept"),
        ("mel", "joint-only", "one_down", 0.8, "MEL trained jointly"),
        ("worth", "multilevel", "off", 0.1, "MEL tables"),
    ],
)
def test_wrong_numbers_fail_their_check(
    report: Report, part: str, system: str, column: str, value: float, failing: str
) -> None:
    """A number that is off makes the check fail that speaks of it."""
    wrong = pd.DataFrame(report.rows)
    wrong.loc[(wrong["part"] == part) & (wrong["system"] == system), column] = value
    failed = [check.name for check in mel.checks_of(wrong) if not check.ok]
    assert len(failed) == 1
    assert failed[0].startswith(failing)


def test_what_is_run() -> None:
    """A quick run trains one case, and members of its size; convolutional cases need torch."""
    quick, full = mel.cells_of(True, 0), mel.cells_of(False, 5)
    assert {cell.case for cell in quick} == {mel.MAIN, mel.LARGER}
    assert {cell.seed for cell in full} == {5, 6, 7}
    assert {cell.case for cell in full} == set(mel.CASES) | (
        set(mel.CONVOLUTIONAL) if mel.with_torch() else set()
    )
